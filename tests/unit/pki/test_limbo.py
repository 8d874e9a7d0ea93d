"""Path validation against x509-limbo's cases of RFC 5280, path lengths and known mistakes (Apache-2.0)."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from troth.pki.errors import PathRefused
from troth.pki.path import validate_path

_FILE = Path(__file__).parents[2] / "vectors" / "limbo" / "cases.json.gz"
CASES: Mapping[str, dict[str, Any]] = {one["id"]: one for one in json.loads(gzip.decompress(_FILE.read_bytes()))}
_PURPOSES = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH.dotted_string,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string,
}
_PROFILE = "a rule for who makes certificates (RFC 5280, 4), not one of path validation (6.1); our own are linted"
_ANCHOR = "of an anchor its name and key are trusted (RFC 5280, 6.1.1), but for its own constraints"
_NAME = "whose name is asked for is the caller's business, as is its form"
#: Case → why it ends otherwise here.
DIFFERENT = {
    "pathlen::max-chain-depth-0-exhausted": "the caller's own limit is not asked for here; it is 10",
    "pathlen::max-chain-depth-1-exhausted": "the caller's own limit is not asked for here; it is 10",
    "rfc5280::aki::critical-aki": _PROFILE,
    "rfc5280::aki::leaf-missing-aki": _PROFILE,
    "rfc5280::aki::intermediate-missing-aki": _PROFILE,
    "rfc5280::aki::cross-signed-root-missing-aki": _PROFILE,
    "rfc5280::nc::permitted-dns-match-noncritical": _PROFILE,
    "rfc5280::nc::not-allowed-in-ee-noncritical": _PROFILE,
    "rfc5280::nc::not-allowed-in-ee-critical": _PROFILE,
    "rfc5280::pc::ica-noncritical-pc": "policies are not processed; critical ones are refused as not understood",
    "rfc5280::san::noncritical-with-empty-subject": _PROFILE,
    "rfc5280::san::underscore-dns": _NAME,
    "rfc5280::san::ip-in-dns": _NAME,
    "rfc5280::serial::too-long": _PROFILE,
    "rfc5280::serial::zero": _PROFILE,
    "rfc5280::ski::critical-ski": _PROFILE,
    "rfc5280::ski::root-missing-ski": _PROFILE,
    "rfc5280::ski::intermediate-missing-ski": _PROFILE,
    "rfc5280::validity::expired-root": _ANCHOR,
    "rfc5280::unknown-critical-extension-root": _ANCHOR,
    "rfc5280::root-missing-basic-constraints": _ANCHOR,
    "rfc5280::root-non-critical-basic-constraints": _ANCHOR,
    "rfc5280::root-inconsistent-ca-extensions": _ANCHOR,
    "rfc5280::leaf-ku-keycertsign": _PROFILE,
    "rfc5280::ca-as-leaf-wrong-san": _NAME,
}


def holds(case: Mapping[str, Any]) -> bool:
    """Whether some order of the intermediates makes a good chain. Nothing but PathRefused may be raised."""
    try:
        leaf = x509.load_pem_x509_certificate(case["peer_certificate"].encode())
        between = [x509.load_pem_x509_certificate(one.encode()) for one in case["untrusted_intermediates"]]
        anchors = [x509.load_pem_x509_certificate(one.encode()) for one in case["trusted_certs"]]
    except ValueError:
        return False
    purpose = next((_PURPOSES[one] for one in case["extended_key_usage"] if one in _PURPOSES), None)
    at = datetime.fromisoformat(case["validation_time"] or "2026-06-01T00:00:00Z")
    orders = [order for n in range(len(between) + 1) for order in itertools.permutations(between, n)]
    for anchor, order in itertools.product(anchors, orders[:400]):
        try:
            validate_path([leaf, *order], anchor, at=at, purpose=purpose)
        except PathRefused:
            continue
        return True
    return False


def test_what_differs_is_there() -> None:
    assert CASES.keys() >= DIFFERENT.keys()
    assert len(CASES) > 110


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_limbo(name: str) -> None:
    wanted = CASES[name]["expected_result"] == "SUCCESS"
    assert holds(CASES[name]) is (wanted is not (name in DIFFERENT))
