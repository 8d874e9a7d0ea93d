"""``troth unseal``: custodians open the running signer's token with the shares of its PIN.

The shares are put together here, in a process that lives for a minute, not in the signer: that one takes a secret and
nothing else, so neither words nor the code that reads them come into the process which holds every key, and a wrong
share never reaches it. This process runs as the owner of the data directory, writes no core dump, cannot be traced by
its own uid, and hands the PIN over a socket of that directory.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from troth.assembly.context import signer_socket
from troth.assembly.layout import Layout, default_data_dir
from troth.cli.api import Api, segment
from troth.cli.ceremony_desk import People
from troth.cli.errors import UNREACHABLE
from troth.cli.options import Data
from troth.cli.show import plain
from troth.kit import config as configuration
from troth.kit.errors import TrothError
from troth.pki.keys.errors import CUSTODIAN_UNKNOWN, KeyRefused
from troth.pki.keys.keyring import CustodianState
from troth.pki.signer.client import SignerClient


def unseal(
    custodian: Annotated[str, Parameter(help="KIND:NAME, as `troth key list` shows it.")],
    *,
    shares: Annotated[Path, Parameter(help="shares.json of its PIN.")],
    share: Annotated[tuple[Path, ...], Parameter(help="A share: age file, or file with words.")] = (),
    identity: Annotated[tuple[Path, ...], Parameter(help="Age identity for shares.")] = (),
    data: Data = None,
) -> int:
    """Open a sealed custodian with its shares, from files or typed one custodian after the other.

    For the owner of the data directory alone. The PIN is tried once; a wrong one is never tried again by itself.
    """
    from troth.pki.ceremony.share_files import read_set
    from troth.pki.ceremony.shares import wipe
    from troth.pki.signer.process import harden

    harden()
    layout = Layout.at(data or default_data_dir())
    socket = signer_socket(configuration.load(layout.root), layout)
    # Asked before anybody types: whoever comes in vain at night should not have to say his words for it.
    if asyncio.run(_state(socket, layout.secrets, custodian)).state != "sealed":
        print(f"{plain(custodian)} is not sealed.")
        return 0
    secret = People(share, identity, yes=False).secret(read_set(shares))
    try:
        asyncio.run(_open(socket, layout.secrets, custodian, bytes(secret)))
    finally:
        wipe(secret)
    after = asyncio.run(_state(socket, layout.secrets, custodian))
    trouble = f", but {after.detail} [{after.code}]" if after.code else ""
    print(f"{plain(custodian)} is open: {after.keys} keys{plain(trouble)}.")
    try:
        Api.at(data).post(f"/custodians/{segment(custodian)}/unsealed", {})
    except TrothError as error:
        if error.reason is not UNREACHABLE:
            raise
        print("No Troth answers yet, so the ledger does not tell of it.")
    return 1 if after.code else 0


async def _state(socket: Path, secrets: Path, custodian: str) -> CustodianState:
    async with SignerClient(socket, "setup", secrets) as signer:
        found = {one.name: one for one in (await signer.custody()).custodians}
    if custodian not in found:
        raise KeyRefused(CUSTODIAN_UNKNOWN, f"no custodian {custodian[:80]!r}; there are {', '.join(found)}")
    return found[custodian]


async def _open(socket: Path, secrets: Path, custodian: str, secret: bytes) -> None:
    # A token may take its time to answer a log-in; a second one would count as a second try.
    async with SignerClient(socket, "setup", secrets, timeout=60.0) as signer:
        await signer.unseal(custodian, secret)
