"""Streams: what a person defines, what the transmitter says of them, and how they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from troth.connect.ssf.errors import TRANSMITTER_ANSWER, TransmitterFailed
from troth.connect.ssf.secevent import Expected

PUSH: Final = "urn:ietf:rfc:8935"
POLL: Final = "urn:ietf:rfc:8936"
_MAX_LIST = 100

Status = Literal["planned", "enabled", "paused", "disabled"]


class StreamDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry under ``ssf_streams:``.

    Attributes:
        feed: for which it speaks; grants, scope and caps are that feed's.
        issuer: of the transmitter; its metadata is found from it unless ``metadata_url`` says where.
        dialect: how its events are worded; a dialect also knows what the transmitter's own identifiers are called.
        managed: whether we make and keep the stream through the transmitter's API. If not, it was set up over there by
            hand, and ``audience`` says for whom its tokens are.
        audience: at least one of these must be in a token; empty: what the transmitter says when the stream is made.
        events: URIs of the types to ask for; empty: all that change something here.
        auth: how we prove who we are: OAuth client credentials (RFC 6749, 4.4) by secret or by private key (RFC 7523),
            a token, or not at all.
        authorization: whether pushed deliveries carry an authorization header that we choose.
        tenants: identifiers of our tenant; events of others are discarded.
        identifiers: member (``user``, ``device``) → system in which the transmitter's identifiers are known here.
        verify_seconds: how often to ask for a verification; 0: never.
    """

    name: str
    feed: str
    issuer: str
    delivery: Literal["push", "poll"] = "poll"
    dialect: Literal["standard", "okta", "jamf", "google"] = "standard"
    managed: bool = True
    audience: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    auth: Literal["client_credentials", "private_key_jwt", "token", "none"] = "client_credentials"
    client_id: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ("ssf.read", "ssf.manage")
    metadata_url: str = ""
    jwks_uri: str = ""
    authorization: bool = True
    tenants: tuple[str, ...] = ()
    identifiers: Mapping[str, str] = {}
    verify_seconds: int = 300
    description: str = ""

    @property
    def method(self) -> str:
        """The delivery method's URI."""
        return PUSH if self.delivery == "push" else POLL


