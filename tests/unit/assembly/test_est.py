"""EST's labels as they are configured."""

from __future__ import annotations

import pytest

from troth.assembly.errors import EST_DEFAULT, AssemblyError
from troth.assembly.est import labels_of
from troth.kit.est_settings import EstLabel, EstSettings


def test_labels_are_as_the_configuration_has_them_and_none_where_est_is_off() -> None:
    found = labels_of(EstSettings())
    assert {name: one.profile for name, one in found.items()} == {name: name for name in found}
    assert "mutual-tls" in found
    assert all(one.bootstrap == "off" and not one.adopt and not one.server_keygen for one in found.values())
    assert labels_of(EstSettings(enabled=False)) == {}
    own = EstLabel(profile="wifi-device", bootstrap="device", from_profiles=("mutual-tls",), channel_binding="require")
    label = labels_of(EstSettings(default="wifi", labels={"wifi": own}))["wifi"]
    assert (label.name, label.profile, label.bootstrap) == ("wifi", "wifi-device", "device")
    assert (label.from_profiles, label.channel_binding) == (frozenset({"mutual-tls"}), "require")


def test_a_default_that_is_not_there_is_refused_before_anything_is_served() -> None:
    with pytest.raises(AssemblyError) as refused:
        labels_of(EstSettings(default="nowhere"))
    assert refused.value.reason is EST_DEFAULT
    assert "mutual-tls" in refused.value.detail
