"""A control group's path: what it says, and what a user could have made it say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.agent.spiffe.cgroups import NOWHERE, Placement, place, read

C = "0123456789abcdef" * 4
POD = "0a1b2c3d-1111-2222-3333-444455556666"
POD_ = POD.replace("-", "_")


@pytest.mark.parametrize(
    ("path", "placement"),
    [
        ("/system.slice/shop.service", Placement(unit="shop.service")),
        ("/system.slice/system-getty.slice/getty@tty1.service", Placement(unit="getty@tty1.service")),
        ("/system.slice/shop.service/worker", Placement(unit="shop.service")),
        (f"/system.slice/docker-{C}.scope", Placement(container=C)),
        (f"/docker/{C}", Placement(container=C)),
        (f"/machine.slice/libpod-{C}.scope/container", Placement(container=C)),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_}.slice/cri-containerd-{C}.scope",
            Placement(container=C, pod=POD),
        ),
        (f"/kubepods.slice/kubepods-pod{POD_}.slice/crio-{C}.scope", Placement(container=C, pod=POD)),
        (f"/kubepods/besteffort/pod{POD}/{C}", Placement(container=C, pod=POD)),
        (f"/kubepods/pod{POD}/{C}/nested/{'f' * 64}", Placement(container=C, pod=POD)),
        (
            f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{POD_}.slice/cri-containerd-{C}.scope",
            Placement(container=C, pod=POD),
        ),
        ("/", NOWHERE),
        ("/init.scope", NOWHERE),
        ("/kubepods.slice", NOWHERE),
        ("/docker", NOWHERE),
        ("/docker/short", NOWHERE),
        # A user's own manager, and what it could call its units.
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service", NOWHERE),
        (f"/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod{POD_}.slice/{C}", NOWHERE),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{C}.scope", NOWHERE),
        # A unit with a subtree of its own is that unit, whatever it builds below.
        (f"/system.slice/evil.service/kubepods.slice/kubepods-pod{POD_}.slice/{C}", Placement(unit="evil.service")),
        ("/system.slice/evil.service/system.slice/shop.service", Placement(unit="evil.service")),
        # A pod that nests another.
        (f"/kubepods/pod{POD}/{C}/kubepods/pod{'f' * 32}/{'e' * 64}", Placement(container=C, pod=POD)),
        # Seen from inside a namespace.
        ("/../system.slice/shop.service", NOWHERE),
        ("/../../kubepods.slice", NOWHERE),
    ],
)
def test_a_path_places(path: str, placement: Placement) -> None:
    assert place(path) == placement


def test_the_unified_hierarchy_counts_and_else_systemds() -> None:
    assert read("0::/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n").unit == "a.service"
    assert read("4:memory:/system.slice/x.service\n1:name=systemd:/system.slice/b.service\n0::/\n").unit == "b.service"
    assert read("0::/system.slice/a.service\n0::/system.slice/b.service\n").unit == "a.service"
    for junk in ("", "0:", "0::", "0::relative/shop.service", "junk\n\n::", "0::/a:b"):
        assert read(junk) == NOWHERE


@given(st.text(max_size=300))
def test_any_text_places_somewhere_or_nowhere(text: str) -> None:
    assert isinstance(read(text), Placement)


@given(st.lists(st.sampled_from(["user.slice", "a.slice", "kubepods.slice", f"pod{POD}", C, "b.service", ".."])))
def test_below_a_users_slice_nothing_is_believed(parts: list[str]) -> None:
    assert place("/user.slice/" + "/".join(parts)) == NOWHERE
