"""The API as the demonstration uses it: few questions, and of each answer only the fields that are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from troth.cli.api import Api, segment
from troth.cli.demo import fleet
from troth.cli.demo.fleet import Device
from troth.client.csr import certificate_request
from troth.kit.errors import TrothError

#: The refusal of a trust decision; every other refusal is a failure of the demonstration.
_REFUSED = "enroll.refused"


class Row(msgspec.Struct, frozen=True):
    """A subject in a list."""

    id: UUID
    kind: str
    name: str
    standing: str
    certificates: int


class Certificate(msgspec.Struct, frozen=True):
    """A certificate in a list."""

    id: UUID
    profile: str
    not_before: datetime
    not_after: datetime
    state: str
    status: str

    def serves(self, now: datetime) -> bool:
        """Whether it is worth something now, or will be again when a hold ends."""
        return self.state == "issued" and self.status != "revoked" and self.not_after > now


class Issued(msgspec.Struct, frozen=True):
    """A fresh certificate, PEM."""

    id: UUID
    certificate: str
    chain: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    @property
    def lifetime(self) -> timedelta:
        """How long it is valid."""
        return self.not_after - self.not_before


class Condition(msgspec.Struct, frozen=True):
    """A condition of a decision, as it was answered."""

    name: str
    result: str
    why: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """A decision in words."""

    id: UUID
    outcome: str
    sentence: str
    rule: str | None
    conditions: tuple[Condition, ...] = ()
    lines: tuple[str, ...] = ()


class Cause(msgspec.Struct, frozen=True):
    """Why a subject does not stand better."""

    cause: str
    effect: str
    source: str
    clears: str = ""


class Subject(msgspec.Struct, frozen=True):
    """A subject with its open causes."""

    id: UUID
    name: str
    standing: str
    causes: tuple[Cause, ...] = ()


class _Name(msgspec.Struct, frozen=True):
    name: str


class Staged(msgspec.Struct, frozen=True):
    """What waits for a person."""

    id: UUID
    feed: str
    subject: _Name


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and the authority that issued it."""

    id: UUID
    leaf: x509.Certificate
    issuer: x509.Certificate


class Doors:
    """The API, in the words of the story."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def apply(self, documents: str, *, prune: bool = False) -> Mapping[tuple[str, str], int]:
        """Apply YAML documents; how many (kind, action) there were."""
        counted: dict[tuple[str, str], int] = {}
        for change in self._apply(documents, prune=prune):
            key = (str(change["kind"]), str(change["action"]))
            counted[key] = counted.get(key, 0) + 1
        return counted

    def feed_secrets(self) -> dict[str, str]:
        """Make the fleet's feeds, and a secret for each that is known to this process alone."""
        secrets = {
            str(change["name"]): str(change["secret"])
            for change in self._apply(fleet.feeds())
            if change["kind"] == "feed" and change["secret"]
        }
        for name in (fleet.EDR, fleet.MDM, fleet.SENSOR):
            if name not in secrets:
                secrets[name] = str(self._api.post(f"/feeds/{name}/secret", {"leaked": True})["secret"])
        return secrets

    def _apply(self, documents: str, *, prune: bool = False) -> list[dict[str, Any]]:
        answer = self._api.post("/apply", documents, **({"prune": "true"} if prune else {}))
        found: list[dict[str, Any]] = answer["changes"]
        return found

    def frozen(self) -> bool:
        """Whether enforcement is stopped."""
        return bool(self._api.get("/enforcement")["frozen"])

    def subjects(self, kind: str) -> dict[str, Row]:
        """The fleet's subjects of ``kind`` by name."""
        answer = self._api.get("/subjects", q=fleet.PREFIX, kind=kind, limit=200)
        rows = msgspec.convert(answer["items"], list[Row])
        return {row.name: row for row in rows if row.name.startswith(fleet.PREFIX)}

    def subject(self, name: str) -> Subject:
        """A device of the fleet."""
        return msgspec.convert(self._api.get(f"/subjects/{segment(f'device:{name}')}"), Subject)

    def origin(self, subject_id: UUID) -> str:
        """Which source declared a subject."""
        return str(self._api.get(f"/subjects/{subject_id}")["origin"])

    def certificates(self, subject_id: UUID) -> list[Certificate]:
        """A subject's certificates, latest first."""
        answer = self._api.get("/certificates", subject=subject_id, limit=200)
        return msgspec.convert(answer["items"], list[Certificate])

    def issue(self, device: Device) -> Issued | None:
        """A certificate for ``device``, or None when policy refuses it. The key is made here, and never sent."""
        csr = certificate_request(ec.generate_private_key(ec.SECP256R1()), dns=[device.dns_name])
        pem = x509.load_der_x509_csr(csr).public_bytes(Encoding.PEM).decode()
        command = {"profile": "client-device", "subject": f"device:{device.name}", "csr": pem}
        try:
            return msgspec.convert(self._api.post("/certificates", command), Issued)
        except TrothError as error:
            if error.code != _REFUSED:
                raise
            return None

    def pair(self, certificate_id: UUID, issuer: x509.Certificate) -> Pair:
        """A certificate by its id, with ``issuer``."""
        answer = self._api.get(f"/certificates/{certificate_id}")
        return Pair(certificate_id, x509.load_pem_x509_certificate(str(answer["pem"]).encode()), issuer)

    def issuer(self) -> x509.Certificate:
        """The authority that certifies servers and devices."""
        issuing = [one for one in self._api.get("/authorities") if one["kind"] == "issuing"]
        found = next(one for one in issuing if "open" in one["issuer_classes"])
        return x509.load_pem_x509_certificate(str(found["pem"]).encode())

    def revoke(self, certificate_id: UUID, reason: int, note: str) -> None:
        """Revoke for good."""
        self._api.post(f"/certificates/{certificate_id}/revoke", {"reason": reason, "note": note})

    def why(self, reference: str) -> Decision:
        """The decision behind a certificate, or the latest about a subject."""
        return msgspec.convert(self._api.get(f"/why/{segment(reference)}"), Decision)

    def staged(self, feed: str) -> list[Staged]:
        """What of ``feed`` waits for a person."""
        return [one for one in msgspec.convert(self._api.get("/staged"), list[Staged]) if one.feed == feed]

    def ledger(self) -> Iterator[bytes]:
        """The lines of the whole ledger's export."""
        return self._api.lines("/audit/export")
