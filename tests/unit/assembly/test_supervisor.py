from __future__ import annotations

import pytest

from troth.assembly.supervisor import web_processes


@pytest.mark.parametrize(("cores", "processes"), [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8), (128, 8)])
def test_the_number_of_web_processes_follows_the_cores(cores: int, processes: int) -> None:
    assert web_processes(cores) == processes
