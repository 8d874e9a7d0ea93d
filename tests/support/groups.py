"""Which tests run in one process, one after the other (``--dist loadgroup``), and what begins first.

A group is what ``pytest.mark.xdist_group`` says; beyond that, a whole Troth is owned by one process, which ends it
after the last test that uses it, and what a module's fixtures make is made in one process too. Long groups begin first:
one that began last would leave the other processes idle for as long as it takes.

pytest-xdist 3.8 writes a test's group into an attribute that pytest 9.2 reads no more, so that ``--dist loadgroup``
spreads groups over all processes. Here the group goes to where pytest looks; once xdist does that itself, that part
does nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from _pytest.fixtures import FixtureDef
from _pytest.nodeid import NodeId

#: Session fixtures that run on at some cost until they are ended, and the group of the tests that use them.
_OWNED = {
    "troth": "troth",
    "ruin": "chaos-processes",
    "active_directory": "active-directory",
    "realm": "kerberos",
}
#: The longest first, as measured; then the other groups, then the rooms whose single tests are long.
_LONGEST = ("troth", "chaos-processes", "chaos-calls", "recovery", "active-directory", "radius")
_LONG_ROOMS = ("tests/chaos/", "tests/browser/", "tests/clients/", "tests/consumers/", "tests/integration/")
#: For each owned fixture, how many tests of this process may still ask for it.
_left = pytest.StashKey[Counter[str]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests, and let node ids end in ``@group``, which is what xdist's scheduler goes by."""
    config.stash[_left] = Counter(name for item in items for name in _owned(item))
    if not getattr(config.option, "loadgroup", False):
        return
    group = {item: _group(item) for item in items}
    items.sort(key=lambda item: _turn(item, group[item]))
    for item in items:
        suffix = f"@{group[item]}"
        if group[item] and not item.nodeid.endswith(suffix):
            item._id = NodeId.parse(item.nodeid + suffix)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End what nobody will ask for any more; its price until the end of the session would be paid by all others."""
    yield
    left = item.config.stash[_left]
    for name in _owned(item):
        left[name] -= 1
        if left[name] == 0:
            definition = _definitions(item)[name]
            definition.finish(item._request)  # type: ignore[attr-defined]


def _definitions(item: pytest.Item) -> dict[str, FixtureDef[object]]:
    """The fixtures behind ``item``, those that it does not name itself included."""
    if not isinstance(item, pytest.Function):
        return {}
    return {name: found[-1] for name, found in item._fixtureinfo.name2fixturedefs.items() if found}


def _owned(item: pytest.Item) -> list[str]:
    """The owned fixtures that ``item`` uses. One of that name with a narrower scope is somebody's own."""
    return [name for name, one in _definitions(item).items() if name in _OWNED and one.scope == "session"]


def _group(item: pytest.Item) -> str:
    if owned := _owned(item):
        return _OWNED[owned[0]]
    if marked := sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")}):
        return "_".join(marked)
    made = [name for name, one in _definitions(item).items() if one.scope in ("module", "class")]
    if any(name not in item.session._fixturemanager._getautousenames(item) for name in made):
        return item.nodeid.partition("::")[0].removesuffix(".py").replace("/", ".")
    return ""


def _turn(item: pytest.Item, group: str) -> int:
    if group in _LONGEST:
        return _LONGEST.index(group)
    rooms = [place for place, room in enumerate(_LONG_ROOMS) if item.nodeid.startswith(room)]
    return len(_LONGEST) + (0 if group and rooms else rooms[0] + 1 if rooms else len(_LONG_ROOMS) + 1)
