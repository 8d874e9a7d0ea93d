"""smartcard-logon and domain-controller: Samba's Active Directory logs people on by certificate (Kerberos PKINIT)."""

from __future__ import annotations

import pytest

from tests.support.active_directory import ActiveDirectory
from tests.support.consumers import Bureau

pytestmark = pytest.mark.xdist_group("active-directory")


@pytest.fixture(scope="session")
def alice(active_directory: ActiveDirectory) -> dict[str, str]:
    """What the directory knows of an account that is enabled."""
    return _facts("alice", active_directory.add_user("alice"))


def _facts(name: str, sid: str) -> dict[str, str]:
    return {
        "user.name": name, "user.upn": f"{name}@troth.test", "user.email": f"{name}@troth.test", "user.sid": sid,
        "device.name": "laptop-17",
    }  # fmt: skip


def test_smartcard_logon_logs_its_account_on_and_both_sides_verify_the_other(
    active_directory: ActiveDirectory, bureau: Bureau, alice: dict[str, str]
) -> None:
    accepted, told = active_directory.log_on(bureau.issue("smartcard-logon", alice), "alice")

    assert accepted, told
    assert "PKINIT client verified DH reply" in told
    # The client found what it asks of a KDC in the certificate of profile domain-controller.
    assert "PKINIT client matched KDC hostname dc1.troth.test against dNSName SAN" in told
    assert "PKINIT client found acceptable EKU in KDC cert" in told


def test_smartcard_logon_of_another_account_is_refused(
    active_directory: ActiveDirectory, bureau: Bureau, alice: dict[str, str]
) -> None:
    other = _facts("bob", active_directory.add_user("bob"))

    accepted, told = active_directory.log_on(bureau.issue("smartcard-logon", other), "alice")

    assert not accepted
    assert "Client name mismatch" in told


def test_smartcard_logon_of_a_disabled_account_is_refused(active_directory: ActiveDirectory, bureau: Bureau) -> None:
    gone = _facts("gone", active_directory.add_user("gone"))
    credential = bureau.issue("smartcard-logon", gone)
    assert active_directory.log_on(credential, "gone")[0]

    active_directory.disable("gone")
    accepted, told = active_directory.log_on(credential, "gone")

    assert not accepted
    assert "revoked" in told


@pytest.mark.parametrize("profile", ["wifi-user", "vpn", "s-mime"])
def test_other_certificates_of_the_same_person_log_nobody_on(
    active_directory: ActiveDirectory, bureau: Bureau, alice: dict[str, str], profile: str
) -> None:
    # A KDC is content with clientAuth and a UPN. So what keeps these out is that they have no UPN.
    accepted, told = active_directory.log_on(bureau.issue(profile, alice), "alice")

    assert not accepted
    assert "Client name mismatch" in told


def test_the_key_of_the_open_issuing_authority_logs_nobody_on(
    active_directory: ActiveDirectory, bureau: Bureau, alice: dict[str, str]
) -> None:
    genuine = bureau.issue("smartcard-logon", alice)

    accepted, told = active_directory.log_on(bureau.forge(genuine, "issuing"), "alice")

    assert not accepted
    assert "PKINIT: failed to verify signature: Failed to find issuer" in told
