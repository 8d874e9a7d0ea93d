"""The birth of a root on a machine that is online, for trials and small installations.

A root key belongs on a machine without a network, and a ceremony makes it there. Where nobody wants one, this is the
next best thing: a child process of its own makes the key, signs its certificate, those of the issuing authorities and
a CRL for a year, seals the key and exits. The key exists in no other process, and unsealed in none afterwards. What
it made is marked ``trial, online-born`` wherever it is shown.

``python -m troth.pki.birth`` reads a :class:`BirthPlan` as JSON on standard input and writes a :class:`Birth` or a
:class:`BirthFailure` as JSON on standard output; :func:`give_birth` runs it. The same plan twice gives one root: a
parent that died before it could note the result asks again and is given what lies in ``<data>/birth.json``.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from troth.kit.clock import Clock, SystemClock
from troth.kit.errors import TrothError, registered_reasons
from troth.kit.log import configure
from troth.pki.algorithms import load_public
from troth.pki.birth_certificates import issuing_certificate, root_certificate, root_crl
from troth.pki.birth_custody import seal_root, settle
from troth.pki.issuer_classes import EVERY, IssuerClasses
from troth.pki.keys.algorithm import KeyAlgorithm, generate_private_key
from troth.pki.keys.files import private_directory, write_private
from troth.pki.signer.errors import BIRTH_DONE, BIRTH_FAILED, BirthFailed
from troth.pki.signer.process import harden

MARK = "trial, online-born"
_CHILD_SECONDS = 60.0


class Unborn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An issuing authority to be certified.

    Attributes:
        slug: its name in URLs and settings.
        name: ends its common name: ``<installation> Issuing CA I1``.
        issuer_classes: for whom it will issue.
        spki: its public key, SubjectPublicKeyInfo in DER; the private key is the signer's.
    """

    slug: str
    name: str
    issuer_classes: IssuerClasses
    spki: bytes


class BirthPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is decided about a root before it is made.

    Attributes:
        data: the data directory.
        installation: begins the authorities' common names: ``<installation> Root CA R1``.
        organisation: stands as O in both subjects.
        issuing: the authorities below it.
        root_certificate_url: where the root's certificate (DER) will be fetched from, over plain HTTP (AIA).
        root_crl_url: where its CRL will be fetched from (CDP).
    """

    data: str
    installation: str
    organisation: str
    issuing: tuple[Unborn, ...]
    root_certificate_url: str
    root_crl_url: str


class Born(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An issuing authority with its certificate (DER); otherwise as in the plan."""

    slug: str
    issuer_classes: IssuerClasses
    spki: bytes
    certificate: bytes


class Birth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="birth-2"):
    """What was born; nothing of it is secret.

    Attributes:
        root_certificate: DER.
        issuing: in the order of the plan.
        root_crl: DER, number 1, good for a year.
        mark: ``trial, online-born``.
        sealed_key: path of the encrypted root key.
        passphrase: path of the file with its passphrase.
        findings: lint findings below the level that refuses.
    """

    root_certificate: bytes
    issuing: tuple[Born, ...]
    root_crl: bytes
    mark: str
    sealed_key: str
    passphrase: str
    findings: tuple[str, ...]


class _BirthOfOne(msgspec.Struct, frozen=True, tag="birth"):
    """The record of a birth before there were issuer classes: one authority, which serves everybody."""

    root_certificate: bytes
    issuing_certificate: bytes
    root_crl: bytes
    issuing_spki: bytes
    mark: str
    sealed_key: str
    passphrase: str
    findings: tuple[str, ...]

    def upgraded(self) -> Birth:
        only = Born("issuing", EVERY, self.issuing_spki, self.issuing_certificate)
        return Birth(
            self.root_certificate, (only,), self.root_crl, self.mark, self.sealed_key, self.passphrase, self.findings
        )


class BirthFailure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="failure"):
    """Why there is none."""

    code: str
    detail: str


def recorded(data: Path) -> Birth | None:
    """What was born in the data directory before, or None. Raises BirthFailed for a record that cannot be read."""
    record = data / "birth.json"
    if not record.exists():
        return None
    try:
        found = msgspec.json.decode(record.read_bytes(), type=Birth | _BirthOfOne)
    except (OSError, msgspec.MsgspecError) as error:
        raise BirthFailed(BIRTH_FAILED, f"{record}: {error}") from error
    return found.upgraded() if isinstance(found, _BirthOfOne) else found


