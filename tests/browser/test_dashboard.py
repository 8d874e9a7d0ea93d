"""The dashboard as a person meets it, in Chromium, under its strict content security policy."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.looking import Looker
from tests.integration.web.test_attestations import judged
from tests.integration.web.test_enrolments import an_account
from tests.integration.web.test_found import reported
from tests.support.admissions import heard
from tests.support.dashboard import PASSWORD, House
from tests.unit.radius.admission.world import World
from troth.access.roles import Role
from troth.connect import connector_store
from troth.connect.authz.applications import Wanted
from troth.enroll.acme.attempt_store import ADD_ATTEMPT
from troth.enroll.acme.incident_store import Selector
from troth.enroll.tpm.registry import Registration
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.radius.admission import source_store
from troth.radius.admission.conversations import conversation, encode
from troth.radius.admission.keeping import take
from troth.radius.nas.desk import NasDesk
from troth.radius.nas.loading import NasBook
from troth.radius.nas.sightings import Sightings
from troth.radius.sessions import order_store
from troth.radius.sessions import store as session_store
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Admitted, Ages, Port, Where
from troth.radius.sessions.orders import order_for
from troth.radius.sessions.store import Meant
from troth.store.unit import Unit
from troth.trust.intake.inbox import Inbox, InboxWorker, Spoilt
from troth.trust.intake.reported import Reported
from troth.trust.outbox import store as effect_store
from troth.trust.signals.model import Whom
from troth.web.enrolment_views import EnrolmentCommand

pytestmark = pytest.mark.browser


async def log_in(site: Site, page: Page, role: Role = Role.ADMINISTRATOR, *, name: str = "dora") -> None:
    if not await site.house.access.accounts.any():
        await site.house.account(role, name)
    await page.goto("/login")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()


async def a_place(house: House) -> str:
    """One that not every vendor can be told of; where its page is."""
    await house.apply(
        "places:\n  - {name: quarantine, vlan: 900, acl_rules: [permit udp to any port 53], sgt: 9, "
        "description: until it has healed, redirect_url: 'https://help.example.com/q', redirect_acl: REDIRECT}\n"
    )
    return "/network/places/quarantine?vendor=cisco-ios-xe"


async def a_session(house: House) -> str:
    """Somebody on the network, and an order about it that waits for a person: the path of the session's page."""
    database, clock = house.trust.database, house.trust.clock
    port = Port(mac="02-00-00-00-00-01", calling_station_id="02-00-00-00-00-01", framed_ip="10.20.0.17",
                called_station_id="02-11-22-33-44-55:Corp", acct_session_id="5F3A0001")  # fmt: skip
    one = Admitted(
        b"k" * 16, Where("switches", "sw-1", "192.0.2.1", "192.0.2.1", "sw-1"), port, clock.now(), "corp", "staff",
        "eap-tls", "allow", "policy.allowed", "alice@corp.example", until=clock.now() + timedelta(hours=8),
    )  # fmt: skip
    await heard(database, clock, [one])
    unit = Unit()
    source_store.declare(unit, "Partner Root", "http://crl.partner.example/root.crl", (), every=timedelta(hours=1),
                         at=clock.now())  # fmt: skip
    await database.commit(unit)
    await Folder(database, clock, new_id(), Ages()).drain()
    (session,) = await session_store.meant(database, Meant())
    unit = Unit()
    for number, staged in enumerate((True, False)):
        order_store.plan(
            unit,
            order_for(session, "reauthorize", origin=f"event:{number}", actor="system:policy", automated=True,
                      at=clock.now(), staged=staged, reason="certificate 0a1b is on hold"),
        )  # fmt: skip
    await database.commit(unit)
    return f"/network/sessions/{session.id}"


async def a_network(house: House) -> str:
    """One that leads to two places; where its page is."""
    await house.apply("places: [{name: staff, vlan: 20}, {name: healing, vlan: 900}]")
    await house.apply(
        "networks:\n  - {name: corp, match: {ssids: [Corp]}, authorities: [issuing], profiles: [client-device], "
        "places: {allow: staff, quarantine: healing}, description: the campus}\n"
    )
    return "/network/networks/corp"


