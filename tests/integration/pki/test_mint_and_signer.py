"""The mint on a real signer process, judged by openssl: each limit that the signer enforces, the mint respects."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.pki.test_signer_process import SignerProcess
from tests.support.mint import ca_certificate, new_spki
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.pki import algorithms, ocsp
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.clockguard import ClockGuard
from troth.pki.crl import CrlPublisher
from troth.pki.crl_import import import_crl
from troth.pki.gate import Gate
from troth.pki.keys.model import KeyPurpose
from troth.pki.model import IssuanceRequest
from troth.pki.profile import shipped_profiles
from troth.pki.responder import Responders
from troth.pki.revocation import OfCertificate, hold, release
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


def _openssl(*arguments: str | Path, cwd: Path) -> tuple[int, str]:
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _pem_of(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(PEM).decode()


@pytest.mark.client
async def test_openssl_agrees_with_each_state_of_a_certificate(database_url: str, tmp_path: Path) -> None:
    clock = SystemClock()
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    process = SignerProcess(data)
    await process.start()
    database = await Database.open(database_url, clock=clock)
    try:
        async with (
            process.client("setup") as setup,
            process.client("worker") as worker,
            process.client("status") as status,
        ):
            root_key = ec.generate_private_key(ec.SECP256R1())
            root = ca_certificate(root_key, "Walk Root", clock.now())
            key = await setup.generate_key(KeyPurpose.ISSUING)
            issuer = _issuing(root, root_key, key.public_key, clock.now())
            await setup.attach_authority(key.key_id, issuer.public_bytes(DER))
            unit = Unit()
            for slug, certificate, key_id in (("root", root, None), ("issuing", issuer, key.key_id)):
                add_authority(
                    unit,
                    Authority(
                        slug,
                        slug,
                        "issuing" if key_id else "root",
                        "root" if key_id else None,
                        certificate.public_bytes(DER),
                        key_id,
                        "active",
                        True,
                        f"http://pki.test/{slug}.cer",
                        f"http://pki.test/{slug}/ocsp",
                        f"http://pki.test/{slug}.crl",
                        clock.now(),
                    ),
                    actor="test:walk",
                )
            await database.commit(unit)
            catalogue = Catalogue(database, clock)
            for document in shipped_profiles().values():
                await catalogue.apply_profile(document, actor="test:walk")
            interlock = ClockGuard(database, clock)
            gate = Gate(database, worker, catalogue, interlock, clock, instance=new_id())
            for profile in ("client-device", "quarantine", "troth-service"):
                await gate.issue(_request(profile))
            issued = await gate.issue(_request("tls-server"))
            responder = await Responders(database, gate, worker, catalogue, clock).ensure("issuing")
            private = serialization.load_der_private_key(await status.release_key(responder.key_id), None)
            assert isinstance(private, ec.EllipticCurvePrivateKey)
            writer = ocsp.ResponseWriter(responder.certificate, lambda message: algorithms.sign_with(private, message))
            publisher = CrlPublisher(database, worker, catalogue, interlock, clock)
            await import_crl(database, catalogue.authority("root"), _root_crl(root, root_key), clock)
            walk = _Walk(tmp_path, root, issuer, issued.der, database, writer)
            await walk.expect(publisher, "good", revoked=False)
            target = OfCertificate(issued.id)
            await database.commit(hold(Unit(), target, cause="edr", actor="feed:edr", at=clock.now()))
            await walk.expect(publisher, "revoked", revoked=True)
            await database.commit(release(Unit(), target, cause="edr", actor="feed:edr", at=clock.now()))
            await walk.expect(publisher, "good", revoked=False)
    finally:
        await database.close()
        await process.kill()


def _request(profile: str) -> IssuanceRequest:
    return IssuanceRequest(profile, "issuing", profile, new_spki(), (("dns", "a.example"),), "test:walk")


def _issuing(
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, spki: bytes, now: datetime
) -> x509.Certificate:
    from bench.issuers import authority_under

    return authority_under(root, root_key, spki, now)


def _root_crl(root: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    builder = x509.CertificateRevocationListBuilder().issuer_name(root.subject).last_update(now)
    builder = builder.next_update(now + timedelta(days=365)).add_extension(x509.CRLNumber(1), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(DER)


class _Walk:
    """Asks openssl what it thinks."""

    def __init__(
        self,
        directory: Path,
        root: x509.Certificate,
        issuer: x509.Certificate,
        leaf: bytes,
        database: Database,
        writer: ocsp.ResponseWriter,
    ) -> None:
        self._directory = directory
        self._issuer = issuer
        self._database = database
        self._writer = writer
        (directory / "root.pem").write_bytes(root.public_bytes(PEM))
        (directory / "issuer.pem").write_bytes(issuer.public_bytes(PEM))
        (directory / "leaf.pem").write_text(_pem_of(leaf))

    async def expect(self, publisher: CrlPublisher, told: str, *, revoked: bool) -> None:
        crl = await publisher.publish("issuing")
        (self._directory / "crl.pem").write_bytes(x509.load_der_x509_crl(crl.der).public_bytes(PEM))
        code, said = _openssl(
            "verify",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "issuer.pem",
            "-crl_check",
            "-CRLfile",
            "crl.pem",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "leaf.pem",
            cwd=self._directory,
        )
        assert ("certificate revoked" in said, code == 0) == (revoked, not revoked), said
        arguments = ("-issuer", "issuer.pem", "-cert", "leaf.pem")
        assert _openssl("ocsp", *arguments, "-reqout", "request.der", cwd=self._directory)[0] == 0
        request = ocsp.parse_request((self._directory / "request.der").read_bytes())
        statuses = await CertificateStore(self._database).serial_status(
            "issuing", [cert_id.serial for cert_id in request.cert_ids]
        )
        now = datetime.now(UTC)
        answer = ocsp.answer(
            self._writer,
            request,
            ocsp.IssuerIds(self._issuer),
            statuses,
            now=now,
            next_update=now + timedelta(seconds=10),
        )
        (self._directory / "response.der").write_bytes(answer)
        code, said = _openssl(
            "ocsp",
            *arguments,
            "-no_nonce",
            "-respin",
            "response.der",
            "-CAfile",
            "root.pem",
            "-verify_other",
            "issuer.pem",
            cwd=self._directory,
        )
        assert "Response verify OK" in said, said
        assert f"leaf.pem: {told}" in said, said
        if revoked:
            assert "certificateHold" in said, said
