"""Whether a service serves the new certificate: ask it, as its clients do.

The connection trusts nothing: what is compared is the certificate itself. A reload takes a moment to be felt, so the
question is put again until it is answered rightly twice in a row (a server's old workers may answer for a moment
beside the new ones) or the time is up.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl

from troth.agent.errors import NOT_SERVED, AgentError
from troth.agent.settings import ProveTls
from troth.agent.starttls import START

_BETWEEN = 0.25
_ONE_TRY = 5.0
_IN_A_ROW = 2


async def prove(settings: ProveTls, leaf: bytes, names: tuple[str, ...]) -> None:
    """Return when the service shows the DER certificate ``leaf``. Raises AgentError when its time is up."""
    server_name = settings.server_name or next((name for name in names if not name.startswith("*.")), "")
    said, rightly = "it was not asked", 0
    try:
        async with asyncio.timeout(settings.timeout):
            while True:
                try:
                    async with asyncio.timeout(_ONE_TRY):
                        served = await served_at(settings, server_name)
                except TimeoutError:
                    said = "it did not answer in time"
                except (OSError, ValueError, EOFError) as error:  # ssl.SSLError is an OSError
                    said = f"{type(error).__name__}: {error}"
                else:
                    rightly = rightly + 1 if served == leaf else 0
                    if rightly == _IN_A_ROW:
                        return
                    if not rightly:
                        said = (
                            f"it still serves another certificate (SHA-256 {hashlib.sha256(served).hexdigest()[:16]}…)"
                        )
                await asyncio.sleep(_BETWEEN)
    except TimeoutError:
        raise AgentError(NOT_SERVED, f"{settings.host}:{settings.port} ({server_name or 'no name'}): {said}") from None


async def served_at(settings: ProveTls, server_name: str) -> bytes:
    """The DER certificate that the service shows. Raises OSError, ValueError or EOFError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(settings.host, settings.port)
    try:
        if settings.starttls:
            await START[settings.starttls](reader, writer)
        await writer.start_tls(context, server_hostname=server_name or None)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    if not isinstance(shown, bytes):
        raise ValueError("no certificate was shown")
    return shown