async def a_connection(house: House) -> str:
    """Somebody who was quarantined; where the page is."""
    world = World()
    device = world.device(compliant=False)
    made = conversation(
        world.attempt(device, at=house.services.clock.now()), world.decider.decide(world.attempt(device)),
        [(0.0, "the supplicant offers EAP-TLS"), (0.031, "TLS 1.3 is agreed")],
    )  # fmt: skip
    unit = Unit()
    await take(unit, [encode(made)])
    await house.trust.database.commit(unit)
    return f"/network/connections/{made.id}"


async def a_connector(house: House) -> str:
    """One that fails, and what it has said of nobody; where its page is."""
    await house.apply(
        "connectors:\n  - {name: falcon, vendor: crowdstrike, feed: edr, cloud: eu-1, client_id: troth-reader}\n"
    )
    database, clock = house.trust.database, house.services.clock
    whom, unit = Whom(alias=("crowdstrike.aid", "0123456789abcdef0123456789abcdef")), Unit()
    connector_store.failed(
        unit, "falcon", "scores", at=clock.now(), code="connector.scope",
        detail="Zero Trust Assessment: read is missing; GET /zero-trust-assessment/queries/assessments/v1: status 403",
    )  # fmt: skip
    connector_store.pulled(
        unit, "falcon", "alerts", cursor={"since": "2026-11-23T10:00:00+00:00"}, more=False, at=clock.now(),
        latency_ms=312, signals=4_711, facts=0, observed_at=clock.now(),
    )  # fmt: skip
    signal = house.trust.signal("edr.alert", "x", whom=whom, evidence="LsassDump · Credential Access")
    spoilt = [Spoilt("spoilt:1", "connector.answer", "Object missing required field `updated_timestamp`", {"a": 1})]
    reports = [Reported(whom, clock.now())]
    await Inbox(database, clock).accept("edr", [signal], reports=reports, spoilt=spoilt, joined=unit)
    await InboxWorker(database, clock, new_id(), house.trust.desk).run_once()
    return "/connectors/falcon"


async def an_access_server(house: House) -> str:
    """One whose secret is being replaced, and that does not sign; where its page is."""
    await house.apply(
        "nas: [{name: switches, addresses: [10.1.0.0/24], vendor: cisco-ios-xe, site: berlin,"
        " require_message_authenticator: auto}]"
    )
    database, clock, box = house.trust.database, house.services.clock, SecretBox(b"n" * 32, purpose="nas")
    desk, book, sightings = NasDesk(database, clock, box), NasBook(database, box), Sightings(clock)
    await desk.set_secret("switches", actor="admin:alice")
    following = await desk.rotate("switches", actor="admin:alice")
    await book.refresh()
    nas = book.table.entries["switches"]
    sightings.proved(nas, "10.1.0.11", nas.secrets[0] or b"", signed=False)
    sightings.proved(nas, "10.1.0.12", following, signed=True)
    sightings.wrong(nas, "10.1.0.13")
    await sightings.flush(database)
    return "/network/nas/switches"


