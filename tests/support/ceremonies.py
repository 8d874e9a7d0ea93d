"""Ceremonies on a test's own desk: custodians with their age keys, plans as documents, and people who do as told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import yaml

from troth.kit.clock import FakeClock
from troth.pki.ceremony.plan import Plan, read_plan
from troth.pki.ceremony.run import Held, hold
from troth.pki.ceremony.share_files import read_shares
from troth.pki.ceremony.shares import ShareSet, combine

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@dataclass
class Office:
    """A directory with custodians, in which ceremonies are held."""

    directory: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW))
    identities: dict[str, Path] = field(default_factory=dict)
    recipients: dict[str, str] = field(default_factory=dict)

    def custodian(self, name: str) -> dict[str, str]:
        """The entry of a plan for a custodian, whose identity is made on first use."""
        if name not in self.recipients:
            identity = pyrage.x25519.Identity.generate()
            path = self.directory / f"{name.lower()}.identity"
            path.write_text(f"# {name}\n{identity}\n")
            self.identities[name], self.recipients[name] = path, str(identity.to_public())
        return {"name": name, "recipient": self.recipients[name]}

    def custodians(self) -> dict[str, Any]:
        """Two of three of security, and one of two of audit."""
        return {
            "groups": [
                {"name": "security", "threshold": 2, "members": [self.custodian(n) for n in ("Anna", "Bert", "Cleo")]},
                {"name": "audit", "threshold": 1, "members": [self.custodian(n) for n in ("Dora", "Emil")]},
            ]
        }

    def document(self, ceremony: str, directory: str, **changes: Any) -> dict[str, Any]:
        """A plan as a mapping; ``changes`` replace whole blocks, and None takes one away."""
        whole: dict[str, Any] = {
            "ceremony": ceremony,
            "title": f"{ceremony} of the test",
            "window": {"from": "2026-11-24T00:00:00Z", "until": "2026-11-26T00:00:00Z"},
            "outputs": {"directory": directory},
            **changes,
        }
        return {name: value for name, value in whole.items() if value is not None}

    def plan(self, name: str, document: Mapping[str, Any]) -> Plan:
        """``document`` as a plan in a file of this directory."""
        path = self.directory / name
        path.write_text(yaml.safe_dump(dict(document), sort_keys=False))
        return read_plan(path)

    def root(self, directory: str = "root", algorithm: str = "p384", **changes: Any) -> dict[str, Any]:
        """A root with a software key."""
        made: dict[str, Any] = {
            "key": {"custody": "software", "algorithm": algorithm},
            "certificate": {
                "subject": {"country": "DE", "organization": "Example", "common_name": "Example Root CA R1"},
                "validity": {"from": "2026-11-24T00:00:00Z", "until": "2046-11-23T23:59:59Z"},
                "path_length": 1,
            },
            "custodians": self.custodians(),
        }
        return self.document("root", directory, **(made | changes))

    def existing(self, root: str = "root", algorithm: str = "p384") -> dict[str, str]:
        """The key block of plans that use a root's software key."""
        return {
            "custody": "software",
            "algorithm": algorithm,
            "sealed": f"{root}/key.sealed",
            "shares": f"{root}/shares.json",
        }

    def intermediate(self, spki_pem: bytes, sha256: str, directory: str = "issuing", **changes: Any) -> dict[str, Any]:
        """An issuing authority below the root."""
        (self.directory / f"{directory}.spki.pem").write_bytes(spki_pem)
        made: dict[str, Any] = {
            "key": self.existing(),
            "inputs": {
                "issuer": "root/certificate.pem",
                "public_key": f"{directory}.spki.pem",
                "public_key_sha256": sha256,
            },
            "certificate": {
                "subject": {"country": "DE", "organization": "Example", "common_name": "Example Issuing CA I1"},
                "validity": {"from": "2026-11-24T00:00:00Z", "until": "2031-11-23T23:59:59Z"},
                "path_length": 0,
                "issuer_classes": ["open"],
                "ca_issuers_url": "http://pki.test/ca/root.cer",
                "crl_url": "http://pki.test/crl/root.crl",
            },
        }
        return self.document("intermediate", directory, **(made | changes))

    def crl(self, directory: str = "crl-1", **changes: Any) -> dict[str, Any]:
        """A CRL of the root with one revoked authority."""
        made: dict[str, Any] = {
            "key": self.existing(),
            "inputs": {"issuer": "root/certificate.pem"},
            "crl": {
                "number": 1,
                "this_update": "2026-11-24T00:00:00Z",
                "next_update": "2027-11-24T00:00:00Z",
                "revoked": [{"serial": "40aa", "at": "2026-11-24T00:00:00Z", "reason": 1}],
            },
        }
        return self.document("root-crl", directory, **(made | changes))

    def hold(self, plan: Plan, *present: str, dry_run: bool = False) -> Held:
        """Hold the ceremony with the custodians who are present."""
        return hold(plan, self.clock, Present(self, present), dry_run=dry_run)


@dataclass
class Present:
    """Custodians who come with their age files, and an operator who agrees."""

    office: Office
    names: tuple[str, ...]
    told: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        self.told.append(text)

    def secret(self, listed: ShareSet) -> bytearray:
        """As the command does it: age files, identities, words."""
        lists = [path for path in self.office.directory.rglob("shares.json") if listed.set_id in path.read_text()]
        found = sorted((lists[0].parent / "shares").glob("*.age"))
        files = [path for path in found if any(path.stem.endswith(name.lower()) for name in self.names)]
        identities = [self.office.identities[name] for name in self.names]
        return combine(listed, read_shares(listed, files, identities))

    def consent(self, digest: bytes) -> None:
        self.told.append(f"agreed to {digest.hex()}")