#: Dialect → member → how the transmitter's own identifiers are called in the table of aliases.
DIALECT_IDENTIFIERS: Final[Mapping[str, Mapping[str, str]]] = {
    "standard": {},
    "okta": {"user": "okta.user", "device": "okta.device"},
    "jamf": {"device": "jamf.udid"},
    "google": {"user": "google.user"},
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """Transmitter configuration metadata (SSF 1.0, 7.1), as far as it is used. What is not there is empty."""

    issuer: str
    jwks_uri: str = ""
    spec_version: str = ""
    delivery_methods: tuple[str, ...] = ()
    configuration_endpoint: str = ""
    status_endpoint: str = ""
    add_subject_endpoint: str = ""
    remove_subject_endpoint: str = ""
    verification_endpoint: str = ""
    critical_members: tuple[str, ...] = ()
    default_subjects: str = ""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Metadata:
        """From a decoded document. Raises TransmitterFailed (``ssf.transmitter.answer``)."""
        return cls(
            issuer=text(document, "issuer"),
            delivery_methods=texts(document, "delivery_methods_supported"),
            critical_members=texts(document, "critical_subject_members"),
            **{name: text(document, name, required=False) for name in _PLAIN},
        )

    def as_json(self) -> dict[str, Any]:
        """What :meth:`read` reads."""
        found: dict[str, Any] = {"issuer": self.issuer} | {name: getattr(self, name) for name in _PLAIN}
        found["delivery_methods_supported"] = list(self.delivery_methods)
        found["critical_subject_members"] = list(self.critical_members)
        return {name: value for name, value in found.items() if value}


_PLAIN = (
    "jwks_uri", "spec_version", "configuration_endpoint", "status_endpoint", "add_subject_endpoint",
    "remove_subject_endpoint", "verification_endpoint", "default_subjects",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Configuration:
    """A stream's configuration as its transmitter tells it (SSF 1.0, 8.1.1)."""

    stream_id: str
    issuer: str
    audience: tuple[str, ...]
    method: str
    endpoint_url: str
    events_delivered: tuple[str, ...]
    events_supported: tuple[str, ...] = ()
    min_verification_interval: int = 0
    inactivity_timeout: int = 0

    @classmethod
    def read(cls, document: Any) -> Configuration:
        """From a decoded answer. Raises TransmitterFailed (``ssf.transmitter.answer``)."""
        if not isinstance(document, dict) or not isinstance(document.get("delivery"), dict):
            raise answer("the stream's configuration has no delivery")
        audience = document.get("aud")
        return cls(
            stream_id=text(document, "stream_id"),
            issuer=text(document, "iss"),
            audience=(audience,) if isinstance(audience, str) else texts(document, "aud"),
            method=text(document["delivery"], "method"),
            endpoint_url=text(document["delivery"], "endpoint_url", required=False),
            events_delivered=texts(document, "events_delivered"),
            events_supported=texts(document, "events_supported"),
            min_verification_interval=_seconds(document, "min_verification_interval"),
            inactivity_timeout=_seconds(document, "inactivity_timeout"),
        )

    def as_json(self) -> dict[str, Any]:
        """What :meth:`read` reads."""
        return {
            "stream_id": self.stream_id,
            "iss": self.issuer,
            "aud": list(self.audience),
            "delivery": {"method": self.method, "endpoint_url": self.endpoint_url},
            "events_delivered": list(self.events_delivered),
            "events_supported": list(self.events_supported),
            "min_verification_interval": self.min_verification_interval,
            "inactivity_timeout": self.inactivity_timeout,
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """One that was asked for."""

    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it is.

    Attributes:
        secret: sealed.
        header_digests: SHA-256 of the authorization headers that are taken.
        verifications: asked for and not answered, the newest last.
        heard_at: when a token of it was last proved, or a poll last answered.
        error, error_at: what failed last; gone when it has gone well since.
    """

    name: str
    definition: StreamDefinition
    secret: bytes | None
    header_digests: tuple[bytes, ...]
    metadata: Metadata | None
    configuration: Configuration | None
    status: Status
    status_reason: str
    verifications: tuple[Verification, ...]
    verified_at: datetime | None
    heard_at: datetime | None
    error: str
    error_at: datetime | None
    applied_at: datetime
    actor: str

    @property
    def audiences(self) -> frozenset[str]:
        """Whom its tokens must name: what a person said, else what the transmitter said."""
        if self.definition.audience:
            return frozenset(self.definition.audience)
        return frozenset(self.configuration.audience if self.configuration else ())

    @property
    def jwks_uri(self) -> str:
        """Where the transmitter's keys are; empty while that is not known."""
        return self.definition.jwks_uri or (self.metadata.jwks_uri if self.metadata else "")

    @property
    def receiving(self) -> bool:
        """Whether tokens of it are taken at all: the transmitter knows it, or nobody expects to hear from it first."""
        return self.status != "planned" or not self.definition.managed

    def expected(self, max_age: timedelta) -> Expected:
        """What its tokens are held against."""
        return Expected(self.definition.issuer, self.audiences, max_age, untyped=self.definition.dialect == "google")

    def late(self, now: datetime) -> bool:
        """Whether it has been silent for more than twice the time between two verifications."""
        pace = self.definition.verify_seconds
        if not pace or self.status == "planned":
            return False
        return now - (self.heard_at or self.applied_at) > timedelta(seconds=2 * pace)


def well_known(issuer: str, name: str = "ssf-configuration") -> str:
    """Where an issuer's metadata is (SSF 1.0, 7.2): between host and path, a last slash taken away."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path.rstrip('/')}"


def answer(what: str) -> TransmitterFailed:
    """An answer that breaks the specification, to raise."""
    return TransmitterFailed(TRANSMITTER_ANSWER, what)


def text(document: Mapping[str, Any], name: str, *, required: bool = True) -> str:
    """A text of a document. Raises TransmitterFailed."""
    value = document.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or len(value) > 2_048 or "\x00" in value or (required and not value):
        raise answer(f"{name} is no text")
    return value


def texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts; empty if it is not there. Raises TransmitterFailed."""
    value = document.get(name, [])
    if not isinstance(value, list) or len(value) > _MAX_LIST:
        raise answer(f"{name} is no list of at most {_MAX_LIST}")
    if not all(isinstance(one, str) and len(one) <= 2_048 and "\x00" not in one for one in value):
        raise answer(f"{name} does not hold texts alone")
    return tuple(value)


def _seconds(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return 0  # optional, and nothing depends on it but our own patience
    return min(value, 31 * 86_400)
