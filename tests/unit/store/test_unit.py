"""What a write unit knows of itself before it is committed."""

from __future__ import annotations

from troth.audit.event import Event
from troth.store.unit import Unit


def test_a_unit_is_urgent_once_something_urgent_is_recorded_in_it_or_in_what_it_takes_over() -> None:
    calm, held = Event("order.created", "acme:a"), Event("certificate.held", "system:trust")
    assert not Unit().record(calm).urgent
    assert Unit().record(held).record(calm).urgent
    assert Unit().record(calm).absorb(Unit().record(held)).attempt().urgent
    assert Unit().record(held).absorb(Unit().record(calm)).urgent
