"""A report from the host to Troth's tables, and what the service does when nobody takes it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.test_spiffe import held, installed
from tests.support.workloads import BASE, Workloads
from tests.unit.agent.survey.test_formats import DER, pem
from troth.agent.config import parse
from troth.agent.errors import AgentError
from troth.agent.services import Host, build_services
from troth.agent.survey.service import SurveyService
from troth.web.books.found import Found, FoundFilter

CONFIG = f"""
[issuer.troth]
directory = "{BASE}/acme/mutual-tls/directory"
[certificate.node]
names = ["node-1.corp.example"]
[survey]
server = "{BASE}"
certificate = "node"
usual_paths = false
posture = false
paths = ["PATH"]
"""


def service(workloads: Workloads, path: Path, directories: dict[str, Path]) -> SurveyService:
    transport = workloads.transport()
    config = parse(CONFIG.replace("PATH", str(path)))
    clock = workloads.mint.clock
    host = Host(config, clock, lambda name: path / name, lambda: directories, held(directories), lambda _: transport)
    (made,) = build_services(host)
    assert isinstance(made, SurveyService)
    return made


async def test_what_lies_on_a_host_is_in_troths_tables(workloads: Workloads, tmp_path: Path) -> None:
    directories = {"node": installed(workloads, tmp_path / "node")}
    (tmp_path / "web.pem").write_bytes(pem(DER))
    made = service(workloads, tmp_path, directories)
    stop = asyncio.Event()
    running = asyncio.create_task(made.run(stop))
    while made.status()["sent_at"] is None:
        assert not running.done()
        await asyncio.sleep(0.02)
    stop.set()
    await running
    book = Found(workloads.mint.database, workloads.mint.clock)
    found = {Path(one.place).name: one for one in (await book.search(FoundFilter())).items}
    assert (found["web.pem"].certificate_id, found["web.pem"].host) == (None, "node-1")
    assert found["leaf.pem"].certificate_id is not None
    assert found["leaf.pem"].has_key is False  # key.pem stands beside cert.pem and fullchain.pem only
    (host,) = await book.hosts()
    assert host.agent.startswith("troth-agent ")


async def test_a_refused_report_waits_for_the_next_and_a_lost_one_is_tried_again(
    workloads: Workloads, tmp_path: Path
) -> None:
    made = service(workloads, tmp_path, {})
    assert await made.report() is False
    assert "no certificate node yet" in str(made.status()["trouble"])
    directories = {"node": installed(workloads, tmp_path / "node")}
    made = service(workloads, tmp_path, directories)

    async def nonsense(_: Any) -> dict[str, Any]:
        return {"certificates": [], "facts": []}

    made._look = nonsense
    assert await made.report() is True
    assert "inventory.report" in str(made.status()["trouble"])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('certificate = "node"', 'certificate = "other"', r"no certificate\.other"),
        ("[survey]", '[survey]\nissuer = "other"', r"no issuer\.other"),
        ('"PATH"', '"relative"', "absolute"),
        ("usual_paths", "unusual_paths", "unusual_paths"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(AgentError, match=told):
        parse(CONFIG.replace(old, new, 1).replace("PATH", "/etc/ssl"))
