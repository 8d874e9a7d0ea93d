"""EST as a client (RFC 7030, RFC 8951): authorities, a first certificate, the same one anew.

What is shown in TLS, a client certificate or none, is the transport's; here stand the requests. Nothing is believed of
what comes that TLS has not vouched for: whoever calls gives a transport that trusts explicit roots.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from troth.client.acme_session import retry_after
from troth.client.errors import EST_ANSWER, EST_REFUSED, EST_WAITS, TransportError
from troth.client.transport import HttpAnswer, Transport
from troth.kit.errors import Reason, TrothError

_MOST_CERTIFICATES = 64
_LONGEST_CHAIN = 6
_MOST_CHAINS = 8
#: Signatures that are verified for one leaf: a server could send authorities that all certify one another.
_MOST_STEPS = 256
_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and its password (RFC 7617)."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """For ``Authorization``."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class EstError(TrothError):
    """The server gave no certificate.

    Attributes:
        status: of its answer. server_code: Troth's stable code, from a server of Troth's.
        retry_after: seconds after which to send the same request again; 0 if it did not say.
    """

    def __init__(
        self, reason: Reason, detail: str, *, status: int, server_code: str = "", retry_after: float = 0
    ) -> None:
        super().__init__(reason, detail)
        self.status = status
        self.server_code = server_code
        self.retry_after = retry_after

    @property
    def waits(self) -> bool:
        """Whether the same request may be answered later."""
        return self.reason is EST_WAITS


class EstClient:
    """One server and label.

    Args:
        url: ``https://HOST/.well-known/est`` or ``…/est/LABEL``. Raises TransportError for one that is not https.
        transport: trusts what it should, and shows the client certificate where there is one.
        credential: sent with requests for certificates.
    """

    def __init__(self, url: str, transport: Transport, credential: Credential | None = None) -> None:
        if not url.startswith("https://"):
            raise TransportError(EST_REFUSED, f"{url!r} is no https URL: secrets go there in the clear")
        self._url = url.rstrip("/")
        self._transport = transport
        self._credential = credential

    async def authorities(self) -> list[x509.Certificate]:
        """``cacerts``: what the server says its authorities are. Raises EstError, TransportError."""
        return read_certificates(await self._ask("GET", "cacerts"))

    async def enrol(self, csr: bytes) -> x509.Certificate:
        """``simpleenroll``: a first certificate for a DER request. Raises EstError, TransportError."""
        return await self._certificate("simpleenroll", csr)

    async def renew(self, csr: bytes) -> x509.Certificate:
        """``simplereenroll``: the certificate that the transport shows, anew. Raises EstError, TransportError."""
        return await self._certificate("simplereenroll", csr)

    async def _certificate(self, operation: str, csr: bytes) -> x509.Certificate:
        answer = await self._ask("POST", operation, base64.b64encode(csr) + b"\n")
        key = x509.load_der_x509_csr(csr).public_key()
        # A server should send the certificate alone (4.2.3); some send its chain with it.
        for one in read_certificates(answer):
            if one.public_key() == key:
                return one
        raise EstError(EST_ANSWER, "it holds no certificate for the key that was asked for", status=answer.status)

    async def _ask(self, method: str, operation: str, body: bytes = b"") -> HttpAnswer:
        headers: dict[str, str] = {}
        if body:
            headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
            if self._credential is not None:
                headers["Authorization"] = self._credential.header
        answer = await self._transport.request(method, f"{self._url}/{operation}", body=body, headers=headers)
        if answer.status == 200:
            return answer
        code = answer.header("troth-code") or ""
        waits = answer.status in (202, 429, 503)
        raise EstError(
            EST_WAITS if waits else EST_REFUSED,
            f"{operation}: {answer.status} {code or _first_line(answer)}".strip(),
            status=answer.status,
            server_code=code,
            retry_after=retry_after(answer) if waits else 0.0,
        )


def read_certificates(answer: HttpAnswer) -> list[x509.Certificate]:
    """Those of a certs-only message in base64. Raises EstError."""
    kind = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/pkcs7-mime":
        raise EstError(EST_ANSWER, f"it is {kind[:80]!r} and not application/pkcs7-mime", status=answer.status)
    try:
        data = base64.b64decode(answer.body.translate(None, _SPACE), validate=True)
        with warnings.catch_warnings():
            # Other servers do not sort the set, and the library says so before it reads it.
            warnings.simplefilter("ignore")
            found = load_der_pkcs7_certificates(data)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm) as error:
        raise EstError(EST_ANSWER, "it holds no certificates that can be read", status=answer.status) from error
    if not 0 < len(found) <= _MOST_CERTIFICATES:
        detail = f"it holds {len(found)} certificates; 1 to {_MOST_CERTIFICATES} are read"
        raise EstError(EST_ANSWER, detail, status=answer.status)
    return found


def _first_line(answer: HttpAnswer) -> str:
    text = answer.body[:200].decode("utf-8", "replace").partition("\n")[0]
    return "".join(one for one in text if one.isprintable())


def is_root(certificate: x509.Certificate) -> bool:
    """Whether it signed itself."""
    return certificate.issuer == certificate.subject and _signed(certificate, certificate)


def chains(leaf: x509.Certificate, authorities: Iterable[x509.Certificate]) -> Sequence[tuple[x509.Certificate, ...]]:
    """Every way from ``leaf`` to a root among ``authorities``, the leaf first and the root left out.

    More than one where there are cross-certificates; the shortest first. Empty if nobody there issued it.
    """
    found: list[tuple[x509.Certificate, ...]] = []
    paths: list[tuple[x509.Certificate, ...]] = [(leaf,)]
    issuers: dict[bytes, list[x509.Certificate]] = {}
    for one in authorities:
        issuers.setdefault(one.subject.public_bytes(), []).append(one)
    steps = 0
    while paths and len(found) < _MOST_CHAINS:
        path = paths.pop(0)
        for issuer in issuers.get(path[-1].issuer.public_bytes(), ()):
            steps += 1
            if steps > _MOST_STEPS:
                return found
            if issuer in path or not _signed(path[-1], issuer):
                continue
            if is_root(issuer):
                if path not in found:
                    found.append(path)
            elif len(path) < _LONGEST_CHAIN:
                paths.append((*path, issuer))
    return found


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
