"""One certificate, kept: obtained once, installed whole, proved or put back, renewed in time by any clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.agents import Root, Workshop, fits, root
from troth.agent.errors import AgentError
from troth.agent.keys.files import generate
from troth.agent.settings import (
    CertificateSettings,
    CommandSettings,
    FileKeySettings,
    OutputSettings,
    ProveCommand,
)
from troth.agent.source import Suggestion
from troth.agent.state import StateDirectory, Window
from troth.client.errors import TRANSPORT, TransportError
from troth.kit.clock import FakeClock

AWAY = TransportError(TRANSPORT, "https://pki.example/: connection refused")
DAY = timedelta(days=1)


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[OutputSettings, ...]:
    (tmp_path / "etc").mkdir()
    return (
        OutputSettings(form="fullchain", path=f"{tmp_path}/etc/web.pem"),
        OutputSettings(form="key", path=f"{tmp_path}/etc/web.key", mode="0640"),
    )


@pytest.fixture
def workshop(tmp_path: Path, clock: FakeClock, outputs: tuple[OutputSettings, ...]) -> Workshop:
    return Workshop(tmp_path, clock, CertificateSettings(names=("www.example.org",), output=outputs))


def program(tmp_path: Path, body: str, name: str = "program") -> tuple[str, ...]:
    """A small program; it may write to ``told`` beside it."""
    place = tmp_path / f"{name}.sh"
    place.write_text(f"#!/bin/sh\ncd {tmp_path}\n{body}\n")
    place.chmod(0o755)
    return (str(place),)


async def test_a_certificate_that_is_not_there_is_obtained_and_installed(workshop: Workshop, tmp_path: Path) -> None:
    look = await workshop.keeper().tend()
    etc = tmp_path / "etc"

    assert (look.meta is not None and look.meta.number, look.attempt, look.record.trouble) == (1, None, None)
    assert fits((etc / "web.pem").read_bytes(), (etc / "web.key").read_bytes())
    assert (etc / "web.key").resolve().stat().st_mode & 0o777 == 0o640
    assert (etc / "web.pem").resolve().stat().st_mode & 0o777 == 0o644
    assert (workshop.current / "key.pem").stat().st_mode & 0o777 == 0o600


async def test_with_nothing_due_nothing_is_done(workshop: Workshop) -> None:
    keeper = workshop.keeper()
    first = await keeper.tend()
    workshop.clock.advance(50 * DAY)
    second = await keeper.tend()

    assert workshop.source.orders == 1
    assert first.renew_at == second.renew_at == datetime(2026, 3, 2, 9, tzinfo=UTC) + 90 * DAY * (0.66 - 0.025)


async def test_it_is_renewed_when_two_thirds_are_over_and_the_one_before_is_kept(
    workshop: Workshop, tmp_path: Path
) -> None:
    keeper = workshop.keeper()
    for _ in range(3):
        look = await keeper.tend()
        assert look.renew_at is not None
        workshop.clock.advance(look.renew_at - workshop.clock.now())

    await keeper.tend()

    assert workshop.source.orders == 4
    kept = [one.name for one in (tmp_path / "state" / "certificates" / "web").glob("0*")]
    assert sorted(kept) == ["000003", "000004"]
    assert len(list((tmp_path / "state" / "keys").iterdir())) == 2, "the keys of what is gone are gone"
    assert workshop.source.asked[1].replaces.startswith("-----BEGIN CERTIFICATE")
    assert workshop.source.asked[0].replaces == ""


async def test_the_servers_window_is_followed_and_a_place_in_it_is_drawn_once(workshop: Workshop) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    start = workshop.clock.now() + 10 * DAY
    workshop.source.suggestion = Suggestion(Window(start, start + 2 * DAY), 7200.0)
    workshop.clock.advance(timedelta(hours=6))
    look = await keeper.tend()
    workshop.chances = 0.9

    assert look.renew_at == start + DAY
    assert look.next == workshop.clock.now() + timedelta(hours=2)
    assert workshop.keeper().look().renew_at == look.renew_at
    workshop.clock.advance(start + DAY - workshop.clock.now())
    await keeper.tend()
    assert workshop.source.orders == 2


async def test_a_window_in_the_past_renews_at_once(workshop: Workshop) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    now = workshop.clock.now()
    workshop.source.suggestion = Suggestion(Window(now - 2 * DAY, now - DAY, "https://pki.example/incident"))
    workshop.clock.advance(timedelta(hours=6))
    await keeper.tend()

    assert workshop.source.orders == 2


async def test_a_key_that_is_to_be_reused_is(workshop: Workshop, tmp_path: Path) -> None:
    settings = CertificateSettings(
        names=("www.example.org",), output=workshop.settings.output, key=FileKeySettings(reuse=True)
    )
    keeper = workshop.keeper(settings)
    await keeper.tend()
    before = (tmp_path / "etc" / "web.key").read_bytes()
    await keeper.renew()

    assert workshop.source.orders == 2
    assert (tmp_path / "etc" / "web.key").read_bytes() == before
    assert fits((tmp_path / "etc" / "web.pem").read_bytes(), before)


# --- failures --------------------------------------------------------------------------------------------------------


async def test_an_authority_that_is_away_is_asked_again_ever_more_rarely_and_without_a_new_order(
    workshop: Workshop,
) -> None:
    keeper = workshop.keeper()
    workshop.source.fail = AWAY
    waits = []
    for _ in range(8):
        look = await keeper.tend()
        assert look.record.trouble is not None
        assert look.record.trouble.code == "client.transport"
        waits.append(look.next - workshop.clock.now())
        workshop.clock.advance(waits[-1] / 2)
        before = len(workshop.source.asked)
        await keeper.tend()
        assert len(workshop.source.asked) == before, "not before its time"
        workshop.clock.advance(waits[-1])
    workshop.source.fail = None
    look = await keeper.tend()

    assert waits == sorted(waits)
    assert waits[-1] <= timedelta(minutes=15)
    assert (workshop.source.orders, look.record.failures, look.record.trouble) == (1, 0, None)


async def test_what_the_server_asks_to_wait_is_waited(workshop: Workshop) -> None:
    busy = TransportError(TRANSPORT, "busy")
    busy.retry_after = 4000.0  # type: ignore[attr-defined]
    workshop.source.fail = busy
    look = await workshop.keeper().tend()

    assert look.next == workshop.clock.now() + timedelta(seconds=4000)


async def test_the_present_certificate_stays_while_the_authority_is_away(workshop: Workshop, tmp_path: Path) -> None:
    keeper = workshop.keeper()
    first = await keeper.tend()
    served = (tmp_path / "etc" / "web.pem").read_bytes()
    workshop.source.fail = AWAY
    assert first.renew_at is not None
    workshop.clock.advance(first.renew_at - workshop.clock.now())
    look = await keeper.tend()

    assert (tmp_path / "etc" / "web.pem").read_bytes() == served
    assert look.attempt is not None
    assert look.record.failures == 1


@pytest.mark.parametrize("wrong", ["another key", "no chain"])
async def test_what_does_not_fit_is_not_installed_and_another_is_ordered_next_time(
    workshop: Workshop, tmp_path: Path, wrong: str
) -> None:
    stranger = generate("p256").public_key()
    foreign = root().issue(stranger, ["www.example.org"], workshop.clock.now())
    workshop.source.issued = foreign if wrong == "another key" else b"\x00\xff"
    look = await workshop.keeper().tend()

    assert look.record.trouble is not None
    assert look.record.trouble.code == "agent.unfit"
    assert look.attempt is not None
    assert look.attempt.bookmark == {}
    assert not (tmp_path / "etc" / "web.pem").exists()
    workshop.source.issued = None
    workshop.clock.advance(timedelta(minutes=5))
    assert (await workshop.keeper().tend()).meta is not None
    assert workshop.source.orders == 2


async def test_of_several_chains_the_one_to_a_trusted_root_is_taken(workshop: Workshop) -> None:
    stranger = Root("another").issue(generate("p256").public_key(), ["www.example.org"], workshop.clock.now())
    workshop.source.alternates = [stranger, b"nothing"]
    assert (await workshop.keeper().tend()).meta is not None


async def test_a_certificate_that_begins_later_by_our_clock_waits_for_the_clock(workshop: Workshop) -> None:
    right = workshop.clock.now()
    workshop.clock.set_wall(right - timedelta(hours=3))
    key = workshop.keeper()
    ahead = FakeClock(right)
    workshop.source.clock = ahead
    look = await key.tend()

    assert look.meta is None
    assert look.record.trouble is not None
    assert "by this machine's clock" in look.record.trouble.detail
    workshop.clock.set_wall(right)
    assert (await workshop.keeper().tend()).meta is not None
    assert workshop.source.orders == 1, "the first order's certificate fits now"


# --- delivery --------------------------------------------------------------------------------------------------------


async def test_the_reload_hook_is_told_what_is_new_and_gets_no_shell_and_no_secrets(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "hush")
    command = (*program(tmp_path, 'env > told; echo "$1" >> told'), "$(id)")
    settings = CertificateSettings(names=("www.example.org", "192.0.2.7"), reload=CommandSettings(command=command))
    look = await workshop.keeper(settings).tend()
    told = (tmp_path / "told").read_text()

    assert look.leaf is not None
    for line in (
        "TROTH_CERTIFICATE=web",
        "TROTH_NAMES=www.example.org 192.0.2.7",
        f"TROTH_DIRECTORY={tmp_path}/state/certificates/web/000001",
        f"TROTH_SERIAL={look.leaf.serial_number:x}",
        "$(id)",
    ):
        assert line in told.splitlines()
    assert "hush" not in told


@pytest.mark.parametrize("failing", ["reload", "prove"])
async def test_a_renewal_that_is_not_served_is_taken_back_and_tried_again_without_a_new_order(
    workshop: Workshop, tmp_path: Path, failing: str
) -> None:
    command = program(tmp_path, "basename $TROTH_DIRECTORY >> told; [ ! -e broken ]")
    quiet = program(tmp_path, "true", "quiet")
    settings = CertificateSettings(
        names=("www.example.org",),
        output=workshop.settings.output,
        reload=CommandSettings(command=command if failing == "reload" else quiet),
        prove=ProveCommand(command=command if failing == "prove" else quiet),
    )
    keeper = workshop.keeper(settings)
    await keeper.tend()
    old = (tmp_path / "etc" / "web.pem").read_bytes()
    (tmp_path / "broken").touch()
    with pytest.raises(AgentError, match=r"agent\.hook_failed.*program\.sh ended with 1") as refused:
        await keeper.renew()
    after = (tmp_path / "etc" / "web.pem").read_bytes()
    look = keeper.look()

    assert refused.value.code == "agent.not_done"
    assert after == old
    assert (look.meta is not None and look.meta.number, look.record.failures) == (1, 1)
    assert look.attempt is not None
    assert look.attempt.phase == "staged"
    (tmp_path / "broken").unlink()
    workshop.clock.advance(timedelta(hours=2))
    look = await workshop.keeper(settings).tend()
    assert (look.meta is not None and look.meta.number, look.attempt) == (2, None)
    assert workshop.source.orders == 2
    told = (tmp_path / "told").read_text().split()
    expected = {"reload": ["000001", "000002", "000001", "000002"], "prove": ["000001", "000002", "000002"]}
    assert told == expected[failing], "the service is told of the old one again"


async def test_the_first_certificate_of_all_stays_even_if_nothing_serves_it_yet(
    workshop: Workshop, tmp_path: Path
) -> None:
    settings = CertificateSettings(
        names=("www.example.org",), output=workshop.settings.output, reload=CommandSettings(command=("/bin/false",))
    )
    look = await workshop.keeper(settings).tend()

    assert (look.meta is not None and look.meta.number, look.record.failures) == (1, 1)
    assert (tmp_path / "etc" / "web.pem").exists()


async def test_a_person_rolls_back_and_nothing_is_renewed_until_the_end_is_near_or_a_person_says_so(
    workshop: Workshop, tmp_path: Path
) -> None:
    keeper = workshop.keeper()
    with pytest.raises(AgentError, match="no certificate before"):
        await keeper.roll_back()
    await keeper.tend()
    first = (tmp_path / "etc" / "web.pem").read_bytes()
    workshop.clock.advance(60 * DAY)
    await keeper.renew()
    look = await keeper.roll_back()

    assert (tmp_path / "etc" / "web.pem").read_bytes() == first
    assert fits(first, (tmp_path / "etc" / "web.key").read_bytes())
    assert look.why.startswith("a person rolled back")
    await workshop.keeper().tend()
    assert workshop.source.orders == 2
    workshop.clock.advance(22 * DAY)
    await workshop.keeper().tend()
    assert workshop.source.orders == 3


# --- the configuration changes ---------------------------------------------------------------------------------------


async def test_other_names_are_another_certificate(workshop: Workshop) -> None:
    await workshop.keeper().tend()
    look = await workshop.keeper(CertificateSettings(names=("www.example.org", "b.example.org"))).tend()

    assert workshop.source.orders == 2
    assert look.leaf is not None
    held = look.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert held.get_values_for_type(x509.DNSName) == ["www.example.org", "b.example.org"]


async def test_an_attempt_for_what_is_not_wanted_any_more_is_dropped(workshop: Workshop) -> None:
    workshop.source.fail = AWAY
    await workshop.keeper().tend()
    workshop.source.fail = None
    workshop.clock.advance(timedelta(hours=1))
    look = await workshop.keeper(CertificateSettings(names=("b.example.org",))).tend()

    assert look.meta is not None
    assert look.meta.wanted.names == ("b.example.org",)


async def test_other_forms_of_the_same_certificate_need_no_order(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.keeper().tend()
    more = (
        OutputSettings(form="pkcs12", path=f"{tmp_path}/etc/web.p12"),
        *workshop.settings.output[::-1],
        OutputSettings(form="bundle", path=f"{tmp_path}/etc/bundle.pem", copy=True),
    )
    look = await workshop.keeper(CertificateSettings(names=("www.example.org",), output=more)).tend()
    etc = tmp_path / "etc"

    assert (workshop.source.orders, look.meta is not None and look.meta.number) == (1, 2)
    assert (etc / "bundle.pem").read_bytes() == (etc / "web.pem").read_bytes() + (etc / "web.key").read_bytes()
    assert not (etc / "bundle.pem").is_symlink()
    assert (etc / "bundle.pem").stat().st_mode & 0o777 == 0o600


async def test_links_and_copies_that_somebody_took_away_are_put_back(workshop: Workshop, tmp_path: Path) -> None:
    copied = OutputSettings(form="chain", path=f"{tmp_path}/etc/chain.pem", copy=True)
    settings = CertificateSettings(names=("www.example.org",), output=(*workshop.settings.output, copied))
    await workshop.keeper(settings).tend()
    for one in (tmp_path / "etc").iterdir():
        one.unlink()
    await workshop.keeper(settings).tend()

    assert sorted(one.name for one in (tmp_path / "etc").iterdir()) == ["chain.pem", "web.key", "web.pem"]


async def test_a_file_that_is_in_the_way_is_not_overwritten(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "etc" / "web.key").write_text("an only key")
    look = await workshop.keeper().tend()

    assert (tmp_path / "etc" / "web.key").read_text() == "an only key"
    assert look.record.trouble is not None
    assert look.record.trouble.code == "agent.in_the_way"


# --- clocks ----------------------------------------------------------------------------------------------------------


async def test_a_clock_that_fell_back_renews_nothing_and_one_that_is_mended_goes_on(workshop: Workshop) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    right = workshop.clock.now()
    workshop.clock.set_wall(datetime(1970, 1, 1, tzinfo=UTC))
    await keeper.tend()
    assert workshop.source.orders == 1
    workshop.clock.set_wall(right + 60 * DAY)
    await keeper.tend()
    assert workshop.source.orders == 2


async def test_a_clock_that_leapt_ahead_installs_nothing_that_has_ended_and_puts_nothing_off_for_years(
    workshop: Workshop, tmp_path: Path
) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    old = (tmp_path / "etc" / "web.pem").read_bytes()
    right = workshop.clock.now()
    workshop.source.clock = FakeClock(right)
    workshop.clock.set_wall(datetime(2060, 1, 1, tzinfo=UTC))
    look = await keeper.tend()

    assert (tmp_path / "etc" / "web.pem").read_bytes() == old
    assert look.record.trouble is not None
    assert "ended" in look.record.trouble.detail
    workshop.clock.set_wall(right + 60 * DAY)
    workshop.source.clock = workshop.clock
    look = await workshop.keeper().tend()
    assert look.attempt is None, "what the wrong clock put off for decades is due now"
    assert look.record.trouble is None


# --- the state -------------------------------------------------------------------------------------------------------


def test_a_second_agent_on_the_same_directory_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(AgentError) as refused:
        StateDirectory(tmp_path / "state")
    assert refused.value.code == "agent.state_busy"
    workshop.state.close()
    StateDirectory(tmp_path / "state").close()


async def test_notes_that_cannot_be_read_are_as_good_as_lost(workshop: Workshop) -> None:
    await workshop.keeper().tend()
    directory = workshop.current.parent
    for name in ("record.json", "attempt.json"):
        (directory / name).write_text("{")
    look = await workshop.keeper().tend()

    assert (look.meta is not None and look.meta.number, workshop.source.orders) == (1, 1)


@pytest.mark.parametrize("damage", [b"", b"\xff", None], ids=["empty", "garbage", "gone"])
async def test_a_generation_that_somebody_damaged_is_replaced(workshop: Workshop, damage: bytes | None) -> None:
    await workshop.keeper().tend()
    leaf = workshop.current / "leaf.pem"
    leaf.unlink() if damage is None else leaf.write_bytes(damage)
    look = await workshop.keeper().tend()

    assert (look.meta is not None and look.meta.number, workshop.source.orders) == (2, 2)


async def test_a_key_that_was_lost_before_its_certificate_was_installed_is_given_up(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = workshop.keeper()
    with monkeypatch.context() as broken:
        broken.setattr(keeper.generations, "stage", lambda *_: (_ for _ in ()).throw(AWAY))
        await keeper.tend()
    for one in (workshop.home / "state" / "keys").iterdir():
        one.unlink()
    workshop.clock.advance(timedelta(hours=1))
    look = await keeper.tend()
    assert look.record.trouble is not None
    assert look.record.trouble.code == "agent.key.missing"
    workshop.clock.advance(timedelta(hours=1))

    assert (await keeper.tend()).meta is not None
