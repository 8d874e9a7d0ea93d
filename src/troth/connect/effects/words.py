"""A change of standing as people are told of it, by mail and in chat rooms: short, and without what is only for us."""

from __future__ import annotations

from collections.abc import Mapping

from troth.trust.outbox.model import Effect, EffectSubject

_MEANS = {
    "trusted": "It is trusted again; nothing is asked of anybody.",
    "restricted": "It gets shorter certificates and the restricted network.",
    "quarantined": "Its certificates are on hold, and it gets the quarantine network until the cause is cleared.",
    "distrusted": "Its certificates are no longer good, and it is let in nowhere.",
}
_OUTCOMES = {"allow": "allowed", "restrict": "allowed, restricted", "quarantine": "quarantine only", "deny": "denied"}
_LONGEST = 300


def title(effect: Effect) -> str:
    """One line."""
    notice = effect.notice
    if notice.alarm is not None:
        return plain(notice.alarm.title)
    if notice.decision:
        return plain(f"{notice.kind} {notice.name}: {_OUTCOMES.get(notice.decision['outcome'], 'decided')}")
    return plain(f"{notice.kind} {notice.name} is {notice.after}")


def lines(effect: Effect, subject: EffectSubject) -> list[str]:
    """The whole of it, a line each."""
    notice = effect.notice
    if notice.alarm is not None:
        often = "once" if notice.alarm.once else "once an hour"
        told = f"Effect {effect.id}, {effect.accepted_at.isoformat(timespec='seconds')}. It is told {often}."
        return [*map(plain, notice.alarm.lines), told]
    if notice.decision:
        return _decided(effect, notice.decision)
    found = [plain(f"The {notice.kind} {notice.name} went from {notice.before} to {notice.after}.")]
    if subject.owner is not None:
        found.append(plain(f"It belongs to {subject.owner.kind} {subject.owner.name}."))
    found.append(_MEANS.get(notice.after, ""))
    found += [
        plain(f"{cause.get('feed', '')} says {cause.get('cause', '')} ({cause.get('level', '')}).")
        for cause in notice.causes
    ]
    found += [
        f"Signal accepted {effect.accepted_at.isoformat(timespec='seconds')}.",
        f"Subject {effect.subject_id}, standing version {notice.version}, effect {effect.id}.",
    ]
    return [line for line in found if line]


def _decided(effect: Effect, decision: Mapping[str, str]) -> list[str]:
    notice = effect.notice
    by = f"rule {decision['rule']} of policy {decision['policy']}" if decision["rule"] else "no rule"
    outcome = _OUTCOMES.get(decision["outcome"], "decided")
    return [
        plain(f"The {notice.kind} {notice.name} asked to {decision['moment']} ({decision['asked']}): {outcome}."),
        plain(f"By {by}; reason {decision['reason']}."),
        f"Decision {decision['id']}, {effect.accepted_at.isoformat(timespec='seconds')}. It is told once an hour.",
    ]


def plain(text: str) -> str:
    """One line of printable characters: names come from directories and feeds, and are believed in nothing."""
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
