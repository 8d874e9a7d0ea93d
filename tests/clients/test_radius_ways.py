"""RadSec, other servers, and devices without certificates on a whole Troth: radsecproxy, eapol_test, radclient."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography import x509

from tests.support.other_radius import SECRET, Running, freeradius, radsecproxy
from tests.support.programs import find_program
from tests.support.radius_devices import Credential
from tests.support.radius_troth import SSID, RadiusTroth
from tests.support.radsec import Files, TinyAuthority, write
from troth.radius.wire.packet import CLASS, Attribute, Code, Packet, decode
from troth.radius.wire.signing import encode_reply, encode_request

pytestmark = pytest.mark.client
_SECONDS = 120
WAYS = "Radius-Ways"
MAC = "02-00-5e-10-0a-01"
THING = "02-00-5e-10-0b-02"
_DOCUMENT = f"""
nas:
  - name: ways-ap
    radsec: {{names: ["dns:ways-ap"], sources: [127.0.0.0/8], only: true}}
---
places:
  - {{name: ways-things, vlan: 300}}
---
networks:
  - name: radius-ways
    match: {{ssids: [{WAYS}]}}
    authorities: [issuing]
    profiles: [client-device]
    methods: [eap-tls, mab, pap]
    mab: {{policy: client-device, kind: device, known: false}}
    pap: {{policy: client-device, kind: device, known: false}}
    places: {{restrict: ways-things}}
