"""What a certificate says of its subject: from the profile's texts and proved facts, and from nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.golden import FACTS
from troth.kit.errors import TrothError
from troth.pki.errors import ProfileRefused
from troth.pki.extremes import SAMPLES, extremes
from troth.pki.names import canonical_names
from troth.pki.profile import Names, Profile, StrongMapping, parse_profile, shipped_profiles
from troth.pki.rendering import Rendered, render

PROFILES = {name: parse_profile(text) for name, text in shipped_profiles().items()}
BASE = PROFILES["wifi-user"]


def _with(**changes: object) -> Profile:
    return msgspec.structs.replace(BASE, **changes)


def _made(kind: str, source: str, **facts: str) -> Rendered:
    return render(_with(san=({kind: source},), subject=()), {f"user.{n}": v for n, v in facts.items()}, ())


NAME = st.sampled_from(sorted(SAMPLES)).flatmap(
    lambda kind: st.sampled_from([*SAMPLES[kind], "evil.example", "evil@evil.example"]).map(lambda one: (kind, one))
)


@given(
    st.sampled_from(sorted(PROFILES)),
    st.lists(NAME, max_size=8),
    st.none() | st.text(min_size=1, max_size=20),
    st.sampled_from(["refuse", "ignore"]),
)
def test_whatever_a_request_holds_its_names_never_widen_what_the_profile_renders(
    name: str, asked: list[tuple[str, str]], common_name: str | None, others: str
) -> None:
    profile = PROFILES[name]
    profile = msgspec.structs.replace(profile, names=msgspec.structs.replace(profile.names, others=others))
    try:
        proved = canonical_names([one for one in asked if not one[1].startswith("evil@") or one[0] != "dns"])
        found = render(profile, FACTS, proved, common_name)
        profile.allow(
            found.names, found.common_name, profile.keys[0],
            subject=found.subject, sid=found.sid, key_assurance="attested",
        )  # fmt: skip
    except TrothError:
        return
    own = render(msgspec.structs.replace(profile, names=Names(others="ignore")), FACTS, ())
    taken = {one for one in proved if one[0] in profile.names.kinds}
    assert set(found.names) <= {*own.names, *taken}
    assert found.sid == own.sid
    if profile.subject:
        assert found.subject == own.subject
    else:
        assert found.subject in ((), (("CN", common_name),))


def test_names_of_a_request_beyond_the_profile_are_refused_and_named() -> None:
    refusing = _with(names=Names(max=0))
    with pytest.raises(ProfileRefused, match=r"dns 'evil\.example'"):
        render(refusing, FACTS, (("dns", "evil.example"),))
    same = (("email", "alice@corp.example"),)
    assert render(refusing, FACTS, same).names == render(refusing, FACTS, ()).names


@pytest.mark.parametrize(
    ("kind", "source", "facts"),
    [
        ("dns", "${user.host}.corp.example", {"host": "*"}),
        ("dns", "${user.host}", {"host": "*.corp.example"}),
        ("dns", "${user.host}.corp.example", {"host": "a/b"}),
        ("email", "${user.name}@corp.example", {"name": "a@evil.example"}),
        ("upn", "${user.name}@corp.example", {"name": "a@evil.example"}),
        ("upn", "${user.name}@corp.example", {"name": "DOMAIN\\a"}),
        ("permanent-identifier", "${user.serial}", {"serial": "1.3.6.1.4.1.9/1"}),
        ("permanent-identifier", "${user.serial}", {"serial": "1.3.6.1.4.1.9999999999999999999999/1"}),
        ("uri", "https://${user.host}/x", {"host": "a.example/y"}),
    ],
)
def test_a_value_cannot_leave_its_place(kind: str, source: str, facts: dict[str, str]) -> None:
    with pytest.raises(ProfileRefused, match="comes out malformed"):
        _made(kind, source, **facts)


def test_a_value_in_a_uri_is_escaped() -> None:
    made = _made("uri", "https://a.example/${user.name}?x", name="../../?admin#")
    assert made.names == (("uri", "https://a.example/..%2F..%2F%3Fadmin%23?x"),)


def test_a_value_cannot_bring_attributes_of_its_own() -> None:
    profile = _with(san=({"directory": ({"CN": "${user.name}"}, {"O": "Example"})},), subject=())
    made = render(profile, {"user.name": "a,O=Evil\\"}, ())
    assert made.names == (("directory", "CN=a\\,O\\=Evil\\\\,O=Example"),)


def test_a_wildcard_stands_only_where_the_profile_writes_it() -> None:
    assert _made("dns", "*.${user.host}.example", host="a").names == (("dns", "*.a.example"),)


def test_strong_mapping_has_three_forms() -> None:
    sid = str(FACTS["user.sid"])
    uri = ("uri", f"tag:microsoft.com,2022-09-14:sid:{sid}")
    for form, extension, named in (("extension", sid, False), ("uri", None, True), ("both", sid, True)):
        profile = _with(strong_mapping=StrongMapping("${user.sid}", form))  # type: ignore[arg-type]
        found = render(profile, FACTS, ())
        assert (found.sid, uri in found.names) == (extension, named)
        profile.allow(found.names, None, "p256", subject=found.subject, sid=found.sid)


@pytest.mark.parametrize("bad", ["S-1", "S-2-5-1", "S-1-5-4294967296", "S-1-5-21-1x", "alice", "S-1-5-01"])
def test_what_is_no_sid_is_refused(bad: str) -> None:
    with pytest.raises(ProfileRefused, match="strong_mapping"):
        render(PROFILES["smartcard-logon"], {**FACTS, "user.sid": bad}, ())


def test_a_missing_fact_refuses_and_is_named() -> None:
    without = {path: value for path, value in FACTS.items() if path != "user.upn"}
    with pytest.raises(ProfileRefused, match=r"user\.upn is not known"):
        render(PROFILES["smartcard-logon"], without, ())
    assert ("email", "alice@corp.example") in render(PROFILES["wifi-user"], without, ()).names


def test_hardware_bound_profiles_take_attested_keys_alone() -> None:
    profile = PROFILES["device-identity"]
    found = render(profile, FACTS, ())
    for assurance in ("unproven", "mdm-asserted"):
        with pytest.raises(ProfileRefused) as caught:
            profile.allow(found.names, None, "p256", subject=found.subject, key_assurance=assurance)  # type: ignore[arg-type]
        assert caught.value.code == "pki.profile.hardware_required"
    profile.allow(found.names, None, "p256", subject=found.subject, key_assurance="attested")


@pytest.mark.parametrize("path", ["a/../b", "", "a//b", "a b", "a?x"])
def test_a_spiffe_id_is_one(path: str) -> None:
    def certify() -> None:
        profile = PROFILES["spiffe-workload"]
        profile.allow(render(profile, {**FACTS, "workload.name": path}, ()).names, None, "p256")

    with pytest.raises(ProfileRefused):
        certify()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_extreme_of_a_shipped_profile_is_one_that_it_allows(name: str) -> None:
    profile = PROFILES[name]
    for one in extremes(profile):
        profile.allow(
            one.names, one.common_name, profile.keys[0], subject=one.subject, sid=one.sid, key_assurance="attested"
        )
