"""``troth ceremony shares``: a secret of one's own, such as an HSM's PIN, split among custodians."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from troth.cli.ceremony_desk import People, ask_unseen, put
from troth.cli.show import plain

app = App(
    name="shares", help="Split a secret among custodians, put it together, check one share.", help_format="plaintext"
)

SetFile = Annotated[Path, Parameter(help="shares.json of the secret.")]


@app.command
def split(
    custodians: Annotated[Path, Parameter(help="YAML with groups of custodians, as in a plan.")],
    *,
    out: Annotated[Path, Parameter(help="Directory to make: shares.json and an age file for each custodian.")],
    purpose: Annotated[str, Parameter(help="What the secret opens, in words.")],
    secret: Annotated[Path | None, Parameter(help="File with the secret; without it, it is asked for.")] = None,
) -> int:
    """Split a secret of at most 64 octets."""
    from troth.pki.ceremony.share_files import check_recipients, encrypted, parse_custodians, read_secret
    from troth.pki.ceremony.shares import split as split_secret
    from troth.pki.ceremony.shares import wipe
    from troth.pki.signer.process import harden

    harden()
    people = parse_custodians(custodians)
    check_recipients({one.name: one.recipient for group in people.groups for one in group.members})
    value = bytearray(ask_unseen("The secret: ").encode()) if secret is None else read_secret(secret)
    try:
        listed, shares = split_secret(value, people, purpose)
    finally:
        wipe(value)
    for name, content in encrypted(shares, purpose).items():
        put(out / name, content)
        print(plain(name))
    put(out / "shares.json", listed.encode())
    return 0


@app.command
def combine(
    listed: SetFile,
    *,
    out: Annotated[Path, Parameter(help="File to write the secret to (mode 0600); it must not exist.")],
    share: Annotated[tuple[Path, ...], Parameter(help="A share: age file, or file with words.")] = (),
    identity: Annotated[tuple[Path, ...], Parameter(help="Age identity for shares.")] = (),
) -> int:
    """Put a secret together from enough shares, from files or typed at the terminal."""
    from troth.pki.ceremony.share_files import read_set
    from troth.pki.ceremony.shares import wipe
    from troth.pki.signer.process import harden

    harden()
    secret = People(share, identity, yes=False).secret(read_set(listed))
    try:
        put(out, bytes(secret), mode=0o600)
    finally:
        wipe(secret)
    print(f"{out} written, for you alone.")
    return 0


@app.command
def verify(
    listed: SetFile,
    *,
    custodian: Annotated[str, Parameter(help="Whose share it is.")],
    share: Annotated[
        Path | None, Parameter(help="His age file or file with words; without it, they are asked for.")
    ] = None,
    identity: Annotated[tuple[Path, ...], Parameter(help="Age identity for the share.")] = (),
) -> int:
    """Check one custodian's share by itself; it tells nothing about the secret."""
    from troth.pki.ceremony.share_files import read_set, words_of
    from troth.pki.ceremony.shares import check_share
    from troth.pki.signer.process import harden

    harden()
    words = ask_unseen(f"{custodian}, your words: ") if share is None else words_of(share, identity)
    check_share(read_set(listed), custodian, words)
    print(f"✓ This is the share of {plain(custodian)}.")
    return 0
