"""Ruby's acme-client, which GitLab is made with."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.clients.conftest import Client
from tests.support.programs import need_file

pytestmark = pytest.mark.client

_WALK = """
require 'acme-client'
directory, webroot, name = ARGV
key = OpenSSL::PKey::RSA.new(2048)
client = Acme::Client.new(private_key: key, directory: directory, bad_nonce_retry: 3)
client.new_account(contact: 'mailto:ruby@example.org', terms_of_service_agreed: true)
client.account
chain = nil
%w[first.pem second.pem].each do |file|
  order = client.new_order(identifiers: [name])
  order.authorizations.each do |authorization|
    next if authorization.status == 'valid'
    proof = authorization.http
    File.write(File.join(webroot, proof.filename), proof.file_content)
    proof.request_validation
    while %w[pending processing].include?(proof.status)
      sleep 0.2
      proof.reload
    end
    raise proof.error.to_s unless proof.status == 'valid'
  end
  order.reload
  own = OpenSSL::PKey::EC.generate('prime256v1')
  order.finalize(csr: Acme::Client::CertificateRequest.new(private_key: own, names: [name]))
  while order.status == 'processing'
    sleep 0.2
    order.reload
  end
  chain = order.certificate
  File.write(file, chain)
end
client.account_key_change(new_private_key: OpenSSL::PKey::RSA.new(2048))
client.revoke(certificate: OpenSSL::X509::Certificate.new(chain), reason: 4)
client.account_deactivate
"""


def test_the_library_of_ruby_obtains_renews_and_revokes(client: Client) -> None:
    need_file("/usr/share/rubygems-integration/*/specifications/acme-client-*.gemspec", "ruby-acme-client")
    troth, name = client.troth, "ruby.test"
    (client.home / "walk.rb").write_text(_WALK)
    client.run(
        "ruby", "walk.rb", troth.directory, troth.web_root.directory, name,
        environment={"SSL_CERT_FILE": str(troth.root)},
    )  # fmt: skip
    first = client.judge(client.home / "first.pem", name)
    second, _issuer = x509.load_pem_x509_certificates((client.home / "second.pem").read_bytes())
    assert second.serial_number != first.serial_number
    assert client.revoked(second, client.home / "second.pem") == "superseded"
