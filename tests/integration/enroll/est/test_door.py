"""What the EST door tells everybody, keys that it makes, links to the connection, and how it words refusals."""

from __future__ import annotations

import base64
from email import message_from_bytes

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from tests.support.est import Est, request_of
from troth.pki import der

HOST = "host-1.corp.example"


async def test_everybody_is_told_the_authorities(est: Est) -> None:
    for label in ("", "mutual-tls", "wifi"):
        answer = await est.ask("cacerts", label=label)
        assert set(answer.certificates) == {est.mint.issuer, est.mint.root}


async def test_everybody_is_told_what_to_put_into_a_request(est: Est) -> None:
    answer = await est.ask("csrattrs")
    assert answer.headers["content-type"] == "application/csrattrs"
    reader = der.Reader(base64.b64decode(answer.body)).enter(der.SEQUENCE)
    key = reader.enter(der.SEQUENCE)
    assert der.read_oid(key.read(der.OID)) == "1.2.840.10045.2.1"
    assert der.read_oid(key.enter(der.SET).read(der.OID)) == "1.2.840.10045.3.1.7"
    assert der.read_oid(reader.read(der.OID)) == "1.2.840.10045.4.3.2"
    reader.close()
    bound = der.Reader(base64.b64decode((await est.ask("csrattrs", label="bound")).body)).enter(der.SEQUENCE)
    assert der.read_oid(bound.read(der.OID)) == "1.2.840.113549.1.9.7"


async def test_a_label_that_is_not_there_is_404_and_full_cmc_501(est: Est) -> None:
    answer = await est.ask("cacerts", label="nowhere")
    assert (answer.status, answer.code) == (404, "est.label.unknown")
    answer = await est.ask("fullcmc", b"x")
    assert (answer.status, answer.code) == (501, "est.full_cmc")
    assert (await est.ask("cacerts", b"x")).status == 405
    assert (await est.ask("simpleenroll")).status == 405
    assert (await est.ask("nothing")).status == 404


async def test_a_body_is_base64_of_a_request_whatever_its_line_ends(est: Est) -> None:
    user, csr = await est.enrolment(), request_of(None, HOST)
    for body in (base64.encodebytes(csr), base64.encodebytes(csr).replace(b"\n", b"\r\n"), base64.b64encode(csr)):
        answer = await est.ask("simpleenroll", body=body, user=user, content_transfer_encoding="binary")
        assert answer.status == 200
    for body in (b"", b"!", csr, b"\n\n", b"MIIB", base64.b64encode(b"\x30\x00")):
        answer = await est.ask("simpleenroll", body=body, user=user)
        assert answer.status == 400, body
        assert answer.code in ("est.request.malformed", "pki.csr.malformed")
    answer = await est.ask("simpleenroll", csr, user=user, content_type="application/x-www-form-urlencoded")
    assert (answer.status, answer.code) == (415, "est.request.media_type")
    answer = await est.ask("simpleenroll", body=b"A" * 40_000, user=user)
    assert answer.status == 400


async def test_a_made_key_comes_beside_its_certificate_and_is_not_kept(est: Est) -> None:
    user, csr = await est.enrolment(), request_of(None, HOST)
    answer = await est.ask("serverkeygen", csr, user=user, label="keygen")
    assert answer.status == 200, answer.body
    message = message_from_bytes(f"Content-Type: {answer.headers['content-type']}\n\n".encode() + answer.body)
    first, second = message.get_payload()
    assert [one.get_content_type() for one in (first, second)] == ["application/pkcs8", "application/pkcs7-mime"]
    private = load_der_private_key(first.get_payload(decode=True), None)
    [leaf] = load_der_pkcs7_certificates(second.get_payload(decode=True))
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert leaf.public_key() == private.public_key()
    assert leaf.public_key() != x509.load_der_x509_csr(csr).public_key()
    # The key was handed over and forgotten, so the same request is another one.
    assert (await est.ask("serverkeygen", csr, user=user, label="keygen")).body != answer.body


async def test_keys_are_made_only_where_a_label_says_so_and_never_wrapped(est: Est) -> None:
    user = await est.enrolment()
    answer = await est.ask("serverkeygen", request_of(None, HOST), user=user)
    assert (answer.status, answer.code) == (403, "est.keygen.refused")
    answer = await est.ask("serverkeygen", request_of(None, HOST), label="keygen")
    assert answer.status == 401


