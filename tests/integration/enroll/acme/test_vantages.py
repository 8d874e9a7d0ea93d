"""Vantage points with resolvers and addresses of their own, against real servers; and the only networks allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dns import DnsServer
from tests.support.webroot import ChallengeWebRoot
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.enroll.acme.validate.validator import build_validating, quick_validating
from troth.kit.acme_settings import AcmeSettings, AcmeVantage

TOKEN = "tok_en-0123456789abcdef"
CHALLENGE = Challenge("http-01", Identifier("dns", "a.test"), TOKEN, f"{TOKEN}.{'A' * 43}")


@pytest.fixture
def poisoned(applicant_servers: tuple[ChallengeWebRoot, DnsServer]) -> DnsServer:
    """Another DNS server, which somebody tells other things than the first."""
    server = DnsServer()
    server.start()
    server.set_a("a.test", "127.0.0.1")
    return server


async def test_an_answer_that_one_resolver_alone_gives_is_not_enough(
    applicant_servers: tuple[ChallengeWebRoot, DnsServer], poisoned: DnsServer
) -> None:
    web_root, dns = applicant_servers
    try:
        settings = AcmeSettings(
            http_port=web_root.port, resolver=dns.address, timeout_seconds=5, quorum=1,
            vantages={"far": AcmeVantage(resolver=poisoned.address, source_address="127.0.0.2")},
        )  # fmt: skip
        web_root.tokens[TOKEN] = CHALLENGE.key_authorization
        seen = await build_validating(settings, own_listeners=()).validate(CHALLENGE)
        assert isinstance(seen, Valid), seen
        assert any(one.target.startswith("far: ") for one in seen.record)
        poisoned.set_a("a.test", "127.0.0.9")
        seen = await build_validating(settings, own_listeners=()).validate(CHALLENGE)
        assert isinstance(seen, Invalid)
        assert seen.problem.reason.code == "acme.validation.quorum"
    finally:
        poisoned.stop()


async def test_a_standing_record_that_one_resolver_alone_tells_of_is_not_enough(
    applicant_servers: tuple[ChallengeWebRoot, DnsServer], poisoned: DnsServer
) -> None:
    """It is found while the order is placed, and needs as many vantage points as what is validated later."""
    _, dns = applicant_servers
    settings = AcmeSettings(
        resolver=dns.address, timeout_seconds=5, quorum=1, vantages={"far": AcmeVantage(resolver=poisoned.address)}
    )
    asked = Challenge(
        "dns-persist-01", Identifier("dns", "a.test"), "", "", account_uri="https://ca/acct/1", issuers=("ca.test",)
    )
    try:
        for server in (dns, poisoned):
            server.set_txt("_validation-persist.a.test", "ca.test; accounturi=https://ca/acct/1")
        assert isinstance(await quick_validating(settings).validate(asked), Valid)
        poisoned.set_txt("_validation-persist.a.test", "ca.test; accounturi=https://ca/acct/2")
        seen = await quick_validating(settings).validate(asked)
        assert isinstance(seen, Invalid)
        assert seen.problem.reason.code == "acme.validation.quorum"
    finally:
        poisoned.stop()


async def test_nothing_outside_the_allowed_networks_is_connected_to(
    applicant_servers: tuple[ChallengeWebRoot, DnsServer], tmp_path: Path
) -> None:
    web_root, dns = applicant_servers
    web_root.tokens[TOKEN] = CHALLENGE.key_authorization
    for networks, reason in ((("127.0.0.0/8",), None), (("10.0.0.0/8", "fd00::/8"), "acme.validation.target")):
        settings = AcmeSettings(
            http_port=web_root.port, resolver=dns.address, timeout_seconds=5, allowed_networks=networks
        )
        seen = await build_validating(settings, own_listeners=()).validate(CHALLENGE)
        assert (seen.problem.reason.code if isinstance(seen, Invalid) else None) == reason