def born_root(plan: BirthPlan, clock: Clock) -> Birth:
    """Make the root of ``plan``, or give the one back that it made before. Raises BirthFailed.

    Runs in a child process of its own; in any other the root key would stay in memory.
    """
    data = Path(plan.data)
    present = recorded(data)
    if present is not None:
        if {one.spki for one in present.issuing} != {one.spki for one in plan.issuing}:
            raise BirthFailed(BIRTH_DONE)
        settle(data)
        return present
    _check(plan)
    # 1. The key, and what it signs: each is linted under a throw-away key first and compared byte for byte after.
    root_key = generate_private_key(KeyAlgorithm.P384)
    now = clock.now().replace(microsecond=0) - timedelta(hours=1)
    findings: list[str] = []
    root = root_certificate(root_key, plan.installation, plan.organisation, now, findings)
    urls = (plan.root_certificate_url, plan.root_crl_url)
    issuing = []
    for one in plan.issuing:
        name, key = f"{plan.installation} {one.name}", load_public(one.spki)
        certificate = issuing_certificate(root_key, root, key, name, now, urls, findings)
        issuing.append(Born(one.slug, one.issuer_classes, one.spki, certificate.public_bytes(Encoding.DER)))
    crl = root_crl(root_key, root, now)
    # 2. Its custody, complete and flushed under a provisional name.
    custody = seal_root(data, root_key, root)
    born = Birth(
        root_certificate=root.public_bytes(Encoding.DER),
        issuing=tuple(issuing),
        root_crl=crl.public_bytes(Encoding.DER),
        mark=MARK,
        sealed_key=str(custody.sealed_key),
        passphrase=str(custody.passphrase),
        findings=tuple(findings),
    )
    # 3. The record makes it true; after a crash from here on the next call only settles what is there.
    write_private(data / "birth.json", msgspec.json.encode(born))
    settle(data)
    return born


async def give_birth(plan: BirthPlan) -> Birth:
    """Run :func:`born_root` in a child process that exits. Raises BirthFailed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "troth.pki.birth",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_CHILD_SECONDS):
            output, _ = await child.communicate(msgspec.json.encode(plan))
    except TimeoutError:
        child.kill()
        await child.wait()
        raise BirthFailed(BIRTH_FAILED, f"it took longer than {_CHILD_SECONDS} s") from None
    try:
        answer = msgspec.json.decode(output, type=Birth | BirthFailure)
    except msgspec.MsgspecError as error:
        raise BirthFailed(BIRTH_FAILED, f"the child process ended with status {child.returncode}") from error
    if isinstance(answer, BirthFailure):
        raise BirthFailed(registered_reasons().get(answer.code, BIRTH_FAILED), answer.detail)
    return answer


def _check(plan: BirthPlan) -> None:
    # ub-common-name and ub-organization-name are 64 (RFC 5280, appendix A); an authority's name takes up to 23.
    if not 1 <= len(plan.installation) <= 40 or not 1 <= len(plan.organisation) <= 64:
        raise BirthFailed(BIRTH_FAILED, "the installation's name has 1 to 40 characters, the organisation's 1 to 64")
    if not plan.issuing or any(not 1 <= len(one.name) <= 23 for one in plan.issuing):
        raise BirthFailed(BIRTH_FAILED, "a root has an issuing authority, whose name has 1 to 23 characters")
    for kind in ("slug", "name", "spki"):
        if len({getattr(one, kind) for one in plan.issuing}) < len(plan.issuing):
            raise BirthFailed(BIRTH_FAILED, f"two authorities have the same {kind}")
    for url in (plan.root_certificate_url, plan.root_crl_url):
        # Over TLS a client would need the very chain that it wants to check (RFC 5280, 8).
        if not url.startswith("http://") or not url.isascii() or any(char.isspace() for char in url):
            raise BirthFailed(BIRTH_FAILED, "AIA and CDP are plain http URLs in ASCII")
    private_directory(Path(plan.data))


def main() -> int:
    """The child process."""
    harden()
    configure(role="birth")  # to standard error: standard output carries the result alone
    answer: Birth | BirthFailure
    try:
        plan = msgspec.json.decode(sys.stdin.buffer.read(65_536), type=BirthPlan)
        answer = born_root(plan, SystemClock())
    except TrothError as error:
        answer = BirthFailure(error.code, error.detail)
    except (OSError, ValueError) as error:
        answer = BirthFailure(BIRTH_FAILED.code, str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()
    return 1 if isinstance(answer, BirthFailure) else 0


if __name__ == "__main__":
    sys.exit(main())
