"""What can be wrong with a pool of servers, and why a request was not handed on."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

POOL_UNKNOWN = reason(
    "proxy.unknown",
    "there is no such pool of servers",
    fix="List them with `troth proxy list`; define one under `proxies:` and apply it.",
    status=404,
)
POOL_IN_USE = reason(
    "proxy.in_use",
    "networks hand their conversations on to this pool",
    fix="Let the networks that the detail names hand on to another, then remove it.",
    status=409,
)
POOL_INVALID = reason(
    "proxy.invalid",
    "the definition of this pool does not hold together",
    fix="Correct the named field and apply the file again; nothing of it was applied.",
    status=422,
)
SECRET_INVALID = reason(
    "proxy.secret_invalid",
    "this is no shared secret for a server of this pool",
    fix="A secret has 16 to 128 octets; make one with `openssl rand -hex 24` and set it on both sides.",
    status=422,
)
SECRET_MISSING = reason(
    "proxy.secret_missing",
    "a server that is asked over UDP has no shared secret",
    fix="Set it with `troth proxy secret POOL --server HOST:PORT --file FILE`.",
    status=409,
)
NO_SERVER = reason(
    "proxy.no_server",
    "no server of the pool answers",
    fix="Look at the servers' logs and the way to them; `troth proxy show POOL` says when each was last heard.",
    status=503,
)
FULL = reason(
    "proxy.full",
    "as many requests to this pool are under way as may be",
    fix="Its servers are too slow, or `max_in_flight` is too small.",
    status=503,
)
LOOP = reason(
    "proxy.loop",
    "this request has been through here before",
    fix="Two servers send this realm to each other; correct the realms of one of them.",
    status=508,
)
REALM = reason(
    "proxy.realm",
    "the user name has no realm that could be anybody's",
    fix="The device must be set up with NAME@REALM as its outer identity; the detail says what is wrong with it.",
    status=400,
)
REPLY = reason(
    "proxy.reply",
    "a server's reply was not believed",
    fix="Shared secret or Message-Authenticator: look at both sides. Such replies are dropped and counted.",
    status=502,
)
STATE_LOST = reason(
    "proxy.state_lost",
    "the server that holds this conversation does not answer",
    fix="Nothing: the device begins again, with another server.",
    status=503,
)


ACCEPTED = reason(
    "proxy.accepted",
    "another server let this device in",
    fix="Nothing. Which server stands in the timeline; what it may give stands under `proxies:`.",
    status=200,
)
REJECTED = reason(
    "proxy.rejected",
    "another server did not let this device in",
    fix="Why, only that server knows; its name stands in the timeline.",
    status=403,
)


class ProxyError(TrothError):
    """A request that was not handed on, or a pool that is not right."""


class PoolUnknown(ProxyError):
    """No pool of that name."""


class PoolInvalid(ProxyError):
    """A definition was refused; ``facts`` holds pool and field."""
