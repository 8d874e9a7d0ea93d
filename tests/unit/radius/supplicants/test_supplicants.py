"""Configurations of devices: they pin root and name, hold no secret, and cannot be made to say something else."""

from __future__ import annotations

import configparser
import plistlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.attesting import certificate
from troth.cli.main import FAILED, main
from troth.radius.supplicants.apple import mobileconfig
from troth.radius.supplicants.errors import SupplicantRefused
from troth.radius.supplicants.linux import network_manager, wpa_supplicant
from troth.radius.supplicants.model import Joining, roots_in, thumbprint
from troth.radius.supplicants.windows import windows

SERVERS = ("radius-1.corp.example", "radius-2.corp.example")
_TLS1 = "{http://www.microsoft.com/provisioning/EapTlsConnectionPropertiesV1}"


@pytest.fixture(scope="module")
def root() -> x509.Certificate:
    """A root."""
    key = ec.generate_private_key(ec.SECP256R1())
    return certificate("Root of the network", key, key, "Root of the network", ca=1)


def joining(root: x509.Certificate, **changed: Any) -> Joining:
    """The network «Acme», changed."""
    given: dict[str, Any] = {"ssid": b"Acme", "server_names": SERVERS, "roots": (root,)}
    return Joining(**given | changed)


def test_wpa_supplicant_believes_one_server_under_one_root(root: x509.Certificate) -> None:
    assert wpa_supplicant(joining(root, identity="@corp.example")) == (
        "# /etc/troth/radius-root.pem: the roots above the server, and no others\n"
        "network={\n"
        "\tssid=41636d65\n"
        "\tkey_mgmt=WPA-EAP WPA-EAP-SHA256\n"
        "\tieee80211w=1\n"
        "\teap=TLS\n"
        '\tidentity="@corp.example"\n'
        '\tca_cert="/etc/troth/radius-root.pem"\n'
        '\tdomain_match="radius-1.corp.example;radius-2.corp.example"\n'
        '\tclient_cert="/etc/troth/device.pem"\n'
        '\tprivate_key="/etc/troth/device.key"\n'
        '\tphase1="tls_disable_tlsv1_0=1 tls_disable_tlsv1_1=1"\n'
        "\tocsp=1\n"
        "}\n"
    )


def test_a_wired_port_is_joined_without_a_scan(root: x509.Certificate) -> None:
    text = wpa_supplicant(joining(root, ssid=None))
    assert "ap_scan=0\nnetwork={\n\tkey_mgmt=IEEE8021X\n" in text
    assert "ssid" not in text


@pytest.mark.parametrize("ssid", [b"Acme", None, b"semi;colon\n[x]"])
def test_networkmanager_reads_the_keyfile_as_it_was_meant(root: x509.Certificate, ssid: bytes | None) -> None:
    read = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    read.read_string(network_manager(joining(root, ssid=ssid)))
    wanted = {"connection", "802-1x", "ipv4", "ipv6"} | ({"wifi", "wifi-security"} if ssid else set())
    assert set(read.sections()) == wanted
    assert read["802-1x"]["domain-match"] == "radius-1.corp.example;radius-2.corp.example"
    assert read["802-1x"]["ca-cert"] == "/etc/troth/radius-root.pem"
    if ssid:
        assert bytes(int(octet) for octet in read["wifi"]["ssid"].split(";")[:-1]) == ssid


def test_an_apple_device_asks_nobody_whether_to_trust(root: x509.Certificate) -> None:
    made = mobileconfig(joining(root), acme_directory="https://pki.corp.example/acme/a/d", client_identifier="C02ZK0")
    anchor, identity, network = plistlib.loads(made)["PayloadContent"]
    assert x509.load_der_x509_certificate(anchor["PayloadContent"]) == root
    assert network["SSID_STR"] == "Acme"
    assert network["PayloadCertificateUUID"] == identity["PayloadUUID"]
    eap = network["EAPClientConfiguration"]
    assert eap["AcceptEAPTypes"] == [13]
    assert eap["TLSTrustedServerNames"] == list(SERVERS)
    assert eap["PayloadCertificateAnchorUUID"] == [anchor["PayloadUUID"]]
    assert eap["TLSAllowTrustExceptions"] is False
    assert identity["HardwareBound"] is identity["Attest"] is True


