from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.pki.forge import NOW, Forge, ca_certificate, spki
from troth.pki.errors import LintRefused
from troth.pki.lint import unsigned
from troth.pki.lint_full import ALLOWED, findings, lint_full, lint_profile
from troth.pki.serial import new_serial

FORGE = Forge.make()


@pytest.mark.parametrize("name", sorted(FORGE.profiles))
@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "mldsa65"])
def test_shipped_profiles_pass_pkilint_at_their_extremes(name: str, kind: str) -> None:
    lint_profile(FORGE.template(name, kind), NOW)


def test_authorities_pass_pkilint() -> None:
    root_key, key = FORGE.keys["p384"], FORGE.keys["p256"]
    root = ca_certificate(root_key, "Root")
    lint_full(root.public_bytes(Encoding.DER))
    lint_full(ca_certificate(key, "Issuing", issuer=(root, root_key)).public_bytes(Encoding.DER))


def test_findings_that_are_not_allowed_stop() -> None:
    template = FORGE.template("tls-server")
    begin, end = template.validity(NOW)
    tbs = template.tbs(
        serial=new_serial(NOW),
        spki=spki(FORGE.keys["p256"]),
        names=(),
        common_name=None,
        not_before=end,
        not_after=begin,
    )
    with pytest.raises(LintRefused) as caught:
        lint_full(unsigned(tbs, template))
    assert caught.value.facts["findings"]
    assert findings(b"\x30\x00")[0].severity == "FATAL"


def test_every_allowed_finding_has_its_reason() -> None:
    assert all(len(reason) > 20 for reason in ALLOWED.values())
