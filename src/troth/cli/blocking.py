"""``troth key block``, ``blocked`` and ``report-compromise``: keys that are in other hands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, when
from troth.kit.errors import TrothError

Note = Annotated[str, Parameter(help="Why; it goes to the ledger.", show_default=False)]


def blocked(
    key: Annotated[str, Parameter(help="SHA-256 of one public key, to see where it is used.")] = "",
    *,
    limit: int = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List blocked keys, or show one key, blocked or not."""
    api = Api.at(data)
    if key:
        return _told(api.get(f"/blocked-keys/{segment(key)}"), output)
    found = api.get("/blocked-keys", limit=limit)
    rows = [(one["spki_sha256"], one["reason"], one["source"], one["actor"], when(one["at"])) for one in found]
    return listed(found, output, ("key", "why", "known by", "reported by", "since"), rows, empty="No key is blocked.")


def block(
    key: Annotated[str, Parameter(help="File with a certificate, request or public key; or SHA-256 of a public key.")],
    *,
    reason: Literal["compromised", "weak"] = "compromised",
    note: Note = "",
    confirmed: Annotated[
        int | None, Parameter(help="How many live certificates were shown; needed above 50.", show_default=False)
    ] = None,
    yes: Annotated[bool, Parameter(help="Do it. Without this, only what it would hit is shown.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Block a key for ever and revoke every certificate that has it. Shows what it would hit unless --yes is given."""
    from troth.pki.blocked import read_key

    given = read_key(_read(Path(key)) if Path(key).is_file() else key.encode())
    api = Api.at(data)
    if not yes:
        found = api.get(f"/blocked-keys/{given.sha256.hex()}")
        if output == "json":
            return as_json({"would_block": found})
        _told(found, output)
        print(f"\nNothing was done. Add --yes to do it{_confirming(found['live'])}.")
        return 0
    text = given.sha256.hex() if given.spki is None else _pem(given.spki)
    command: dict[str, Any] = {"key": text, "reason": reason, "note": note, "confirmed": confirmed}
    return _told(api.post("/blocked-keys", command), output)


def report_compromise(
    file: Annotated[Path, Parameter(help="The private key (PEM, not encrypted), or a proof signed with it.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Prove that a key is in other hands: it is blocked, and what has it is revoked. The key itself is never sent."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    from troth.client.csr import certificate_request
    from troth.pki.blocked import PROOF_NAME, read_proof

    found = _read(file)
    if b"PRIVATE KEY-----" in found:
        try:
            secret: Any = load_pem_private_key(found, None)
        except (ValueError, TypeError) as error:
            raise TrothError(UNREADABLE, f"{file}: not an unencrypted private key in PEM") from error
        found = certificate_request(secret, common_name=PROOF_NAME)
    read_proof(found)
    pem = found if found.lstrip().startswith(b"-----") else x509.load_der_x509_csr(found).public_bytes(Encoding.PEM)
    return _told(Api.at(data).post("/blocked-keys", {"proof": pem.decode()}), output)


def _confirming(live: int) -> str:
    from troth.pki.blocked import CONFIRM_ABOVE

    return f" --confirmed {live}" if live > CONFIRM_ABOVE else ""


def _pem(spki: bytes) -> str:
    import base64

    return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(spki).decode()}-----END PUBLIC KEY-----\n"


def _told(one: dict[str, Any], output: Output) -> int:
    if output == "json":
        return as_json(one)
    why = one["blocked"]
    facts(
        [
            ("Key", one["spki_sha256"]),
            ("Blocked", f"{why['reason']}, known by {why['source']}, since {when(why['at'])}" if why else "no"),
            ("Note", why["note"] if why else None),
            ("Certificates", f"{one['live']} live, {one['ever']} ever"),
            *(("", f"{each['serial']}  {each['status']}  {each['title']}") for each in one["certificates"]),
        ]
    )
    return 0


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(1 << 20)
    except OSError as error:
        raise TrothError(UNREADABLE, f"{file}: {error.strerror}") from error
