"""The agent's own TPM commands, judged by another's implementation: tpm2-tss through tpm2-pytss."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.support.software_tpm import SoftwareTpm, tpm_of
from troth.agent.keys.tpm.device import public_area
from troth.agent.keys.tpm.templates import ATTESTATION, ENDORSEMENTS, KEYS, STORAGE

pytss = pytest.importorskip("tpm2_pytss", reason="`scripts/setup --dev --peers` installs what judges here")


@pytest.mark.parametrize("name", list(ENDORSEMENTS))
def test_templates_of_endorsement_keys_are_the_profiles(name: str) -> None:
    from tpm2_pytss.utils import NoSuchIndex, create_ek_template

    ours, nonce = ENDORSEMENTS[name], bytes(range(1, 21))
    for held in (
        {ours.certificate: b"certificate"},
        {ours.certificate: b"certificate", ours.nonce: nonce} if ours.nonce else {ours.certificate: b"certificate"},
        {ours.certificate: b"certificate", ours.template: ours.public},
    ):

        def read(index: int, held: dict[int, bytes] = held) -> bytes:
            if index not in held:
                raise NoSuchIndex(index)
            return held[index]

        certificate, theirs = create_ek_template(name, read)
        assert certificate == b"certificate"
        mine = ours.with_nonce(ours.public, held[ours.nonce]) if ours.nonce in held else ours.public
        assert bytes(theirs.publicArea.marshal()) == mine


def test_templates_of_our_keys_are_what_another_writes() -> None:
    from tpm2_pytss import TPMA_OBJECT, TPMT_PUBLIC

    bound = TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT
    bound |= TPMA_OBJECT.SENSITIVEDATAORIGIN
    storage = (bound & ~TPMA_OBJECT.SIGN_ENCRYPT) | TPMA_OBJECT.NODA | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.DECRYPT
    for ours, algorithm, attributes in (
        (STORAGE, "ecc256:aes128cfb", storage),
        (ATTESTATION, "ecc256:ecdsa-sha256:null", bound | TPMA_OBJECT.RESTRICTED),
        (KEYS["p256"], "ecc256:null:null", bound | TPMA_OBJECT.NODA),
        (KEYS["p384"], "ecc384:null:null", bound | TPMA_OBJECT.NODA),
        (KEYS["rsa3072"], "rsa3072:null:null", bound | TPMA_OBJECT.NODA),
    ):
        assert bytes(TPMT_PUBLIC.parse(algorithm, objectAttributes=attributes).marshal()) == ours, algorithm


def test_a_key_of_ours_is_used_by_another_and_theirs_by_us(software_tpm: SoftwareTpm) -> None:
    from tpm2_pytss import ESAPI, TPM2_ALG, TPMS_SCHEME_HASH, TPMT_SIG_SCHEME, TPMU_SIG_SCHEME
    from tpm2_pytss.tsskey import TSSPrivKey

    tpm, digest = tpm_of(software_tpm), bytes(range(32))
    ours = tpm.make_key("p256")
    with ESAPI(software_tpm.tcti) as theirs:
        with TSSPrivKey.from_pem(ours).load(theirs) as key:
            details = TPMU_SIG_SCHEME(any=TPMS_SCHEME_HASH(hashAlg=TPM2_ALG.SHA256))
            scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.ECDSA, details=details)
            found = theirs.sign(key, digest, scheme)
            signed = bytes(found.signature.ecdsa.signatureR), bytes(found.signature.ecdsa.signatureS)
        made = bytes(TSSPrivKey.create_rsa(theirs).to_pem())
    public = load_pem_public_key(public_area(ours)[1])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = utils.encode_dss_signature(*(int.from_bytes(one) for one in signed))
    public.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    assert len(tpm.sign(made, digest, "rsassa", "sha256")[0]) == 256
    assert public_area(made)[1] == bytes(TSSPrivKey.from_pem(made).public.to_pem())
