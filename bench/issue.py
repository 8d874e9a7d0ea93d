"""One leaf certificate beside one raw signature, and issuances per second through the gate.

    python -m bench.issue [--seconds 4] [--concurrency 64]

`leaf_vs_raw_signature` is CPU: filling a compiled template for one request (serial number, validity, names, key, key
identifier), signing it with a P-256 key in this process and putting the certificate together, as a multiple of the
signature alone over as many octets, in interleaved rounds of one run; the median. Linting, storing and the way to the
signer are not in it: they are in `gate_per_s`, which is the whole of the gate (see `python -m bench.gate`). The peer in
the same run is cryptography's CertificateBuilder making the same certificate. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.issuers import authority_under, root_certificate
from tests.support.mint import new_spki
from troth.kit.clock import SystemClock, to_seconds
from troth.pki.algorithms import sign_with, spki_of
from troth.pki.profile import parse_profile, shipped_profiles
from troth.pki.serial import new_serial
from troth.pki.template import StatusUrls, compile_template

_ROUNDS, _OF_EACH = 15, 400


def _us(work: Callable[[], object]) -> float:
    begun = time.process_time()
    for _ in range(_OF_EACH):
        work()
    return (time.process_time() - begun) / _OF_EACH * 1e6


def leaf() -> dict[str, float]:
    """CPU µs of a raw signature, of a leaf from the template and of one from the builder, and their ratios."""
    clock = SystemClock()
    now = clock.now()
    root, root_key = root_certificate(now)
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority_under(root, root_key, spki_of(key.public_key()), now)
    base = "http://pki.example"
    urls = StatusUrls(f"{base}/ca/issuing.cer", f"{base}/ocsp/issuing", f"{base}/crl/issuing.crl")
    profile = parse_profile(shipped_profiles()["tls-server"])
    template = compile_template(profile, version=1, authority="issuing", issuer=issuer, urls=urls)
    spki, names = new_spki(), (("dns", "host.example"), ("dns", "www.host.example"))
    begin, end = to_seconds(now), to_seconds(now + timedelta(days=30))

    def from_template() -> bytes:
        tbs = template.tbs(
            serial=new_serial(now), spki=spki, names=names, common_name=None, not_before=begin, not_after=end
        )
        return template.certificate(tbs, sign_with(key, tbs))

    made = x509.load_der_x509_certificate(from_template())
    made.verify_directly_issued_by(issuer)
    subject_key = made.public_key()
    message = made.tbs_certificate_bytes
    scheme = ec.ECDSA(hashes.SHA256())

    def from_builder() -> bytes:
        builder = x509.CertificateBuilder(
            issuer.subject, made.subject, subject_key, int.from_bytes(new_serial(now), "big"), begin, end
        )
        for extension in made.extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        return builder.sign(key, hashes.SHA256()).tbs_certificate_bytes

    rounds = [(_us(lambda: key.sign(message, scheme)), _us(from_template), _us(from_builder)) for _ in range(_ROUNDS)]
    raw, ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"  {'raw P-256 signature':<44} {raw:>8.1f} us")
    print(f"  {'leaf from the compiled template':<44} {ours:>8.1f} us  {ours / raw:>5.2f} x")
    print(f"  {'leaf from CertificateBuilder':<44} {theirs:>8.1f} us  {theirs / raw:>5.2f} x")
    return {
        "leaf_vs_raw_signature": round(statistics.median(one[1] / one[0] for one in rounds), 2),
        "builder_vs_raw_signature": round(statistics.median(one[2] / one[0] for one in rounds), 2),
        "leaf_us": round(ours, 1),
        "raw_signature_us": round(raw, 1),
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="through the gate")
    parser.add_argument("--concurrency", default="64", help="issuances at once through the gate")
    chosen = parser.parse_args()
    figures: dict[str, float] = leaf()
    gate = subprocess.run(
        [sys.executable, "-m", "bench.gate", "--seconds", str(chosen.seconds), "--concurrency", chosen.concurrency],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(gate.stdout.rstrip().rpartition("\n")[0])
    figures["gate_per_s"] = json.loads(gate.stdout.splitlines()[-1])["gate_per_s"]
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