async def pages_of(site: Site) -> dict[str, str]:
    """Every kind of page, by a short name."""
    house = site.house
    made = await house.fleet(6)
    decision = await house.services.decisions.of_subject(await house.subject("laptop-05"))
    staged = await house.services.staged.list()
    command = EnrolmentCommand(kind="external-account", name="web", suffixes=("shop.example",), vouches=True)
    enrolment = (await house.services.enrolments.create(command, house.admin)).enrolment.id
    account = await an_account(house)
    tpm = Registration("laptop-03", "ab" * 32, "C02ZK0ABCDEF", "id:49465800", "SLB9672")
    await house.services.tpms.registry.register([tpm], actor="admin:alice", joined=Unit())
    await house.services.incidents.start(
        Selector(profile="tls-server"), per_minute=60, note="a weak batch", actor="admin:alice"
    )
    steps = '[{"target":"_acme-challenge.www.example.org","address":null,"result":"0 TXT record(s)"}]'
    unit = Unit().write(
        ADD_ATTEMPT, new_id(), new_id(), account, "www.example.org", "dns-01", "invalid", "acme.validation.dns",
        "there is no TXT record", steps, house.services.clock.now(),
    )  # fmt: skip
    await house.trust.database.commit(unit)
    attestation = await judged(house, device=await house.subject("laptop-03"), attested=False, attributes=0x40070)
    await house.services.standings.exemptions.grant(
        await house.subject("laptop-05"), reason="the surgeon waits", hours=4, proposed_by="admin:ann",
        approved_by=["admin:ben"],
    )  # fmt: skip
    await house.services.applications.add(Wanted("vpn", profile="client-device"), house.admin)
    await house.sign_checkpoint()  # its note is one long line
    return {
        "overview": "/",
        "applications": "/applications",
        "remove-application": "/applications/vpn/remove",
        "try-policy": "/policy/try",
        "standing": "/standing",
        "exempt": f"/subjects/{await house.subject('laptop-03')}/exempt",
        "rollout": "/feeds/edr/shadow",
        "attestations": "/attestations",
        "attestation": f"/attestations/{attestation}",
        "inspect-attestation": "/attestations/inspect",
        "renewals": "/renewals",
        "failed-validations": "/acme/validations",
        "certificates": "/certificates",
        "found": f"/found?host={await reported(house)}",
        "certificate": f"/certificates/{made['laptop-03']}",
        "revoke": f"/certificates/{made['www.example.org']}/revoke",
        "subjects": "/subjects",
        "subject": f"/subjects/{await house.subject('laptop-03')}",
        "tpms": "/tpms",
        "register-tpm": f"/subjects/{await house.subject('laptop-05')}/tpm",
        "forget-tpm": f"/tpms/{'ab' * 32}/remove",
        "events": "/events",
        "staged": "/staged",
        "staged-one": f"/staged/{staged[0].id}",
        "feeds": "/feeds",
        "feed": "/feeds/edr",
        "connector": await a_connector(house),
        "access-server": await an_access_server(house),
        "access-servers": "/network/nas",
        "retire-access-server": "/network/nas/switches/retire",
        "unresolved": "/unresolved",
        "session": await a_session(house),
        "sessions": "/network/sessions",
        "networks": "/network/networks",
        "network": await a_network(house),
        "connections": "/network/connections",
        "connection": await a_connection(house),
        "places": "/network/places",
        "place": await a_place(house),
        "vendor": "/network/vendors/ruckus-icx",
        "policies": "/policies",
        "policy": "/policies/client-device",
        "profiles": "/profiles",
        "profile": "/profiles/client-device?subject=laptop-03&names=laptop-03.corp.example",
        "enrolments": "/enrolments",
        "enrolment": f"/enrolments/{enrolment}",
        "end-enrolment": f"/enrolments/{enrolment}/revoke",
        "acme-accounts": "/acme/accounts",
        "acme-account": f"/acme/accounts/{account}",
        "close-account": f"/acme/accounts/{account}/revoke",
        "authorities": "/authorities",
        "ledger": "/ledger",
        "account": "/account",
        "not-found": "/no-such-page",
        "freeze": "/enforcement/freeze",
        "enforcement": "/enforcement",
        "effect": f"/effects/{(await effect_store.listed(house.trust.database, limit=1))[0].id}",
        "why": f"/decisions/{decision[0].id}",
    }


async def test_every_page_fits_is_accessible_and_makes_no_noise(site: Site) -> None:
    pages, looker = await pages_of(site), Looker()
    page = await site.open()
    await looker.look(page, "setup", "/setup")
    await log_in(site, page)
    for name, path in pages.items():
        await looker.look(page, name, path)
    stranger = await site.open()
    await looker.look(stranger, "login", "/login")
    looker.nothing_is_wrong()
    # The browser itself tells of the page that does not exist; nothing else may be said.
    assert [line for line in site.complaints if "/no-such-page" not in line] == []


