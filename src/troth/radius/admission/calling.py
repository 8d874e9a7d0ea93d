"""What people are told when the admission breaker opens: in the ledger, and wherever the network's ``notify`` says."""

from __future__ import annotations

from datetime import datetime, timedelta

from troth.audit.event import Event
from troth.kit.errors import registered_reasons
from troth.radius.admission.breaker import Opened
from troth.radius.admission.model import Network
from troth.store.unit import Unit
from troth.trust.outbox import alarms
from troth.trust.outbox.model import Alarm

_ACTOR = "system:radius"


def call(opened: Opened, network: Network | None, *, seconds: int, at: datetime) -> Unit:
    """The unit that says so, to be committed.

    Each worker's breaker is its own, and each says so in the ledger; people are called once an hour for a reason.
    ``network``: as it is now; None: it is gone, and nobody is called. ``seconds``: for which the last word is taken.
    """
    unit = Unit().record(
        Event(
            "network.breaker_opened", _ACTOR, (f"network:{opened.network}",),
            {"network": opened.network, "reason": opened.reason, "refused": opened.refused, "asked": opened.asked,
             "seconds": seconds},
        )
    )  # fmt: skip
    rule = network.breaker if network is not None else None
    if rule is not None and rule.notify:
        alarms.call(
            unit, _alarm(opened, at + timedelta(seconds=seconds)), rule.notify, kind="network", name=opened.network,
            key=opened.reason, actor=_ACTOR, at=at,
        )  # fmt: skip
    return unit


def _alarm(opened: Opened, until: datetime) -> Alarm:
    known, ends = registered_reasons().get(opened.reason), until.isoformat(timespec="seconds")
    means = f" ({known.summary})" if known is not None else ""
    return Alarm(
        "network.breaker_opened",
        f"network {opened.network}: {opened.refused} of {opened.asked} devices would newly be refused",
        (
            f"On the network {opened.network}, {opened.refused} of {opened.asked} devices that were let in before "
            f"would newly be refused for {opened.reason}{means}.",
            f"Until {ends} they get what feed_down of their policy says, or the last word but no better than restrict.",
            f"Its page, Network, has what was refused. If the refusals are right: troth network breaker "
            f"{opened.network} --off.",
        ),
        {"network": opened.network, "reason": opened.reason, "refused": str(opened.refused),
         "asked": str(opened.asked), "until": ends},
    )  # fmt: skip
