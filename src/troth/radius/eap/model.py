"""What is known of a conversation, and what is to be done next in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from troth.kit.errors import Reason

if TYPE_CHECKING:
    from troth.radius.eap.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Opening:
    """What an Access-Request says around its EAP packet.

    Attributes:
        nas: name of the access server, as configured: half-open conversations are counted by it.
        network: name of the network that matched; it selects the TLS context.
        identity: User-Name. Nobody has proved it: for the timeline alone (RFC 9190, 2.2).
        calling_station_id: canonical MAC address; empty where there is none. It has one conversation at a time.
        framed_mtu: of the device's link, octets (RFC 2865, 5.12); 0: not told.
    """

    nas: str
    network: str
    identity: str = ""
    calling_station_id: str = ""
    framed_mtu: int = 0


class Facts(msgspec.Struct, frozen=True):
    """What a conversation has shown, as far as it got.

    Attributes:
        identity: as in the opening: a claim.
        tls_version: ``1.2``, ``1.3``, or empty where no handshake finished.
        cipher, group: OpenSSL's names; empty likewise.
        resumed: a session was: ``chain`` is the leaf from its ticket, completed from what this worker remembers.
        chain: DER, leaf first, as sent and not to be relied on in its order.
        sha256: of the leaf; empty without one.
        server_name: what the device put into that TLS extension.
        offered: EAP methods that it asked for instead (a Nak), by number.
        rounds: EAP responses so far.
        fragments: TLS fragments in both directions beyond the first of each message.
        started: seconds since 1970, UTC, when the Start was sent.
    """

    identity: str
    tls_version: str = ""
    cipher: str = ""
    group: str = ""
    resumed: bool = False
    chain: tuple[bytes, ...] = ()
    sha256: bytes = b""
    server_name: str = ""
    offered: tuple[int, ...] = ()
    rounds: int = 0
    fragments: int = 0
    started: float = 0.0


Timeline: TypeAlias = tuple[tuple[float, str], ...]
"""(seconds since the Start, plain words)"""


class Challenge(msgspec.Struct, frozen=True):
    """Send an Access-Challenge.

    Attributes:
        eap: the EAP request, whole.
        state: the attribute State.
        hint_seconds: Session-Timeout: how long the device may think before it is asked again (RFC 3579, 2.3).
        refused: it carries the alert by which TLS has refused the device, and this is how the conversation ends,
            whether the device acknowledges that or not.
    """

    eap: bytes
    state: bytes
    hint_seconds: int | None = None
    refused: Fail | None = None


class Proved(msgspec.Struct, frozen=True):
    """The device holds the key of the certificate in ``conversation.facts``: decide, then ``conclude``."""

    conversation: Conversation


class Succeed(msgspec.Struct, frozen=True):
    """Send an Access-Accept with EAP-Success and the keys of ``msk``.

    Attributes:
        derive_session_id: see :attr:`session_id`.
        conversation: has the caller's verdict in ``attachment``.
    """

    eap: bytes
    msk: bytes
    emsk: bytes
    derive_session_id: Callable[[], bytes]
    conversation: Conversation

    def __repr__(self) -> str:
        return "Succeed(…)"  # it has keys

    @property
    def session_id(self) -> bytes:
        """The EAP Session-Id (RFC 5247, 1.4), for EAP-Key-Name (102) where the request has that attribute.

        Derived when it is asked for: few access servers do (MACsec), and it costs as much as the keys.
        """
        return self.derive_session_id()


class Fail(msgspec.Struct, frozen=True):
    """Send an Access-Reject with EAP-Failure."""

    eap: bytes
    reason: Reason
    detail: str
    facts: Facts
    timeline: Timeline = ()
    conversation: Conversation | None = None


class Ignore(msgspec.Struct, frozen=True):
    """Send nothing."""

    reason: Reason
    detail: str = ""


class Foreign(msgspec.Struct, frozen=True):
    """Another node has this conversation, or another worker had it."""

    node: int
    worker: int


Step: TypeAlias = Challenge | Proved | Succeed | Fail | Ignore | Foreign
