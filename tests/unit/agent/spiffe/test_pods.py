"""What Kubernetes says of a pod, from a file and from a kubelet that works, fails or lies."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.agent.errors import AgentError
from troth.agent.spiffe.pods import FilePods, KubeletPods, Pods, pods_of, read
from troth.agent.spiffe.settings import KubernetesSettings
from troth.client.transport import HttpAnswer, Transport
from troth.kit.clock import FakeClock

POD = {
    "metadata": {"uid": "u-1", "name": "shop-1", "namespace": "prod", "labels": {"app": "shop", "empty": ""}},
    "spec": {"serviceAccountName": "shop", "nodeName": "node-1", "containers": []},
}


def listed(*pods: object) -> bytes:
    return msgspec.json.encode({"kind": "PodList", "items": list(pods)})


class Counted:
    def __init__(self) -> None:
        self.data = listed()
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return self.data


def test_a_pod_is_described() -> None:
    assert read(listed(POD)) == {
        "u-1": {
            "k8s:ns:prod", "k8s:pod-name:shop-1", "k8s:sa:shop", "k8s:node-name:node-1", "k8s:pod-label:app:shop",
            "k8s:pod-label:empty:",
        }
    }  # fmt: skip
    assert read(listed({"metadata": {"uid": "bare"}})) == {"bare": frozenset()}
    assert read(b'{"items": null}') == {}


@given(st.binary(max_size=200) | st.from_regex(r'\{"items": ?\[\{"metadata":.{0,40}\}\]\}').map(str.encode))
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with contextlib.suppress(AgentError):
        assert isinstance(read(data), dict)


async def test_the_list_is_kept_but_a_new_pod_is_looked_for(clock: FakeClock) -> None:
    source = Counted()
    pods = Pods(source, clock)
    assert await pods.selectors("u-1") == frozenset()
    source.data = listed(POD)
    assert await pods.selectors("u-1") == frozenset()  # not asked twice in a moment
    clock.advance(timedelta(seconds=1))
    assert "k8s:sa:shop" in await pods.selectors("u-1")
    clock.advance(timedelta(seconds=20))
    await pods.selectors("u-1")
    assert source.reads == 2
    source.data = listed()
    clock.advance(timedelta(seconds=10))
    assert await pods.selectors("u-1") == frozenset()  # it is gone


async def test_a_file_holds_the_list(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "pods.json"
    pods = pods_of(KubernetesSettings(pods_file=str(path)), clock)
    assert pods is not None
    with pytest.raises(AgentError, match="no file"):
        await FilePods(path).read()
    path.write_bytes(listed(POD))
    assert "k8s:ns:prod" in await pods.selectors("u-1")
    assert pods_of(None, clock) is None


async def test_a_kubelet_is_asked_with_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    source = KubeletPods(KubernetesSettings(kubelet="https://127.0.0.1:1", token_file=str(token)))
    asked: list[object] = []
    status = [200, 403]

    async def request(self: Transport, method: str, url: str, **more: object) -> HttpAnswer:
        asked.append((method, url, more["headers"]))
        return HttpAnswer(status.pop(0), {}, listed(POD), url)

    with pytest.raises(AgentError, match=r"agent\.spiffe\.pods"):
        await source.read()  # nobody is there
    monkeypatch.setattr(Transport, "request", request)
    assert await source.read() == listed(POD)
    assert asked == [("GET", "https://127.0.0.1:1/pods", {"Authorization": "Bearer secret"})]
    with pytest.raises(AgentError, match="403"):
        await source.read()
