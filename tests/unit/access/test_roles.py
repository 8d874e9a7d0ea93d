from __future__ import annotations

from troth.access.model import Principal
from troth.access.roles import ROLE_WORDS, ROLES, Permission, Role


def test_every_role_is_in_the_table_and_described() -> None:
    assert set(ROLES) == set(Role) == set(ROLE_WORDS)


def test_the_administrator_may_everything_and_nobody_else_manages_access_or_policies() -> None:
    assert ROLES[Role.ADMINISTRATOR] == frozenset(Permission)
    for role in set(Role) - {Role.ADMINISTRATOR}:
        assert not ROLES[role] & {Permission.ACCESS_MANAGE, Permission.POLICY_WRITE, Permission.FEED_WRITE}


def test_the_auditor_changes_nothing() -> None:
    changing = {one for one in Permission if not one.value.endswith((".read", ".export", ".own"))}
    assert not ROLES[Role.AUDITOR] & changing


def test_a_principal_has_exactly_the_permissions_of_its_role() -> None:
    for role in Role:
        who = Principal("x", role, "admin:x", None, "socket")
        assert {one for one in Permission if who.may(one)} == ROLES[role]
