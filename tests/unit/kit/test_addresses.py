"""An address in another dress is what it leads to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from troth.kit.addresses import closed_as, readings


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::",
        "2001:0:c000:201::5601:5601",  # Teredo
        "::169.254.169.254", "::ffff:0:169.254.169.254",
        "64:ff9b:1::169.254.169.254", "64:ff9b:1:7::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:12a9:fe:a9fe::", "64:ff9b:1:1234:a9:fea9:fe00:0",
        "2001:db8::5efe:169.254.169.254", "2001:db8::200:5efe:169.254.169.254",
    ],
)  # fmt: skip
def test_a_metadata_service_is_closed_in_every_dress(text: str) -> None:
    assert "a metadata service" in [what for one in readings(ip_address(text)) for what in closed_as(one)]


@pytest.mark.parametrize(
    ("text", "led_to"),
    [
        ("192.0.2.7", []), ("::1", []), ("2001:db8::1", []), ("fd00::a:1", []),
        ("64:ff9b:1::10.1.2.3", ["10.1.2.3"]), ("64:ff9b::10.1.2.3", ["10.1.2.3"]), ("::10.1.2.3", ["10.1.2.3"]),
    ],
)  # fmt: skip
def test_what_leads_to_an_open_place_stays_open(text: str, led_to: list[str]) -> None:
    found = readings(ip_address(text))
    assert [str(one) for one in found[1:]] == led_to
    assert not [what for one in found for what in closed_as(one)]
