"""``[survey]`` of the agent's configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

#: Where servers keep their certificates on the distributions that we know.
PATHS = (
    "/etc/ssl", "/etc/pki", "/etc/nginx", "/etc/apache2", "/etc/httpd", "/etc/haproxy", "/etc/letsencrypt/live",
    "/etc/postfix", "/etc/dovecot", "/etc/ldap", "/etc/openldap", "/etc/openvpn", "/etc/ipsec.d", "/etc/swanctl",
    "/etc/strongswan", "/etc/freeradius", "/etc/docker", "/etc/kubernetes/pki", "/var/lib/kubelet/pki",
)  # fmt: skip
#: What they hold are roots that the host trusts, which are told of as trust stores.
EXCLUDE = (
    "/etc/ssl/certs", "/etc/pki/ca-trust", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/java",
    "/etc/pki/tls/cert.pem",
)  # fmt: skip
#: Ports of protocols that begin with TLS. Others are not asked: a greeting in TLS is noise in their logs.
PORTS = (443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 2376, 2379, 2380, 3269, 5061, 5671, 6443, 6514, 8443, 8883,
         9443, 10250)  # fmt: skip

_Port = Annotated[int, Meta(ge=1, le=65535)]


class SurveySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked for, and how often it is told.

    Attributes:
        server: Troth's https listener as the server itself spells it (``listen.public_url``).
        issuer: whose ``trust`` holds for that server; may be left out when there is one.
        certificate: the name of the ``[certificate.NAME]`` that the agent signs with.
        every_minutes: from one report to the next; a tenth of it more or less, by chance.
        paths: directories and files to look into, besides the usual ones; exclude: what not to look into.
        usual_paths: look into :data:`PATHS`.
        listeners: ask the host's own listening sockets on ``ports`` for their certificate.
        posture: tell the host's posture.
    """

    server: Annotated[str, Meta(pattern=r"\Ahttps://[^/\s]+\Z")]
    issuer: str = ""
    certificate: str
    every_minutes: Annotated[int, Meta(ge=5, le=10_080)] = 360
    paths: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    exclude: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    usual_paths: bool = True
    listeners: bool = True
    ports: Annotated[tuple[_Port, ...], Meta(max_length=100)] = PORTS
    posture: bool = True


def contradictions(survey: SurveySettings, issuers: Collection[str], certificates: Collection[str]) -> Iterator[str]:
    """What is wrong with it on any machine, given the issuers and certificates that the file names."""
    if survey.certificate not in certificates:
        yield f"survey.certificate: there is no certificate.{survey.certificate}"
    if survey.issuer and survey.issuer not in issuers:
        yield f"survey.issuer: there is no issuer.{survey.issuer}"
    if not survey.issuer and len(issuers) != 1:
        yield f"survey.issuer: name one of {', '.join(issuers) or 'none that there are'}"
    for path in (*survey.paths, *survey.exclude):
        if not Path(path).is_absolute():
            yield f"survey: {path!r} is no absolute path"
