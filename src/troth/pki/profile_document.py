"""A profile's YAML: a small safe subset, read into a record and checked.

No aliases (one can unfold without bound), no tags, no doubled keys (the second would silently win), bounded size and
depth: profiles are also sent by people over the API.
"""

from __future__ import annotations

import msgspec

from troth.kit.strict_yaml import YamlRefused, load_yaml
from troth.pki.errors import PROFILE_MALFORMED, ProfileRefused
from troth.pki.profile import Profile
from troth.pki.profile_rules import check

MAX_BYTES = 65_536
_MAX_DEPTH = 8


def read_profile(text: str) -> Profile:
    """A profile from YAML. Raises ProfileRefused with the field that is wrong."""
    try:
        profile = msgspec.convert(load_yaml(text, max_bytes=MAX_BYTES, max_depth=_MAX_DEPTH), Profile)
    except (YamlRefused, msgspec.ValidationError) as error:
        raise ProfileRefused(PROFILE_MALFORMED, str(error).splitlines()[0][:300]) from error
    check(profile)
    return profile
