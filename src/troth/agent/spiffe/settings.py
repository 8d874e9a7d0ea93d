"""``[spiffe]`` of the agent's configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

#: What a selector may look like: the families that :mod:`troth.agent.spiffe.caller` and ``pods`` know.
SELECTOR = (
    r"\A(unix:(uid|gid):[0-9]{1,10}|unix:(user|group|path):.{1,400}|systemd:unit:.{1,250}|container:id:[0-9a-f]{64}|"
    r"k8s:(pod-uid|ns|sa|pod-name|node-name):.{1,253}|k8s:pod-label:.{1,317}:.{0,63})\Z"
)


class WorkloadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One workload: a process that shows all of ``selectors`` is it.

    Attributes:
        name: in Troth's directory.
        lifetime_seconds: ask for no longer; 0 leaves it to the server.
    """

    name: Annotated[str, Meta(min_length=1, max_length=253)]
    selectors: Annotated[tuple[Annotated[str, Meta(pattern=SELECTOR)], ...], Meta(min_length=1, max_length=32)]
    lifetime_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 0


class KubernetesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who knows the pods of this node.

    Attributes:
        kubelet: ``https://127.0.0.1:10250``; token_file: a service account's token, read each time; ca_file: PEM of
            the authority of the kubelet's certificate.
        pods_file: a PodList as JSON, in place of a kubelet.
    """

    kubelet: Annotated[str, Meta(pattern=r"\A(https://[^/\s]+)?\Z")] = ""
    token_file: str = ""
    ca_file: str = ""
    pods_file: str = ""


class SpiffeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Workload API.

    Attributes:
        server: Troth's https listener as the server itself spells it (``listen.public_url``).
        issuer: whose ``trust`` holds for that server; may be left out when there is one.
        certificate: the name of the ``[certificate.NAME]`` that the agent signs with.
        socket: what workloads are told as ``SPIFFE_ENDPOINT_SOCKET=unix://…``.
        mode: of the socket; who may connect is nobody's secret, who gets what is decided by the peer.
        poll_seconds: how often the server is asked whether what is handed out is still in force.
    """

    server: Annotated[str, Meta(pattern=r"\Ahttps://[^/\s]+\Z")]
    issuer: str = ""
    certificate: str
    socket: Annotated[str, Meta(pattern=r"\A/.+")] = "/run/troth-agent/workload.sock"
    mode: Literal["0666", "0660", "0600"] = "0666"
    poll_seconds: Annotated[int, Meta(ge=1, le=3600)] = 10
    workload: Annotated[tuple[WorkloadSettings, ...], Meta(max_length=200)] = ()
    kubernetes: KubernetesSettings | None = None


def contradictions(spiffe: SpiffeSettings, issuers: Collection[str], certificates: Collection[str]) -> Iterator[str]:
    """What is wrong with it on any machine, given the issuers and certificates that the file names."""
    if spiffe.certificate not in certificates:
        yield f"spiffe.certificate: there is no certificate.{spiffe.certificate}"
    if spiffe.issuer and spiffe.issuer not in issuers:
        yield f"spiffe.issuer: there is no issuer.{spiffe.issuer}"
    if not spiffe.issuer and len(issuers) != 1:
        yield f"spiffe.issuer: name one of {', '.join(issuers) or 'none that there are'}"
    names = [one.name for one in spiffe.workload]
    if len(set(names)) != len(names):
        yield "spiffe.workload: a name stands there twice"
    for one in spiffe.workload:
        if all(selector.startswith("unix:path:") for selector in one.selectors):
            # Whoever runs a program chooses the libraries it loads (LD_PRELOAD), and what it does with its key.
            yield f"spiffe.workload: {one.name}: anybody may run a program; beside its path name its uid or unit"
    kubernetes = spiffe.kubernetes
    if kubernetes is not None and bool(kubernetes.kubelet) == bool(kubernetes.pods_file):
        yield "spiffe.kubernetes: give one of kubelet and pods_file"
    asks = any(selector.startswith("k8s:") for one in spiffe.workload for selector in one.selectors)
    if asks and kubernetes is None:
        yield "spiffe.workload: selectors of Kubernetes need [spiffe.kubernetes]"


def troubles(spiffe: SpiffeSettings) -> Iterator[str]:
    """What is wrong with it on this machine, now."""
    if find_spec("h2") is None:
        yield "spiffe: the extra is not installed: pip install 'troth[spiffe]'"
    kubernetes = spiffe.kubernetes or KubernetesSettings()
    for path in filter(None, (kubernetes.token_file, kubernetes.ca_file, kubernetes.pods_file)):
        if not Path(path).is_file():
            yield f"spiffe.kubernetes: there is no file {path}"
