"""What `troth status` says of the network: names that lead nowhere, lists that end, a late renewal."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.web.test_networks import NETWORKS, PLACES
from tests.support.dashboard import House
from tests.unit.radius.admission.partner import ANCHOR, crl
from troth.access.roles import Role
from troth.pki.anchors import add_anchor
from troth.radius.admission import source_store
from troth.radius.identity.store import ADD
from troth.radius.server.steering import Way
from troth.store.unit import Unit

NAS = "nas: [{name: aps, addresses: [10.1.0.0/24], networks: [corp, gone]}]"
PROXIES = "proxies: [{name: nps, realms: [corp.test], servers: [{address: '10.0.0.5:1812'}]}]"


async def _words(house: House) -> dict[str, tuple[str, str]]:
    return {one.name: (one.state, one.detail) for one in (await house.services.health.check()).checks}


async def test_what_a_network_leads_to_is_applied_first_whatever_its_place_in_the_file(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    handed = "networks: [{name: old, match: {nas: [aps]}, proxy: nps}]"
    parts = [handed, NETWORKS, PROXIES, NAS, PLACES]
    applied = await browser.post("/api/v1/apply", content="\n---\n".join(parts))
    assert applied.status_code == 200, applied.text
    in_use = await browser.delete("/api/v1/network/proxies/nps")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "proxy.in_use")


async def test_names_that_lead_nowhere_are_refused_or_told(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    for wrong, field in (
        ("networks: [{name: old, match: {nas: [gone]}, proxy: nps}]", "match.nas"),
        ("networks: [{name: old, match: {ssids: [Old]}, proxy: gone}]", "proxy"),
        (PROXIES.replace("realms: [corp.test]", "foreign: true, place: gone"), "place"),
    ):
        refused = await browser.post("/api/v1/apply", content=wrong)
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    await house.apply(PROXIES)
    await house.apply(NAS)
    await house.apply("networks: [{name: old, match: {nas: [aps]}, proxy: nps}]")
    assert (await browser.post("/api/v1/network/nas/aps/retire", json={"note": "sold"})).status_code == 200
    assert (await _words(house))["Networks"] == ("warn", "old is matched by aps, which is not there")
    await house.apply(NAS)
    state, words = (await _words(house))["Access servers"]
    assert (state, "aps may ask for corp, gone, which is not there" in words) == ("warn", True)


async def test_a_foreign_list_that_is_missing_or_ends_is_told(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    now = house.trust.clock.now()
    await house.trust.database.commit(add_anchor(Unit(), replace(ANCHOR, added_at=now)))
    await house.apply(PLACES)
    await house.apply(
        "networks: [{name: partners, match: {ssids: [Partners]}, anchors: [Partner Root], places: {allow: staff},"
        " foreign: {policy: client-device, identity: [upn], kind: user, as: guest}}]"
    )
    assert (await _words(house))["Networks"] == ("warn", "Partner Root: no revocation list, see `troth network crls`")
    der = crl(5, begins=now - timedelta(hours=1), ends=now + timedelta(days=7))
    handed = {"anchor": "Partner Root", "crl": base64.b64encode(der).decode()}
    assert (await browser.post("/api/v1/network/crls", json=handed)).status_code == 200
    assert (await _words(house))["Networks"] == ("ok", "1 networks, no breaker open")
    unit = Unit()
    source_store.declare(unit, "Partner Root", "http://x/y.crl", (), every=timedelta(hours=1), at=now)
    await house.trust.database.commit(unit)
    source = await source_store.claim(house.trust.database, now=now, until=now)
    assert source is not None
    for _ in range(3):
        unit = Unit()
        source_store.failed(unit, source, "answered 404", due=now)
        await house.trust.database.commit(unit)
    assert "cannot be fetched, see `troth network crl-sources`" in (await _words(house))["Networks"][1]
    unit = Unit()
    source_store.forget(unit, [("Partner Root", "http://x/y.crl")])
    await house.trust.database.commit(unit)
    house.trust.clock.advance(timedelta(days=6, hours=13))
    assert (await _words(house))["Networks"] == (
        "warn", "Partner Root: a revocation list has ended or ends within hours, see `troth network crls`",
    )  # fmt: skip


async def test_a_radius_certificate_that_is_renewed_late_is_told_before_it_ends(house: House) -> None:
    certificate = await house.trust.certificate(await house.trust.subject("laptop-31"))
    leaf = x509.load_der_x509_certificate((await house.trust.row(certificate)).der)
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    chain = leaf.public_bytes(Encoding.PEM).decode()
    await house.trust.database.commit(
        Unit().write(ADD, certificate, "radius.corp.test", "issuing", "key-1", chain, begins, ends)
    )
    until = f"radius.corp.test until {ends:%Y-%m-%d %H:%M} UTC"
    assert (await _words(house))["RADIUS certificate"] == ("ok", until)
    house.trust.clock.advance(begins + (ends - begins) * 2 / 3 + timedelta(days=1, minutes=1) - house.trust.clock.now())
    assert (await _words(house))["RADIUS certificate"] == (
        "warn", f"{until}: its renewal is late, see the worker's log",
    )  # fmt: skip


async def test_how_packets_find_their_worker_on_this_machine_is_told(house: House, tmp_path: Path) -> None:
    assert "RADIUS workers" not in await _words(house)
    Way(4).tell(tmp_path / "radius-steering.json")
    assert (await _words(house))["RADIUS workers"] == (
        "ok", "4 on this machine; the kernel gives each packet to the worker that has its conversation",
    )  # fmt: skip
    Way(4, "Protocol not available").tell(tmp_path / "radius-steering.json")
    state, words = (await _words(house))["RADIUS workers"]
    assert (state, words.endswith("does not steer them: Protocol not available")) == ("ok", True)