"""


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def ways(radius: RadiusTroth) -> RadiusTroth:
    """With an access server on RadSec alone, and a network that takes MAB and PAP."""
    radius.apply(_DOCUMENT)
    return radius


@pytest.fixture(scope="module")
def access_server(ways: RadiusTroth) -> Credential:
    """The certificate of ``ways-ap``."""
    return ways.device("ways-ap")


@pytest.fixture(scope="module")
def laptop(ways: RadiusTroth) -> Credential:
    """A device with a good certificate."""
    return ways.device("ways-laptop")


def _proxy(ways: RadiusTroth, access_server: Credential, name: str) -> Running:
    files = Files(access_server.chain, access_server.key)
    return radsecproxy(files, ways.troth.root, ways.home / name, to_tls=ways.troth.radsec_port)


def _join(ways: RadiusTroth, laptop: Credential, port: int, ssid: str = SSID) -> tuple[bool, str]:
    """By EAP-TLS 1.3, through the proxy at ``port``."""
    configuration = ways.home / "ways.conf"
    configuration.write_text(
        f'network={{\n  key_mgmt=WPA-EAP\n  eap=TLS\n  identity="someone"\n  ca_cert="{ways.troth.root}"\n'
        f'  client_cert="{laptop.chain}"\n  private_key="{laptop.key}"\n  eapol_flags=0\n}}\n'
    )
    done = subprocess.run(
        [str(find_program("eapol_test")), "-c", str(configuration), "-a", "127.0.0.1", "-p", str(port), "-s", SECRET,
         "-t", "5", "-M", "02:00:5e:10:0a:01", "-N", f"30:s:00-00-5E-00-53-01:{ssid}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS,
        check=False,
    )  # fmt: skip
    return done.returncode == 0, done.stdout


def _json(ways: RadiusTroth, *arguments: str) -> Any:
    return json.loads(ways.troth.run(*arguments, "--output", "json").stdout)


def _ask(ways: RadiusTroth, *attributes: str) -> tuple[int, str]:
    lines = [*attributes, f'Called-Station-Id = "00-00-5E-00-53-01:{WAYS}"', "Message-Authenticator = 0x00"]
    return ways.ask("auth", "\n".join(lines))


def _accepted(ways: RadiusTroth, *attributes: str) -> str:
    """What radclient said when it was let in: each process hears of a change in its own time."""
    deadline = time.monotonic() + _SECONDS
    while True:
        code, told = _ask(ways, *attributes)
        if code == 0:
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.3)


def test_a_thing_on_the_list_is_restricted_and_one_that_is_not_is_refused(ways: RadiusTroth) -> None:
    asking = ('User-Name = "02005e10ff01"', 'Calling-Station-Id = "02-00-5E-10-FF-01"', "Service-Type = Call-Check")
    code, told = _ask(ways, *asking)
    assert code != 0
    assert "Access-Reject" in told
    ways.troth.run("mab", "add", "02:00:5e:10:ff:01", "--note", "the scanner in hall 3")
    assert 'Tunnel-Private-Group-Id:0 = "300"' in _accepted(ways, *asking)
    ways.troth.run("mab", "remove", "02-00-5e-10-ff-01")
    _until(lambda: _ask(ways, *asking)[0] != 0)


def test_a_password_over_udp_needs_a_persons_word_for_it(ways: RadiusTroth) -> None:
    made = _json(ways, "pap", "add", "ways-badge", "--note", "reader")
    password = made["password"]
    asking = ('User-Name = "ways-badge"', f'User-Password = "{password}"')
    # Of two reasons, one in each process that asks: nobody knows it yet, or it may not be told over UDP.
    code, told = _ask(ways, *asking)
    assert code != 0, told
    password = _json(ways, "pap", "add", "ways-badge", "--note", "reader", "--udp")["password"]
    asking = ('User-Name = "ways-badge"', f'User-Password = "{password}"')
    assert 'Tunnel-Private-Group-Id:0 = "300"' in _accepted(ways, *asking)


def test_a_device_joins_over_radsec_until_the_access_servers_certificate_is_held(
    ways: RadiusTroth, access_server: Credential, laptop: Credential
) -> None:
    proxy = _proxy(ways, access_server, "before")
    try:
        joined, told = _join(ways, laptop, proxy.port)
        assert joined, told[-3000:] + proxy.told() + ways.troth.log()[-3000:]
        assert "MPPE keys OK: 1  mismatch: 0" in told
        # Who has shown a certificate is not let in by the address alone, in any process.
        ways.troth.run("mab", "add", MAC, "--note", "a mistake")
        asking = (f'User-Name = "{MAC}"', f'Calling-Station-Id = "{MAC}"', "Service-Type = Call-Check")
        _until(lambda: _ask(ways, *asking)[0] != 0)
        serial = x509.load_pem_x509_certificate(access_server.chain.read_bytes()).serial_number
        ways.troth.run("cert", "hold", f"{serial:x}", "--note", "looked at")
        _until(lambda: "lost" in proxy.told() or "closed" in proxy.told() or "failed" in proxy.told())
        joined, told = _join(ways, laptop, proxy.port)
        assert not joined, told[-3000:]
        ways.troth.run("cert", "release", f"{serial:x}")
        proxy.stop()  # which would wait longer and longer before it connects again
        proxy = _proxy(ways, access_server, "again")
        joined, told = _join(ways, laptop, proxy.port)
        assert joined, told[-3000:]
    finally:
        proxy.stop()


async def test_a_disconnect_goes_down_the_access_servers_own_connection(
    ways: RadiusTroth, access_server: Credential
) -> None:
    ways.troth.run("mab", "add", THING, "--note", "a lamp")
    context = ssl.create_default_context(cafile=str(ways.troth.root))
    context.check_hostname = False
    context.load_cert_chain(access_server.chain, access_server.key)
    reader, writer = await asyncio.open_connection("127.0.0.1", ways.troth.radsec_port, ssl=context)

    async def said() -> Packet:
        async with asyncio.timeout(_SECONDS):
            head = await reader.readexactly(4)
            return decode(head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4))

    async def ask(code: int, *attributes: Attribute) -> Packet:
        named = [(1, THING.encode()), (31, THING.encode()), (30, f"00-00-5E-00-53-01:{WAYS}".encode()), *attributes]
        writer.write(encode_request(code, 7, named, b"radsec"))
        return await said()

    call_check = (6, (10).to_bytes(4, "big"))
    reply = await ask(Code.ACCESS_REQUEST, call_check)
    while reply.code != Code.ACCESS_ACCEPT:  # until the list has come to this process
        await asyncio.sleep(0.2)
        reply = await ask(Code.ACCESS_REQUEST, call_check)
    class_ = reply.first(CLASS)
    assert class_ is not None
    started = (40, (1).to_bytes(4, "big"))
    answer = await ask(Code.ACCOUNTING_REQUEST, started, (44, b"lamp-1"), (CLASS, class_), (32, b"ways-ap"))
    assert answer.code == Code.ACCOUNTING_RESPONSE

    order = asyncio.create_task(asyncio.to_thread(ways.troth.run, "session", "disconnect", "--mac", THING, "--yes"))
    asked = await said()
    assert (asked.code, asked.first(44)) == (Code.DISCONNECT_REQUEST, b"lamp-1")
    writer.write(encode_reply(asked, Code.DISCONNECT_ACK, (), b"radsec"))
    await order
    sessions: Any = [1]
    async with asyncio.timeout(_SECONDS):
        while sessions:
            sessions = (await asyncio.to_thread(_json, ways, "session", "list", "--mac", THING))["items"]
            await asyncio.sleep(0.2)
    writer.transport.abort()


@pytest.fixture
def nps(ways: RadiusTroth) -> Iterator[Running]:
    """FreeRADIUS in the role of NPS."""
    authority = TinyAuthority("Elsewhere")
    files = write(authority.issue("radius.corp.test"), ways.home, "nps")
    authority.write(ways.home)
    found = freeradius(files, ways.home / "nps", 'alice Cleartext-Password := "open sesame"\n')
    yield found
    found.stop()


def test_a_realm_is_handed_on_to_another_server_and_the_journal_says_so(ways: RadiusTroth, nps: Running) -> None:
    ways.apply(
        "proxies:\n  - name: ways-nps\n    realms: [ways.test]\n    strip_realm: true\n    servers:\n"
        f"      - {{address: '127.0.0.1:{nps.port}', require_message_authenticator: false}}\n"
    )
    secret = ways.home / "nps.secret"
    secret.write_text(SECRET)
    ways.troth.run("proxy", "secret", "ways-nps", "--server", f"127.0.0.1:{nps.port}", "--file", str(secret))
    asking = ('User-Name = "alice@ways.test"', 'User-Password = "open sesame"', f'Calling-Station-Id = "{MAC}"')
    _accepted(ways, *asking)
    wrong = ('User-Name = "alice@ways.test"', 'User-Password = "something"', f'Calling-Station-Id = "{MAC}"')
    assert _ask(ways, *wrong)[0] != 0
    words = f"handed to pool ways-nps, answered Reject by 127.0.0.1:{nps.port}"

    def told() -> bool:
        found = _json(ways, "radius", "conversations", "--mac", MAC)
        return any(words in one["detail"] for one in found)

    _until(told)
    ways.troth.run("proxy", "remove", "ways-nps")
    _until(lambda: _ask(ways, *asking)[0] != 0)