def test_a_profile_that_is_made_again_replaces_its_former(root: x509.Certificate) -> None:
    assert mobileconfig(joining(root)) == mobileconfig(joining(root))
    wired, other = (plistlib.loads(mobileconfig(joining(root, ssid=ssid))) for ssid in (None, b"Other"))
    assert wired["PayloadUUID"] != other["PayloadUUID"]
    assert wired["PayloadContent"][-1]["Interface"] == "FirstActiveEthernet"


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({"ssid": b"\xff\xfe"}, {}),
        ({"ssid": b"bell\x07"}, {}),
        ({}, {"acme_directory": "http://pki.corp.example/acme", "client_identifier": "C02"}),
        ({}, {"acme_directory": "https://pki.corp.example/acme"}),
        ({}, {"client_identifier": "C02"}),
        ({}, {"acme_directory": "https://pki.corp.example/acme", "client_identifier": "C\n02"}),
    ],
)
def test_apple_devices_get_no_profile_that_they_would_not_take(
    root: x509.Certificate, changed: dict[str, Any], asked: dict[str, str]
) -> None:
    with pytest.raises(SupplicantRefused):
        mobileconfig(joining(root, **changed), **asked)


@pytest.mark.parametrize("ssid", [b"Acme", b"<&>\x07", None])
def test_windows_asks_nobody_whether_to_trust(root: x509.Certificate, ssid: bytes | None) -> None:
    profile = ElementTree.fromstring(windows(joining(root, ssid=ssid)))  # noqa: S314 - what we wrote ourselves
    validation = profile.find(f".//{_TLS1}ServerValidation")
    assert validation is not None
    assert [(one.tag.removeprefix(_TLS1), one.text) for one in validation] == [
        ("DisableUserPromptForServerValidation", "true"),
        ("ServerNames", "radius-1.corp.example;radius-2.corp.example"),
        ("TrustedRootCA", " ".join(thumbprint(root)[at : at + 2] for at in range(0, 40, 2))),
    ]
    assert profile.tag.endswith("}LANProfile" if ssid is None else "}WLANProfile")
    shown = profile.find(".//{http://www.microsoft.com/networking/WLAN/profile/v1}hex")
    assert (None if shown is None else shown.text) == (None if ssid is None else ssid.hex().upper())


@pytest.mark.parametrize(
    "changed",
    [
        {"ssid": b""},
        {"ssid": b"x" * 33},
        {"server_names": ()},
        {"server_names": ("radius",)},
        {"server_names": ("*.corp.example",)},
        {"server_names": ('radius.corp.example"\n\tca_cert=""',)},
        {"server_names": ("radius.corp.example;evil.example",)},
        {"roots": ()},
        {"identity": 'a"\n'},
        {"identity": ""},
        {"key": '/key"\n}'},
        {"ca": "/a\nb"},
        {"certificate": "/a;b"},
    ],
)
def test_what_would_trust_more_or_end_a_line_is_refused(root: x509.Certificate, changed: dict[str, Any]) -> None:
    with pytest.raises(SupplicantRefused):
        joining(root, **changed)


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"x" * 65_537])
def test_a_file_without_roots_is_refused(pem: bytes) -> None:
    with pytest.raises(SupplicantRefused):
        roots_in(pem)


@pytest.mark.parametrize(
    ("kind", "part"),
    [("wpa_supplicant", "network={"), ("networkmanager", "[802-1x]"), ("mobileconfig", "<plist"), ("windows", "<OneX")],
)
def test_the_command_prints_it_without_a_key_of_the_file(
    root: x509.Certificate, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, part: str
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(root.public_bytes(Encoding.PEM))
    command = f"radius supplicant --kind {kind} --ssid Acme --server-name {SERVERS[0]} --ca".split()
    assert main([*command, str(roots)]) == 0
    printed = capsys.readouterr().out
    assert part in printed
    assert SERVERS[0] in printed
    assert "PRIVATE" not in printed


def test_the_command_says_that_there_is_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["radius", "supplicant", "--kind", "windows", "--server-name", SERVERS[0], "--ca", str(tmp_path / "none")]
    assert main(command) == FAILED
    assert "none" in capsys.readouterr().err
