"""Whoever reads a certificate of a stranger's refuses in words of his own what the library cannot read."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from scripts import golden_lint
from troth.client.jose import b64url_encode
from troth.enroll.acme.revoke import read_certificate
from troth.enroll.attest.anchors import read_roots
from troth.enroll.est.callers import read_chain
from troth.enroll.tpm.endorsement import make_of, read_certificates
from troth.enroll.tpm.registry import endorsement_of
from troth.inventory.model import read_certificate as found_certificate
from troth.kit.errors import TrothError
from troth.pki import der
from troth.radius.admission.chains import _parsed, read_shown
from troth.radius.radsec.names import read
from troth.radius.supplicants.model import roots_in

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def _pem(certificate: bytes) -> str:
    return golden_lint.pem("CERTIFICATE", certificate)


READERS: dict[str, Callable[[bytes], object]] = {
    "revocation": lambda one: read_certificate(b64url_encode(one)),
    "bootstrap": lambda one: read_chain([one]),
    "endorsement": lambda one: make_of(read_certificates([one])[0]),
    "registration": lambda one: endorsement_of(_pem(one)),
    "attestation root": lambda one: read_roots(_pem(one).encode(), origin="test", at=NOW),
    "supplicant root": lambda one: roots_in(_pem(one).encode()),
    "survey": lambda one: found_certificate(base64.b64encode(one).decode()),
    "EAP-TLS": lambda one: read_shown(_parsed(one)),
    "RadSec": lambda one: read((one,)),
}


def strange() -> dict[str, bytes]:
    """Certificates that are bad in one way each, and of versions that there are not, or not any more."""
    made = {name: make() for name, make in golden_lint.certificates()}
    for number in (1, 3, 4, 300, -1):
        made[f"version {number}"] = golden_lint.certificate(version=der.explicit(0, der.integer(number)))
    return made


@pytest.mark.filterwarnings("ignore")  # the library warns of serial numbers and countries that are none
@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_certificate_that_cannot_be_read_is_refused_by_name(reader: str) -> None:
    taken = 0
    for name, certificate in strange().items():
        try:
            READERS[reader](certificate)
            taken += 1
        except TrothError:
            pass
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
    # None of them is self-signed, or says of which TPM it is.
    assert taken or reader in ("attestation root", "endorsement", "registration")
