"""A node asks for a workload: judged by the one engine, issued as an X509-SVID, minutes long.

The node brings a key's proof of possession, the name of a workload in the directory, and what it saw of the process
(selectors). It does not bring a SPIFFE ID: the profile makes that of the directory's facts. Policy sees the node as
``evidence.node…``; that is the word of the node's certificate and of the directory, not of the caller. Selectors are
the node's word, and the shipped policy rests nothing on them.

The certificate is bound to the workload and to the node: a standing that ends either ends it, and the next question of
the agent (:meth:`SvidDesk.standing`) says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeVar

import msgspec

from troth.client.errors import JoseError
from troth.client.jose import b64url_decode
from troth.enroll.issuance import Ask, Issuance
from troth.enroll.workload import bundle
from troth.enroll.workload.errors import REQUEST_MALFORMED, WORKLOAD_UNKNOWN, WorkloadRefused
from troth.enroll.workload.node import Node
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue
from troth.pki.csr import parse_csr
from troth.pki.model import IssuedCertificate
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.model import Kind, Subject
from troth.trust.subjects.store import SubjectStore

PROFILE = "spiffe-workload"
MAX_LIVE = 256

_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
_Selector = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_PRINTABLE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*\Z")


class SvidRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed for ``/workload/svid``.

    Attributes:
        workload: its name in the directory.
        csr: DER PKCS#10 in base64url: the key, proved; its names count for nothing.
        selectors: what the agent saw of the process: ``unix:uid:1000``, ``systemd:shop.service``.
        lifetime_seconds: no longer than this.
    """

    workload: _Short
    csr: Annotated[str, msgspec.Meta(max_length=22_000)]
    selectors: Annotated[tuple[_Selector, ...], msgspec.Meta(max_length=64)] = ()
    lifetime_seconds: Annotated[int, msgspec.Meta(ge=60, le=86_400)] | None = None


class StandingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed for ``/workload/standing``: SHA-256 of SVIDs that the agent hands out, in hexadecimal."""

    certificates: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")], ...], msgspec.Meta(max_length=MAX_LIVE)
    ]


_Payload = TypeVar("_Payload", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Svid:
    """What the agent is given.

    Attributes:
        spiffe_id: the one name in the certificate.
        roots: DER of the bundle.
        bundle: changes when the roots do.
    """

    spiffe_id: str
    certificate: IssuedCertificate
    roots: tuple[bytes, ...]
    bundle: str


class SvidDesk:
    """See the module.

    Args:
        longest: no SVID from this door is longer.
    """

    def __init__(
        self, database: Database, clock: Clock, issuance: Issuance, catalogue: Catalogue, *, longest: timedelta
    ) -> None:
        self._clock = clock
        self._issuance = issuance
        self._catalogue = catalogue
        self._subjects = SubjectStore(database)
        self._certificates = CertificateStore(database)
        self._longest = longest

    async def issue(self, node: Node, *, address: str | None) -> Svid:
        """A certificate for the workload that ``node`` names.

        Raises WorkloadRefused, IssuanceRefused, or what csr, profile and gate raise.
        """
        asked = read_request(node.payload, SvidRequest)
        if not printable(asked.workload, *asked.selectors):
            raise WorkloadRefused(REQUEST_MALFORMED, "names and selectors are printable ASCII")
        request = parse_csr(_octets(asked.csr))
        workload = await self._subjects.find(Kind.WORKLOAD, asked.workload)
        if workload is None:
            raise WorkloadRefused(WORKLOAD_UNKNOWN, f"{asked.workload!r}")
        wanted = timedelta(seconds=asked.lifetime_seconds) if asked.lifetime_seconds else self._longest
        # A lifetime counts from notBefore, which lies back; what the agent asks for begins now.
        backdate = self._catalogue.profile(PROFILE).backdate
        certificate = await self._issuance.issue(
            Ask(
                request_id=f"workload:{new_id()}",
                profile=PROFILE,
                spki=request.key.spki,
                names=(),
                actor=f"node:{node.subject.id}",
                evidence=evidence_of(node, asked.selectors),
                request={"protocol": "workload", "address": address or ""},
                origin="workload",
                refs=(node.subject.ref, f"certificate:{node.certificate.id}"),
                subject=workload,
                carrier=node.subject,
                lifetime=min(wanted, self._longest) + backdate,
            ),
            with_reserve=Unit,
            with_store=lambda _: Unit(),
        )
        stored = await self._certificates.by_id(certificate.id)
        uris = [value for kind, value in (stored.names if stored else ()) if kind == "uri"]
        if len(uris) != 1 or certificate.status != "good":
            # A policy put another profile in its place, or a hold came before the signature.
            raise WorkloadRefused(WORKLOAD_UNKNOWN, "what was issued is no SVID that is in force")
        roots = self.roots()
        return Svid(uris[0], certificate, tuple(one.certificate for one in roots), bundle.digest(roots))

    async def standing(self, node: Node) -> tuple[list[str], tuple[Authority, ...]]:
        """Which of the SVIDs that the agent hands out are in force no more, and the roots as they are now.

        An SVID of another node counts as not in force: nobody can probe what is not theirs.
        """
        ended: list[str] = []
        for digest in read_request(node.payload, StandingRequest).certificates:
            found = await self._certificates.by_sha256(bytes.fromhex(digest))
            good = found is not None and found.status == "good" and found.not_after > self._clock.now()
            if found is None or not good or found.actor != f"node:{node.subject.id}":
                ended.append(digest)
        return ended, self.roots()

    def roots(self) -> tuple[Authority, ...]:
        """The bundle's authorities."""
        return bundle.roots(self._catalogue.authorities.values(), self._clock.now())


def printable(*texts: str) -> bool:
    """Whether all of them are printable ASCII without a space at either end."""
    return all(map(_PRINTABLE.match, texts))


def evidence_of(node: Node, selectors: Sequence[str]) -> dict[str, str | bool | list[str]]:
    """What policy is told of who asks."""
    subject: Subject = node.subject
    return {
        "node": subject.name,
        "node_kind": subject.kind.value,
        "node_groups": list(subject.groups),
        "node_standing": subject.standing.value,
        "node_attested": node.attested,
        "selectors": list(selectors),
        "possession": True,
    }


def read_request(payload: bytes, kind: type[_Payload]) -> _Payload:
    """What was signed, as ``kind``. Raises WorkloadRefused."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WorkloadRefused(REQUEST_MALFORMED, str(error)[:300]) from error


def _octets(text: str) -> bytes:
    try:
        return b64url_decode(text)
    except JoseError as error:
        raise WorkloadRefused(REQUEST_MALFORMED, "csr is no base64url") from error
