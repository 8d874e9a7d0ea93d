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

from troth.cli.ceremony_desk import People
from troth.cli.options import Data
from troth.cli.show import plain


def unseal(
    custodian: Annotated[str, Parameter(help="The sealed custodian, as `troth key list` names it: pkcs11:NAME.")],
    *,
    shares: Annotated[Path, Parameter(help="shares.json of its PIN.")],
    share: Annotated[tuple[Path, ...], Parameter(help="A share: age file, or file with words.")] = (),
    identity: Annotated[tuple[Path, ...], Parameter(help="Age identity for shares.")] = (),
    data: Data = None,
) -> int:
    """Open a sealed custodian of the running signer with enough shares of its PIN, from files or typed unseen."""
    from troth.assembly.context import signer_socket
    from troth.assembly.layout import Layout, default_data_dir
    from troth.kit import config as configuration
    from troth.pki.ceremony.share_files import read_set
    from troth.pki.ceremony.shares import wipe
    from troth.pki.signer.client import SignerClient
    from troth.pki.signer.process import harden

    harden()
    layout = Layout.at(data or default_data_dir())
    config = configuration.load(layout.root)
    secret = People(share, identity, yes=False).secret(read_set(shares))

    async def give() -> None:
        async with SignerClient(signer_socket(config, layout), "setup", layout.secrets) as signer:
            await signer.unseal(custodian, bytes(secret))

    try:
        asyncio.run(give())
    finally:
        wipe(secret)
    print(f"{plain(custodian)} is open.")
    return 0
