"""smartcard-logon and domain-controller at MIT's KDC, which asks for usages and reads CRLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.consumers import Bureau
from tests.support.kerberos import FACTS, HOST, Realm, running_realm

pytestmark = pytest.mark.xdist_group("kerberos")


@pytest.mark.parametrize("key", ["rsa2048", "p256"])
def test_smartcard_logon_logs_its_account_on_with_either_kind_of_key(realm: Realm, bureau: Bureau, key: str) -> None:
    accepted, told = realm.log_on(bureau.issue("smartcard-logon", FACTS, key=key))

    assert accepted, told
    assert "PKINIT client matched KDC hostname kdc.mit.test against dNSName SAN" in told


def test_a_revoked_card_logs_nobody_on(realm: Realm) -> None:
    accepted, told = realm.log_on(realm.lost)

    assert not accepted
    assert "Failed to verify received certificate (depth 0): certificate revoked" in told


@pytest.mark.parametrize("profile", ["wifi-user", "vpn", "s-mime"])
def test_other_certificates_of_the_same_person_log_nobody_on(realm: Realm, bureau: Bureau, profile: str) -> None:
    accepted, told = realm.log_on(bureau.issue(profile, FACTS))

    assert not accepted
    assert "Inconsistent key purpose" in told


def test_a_certificate_for_servers_makes_no_kdc(bureau: Bureau, tmp_path: Path) -> None:
    with running_realm(bureau, bureau.issue("tls-server", None, ("dns", HOST)), tmp_path) as posing:
        accepted, told = posing.log_on(bureau.issue("smartcard-logon", FACTS))

    assert not accepted
    assert "PKINIT client found no acceptable EKU in KDC cert" in told
