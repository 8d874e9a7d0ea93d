"""Every vendor whose connector is said to act has one that does, with the options that its acts ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from troth.connect.api import VendorApi
from troth.connect.definition import parse_connectors
from troth.connect.vendors import VENDORS, Workshop
from troth.kit.clock import FakeClock
from troth.kit.settings import EgressSettings
from troth.trust.outbox.model import PORTS

_KEY = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
#: Vendor → what its definition says, and its secrets.
ACTING: Mapping[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "crowdstrike": ({"cloud": "eu-1", "client_id": "c"}, {"client_secret": b"s"}),
    "okta": ({"base_url": "https://corp.okta.com", "client_id": "c"}, {"private_key": _KEY}),
    "entra": ({"cloud": "global", "client_id": "c", "tenant": "t"}, {"client_secret": b"s"}),
    "intune": ({"cloud": "global", "client_id": "c", "tenant": "t", "options": {"quarantine_group": "g"}},
               {"client_secret": b"s"}),
    "defender": ({"cloud": "global", "client_id": "c", "tenant": "t", "options": {"isolation_type": "Selective"}},
                 {"client_secret": b"s"}),
    "jamf": ({"base_url": "https://corp.jamfcloud.com", "client_id": "c", "options": {"quarantine_group": "7"}},
             {"client_secret": b"s"}),
}  # fmt: skip


def test_every_port_of_a_vendor_is_one_of_these() -> None:
    vendors = {port.partition(".")[0] for port in PORTS if port.partition(".")[0] in VENDORS}
    assert vendors == ACTING.keys()


@pytest.mark.parametrize("vendor", ACTING)
async def test_the_connector_acts_at_its_own_address(vendor: str) -> None:
    fields, secrets = ACTING[vendor]
    text = json.dumps({"connectors": [{"name": "it", "vendor": vendor, "feed": "edr"} | fields]})
    (definition,) = parse_connectors(text)
    made = Workshop(FakeClock(datetime(2026, 3, 2, 9, tzinfo=UTC)), EgressSettings()).make(definition, secrets)
    try:
        acting = getattr(made.connector, "acting", None)
        assert isinstance(acting, VendorApi)
        assert acting._base.startswith(made.address)
    finally:
        await made.close()
