"""The signer: holds the authority keys, signs what it has read again, speaks on its Unix socket alone."""

from __future__ import annotations

import asyncio
import contextlib

from troth.assembly.context import RoleContext
from troth.pki.signer.class_rules import policy_of
from troth.pki.signer.process import harden
from troth.pki.signer.server import SignerSettings, serve


async def run(context: RoleContext) -> None:
    """Serve until told to stop."""
    harden()
    settings = SignerSettings(
        data=context.layout.root,
        socket=context.signer_socket,
        origin=context.state.ledger_origin,
        allowed_uids=frozenset(context.config.signer.allowed_uids),
        policy=policy_of(context.config.pki),
        custodians=context.config.signer.custodians,
    )
    serving = asyncio.create_task(serve(settings, context.ready, clock=context.clock))
    stopping = asyncio.create_task(context.stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
