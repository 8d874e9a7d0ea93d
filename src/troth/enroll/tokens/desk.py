"""The exchange: verify, map by rule, and in one unit use the token up, make the credential and write the evidence."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from troth.enroll.credentials.errors import EnrolmentRefused
from troth.enroll.credentials.model import Enrolment, NameRules, Wanted
from troth.enroll.credentials.service import Enrolments, Made
from troth.enroll.tokens import clouds, store
from troth.enroll.tokens.errors import TOKEN_CLAIM, TOKEN_ISSUER, TOKEN_NO_RULE, TOKEN_USED, TokenRefused
from troth.enroll.tokens.jwt import Token
from troth.enroll.tokens.keys import Fetches, KeySet
from troth.enroll.tokens.model import Proof
from troth.enroll.tokens.rules import Allowed, allowed
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.token_settings import AwsIssuer, AzureIssuer, OidcIssuer, TokenSettings
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.model import Kind
from troth.trust.subjects.store import SubjectStore

log = get_logger("enroll")


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a token became."""

    made: Made
    allowed: Allowed


class TokenDesk:
    """See the module."""

    def __init__(
        self, database: Database, clock: Clock, enrolments: Enrolments, settings: TokenSettings, http: Fetches
    ) -> None:
        self._clock = clock
        self._enrolments = enrolments
        self._settings = settings
        self._subjects = SubjectStore(database)
        self._skew = timedelta(seconds=settings.skew_seconds)
        self._keys = {
            name: KeySet(http, clock, issuer=one.issuer, url=one.jwks_url, file=one.jwks_file)
            for name, one in settings.issuers.items()
            if isinstance(one, OidcIssuer)
        }

    async def exchange(self, issuer: str, text: str) -> Exchanged:
        """A credential for the token ``text`` of the configured ``issuer``. Raises TokenRefused."""
        settings = self._settings.issuers.get(issuer)
        if settings is None:
            raise TokenRefused(TOKEN_ISSUER, "no issuer is configured under this name")
        proof = await self._proof(issuer, settings, text)
        try:
            found = allowed(proof, settings.rules)
        except TokenRefused:
            log.info("token.no_rule", issuer=issuer, subject=proof.subject[:200], claims=sorted(proof.claims)[:40])
            raise
        device = await self._device(found.device)
        used = TokenRefused(TOKEN_USED)
        now = self._clock.now()
        digest = hashlib.sha256(issuer.encode() + b"\0" + proof.digest).digest()

        def joining(enrolment: Enrolment) -> Unit:
            unit = Unit().claim(store.USE, digest, proof.until, refuse=used).write(store.FORGET, now)
            row = store.evidence_row(enrolment.id, issuer, proof.subject[:500], found.claims, now)
            return unit.write(store.EVIDENCE, *row)

        wanted = Wanted(
            kind="external-account",
            name=f"{issuer}: {proof.subject}"[:100] if proof.subject.isprintable() else issuer,
            seconds=self._settings.credential_seconds,
            directories=found.directories,
            profiles=found.profiles,
            rules=NameRules(names=found.names),
            vouches=True,
            device_id=device,
            most_accounts=1,
        )
        try:
            made = await self._enrolments.create(wanted, by=f"token:{issuer}", joining=joining)
        except EnrolmentRefused as refusal:
            # What the rule makes is no enrolment: a name that is none, no names at all.
            raise TokenRefused(TOKEN_NO_RULE, f"rule {found.rule}: {refusal.detail}") from refusal
        log.info("token.exchanged", issuer=issuer, rule=found.rule, enrolment=str(made.enrolment.id))
        return Exchanged(made, found)

    async def _proof(self, name: str, settings: OidcIssuer | AwsIssuer | AzureIssuer, text: str) -> Proof:
        now, max_age = self._clock.now(), timedelta(seconds=settings.max_age_seconds)
        if isinstance(settings, OidcIssuer):
            token = Token.parse(text)
            token.verify(await self._keys[name].find(token.key_id), settings.algorithms)
            until = token.check(
                issuer=settings.issuer, audience=settings.audience, now=now, skew=self._skew, max_age=max_age
            )
            subject = token.claims.get("sub")
            if not isinstance(subject, str) or not subject:
                raise TokenRefused(TOKEN_CLAIM, "sub is missing")
            jti = token.claims.get("jti")
            once = jti.encode() if isinstance(jti, str) and jti else token.signing_input
            return Proof(subject, token.claims, hashlib.sha256(once).digest(), until)
        if isinstance(settings, AwsIssuer):
            pinned = await asyncio.to_thread(clouds.certificates_in, settings.certificates_file)
            return clouds.aws(text, pinned, settings.accounts, now=now, max_age=max_age, skew=self._skew)
        known = await asyncio.to_thread(clouds.certificates_in, settings.roots_file)
        return clouds.azure(
            text, known, settings.host, settings.subscriptions, now=now, max_age=max_age, skew=self._skew
        )

    async def _device(self, name: str) -> UUID | None:
        if not name:
            return None
        found = await self._subjects.find(Kind.DEVICE, name)
        if found is None:
            raise TokenRefused(TOKEN_NO_RULE, f"no device of the directory is called {name[:100]!r}")
        return found.id
