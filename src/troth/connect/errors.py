"""What can be wrong with a connector, its secrets, and the system it speaks with."""

from __future__ import annotations

from datetime import datetime

from troth.kit.errors import TrothError, reason

CONNECTOR_UNKNOWN = reason(
    "connector.unknown",
    "there is no such connector",
    fix="List the connectors with `troth connector list`; define one under `connectors:` and apply it.",
    status=404,
)
CONNECTOR_INVALID = reason(
    "connector.invalid",
    "the definition of this connector does not hold together",
    fix="Correct the named field and apply the file again; nothing of it was applied.",
    status=422,
)
SECRET_MISSING = reason(
    "connector.secret_missing",
    "the connector has no secret to prove itself with",
    fix="Hand it over with `troth connector secret NAME --file FILE`.",
    status=409,
)
SECRET_INVALID = reason(
    "connector.secret_invalid",
    "this is no secret that the connector could use",
    fix="Look at the kinds of secret in docs/connectors.md: a client secret, a PEM private key, a shared key.",
    status=422,
)
CREDENTIALS = reason(
    "connector.credentials",
    "the other system does not accept the credentials",
    fix="Check client id, tenant and secret there; a new secret is set with `troth connector secret NAME --file FILE`.",
    status=502,
)
SCOPE = reason(
    "connector.scope",
    "the other system does not grant what this read needs",
    fix="Grant the named scope to the client there; `troth connector test NAME` shows granted against needed.",
    status=502,
)
THROTTLED = reason(
    "connector.throttled",
    "the other system asks for fewer requests",
    fix="Nothing to do if it passes: Troth waits as asked. Otherwise raise poll_seconds, or ask for a higher limit.",
    status=503,
)
VENDOR_FAILED = reason(
    "connector.vendor_failed",
    "the other system failed",
    fix="Look at its status page; Troth tries again, more and more rarely.",
    status=502,
)
ANSWER = reason(
    "connector.answer",
    "the other system's answer is none that is documented",
    fix="Nothing was taken from it and it is asked again. If it stays, its API has changed: report it.",
    status=502,
)
PAGING = reason(
    "connector.paging",
    "the other system's pages lead in a circle",
    fix="Nothing past the circle was taken and it is asked again. If it stays, report it.",
    status=502,
)
ELSEWHERE = reason(
    "connector.elsewhere",
    "the other system points to an address that is not its own",
    fix="Troth does not send its credentials there. Check base_url, and who answers at it.",
    status=502,
)
NOT_TRIED = reason(
    "connector.not_tried",
    "this connector's words are not mapped by its definition",
    fix="Only connectors of the vendor `generic` have a mapping to try.",
    status=422,
)
PUSH_UNAUTHENTICATED = reason(
    "connector.push_unauthenticated",
    "the message is not from a system known here",
    fix="Check the connector's name in the URL and the secret that both sides share.",
    status=401,
)
PUSH_UNREADABLE = reason(
    "connector.push_unreadable",
    "the message is none that is documented",
    fix="Check that the address was given to the right system; the detail names the field.",
    status=400,
)


class ConnectorError(TrothError):
    """Something is wrong with a connector or the system it speaks with."""


class ConnectorUnknown(ConnectorError):
    """No connector of that name."""


class ConnectorInvalid(ConnectorError):
    """A definition was refused; ``facts`` holds connector and field."""


class Throttled(ConnectorError):
    """Too many requests. ``until``: when the other system will listen again."""

    def __init__(self, detail: str, *, until: datetime) -> None:
        super().__init__(THROTTLED, detail)
        self.until = until


class PushRefused(ConnectorError):
    """A pushed message that was refused; nothing was written."""
