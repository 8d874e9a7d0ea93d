"""wpa_supplicant, FreeRADIUS' client and the project's own load join a network through a whole Troth."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509

from tests.support.radius_devices import Credential, Version
from tests.support.radius_house import Papers
from tests.support.radius_load import Load, Manner, Outcome
from tests.support.radius_troth import SSID, RadiusTroth

pytestmark = pytest.mark.client
VERSIONS: tuple[Version, ...] = ("1.2", "1.3")
#: What is waited for comes; this ends what hangs.
_SECONDS = 300
_STATIONS = 8


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def laptop(radius: RadiusTroth) -> Credential:
    """A device with a good certificate."""
    return radius.device("radius-laptop")


# --- eapol_test --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_joins_and_both_ends_have_the_same_keys(
    radius: RadiusTroth, laptop: Credential, version: Version
) -> None:
    joined = radius.join(laptop, version)

    assert joined.accepted, joined.told[-3000:]
    assert "MPPE keys OK: 1  mismatch: 0" in joined.told
    assert f"SSL: Using TLS version TLSv{version}" in joined.told
    assert "Attribute 81 (Tunnel-Private-Group-Id)" in joined.told
    assert "Value: 'radius-laptop" in joined.told


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed_and_decided_anew(radius: RadiusTroth, laptop: Credential, version: Version) -> None:
    joined = radius.join(laptop, version, "-r", "2")

    assert joined.accepted, joined.told[-3000:]
    assert "MPPE keys OK: 3  mismatch: 0" in joined.told
    assert "OpenSSL: Handshake finished - resumed=1" in joined.told


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_that_asks_is_told_that_the_servers_certificate_is_good(
    radius: RadiusTroth, laptop: Credential, version: Version
) -> None:
    # A staple is fetched beforehand: right after a start there may be none yet.
    _until(lambda: radius.join(laptop, version, ocsp=2).accepted)

    assert "OCSP status for server certificate: good" in radius.join(laptop, version, ocsp=2).told


@pytest.mark.parametrize("version", VERSIONS)
def test_fragments_of_150_octets_and_macsec_keys(radius: RadiusTroth, laptop: Credential, version: Version) -> None:
    joined = radius.join(laptop, version, "-e", fragment=150)

    assert joined.accepted, joined.told[-3000:]
    assert "MPPE keys OK: 1  mismatch: 0" in joined.told


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_that_looks_for_another_server_does_not_join(
    radius: RadiusTroth, laptop: Credential, version: Version
) -> None:
    joined = radius.join(laptop, version, server="radius.elsewhere.test")

    assert not joined.accepted


@pytest.fixture(scope="module")
def refused(radius: RadiusTroth, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credential]:
    """Certificates that let nobody in."""
    revoked = radius.device("radius-revoked")
    serial = _serial(revoked)
    radius.troth.run("cert", "revoke", serial, "--reason", "key-compromise", "--yes")
    radius.apply("source: radius-web\nworkloads: [{name: radius-web, names: [radius-web.test]}]")
    strangers = Papers(tmp_path_factory.mktemp("strangers"), "Strangers")
    return {
        "expired": radius.partners.issue("expired.partners.test", ends=-timedelta(hours=1)),
        "revoked": revoked,
        "purpose": radius.certificate("workload:radius-web", "tls-server", "--name", "radius-web.test"),
        "stranger": strangers.issue("radius-laptop.test"),
    }


def _serial(credential: Credential) -> str:
    return f"{x509.load_pem_x509_certificate(credential.chain.read_bytes()).serial_number:x}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("which", "alert"),
    [
        ("expired", "certificate expired"),
        ("revoked", "certificate revoked"),
        ("purpose", "unsupported certificate"),
        ("stranger", "unknown CA"),
    ],
)
def test_who_must_not_join_is_told_why_by_tls(
    radius: RadiusTroth, refused: dict[str, Credential], version: Version, which: str, alert: str
) -> None:
    joined = radius.join(refused[which], version)

    assert not joined.accepted
    assert joined.alert == alert, joined.told[-3000:]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_on_hold_does_not_join_until_it_is_released(radius: RadiusTroth, version: Version) -> None:
    device = radius.device(f"radius-held-{version.replace('.', '')}")
    assert radius.join(device, version).accepted

    radius.troth.run("cert", "hold", _serial(device), "--note", "lost, perhaps")
    _until(lambda: not radius.join(device, version).accepted)
    assert not radius.join(device, version).accepted
    radius.troth.run("cert", "release", _serial(device))
    _until(lambda: radius.join(device, version).accepted)


# --- radclient ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["auth", "acct"])
def test_status_server_is_answered_on_both_ports(radius: RadiusTroth, which: str) -> None:
    port = radius.address[1] if which == "auth" else radius.accounting[1]
    code, told = radius.ask("status", "Message-Authenticator = 0x00", port=port)

    assert code == 0, told
    assert ("Access-Accept" if which == "auth" else "Accounting-Response") in told


def test_accounting_is_answered(radius: RadiusTroth) -> None:
    attributes = (
        'Acct-Status-Type = Start\nAcct-Session-Id = "radius-1"\nUser-Name = "someone"\n'
        f'Calling-Station-Id = "02-00-00-00-77-01"\nCalled-Station-Id = "00-00-5E-00-53-01:{SSID}"\n'
        "NAS-IP-Address = 127.0.0.1\n"
    )
    code, told = radius.ask("acct", attributes, port=radius.accounting[1])

    assert code == 0, told
    assert "Accounting-Response" in told


@pytest.mark.parametrize(
    ("attributes", "secret"),
    [
        ('User-Name = "someone"\nUser-Password = "x"\nMessage-Authenticator = 0x00', "not-the-secret-of-this-one"),
        ('User-Name = "someone"\nEAP-Message = 0x0201000a01736f6d65', None),
    ],
    ids=["another-secret", "without-message-authenticator"],
)
def test_what_proves_nothing_gets_no_answer(radius: RadiusTroth, attributes: str, secret: str | None) -> None:
    code, told = radius.ask("auth", attributes, secret=secret, tries=1)

    assert code != 0
    assert "No reply from server" in told


# --- many at once ------------------------------------------------------------------------------------------------


def _load(radius: RadiusTroth, credential: Credential, version: Version, count: int, manner: Manner) -> Outcome:
    devices = [radius.load_device(credential, version, f"02-00-00-01-00-{number:02X}") for number in range(8)]
    with Load(radius.address, radius.secret, devices, stations=8, manner=manner) as load:
        load.run(16)
        return load.run(count)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "manner",
    [
        Manner(twice=0.2, proxy_state=True, ssid=SSID),
        Manner(ports=1, ssid=SSID),
        Manner(ports=3, roam=True, resume=True, ssid=SSID),
    ],
    ids=["twice", "one-port", "roaming"],
)
def test_many_join_whichever_way_their_packets_come(
    radius: RadiusTroth, laptop: Credential, version: Version, manner: Manner
) -> None:
    outcome = _load(radius, laptop, version, 60, manner)

    assert (outcome.ended, outcome.cheats) == ({"accept": 60}, {}), radius.why()
    if manner.resume:
        assert outcome.resumed == 60  # whichever worker it comes to


def test_a_worker_that_is_killed_costs_some_a_second_try_and_nobody_a_wrong_answer(
    radius: RadiusTroth, laptop: Credential
) -> None:
    devices = [radius.load_device(laptop, "1.3", f"02-00-00-02-00-{number:02X}") for number in range(8)]
    victims = [radius.workers()[0].pid]

    manner = Manner(ssid=SSID, timeout=0.5, tries=240)  # for as long as the next worker may take to begin
    with Load(radius.address, radius.secret, devices, stations=_STATIONS, manner=manner) as load:

        def kill() -> None:
            if victims and sum(load.outcome.ended.values()) > 60:
                for worker in radius.workers():
                    if worker.pid == victims[0]:
                        worker.send_signal(signal.SIGKILL)
                victims.clear()

        outcome = load.run(400, during=kill)
        assert not victims
        assert outcome.cheats == {}
        # What it had under way is told to begin anew: no more than one conversation of each station.
        assert outcome.ended["reject"] <= _STATIONS, f"{outcome.ended} {radius.why()}"
        assert outcome.accepted == 400 - outcome.ended["reject"], outcome.ended
        _until(lambda: len(radius.workers()) == 2)
        assert load.run(40).accepted == 40


def test_new_ticket_keys_come_without_an_interruption(radius: RadiusTroth, laptop: Credential) -> None:
    former = {worker.pid for worker in radius.workers()}
    assert {os.sched_getscheduler(worker) for worker in former} == {os.SCHED_BATCH}  # from their master on
    devices = [radius.load_device(laptop, "1.3", f"02-00-00-03-00-{number:02X}") for number in range(8)]
    asked: list[int] = []

    with Load(
        radius.address, radius.secret, devices, stations=_STATIONS, manner=Manner(ssid=SSID, resume=True)
    ) as load:

        def renew() -> None:
            if not asked and load.outcome.accepted > 50:
                asked.append(1)
                radius.master().send_signal(signal.SIGHUP)

        outcome = load.run(400, during=renew)
        assert asked
        _until(lambda: not former & {worker.pid for worker in radius.workers()})
        more = load.run(50)
        assert (more.ended, more.cheats) == ({"accept": 50}, {}), radius.why()

    assert (outcome.ended, outcome.cheats) == ({"accept": 400}, {}), radius.why()


def test_what_joined_is_found_by_its_address_with_the_reasons(radius: RadiusTroth, laptop: Credential) -> None:
    assert radius.join(laptop, "1.3", "-M", "02:00:00:00:99:01").accepted

    _until(
        lambda: "02-00-00-00-99-01" in radius.troth.run("radius", "conversations", "--mac", "02:00:00:00:99:01").stdout
    )
    why = radius.troth.run("why", "02:00:00:00:99:01").stdout
    assert "offered TLS 1.3" in why
    assert "compliant: true (posture.compliant=true from" in why
    assert "accepted: allow" in why
    assert json.loads(radius.troth.run("why", "02:00:00:00:99:01", "-o", "json").stdout)["mac"] == "02-00-00-00-99-01"
