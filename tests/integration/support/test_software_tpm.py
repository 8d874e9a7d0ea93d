"""The software TPM that other tests stand on."""

from __future__ import annotations

from cryptography import x509

from tests.support.software_tpm import SoftwareTpm


def test_the_tpm_answers_and_holds_the_certificate_of_its_endorsement_key(software_tpm: SoftwareTpm) -> None:
    from tpm2_pytss import ESAPI
    from tpm2_pytss.utils import NVReadEK, create_ek_template

    with ESAPI(software_tpm.tcti) as tpm:
        held = [create_ek_template(name, NVReadEK(tpm))[0] for name in ("EK-RSA2048", "EK-HIGH-ECC384")]
    assert held == [software_tpm.ek_certificate, software_tpm.ecc_ek_certificate]
    root = x509.load_der_x509_certificate(software_tpm.ek_root)
    for certificate in held:
        assert certificate is not None
        x509.load_der_x509_certificate(certificate).verify_directly_issued_by(root)
