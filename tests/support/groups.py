"""Groups of tests that run in one process, one after the other (``pytest.mark.xdist_group``), made to hold.

pytest-xdist 3.8 writes a test's group into an attribute that pytest 9.2 reads no more, so that ``--dist loadgroup``
spreads groups over all processes. Here the group goes to where pytest looks; once xdist does that itself, this does
nothing.
"""

from __future__ import annotations

import pytest
from _pytest.nodeid import NodeId


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let node ids end in ``@group``, which is what xdist's scheduler goes by."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        suffix = f"@{'_'.join(groups)}"
        if groups and not item.nodeid.endswith(suffix):
            item._id = NodeId.parse(item.nodeid + suffix)
