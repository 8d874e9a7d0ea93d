"""The ACME door: one directory for each name in the configuration, on the hot lane.

``door`` opens and answers; ``account_routes``, ``order_routes`` and ``certificate_routes`` each do one kind of thing.
Here they are put together, with what needs no signature: the directory itself and the nonces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_bytes
from typing import Any
from uuid import UUID

import msgspec

from troth.client.jose import b64url_encode
from troth.enroll.acme.account_routes import AccountRoutes
from troth.enroll.acme.accounts import AccountDesk
from troth.enroll.acme.attesting import AttestationDesk
from troth.enroll.acme.certificate_routes import CertificateRoutes
from troth.enroll.acme.chaos import Chaos
from troth.enroll.acme.direct import Direct
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.door import CORS, JSON, NO_STORE, Envelope, Secrets
from troth.enroll.acme.finalize import Finalizer
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.lately import Lately
from troth.enroll.acme.model import DNS_PERSIST_01
from troth.enroll.acme.nonce import NonceMap
from troth.enroll.acme.order_routes import OrderRoutes
from troth.enroll.acme.orders import OrderDesk
from troth.enroll.acme.preauthorization import PATH as NEW_AUTHZ
from troth.enroll.acme.preauthorization import PreAuthorizationRoutes, PreAuthorizations
from troth.enroll.acme.preflight import with_preflight
from troth.enroll.acme.renewal import Renewals
from troth.enroll.acme.renewal_routes import PATH, RenewalRoutes
from troth.enroll.acme.results import Results
from troth.enroll.acme.revoke import RevocationDesk
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.urls import Urls
from troth.enroll.acme.validate.dns_persist01 import hash_prefix, issuers_offered
from troth.kit.lane import Request, Response, Route
from troth.pki.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Desks:
    """Who does the work behind the door."""

    accounts: AccountDesk
    orders: OrderDesk
    finalizer: Finalizer
    revocations: RevocationDesk
    results: Results
    store: AcmeStore
    catalogue: Catalogue
    renewals: Renewals
    attesting: AttestationDesk
    preauthorizations: PreAuthorizations
    preferred_chain: str = ""
    direct: Direct | None = None
    lately: Lately | None = None


class AcmeDoor:
    """Routes of all directories.

    Args:
        base: the public URL, ``https://host:port`` without a slash at the end.
        directories: by name; a path that names none is answered 404.
        meta: further members of every directory's ``meta`` (``termsOfService``, ``website``).
        chaos: test mode.
        secrets: of enrolments; see :class:`~troth.enroll.acme.door.Envelope`.
    """

    def __init__(
        self,
        base: str,
        directories: Mapping[str, Directory],
        desks: Desks,
        nonces: NonceMap,
        keys: AccountKeys,
        *,
        meta: Mapping[str, str] | None = None,
        secrets: Secrets | None = None,
        chaos: Chaos | None = None,
    ) -> None:
        chaos = chaos or Chaos()
        envelope = Envelope(
            base,
            directories,
            desks.store,
            chaos.nonces(nonces),
            keys,
            secrets=secrets,
            random_paths=chaos.random_paths,
            lately=desks.lately,
        )
        self._envelope = envelope
        self._catalogue = desks.catalogue
        self._meta = dict(meta or {})
        self._parts = (
            AccountRoutes(envelope, desks.accounts, desks.orders),
            OrderRoutes(
                envelope,
                desks.orders,
                desks.finalizer,
                desks.results,
                desks.store,
                desks.catalogue,
                desks.attesting,
                desks.direct,
                chaos,
            ),
            CertificateRoutes(envelope, desks.revocations, desks.catalogue, desks.store, desks.preferred_chain),
            RenewalRoutes(envelope, desks.renewals),
            PreAuthorizationRoutes(envelope, desks.preauthorizations),
        )
        self.refusal = envelope.refusal
        self.failed = envelope.failed

    def routes(self) -> list[Route]:
        """All routes."""
        return with_preflight(
            [
                *self._envelope.get_or_post("directory", self._directory),
                *self._envelope.get_or_post("new-nonce", self._new_nonce),
                *(route for part in self._parts for route in part.routes()),
            ]
        )

    async def _directory(
        self, _request: Request, urls: Urls, directory: Directory, _params: tuple[str, ...]
    ) -> Response:
        at = urls.at
        if self._envelope.random_paths and not urls.secret:
            nobody_knows = b64url_encode(token_bytes(6))
            at = msgspec.structs.replace(urls, root=urls.at(f"t/{nobody_knows}")).at
        value: dict[str, Any] = {
            "newNonce": at("new-nonce"),
            "newAccount": at("new-account"),
            "newOrder": at("new-order"),
            "revokeCert": at("revoke-cert"),
            "keyChange": at("key-change"),
            "renewalInfo": at(PATH),
            "meta": {
                **self._meta,
                **_meta_of(directory, urls.account_uri(_ANY)),
                "profiles": directory.offered(self._catalogue),
            },
        }
        if directory.pre_authorization:
            value["newAuthz"] = at(NEW_AUTHZ)
        if directory.requires == "external-account" and not urls.secret:
            value["meta"]["externalAccountRequired"] = True
        if self._envelope.random_paths:
            value[b64url_encode(token_bytes(6))] = "a member that no client knows, to be passed over"
        return Response(200, msgspec.json.encode(value), (JSON, NO_STORE, *CORS))

    async def _new_nonce(
        self, request: Request, _urls: Urls, _directory: Directory, _params: tuple[str, ...]
    ) -> Response:
        # HEAD has 200 and GET 204 (RFC 8555, 7.2).
        status = 200 if request.method == "HEAD" else 204
        return Response(status, b"", (NO_STORE, *self._envelope.common(request)))


#: Stands for any account where only what is before it counts.
_ANY = UUID(int=0)


def _meta_of(directory: Directory, open_account: str) -> dict[str, object]:
    """What ``meta`` says of one directory, beside its profiles. ``open_account``: URL of any account in it."""
    meta: dict[str, object] = {}
    if directory.issuers:
        meta["caaIdentities"] = list(directory.issuers)
    if directory.issuers and DNS_PERSIST_01 in directory.challenges:
        # Of the open root: a secret belongs in no zone, not even hashed with what else is known.
        meta["issuerDomainNames"] = list(issuers_offered(directory.issuers))
        meta["accountHashPrefix"] = hash_prefix(open_account)
    if directory.subdomains:
        meta["subdomainAuthAllowed"] = True
    return meta
