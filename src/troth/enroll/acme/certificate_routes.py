"""Certificates over HTTP: fetched with their chains, and revoked (RFC 8555, sections 7.4.2 and 7.6)."""

from __future__ import annotations

from troth.enroll.acme import errors
from troth.enroll.acme.door import NO_STORE, Case, Envelope, identifier_of
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.revoke import RevocationDesk
from troth.enroll.acme.store import AcmeStore
from troth.kit.lane import Response, Route
from troth.pki.catalogue import Catalogue
from troth.pki.cross import preferred
from troth.pki.pem import pem_chain


class CertificateRoutes:
    """The certificate, its alternates, revokeCert."""

    def __init__(
        self,
        envelope: Envelope,
        revocations: RevocationDesk,
        catalogue: Catalogue,
        store: AcmeStore,
        preferred_chain: str = "",
    ) -> None:
        self._envelope = envelope
        self._revocations = revocations
        self._catalogue = catalogue
        self._store = store
        self._preferred_chain = preferred_chain

    def routes(self) -> list[Route]:
        """Their routes."""
        post, look, lately = self._envelope.post, self._store.account_and_ordered, self._envelope.lately
        loan = None if lately is None else lately.for_certificate
        return [
            *post("cert/{}", self._certificate, look=look, loan=loan),
            *post("cert/{}/{}", self._certificate, look=look),
            *post("revoke-cert", self._revoke, "either"),
        ]

    async def _certificate(self, case: Case) -> Response:
        account, ordered = case.account, case.found
        if ordered is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such certificate")
        if ordered.orderer != account.id:
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the certificate belongs to another account")
        certificate_id = identifier_of(case.params[0])
        chains = preferred(self._catalogue.chains(ordered.authority), self._preferred_chain)
        wanted = case.params[1] if len(case.params) > 1 else "0"
        if not wanted.isascii() or not wanted.isdecimal() or len(wanted) > 2 or int(wanted) >= len(chains):
            raise AcmeProblem(errors.NOT_FOUND, "there is no such chain")
        place = int(wanted)
        # RFC 8555, 7.4.2: the other chains of the same certificate.
        urls = case.urls
        others = tuple(
            (b"link", f'<{urls.certificate(certificate_id, one)}>;rel="alternate"'.encode())
            for one in range(len(chains))
            if one != place
        )
        kind = (b"content-type", b"application/pem-certificate-chain")
        headers = (kind, NO_STORE, *others, *self._envelope.common(case.request))
        return Response(200, pem_chain([ordered.der, *chains[place]]), headers)

    async def _revoke(self, case: Case) -> Response:
        await self._revocations.revoke(case.signed.account, case.signed.key, case.signed.json())
        return Response(200, b"", (NO_STORE, *self._envelope.common(case.request)))
