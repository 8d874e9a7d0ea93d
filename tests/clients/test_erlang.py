"""Erlang's p1_acme, with which ejabberd gets its certificates."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.clients.conftest import Client
from tests.support.programs import need_file

pytestmark = pytest.mark.client

#: A first certificate (RSA, two names) and a second (EC), by accounts of either kind; each is revoked by its own key.
_WALK = """
main([Directory, Root, WebRoot, Name, Other]) ->
    ok = application:ensure_started(crypto),
    {ok, _} = application:ensure_all_started(ssl),
    {ok, _} = application:ensure_all_started(inets),
    ok = p1_acme:start(),
    {ok, Pem} = file:read_file(Root),
    Roots = [public_key:pkix_decode_cert(Der, otp) || {_, Der, _} <- public_key:pem_decode(Pem)],
    Answer = fun(Proofs) ->
        [ok = file:write_file(filename:join(WebRoot, Token), Key) || #{token := Token, key := Key} <- Proofs]
    end,
    lists:foreach(fun({Kind, File, Names}) ->
        {ok, #{cert_chain := Chain, cert_key := Own, validation_result := Judged}} =
            p1_acme:issue(Directory, Names, p1_acme:generate_key(Kind), [
                {cert_type, Kind}, {ca_certs, Roots}, {contact, ["mailto:erlang@example.org"]},
                {challenge_fun, Answer}, {timeout, 120000}
            ]),
        valid = Judged,
        Entries = [{'Certificate', public_key:pkix_encode('OTPCertificate', One, otp), not_encrypted} || One <- Chain],
        ok = file:write_file(File, public_key:pem_encode(Entries)),
        ok = p1_acme:revoke(Directory, hd(Chain), Own, [{timeout, 120000}])
    end, [{rsa, "first.pem", [Name, Other]}, {ec, "second.pem", [Name]}]).
"""


def test_the_library_of_ejabberd_obtains_and_revokes_by_the_certificates_key(client: Client) -> None:
    need_file("/usr/lib/erlang/lib/p1_acme-*/ebin/p1_acme.beam", "erlang-p1-acme")
    troth, name, other = client.troth, "one.erlang.test", "two.erlang.test"
    (client.home / "walk.escript").write_text(f"#!/usr/bin/env escript\n{_WALK}")
    client.run("escript", "walk.escript", troth.directory, troth.root, troth.web_root.challenge_directory, name, other)
    for file, names in (("first.pem", {name, other}), ("second.pem", {name})):
        leaf = x509.load_pem_x509_certificates((client.home / file).read_bytes())[0]
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(held.get_values_for_type(x509.DNSName)) == names
        assert client.revoked(leaf, client.home / file) == "keyCompromise"
