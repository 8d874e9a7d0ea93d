"""A server's certificate over ACME: the demonstration proves by http-01 that an address of this machine is its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from troth.client.acme import AcmeClient
from troth.client.csr import certificate_request
from troth.client.jose import SigningKey
from troth.client.transport import Transport

_LONGEST_REQUEST = 4096


@contextlib.asynccontextmanager
async def challenge_server(address: str, port: int) -> AsyncIterator[Callable[[str, str], None]]:
    """A web server that shows key authorizations, and nothing else, while the block runs.

    Yields ``show(token, key_authorization)``. Raises OSError where the address cannot be listened on.
    """
    shown: dict[str, str] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode("latin-1")
            body = shown.get(path.rpartition("/")[2], "").encode()
            status = b"200 OK" if body else b"404 Not Found"
            head = b"HTTP/1.1 %s\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\nconnection: close"
            writer.write(head % (status, len(body)) + b"\r\n\r\n" + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, address, port, limit=_LONGEST_REQUEST)
    async with server:
        yield shown.__setitem__


async def obtain(
    directory: str, address: str, show: Callable[[str, str], None], transport: Transport
) -> x509.Certificate:
    """A certificate for the IP address ``address``. Raises AcmeError with the server's own words."""
    client = await AcmeClient.open(directory, key=SigningKey.generate(), transport=transport)
    await client.register()
    order = await client.new_order([("ip", address)])
    for url in order.authorizations:
        authorization = await client.authorization(url)
        challenge = authorization.challenge("http-01")
        if authorization.status == "pending" and challenge is not None:
            show(challenge.token, client.key_authorization(challenge.token))
            await client.answer(challenge)
            await client.wait_authorization(url)
    key = ec.generate_private_key(ec.SECP256R1())
    order = await client.finalize(order, certificate_request(key, ip=[address]))
    chain = await client.certificate(await client.wait_order(order))
    return x509.load_pem_x509_certificate(chain)
