"""What can be wrong with reactions, targets and effects."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

REACTIONS_INVALID = reason(
    "effect.reactions_invalid",
    "the document of reactions does not hold together",
    fix="Correct the named field and apply the file again; nothing of it was applied.",
    status=422,
)
REACTIONS_CHANGED = reason(
    "effect.reactions_changed",
    "other reactions were applied since this was planned",
    fix="Look at the change again and repeat the request.",
    status=409,
)
EFFECT_UNKNOWN = reason(
    "effect.unknown",
    "there is no such effect",
    fix="List the effects with `troth effect list`.",
    status=404,
)
EFFECT_NOT_OPEN = reason(
    "effect.not_open",
    "this effect is not in a state in which that could be done",
    fix="Only what has ended without success can be tried again, and only what still waits or is dead can be dropped.",
    status=409,
)
TARGET_UNKNOWN = reason(
    "effect.target_unknown",
    "there is no such target in the reactions in force",
    fix="Name it under `targets:` of the reactions and apply them; `troth effect targets` lists what there is.",
    status=404,
)
SECRET_INVALID = reason(
    "effect.secret_invalid",
    "this cannot be the secret of that target",
    fix="See docs/enforcement.md for what each kind of target takes.",
    status=422,
)


class EffectError(TrothError):
    """A request about effects that was refused; nothing was written."""


class ReactionsInvalid(EffectError):
    """A document that was refused; ``facts`` holds the field."""


class ReactionsChanged(EffectError):
    """Somebody applied others meanwhile."""


class EffectUnknown(EffectError):
    """No effect of that id."""


class EffectNotOpen(EffectError):
    """An effect that has ended, or has not."""


class TargetUnknown(EffectError):
    """No target of that name."""


class SecretInvalid(EffectError):
    """A secret that the target's kind cannot use."""
