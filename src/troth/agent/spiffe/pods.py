"""What Kubernetes knows of a pod, by its uid: namespace, service account, name, labels.

From the node's own kubelet (``GET /pods``, by a service account with ``nodes/proxy``), or from a file that somebody
keeps. A pod that is not in the list is looked for once more, since a pod may have started a moment ago; one that is
not there has no Kubernetes selectors, and so fits no rule that asks for one.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Protocol

import msgspec

from troth.agent import disk
from troth.agent.errors import AgentError
from troth.agent.spiffe.errors import PODS
from troth.agent.spiffe.settings import KubernetesSettings
from troth.client.errors import TransportError
from troth.client.transport import Transport
from troth.kit.clock import Clock

#: A list is taken again for this long, unless a pod is missing from it.
KEPT_SECONDS = 30.0
#: The kubelet is not asked more often than this, however many strangers call.
_PAUSE_SECONDS = 1.0
_MAX_LABELS = 200


class _Metadata(msgspec.Struct):
    uid: str
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = {}


class _Spec(msgspec.Struct, rename="camel"):
    service_account_name: str = ""
    node_name: str = ""


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _PodList(msgspec.Struct):
    items: list[_Pod] | None = None


class PodList(Protocol):
    """Where the list comes from."""

    async def read(self) -> bytes:
        """A PodList as JSON. Raises AgentError."""
        ...


class FilePods:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes:
        found = disk.read(self._path)
        if found is None:
            raise AgentError(PODS, f"there is no file {self._path}")
        return found


class KubeletPods:
    """The kubelet of this node."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._url = f"{settings.kubelet}/pods"
        self._token = Path(settings.token_file) if settings.token_file else None
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        self._transport = Transport(context, timeout=5.0, user_agent="troth-agent")

    async def read(self) -> bytes:
        headers = {}
        if self._token is not None:
            token = disk.read(self._token) or b""
            headers["Authorization"] = f"Bearer {token.decode('ascii', 'replace').strip()}"
        try:
            answer = await self._transport.request("GET", self._url, headers=headers)
        except TransportError as error:
            raise AgentError(PODS, error.detail) from error
        if answer.status != 200:
            raise AgentError(PODS, f"{self._url}: status {answer.status}")
        return answer.body


class Pods:
    """Selectors of pods, from a list that is kept for half a minute."""

    def __init__(self, source: PodList, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._known: dict[str, frozenset[str]] = {}
        self._read_at = float("-inf")

    async def selectors(self, uid: str) -> frozenset[str]:
        """``k8s:…`` of the pod with this uid; none if nobody knows it. Raises AgentError when the list is not had."""
        age = self._clock.monotonic() - self._read_at
        if age >= KEPT_SECONDS or (uid not in self._known and age >= _PAUSE_SECONDS):
            self._read_at = self._clock.monotonic()
            self._known = read(await self._source.read())
        return self._known.get(uid, frozenset())


def read(data: bytes) -> dict[str, frozenset[str]]:
    """Pod uid → selectors. Raises AgentError for what is no PodList."""
    try:
        pods = msgspec.json.decode(data, type=_PodList).items or ()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AgentError(PODS, f"no PodList: {str(error)[:200]}") from error
    return {pod.metadata.uid: _selectors(pod) for pod in pods}


def _selectors(pod: _Pod) -> frozenset[str]:
    about, spec = pod.metadata, pod.spec
    said = {
        "ns": about.namespace, "pod-name": about.name, "sa": spec.service_account_name, "node-name": spec.node_name,
    }  # fmt: skip
    labels = [f"k8s:pod-label:{name}:{value}" for name, value in list(about.labels.items())[:_MAX_LABELS]]
    return frozenset([*(f"k8s:{name}:{value}" for name, value in said.items() if value), *labels])


def pods_of(settings: KubernetesSettings | None, clock: Clock) -> Pods | None:
    """What the configuration names."""
    if settings is None:
        return None
    source: PodList = FilePods(Path(settings.pods_file)) if settings.pods_file else KubeletPods(settings)
    return Pods(source, clock)