async def test_a_certificate_appears_and_changes_state_without_a_reload(site: Site) -> None:
    house = site.house
    page = await site.open()
    await log_in(site, page)
    await page.goto("/certificates")
    await expect(page.locator(".live-mark")).to_have_text("Live")
    await page.evaluate("window.neverReloaded = true")

    certificate_id = await house.issue("live.example.org", "live.example.org")
    row = page.locator(f"#certificate-{certificate_id}")
    await expect(row).to_be_visible()
    await expect(row.locator(".badge")).to_have_text("good")

    await house.services.certificates.hold(certificate_id, house.admin, "")
    await expect(row.locator(".badge")).to_have_text("on hold")
    await house.services.certificates.release(certificate_id, house.admin, "")
    await expect(row.locator(".badge")).to_have_text("good")
    assert await page.evaluate("window.neverReloaded") is True
    assert site.complaints == []


async def test_a_person_holds_and_releases_a_certificate_and_sees_what_it_would_hit_first(site: Site) -> None:
    house = site.house
    certificate_id = await house.issue("shop.example.org", "shop.example.org")
    page = await site.open()
    await log_in(site, page)
    await page.goto(f"/certificates/{certificate_id}")
    await page.get_by_role("link", name="Hold").click()
    await expect(page.get_by_role("heading", name="What this would hit")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("workload shop.example.org, now trusted")
    await page.get_by_label("Note for the ledger").fill("looks odd")
    await page.get_by_role("button", name="Hold it").click()
    await expect(page.locator(".title .badge")).to_have_text("on hold")
    await expect(page.locator("#timeline")).to_contain_text("looks odd")
    await page.get_by_role("link", name="Release").click()
    await page.get_by_role("button", name="Release it").click()
    await expect(page.locator(".title .badge")).to_have_text("good")
    assert site.complaints == []


async def test_search_narrows_the_list_while_typing(site: Site) -> None:
    await site.house.issue("one.example.org", "one.example.org")
    await site.house.issue("two.example.net", "two.example.net")
    page = await site.open()
    await log_in(site, page)
    await page.goto("/certificates")
    await page.locator("#q").press_sequentially("example.net", delay=20)
    await expect(page.locator("#results tbody tr")).to_have_count(1)
    await expect(page.locator("#results")).to_contain_text("two.example.net")
    await expect(page).to_have_url(re.compile(r"q=example\.net"))


async def test_the_first_administrator_is_made_with_the_bootstrap_token(site: Site, tmp_path: Path) -> None:
    token = tmp_path / "admin.token"
    await site.house.access.invitations.ensure_bootstrap(token)
    page = await site.open()
    await page.goto("/")
    await expect(page.get_by_role("heading", name="Make the first administrator")).to_be_visible()
    await page.get_by_label("Set-up token").fill(token.read_text())
    await page.get_by_label("Your name").fill("dora")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("Password again").fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert site.complaints == []


async def test_an_ended_session_closes_the_live_stream(site: Site) -> None:
    page = await site.open()
    await log_in(site, page)
    await expect(page.locator(".live-mark")).to_have_text("Live")
    account = (await site.house.access.accounts.list())[0]
    await site.house.access.accounts.set_state(site.house.admin, account.id, "disabled")
    site.house.trust.clock.advance(site.house.services.session_grace * 2)
    await expect(page.locator(".live-mark")).to_have_text("Session ended: log in again")


async def test_an_empty_installation_says_what_to_do_next(site: Site) -> None:
    page = await site.open()
    await log_in(site, page)
    for path, command in (
        ("/certificates", "troth cert issue tls-server www.example.org --out ."),
        ("/subjects", "troth apply -f devices.yaml"),
        ("/feeds", "troth apply -f feeds.yaml"),
    ):
        await page.goto(path)
        await expect(page.locator(".empty .command code")).to_have_text(command)
