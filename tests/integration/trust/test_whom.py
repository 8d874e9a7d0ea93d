"""Whom a signal is about: ids, names, what other systems call a subject, certificates; strong keys and weak ones."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography import x509

from tests.support.signals import Trust
from troth.store.unit import Unit
from troth.trust.signals import alias_store, signal_store
from troth.trust.signals.alias_store import Alias, bind_alias
from troth.trust.signals.model import Method, Verified, Whom
from troth.trust.standing import Standing


async def bind(trust: Trust, system: str, value: str, subject: UUID, *, confidence: int = 100) -> None:
    unit = Unit()
    bind_alias(unit, Alias(system, value, subject, "test", confidence, trust.clock.now()))
    await trust.database.commit(unit)


async def ids(trust: Trust, whom: Whom) -> tuple[UUID, ...]:
    return (await alias_store.resolve(trust.database, whom)).ids


async def test_what_another_system_calls_a_subject_leads_to_it_whatever_the_case(trust: Trust) -> None:
    laptop = await trust.subject()
    await bind(trust, "entra.device", "5F0C-AB", laptop)
    assert await ids(trust, Whom(alias=("entra.device", "5f0c-ab"))) == (laptop,)
    assert await ids(trust, Whom(alias=("entra.user", "5f0c-ab"))) == ()


async def test_subjects_of_an_issuer_are_compared_to_the_letter(trust: Trust) -> None:
    user = await trust.subject("ada", kind="user")
    await bind(trust, "iss_sub", "https://idp.example|Ab1", user)
    assert await ids(trust, Whom(alias=("iss_sub", "https://idp.example|Ab1"))) == (user,)
    assert await ids(trust, Whom(alias=("iss_sub", "https://idp.example|ab1"))) == ()


async def test_an_alias_of_two_subjects_is_ambiguous_and_never_guessed(trust: Trust) -> None:
    await trust.feed()
    one, other = await trust.subjects(2)
    await bind(trust, "crowdstrike.aid", "aid-1", one)
    await bind(trust, "crowdstrike.aid", "aid-1", other)
    receipt = await trust.take("edr.intrusion", one, whom=Whom(alias=("crowdstrike.aid", "aid-1")))
    assert receipt.effects == ("subject.ambiguous",)
    assert await trust.standing(one) is Standing.TRUSTED


async def test_mail_addresses_and_principal_names_are_found_in_the_directory(trust: Trust) -> None:
    user = await trust.subject("ada", kind="user")
    await trust.database.fetchval(
        """UPDATE subject SET attributes = '{"email": "Ada@Corp.example", "upn": "ada@corp"}' WHERE id = $1""", user
    )
    assert await ids(trust, Whom(alias=("email", "ada@corp.EXAMPLE"))) == (user,)
    assert await ids(trust, Whom(alias=("upn", "ada@corp"))) == (user,)


async def test_a_certificate_leads_to_whom_it_speaks_for_and_not_to_its_owner(trust: Trust) -> None:
    laptop, user = await trust.subject(), await trust.subject("ada", kind="user")
    row = await trust.row(await trust.certificate(laptop, owner=user))
    assert row.der is not None
    issuer = x509.load_der_x509_certificate(row.der).issuer.rfc4514_string()
    serial = row.serial.hex()
    assert await ids(trust, Whom(certificate=(issuer, serial))) == (laptop,)
    assert await ids(trust, Whom(certificate=(issuer, serial.upper()))) == (laptop,)
    assert await ids(trust, Whom(certificate=("CN=Somebody else", serial))) == ()
    assert await ids(trust, Whom(certificate=("no name", serial))) == ()
    assert await ids(trust, Whom(certificate_sha256=hashlib.sha256(row.der).hexdigest())) == (laptop,)
    assert await ids(trust, Whom(certificate_sha256="00" * 32)) == ()


@pytest.mark.parametrize(
    "whom",
    [
        Whom(device_serial="C02XYZ"),
        Whom(alias=("serial", "C02XYZ")),
        Whom(alias=("hostname", "laptop-1")),
        Whom(alias=("mac", "00:11:22:33:44:55")),
        Whom(alias=("intune.device", "guessed")),
    ],
    ids=str,
)
async def test_a_key_that_proves_nothing_raises_and_never_clears(trust: Trust, whom: Whom) -> None:
    await trust.feed()
    laptop = await trust.subject(serial="C02XYZ")
    certificate = await trust.certificate(laptop)
    await bind(trust, "mac", "00:11:22:33:44:55", laptop)
    await bind(trust, "intune.device", "guessed", laptop, confidence=50)
    assert (await trust.take("edr.intrusion", laptop, whom=whom)).standing is Standing.QUARANTINED
    receipt = await trust.take("edr.cleared", laptop, whom=whom)
    assert (receipt.effects, receipt.standing) == (("clear.unproved",), Standing.QUARANTINED)
    assert await trust.status(certificate) == "held"
    newest, *_ = await signal_store.signals(trust.database, subject_id=laptop)
    assert (newest.kind, newest.weak) == ("edr.cleared", True)
    assert "signal.unproved" in await trust.kinds()
    # Named by what proves it, the same word clears.
    assert (await trust.take("edr.cleared", laptop)).standing is Standing.TRUSTED


async def test_everything_that_a_signal_says_is_kept(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    until = trust.clock.now().replace(microsecond=0)
    await trust.take(
        "edr.alert", laptop, severity=91, confidence=33, expires_at=until, sequence="offset-7",
        verified=Verified(Method.JWS, "kid-1"), fields={"tactic": "persistence", "count": 3},
    )  # fmt: skip
    (kept,) = await signal_store.signals(trust.database)
    assert (kept.severity, kept.confidence, kept.expires_at, kept.sequence) == (91, 33, until, "offset-7")
    assert kept.verified == Verified(Method.JWS, "kid-1")
    assert kept.fields == {"tactic": "persistence", "count": 3}


async def test_what_a_person_has_bound_stays_his_and_a_weaker_word_weakens_nothing(trust: Trust) -> None:
    """A source that reports the same again must not make an alias ambiguous anew that a person has settled, nor may a
    less sure one take from another's word that it clears."""
    one, other = await trust.subjects(2)
    whom = Whom(alias=("crowdstrike.aid", "aid-1"))

    async def say(subject: UUID, source: str, confidence: int) -> None:
        trust.clock.advance(timedelta(seconds=1))
        unit = Unit()
        bind_alias(unit, Alias("crowdstrike.aid", "aid-1", subject, source, confidence, trust.clock.now()))
        await trust.database.commit(unit)

    await say(one, "edr", 100)
    await say(one, "mdm", 40)
    assert await alias_store.resolve(trust.database, whom) == alias_store.Resolved((one,), weak=False)
    await say(one, "edr", 40)
    assert (await alias_store.resolve(trust.database, whom)).weak, "a source may be less sure of its own word"
    await say(other, "edr", 100)
    await say(one, "person:alice", 100)
    await say(one, "edr", 100)
    assert await ids(trust, whom) == (one,)