async def test_a_request_that_is_bound_to_its_connection_holds_on_no_other(est: Est) -> None:
    user, unique = await est.enrolment(), b"\x01" * 12
    bound = request_of(None, HOST, challenge=base64.b64encode(unique))
    assert (await est.ask("simpleenroll", bound, user=user, unique=unique)).status == 200
    assert (await est.ask("simpleenroll", bound, user=user, unique=b"\x02" * 12)).code == "est.binding.wrong"
    assert (await est.ask("simpleenroll", bound, user=user)).code == "est.binding.unsupported"  # TLS 1.3
    word = request_of(None, HOST, challenge=b"s3cret")
    assert (await est.ask("simpleenroll", word, user=user, unique=unique)).code == "est.binding.wrong"
    assert (await est.ask("simpleenroll", word, user=user, unique=unique, label="unbound")).status == 200
    free = request_of(None, HOST)
    assert (await est.ask("simpleenroll", free, user=user, unique=unique, label="bound")).code == "est.binding.missing"
    assert (await est.ask("simpleenroll", bound, user=user, unique=unique, label="bound")).status == 200


async def test_requests_and_what_became_of_them_are_counted(est: Est) -> None:
    user, csr = await est.enrolment(), request_of(None, HOST)
    for _ in range(2):
        await est.ask("simpleenroll", csr, user=user)
    await est.ask("simpleenroll", csr)
    await est.ask("cacerts", label="x'; drop table certificate; --")
    await est.tally.flush()
    rows = await est.mint.database.fetch("SELECT * FROM est_count ORDER BY result")
    assert [tuple(dict(row).values()) for row in rows] == [
        ("unknown", "cacerts", "est.label.unknown", 1),
        ("mutual-tls", "simpleenroll", "est.not_authenticated", 1),
        ("mutual-tls", "simpleenroll", "issued", 1),
        ("mutual-tls", "simpleenroll", "repeated", 1),
    ]


async def test_a_rollover_shows_clients_the_coming_authority_before_it_issues(est: Est) -> None:
    from dataclasses import replace

    from tests.support.mint import ca_certificate
    from troth.pki.catalogue import add_authority
    from troth.store.unit import Unit

    mint, now = est.mint, est.mint.clock.now()
    key = ec.generate_private_key(ec.SECP256R1())
    planned = ca_certificate(key, "Test Root 2", now)
    coming = ca_certificate(ec.generate_private_key(ec.SECP256R1()), "Test Issuing 2", now, (planned, key))
    known = mint.catalogue.authorities
    roots = replace(known["root"], slug="root-2", certificate=planned.public_bytes(Encoding.DER), state="planned")
    issuing = replace(known["issuing"], slug="issuing-2", parent="root-2", state="planned")
    issuing = replace(issuing, certificate=coming.public_bytes(Encoding.DER))
    unit = add_authority(add_authority(Unit(), roots, actor="admin:test"), issuing, actor="admin:test")
    await mint.database.commit(unit)
    await mint.catalogue.refresh()
    assert set((await est.ask("cacerts")).certificates) == {mint.issuer, coming, mint.root, planned}


async def test_libest_is_answered_as_it_reads(est: Est) -> None:
    for agent, lines in (("libest 3.2.0p", True), ("Cisco EST client 1.0", True), ("curl/8.5.0", False)):
        answer = await est.ask("cacerts", user_agent=agent)
        assert (max(map(len, answer.body.splitlines())) == 76) is lines
        assert set(answer.certificates) == {est.mint.issuer, est.mint.root}
    # It compares names of headers as octets.
    [route] = [one for one in est.door.routes() if one.pattern == "/.well-known/est/simpleenroll"]
    from troth.kit.lane import Request

    request = Request("POST", "/.well-known/est/simpleenroll", b"", b"", (), {}, b"")
    response = await route.methods["POST"](request)
    names = [name for name, _ in response.headers]
    assert names == [b"Content-Type", b"Cache-Control", b"Troth-Code", b"WWW-Authenticate"]
