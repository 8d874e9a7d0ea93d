"""What access servers, and whoever pretends to be one, send: the same promise as of all other parsers.

To add a parser of the RADIUS room, name it here with something that it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.accounting_month import Plan, month, packet
from tests.unit.fuzz.test_parsers import EXAMPLES, mutated
from tests.unit.radius.admission.partner import ANCHOR, crl
from tests.unit.radius.admission.test_foreign import guest
from tests.unit.radius.admission.world import AT
from troth.kit.errors import TrothError
from troth.radius.admission.chains import read_shown
from troth.radius.admission.crls import read_crl
from troth.radius.admission.document import network_of, parse_networks
from troth.radius.admission.errors import CRL_REFUSED, NetworkError
from troth.radius.admission.foreign import name_of
from troth.radius.admission.model import Identity
from troth.radius.admission.outcome import user_name
from troth.radius.eap.frames import is_nak, methods_in_words, read_nak, read_response, read_tls
from troth.radius.eap.hello import read_hello
from troth.radius.eap.reassembly import MAX_MESSAGE, Incoming
from troth.radius.places.downloads import Downloads
from troth.radius.places.model import PlaceDefinition, parse_places, place_of
from troth.radius.sessions import inbox
from troth.radius.sessions.accounting import read as accounting
from troth.radius.sessions.errors import AccountingRefused
from troth.radius.wire.addresses import mac, safe_text, ssid
from troth.radius.wire.dictionary import DICTIONARY
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.hiding import hide_salted, reveal_password, reveal_salted
from troth.radius.wire.packet import Packet, decode
from troth.radius.wire.reading import read
from troth.radius.wire.signing import message_authenticator_ok, request_authenticator_ok, verify_reply

_CAPTURED = Path(__file__).parents[2] / "vectors" / "radius" / "captured.json"
_DOWNLOADS = Downloads([place_of(PlaceDefinition(name="quarantine", acl_rules=("permit udp to any port 53",)))])
SECRET, AUTHENTICATOR = b"testing123", bytes(range(16))


def _captured() -> list[bytes]:
    return [bytes.fromhex(octets) for _, octets in json.loads(_CAPTURED.read_text("utf-8"))["packets"]]


def _packet(data: bytes) -> object:
    packet = decode(data)
    message_authenticator_ok(packet, SECRET)
    request_authenticator_ok(packet, SECRET)
    shown = read(packet)
    assert all(name.isprintable() and text.isprintable() for name, text in shown)
    for name in ("User-Password", "Cisco-AVPair", "Event-Timestamp", "Framed-IPv6-Prefix", "DHCPv4-Options"):
        DICTIONARY.all(packet, name, secret=SECRET)
    return packet


def _reply(data: bytes) -> object:
    packet = decode(data)
    try:
        verify_reply(packet, AUTHENTICATOR, SECRET, require_message_authenticator=True)
    except PacketRefused:
        return packet
    raise AssertionError("a reply was believed that nobody has signed")


def _accounted() -> list[bytes]:
    records = month(Plan(boxes=1, sessions=3, days=0.5, reboots=1, silent_reboots=0.0), 1, AT)
    return [packet(one.told, number % 256, SECRET) for number, one in enumerate(records)]


def _accounting(data: bytes) -> object:
    try:
        told = accounting(decode(data), "nas", "192.0.2.1", AT)
    except AccountingRefused as refused:
        return refused
    # What is written down is read again as it was.
    assert told is None or inbox.read(msgspec.msgpack.encode(told)) == told
    return told or "passed over"


def _station(data: bytes) -> object:
    assert safe_text(data).isprintable()
    return mac(data), ssid(data)


def _eap(data: bytes) -> object:
    response = read_response(data)
    if is_nak(response):
        assert methods_in_words(read_nak(response))
    return response


def _fragments(data: bytes) -> object:
    """Frames one after the other, each after its length in two octets."""
    incoming, wholes = Incoming(), []
    while len(data) >= 2:
        length, data = int.from_bytes(data[:2], "big"), data[2:]
        wholes.append(incoming.add(read_tls(data[:length])))
        data = data[length:]
    assert all(len(whole) <= MAX_MESSAGE for whole in wholes if whole is not None)
    return wholes


#: Of OpenSSL 4.0: TLS 1.2 and 1.3, X25519.
_CLIENT_HELLO = bytes.fromhex(
    "16030100e9010000e503035ff91d311156a896fd1d9bf8e3302d3c9c7aef60350b1b2137dd0e8fd66e2afb20689d6cf4433c"
    "bb5d0a60e91e48f018edad962ce3ac006fa10169674164e9117d0008130213031301c02b01000094ff01000100000b000201"
    "00000a00040002001d002300000016000000170000000d0038003609050906090404030503060308070808081a081b081c08"
    "09080a080b0804080508060401050106010303030103020402050206020708002b00050403040303002d0002010100330026"
    "0024001d0020b0658d9cbe42319b3362868615ff33fa570ad1330b0744630aa2a1f5b157fd06"
)


def _hello(data: bytes) -> object:
    hello = read_hello(data)
    assert hello is None or str(hello).isprintable()
    return hello or "none"


def _download(data: bytes) -> object:
    """A name by which somebody asks for an ACL: what was never told is answered with nothing."""
    asked = Packet(1, 0, bytes(16), ((1, data[:253]), (26, b"\0\0\0\x09\x01\x18aaa:event=acl-download")), b"")
    assert _DOWNLOADS.acl_download(asked) is None
    return asked


def _shown(data: bytes) -> object:
    """What a stranger shows in a handshake: read, and no name of it goes on unread."""
    try:
        shown = read_shown(x509.load_der_x509_certificate(data))
    except ValueError as error:
        raise NetworkError(CRL_REFUSED, "no certificate") from error
    name = name_of(shown, list(Identity))
    assert name is None or name.isprintable()
    assert user_name(shown.names).isprintable()
    return shown


PARSERS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]]]] = {
    "radius packet": (_packet, _captured),
    "radius reply": (_reply, _captured),
    "accounting": (_accounting, _accounted),
    "station": (_station, lambda: [b"00-10-A4-23-19-C0:corp", b"0010.a423.19c0", b"ap-1:guests"]),
    "EAP response": (_eap, lambda: [b"\x02\x07\x00\x08\x01bob", b"\x02\x08\x00\x08\x03\x19\x15\x34"]),
    "TLS fragments": (_fragments, lambda: [b"\x00\x06\xc0\x00\x00\x00\x02a\x00\x02\x00b"]),
    "ClientHello": (_hello, lambda: [_CLIENT_HELLO]),
    "acl download": (_download, lambda: [b"#ACSACL#-IP-quarantine-0123456789abcdef"]),
    "places": (
        lambda data: [place_of(one) for one in parse_places(data.decode("utf-8", "replace"))],
        lambda: [b"places:\n  - {name: a, vlan: 20, acl_rules: [permit tcp to 192.0.2.0/24 port 80-90], sgt: 7}\n"],
    ),
    "networks": (
        lambda data: [network_of(one) for one in parse_networks(data.decode("utf-8", "replace"))],
        lambda: [b"networks:\n  - {name: a, match: {ssids: [A]}, authorities: [x], profiles: [p], longest: 1h}\n"],
    ),
    "foreign crl": (lambda data: read_crl(ANCHOR, data, (), AT), lambda: [crl(5)]),
    "shown certificate": (_shown, lambda: [guest().public_bytes(Encoding.DER)]),
    "user password": (lambda data: reveal_password(data, SECRET, AUTHENTICATOR), lambda: [bytes(32)]),
    "salted": (
        lambda data: reveal_salted(data, SECRET, AUTHENTICATOR),
        lambda: [hide_salted(b"key", SECRET, AUTHENTICATOR, salt=b"\x80\x01")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_really_sent_is_read(name: str) -> None:
    parse, seeds = PARSERS[name]
    for seed in seeds():
        assert parse(seed) is not None


@pytest.mark.parametrize("name", PARSERS)
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)  # fmt: skip
@given(st.data())
def test_whatever_comes_is_read_or_refused_by_name(name: str, data: st.DataObject) -> None:
    parse, seeds = PARSERS[name]
    seed = data.draw(st.sampled_from(seeds()))
    some = mutated(seed, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 2**32)))
    try:
        parse(data.draw(st.binary(max_size=200)) if data.draw(st.integers(0, 4)) == 0 else some)
    except TrothError:
        pass
