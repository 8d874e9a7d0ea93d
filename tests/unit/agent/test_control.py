"""What a person asks of the running agent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.agent.control import Control, ask
from troth.agent.errors import CONTROL, UNKNOWN_NAME, AgentError
from troth.kit.errors import TrothError


async def answer(do: str, name: str) -> object:
    if name == "none":
        raise AgentError(UNKNOWN_NAME, "there is no certificate.none")
    return {"did": do, "to": name}


async def test_an_answer_a_refusal_and_nobody(tmp_path: Path) -> None:
    # Longer than a socket's address may be.
    place = tmp_path / ("d" * 100) / "control"
    place.parent.mkdir()
    assert await ask(place, "status") is None
    async with Control(place, answer):
        assert place.stat().st_mode & 0o777 == 0o600
        assert await ask(place, "renew", "web") == {"did": "renew", "to": "web"}
        with pytest.raises(TrothError, match=r"no certificate\.none") as refused:
            await ask(place, "renew", "none")
        assert refused.value.reason is UNKNOWN_NAME
        with pytest.raises(TrothError, match="Invalid enum") as refused:
            await ask(place, "explode")
        assert refused.value.reason is CONTROL
    assert not place.exists()
    assert await ask(place, "status") is None


async def test_the_socket_of_a_killed_agent_is_taken_over(tmp_path: Path) -> None:
    place = tmp_path / "control"
    killed = Control(place, answer)
    await killed.__aenter__()
    assert killed._server is not None
    killed._server.close()
    assert await ask(place, "status") is None
    async with Control(place, answer):
        assert await ask(place, "status") == {"did": "status", "to": ""}


async def test_where_no_directory_is_nobody_answers_and_nobody_can_listen(tmp_path: Path) -> None:
    assert await ask(tmp_path / "none" / "control", "status") is None
    with pytest.raises(AgentError, match="none"):
        await Control(tmp_path / "none" / "control", answer).__aenter__()


async def test_what_is_no_agent_is_told(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), tmp_path / "control")
    with pytest.raises(AgentError) as refused:
        await ask(tmp_path / "control", "status")
    assert refused.value.reason is CONTROL
    server.close()


@given(st.binary(max_size=120) | st.builds(lambda do, name: f'{{"do":"{do}","name":"{name}"}}'.encode(),
                                           st.sampled_from(["renew", "x"]), st.text(max_size=9)))  # fmt: skip
def test_any_line_is_answered(line: bytes) -> None:
    told = asyncio.run(Control(Path("control"), answer)._reply(line))
    assert (told.ok is None) == bool(told.code)
