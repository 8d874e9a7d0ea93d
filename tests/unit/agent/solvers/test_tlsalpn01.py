"""tls-alpn-01: the certificate of RFC 8737 for the name that is asked for, and nothing for anybody else."""

from __future__ import annotations

import asyncio
import hashlib
import ssl

import pytest
from cryptography import x509

from tests.support.running import free_port
from troth.agent.errors import AgentError
from troth.agent.settings import ListenTls
from troth.agent.solvers.build import Solvers
from troth.agent.solvers.model import Proof
from troth.agent.solvers.tlsalpn01 import TlsListeners, server_name
from troth.kit.clock import FakeClock

ONE = Proof("dns", "www.example.org", "one", "one.thumb", "")
ADDRESS = Proof("ip", "192.0.2.7", "two", "two.thumb", "")


async def shown(port: int, name: str, protocol: str = "acme-tls/1") -> tuple[x509.Certificate, str | None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    found = writer.get_extra_info("ssl_object")
    certificate = x509.load_der_x509_certificate(found.getpeercert(binary_form=True))
    chosen = found.selected_alpn_protocol()
    writer.transport.abort()
    return certificate, chosen


async def test_each_name_has_its_certificate_while_it_is_shown(clock: FakeClock) -> None:
    listeners, port = TlsListeners(clock), free_port()
    assert server_name(ADDRESS) == "7.2.0.192.in-addr.arpa"
    async with listeners.shown("127.0.0.1", port, ONE), listeners.shown("127.0.0.1", port, ADDRESS):
        for proof in (ONE, ADDRESS):
            certificate, chosen = await shown(port, server_name(proof))
            assert chosen == "acme-tls/1"
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            assert [str(one.value) for one in names.value] == [proof.value]
            marked = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
            assert marked.critical
            assert isinstance(marked.value, x509.UnrecognizedExtension)
            assert marked.value.value == b"\x04\x20" + hashlib.sha256(proof.key_authorization.encode()).digest()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await shown(port, "other.example.org")
        assert (await shown(port, "www.example.org", "http/1.1"))[1] is None
    with pytest.raises(ConnectionRefusedError):
        await shown(port, "www.example.org")


async def test_two_proofs_for_one_name_take_turns(clock: FakeClock) -> None:
    listeners, port, order = TlsListeners(clock), free_port(), []

    async def prove(token: str) -> None:
        async with listeners.shown("127.0.0.1", port, Proof("dns", "www.example.org", token, f"{token}.t", "")):
            order.append(f"{token} begins")
            await asyncio.sleep(0.02)
            order.append(f"{token} ends")

    await asyncio.gather(prove("one"), prove("two"))
    assert order == ["one begins", "one ends", "two begins", "two ends"]


async def test_a_port_that_others_have_is_told(clock: FakeClock) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(AgentError, match="cannot be had"):
        async with Solvers(clock).make(ListenTls(address="127.0.0.1", port=port)).shown(ONE):
            raise AssertionError("not reached")
    server.close()
