"""What a certificate would look like: everything but the signature, for a key that nobody has. Nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from troth.pki.describe import Field, describe
from troth.pki.extremes import extremes
from troth.pki.lint import Expected, findings_of, unsigned
from troth.pki.lint_full import sample_spki
from troth.pki.rendering import Rendered
from troth.pki.serial import new_serial
from troth.pki.template import Template


@dataclass(frozen=True, slots=True)
class Preview:
    """A certificate that was never issued.

    Attributes:
        fields: decoded, for a person.
        findings: codes of the fast assertions that its bytes fail; empty as a rule.
    """

    rendered: Rendered
    fields: tuple[Field, ...]
    findings: tuple[str, ...]


def preview(template: Template, rendered: Rendered, now: datetime) -> Preview:
    """``rendered`` under ``template``, for a sample key of the first kind that the profile accepts, without jitter.

    Raises ProfileRefused, AuthorityRefused.
    """
    profile = template.profile
    kind = profile.keys[0]
    spki, serial = sample_spki(kind), new_serial(now)
    # The key of a preview is nobody's: it stands for one that meets the profile.
    profile.allow(
        rendered.names, rendered.common_name, kind, subject=rendered.subject, sid=rendered.sid, key_assurance="attested"
    )
    begin, end = template.validity(now)
    tbs = template.tbs(
        serial=serial, spki=spki, names=rendered.names, subject=rendered.subject, sid=rendered.sid,
        not_before=begin, not_after=end,
    )  # fmt: skip
    expected = Expected(
        serial, spki, rendered.names, rendered.common_name, begin, end, now, rendered.subject, rendered.sid
    )
    fields = describe(x509.load_der_x509_certificate(unsigned(tbs, template)))
    kept = tuple(field for field in fields if not field[0].endswith("ey identifier"))
    return Preview(rendered, kept, tuple(findings_of(tbs, template, expected)))


def example(template: Template, now: datetime) -> Preview:
    """A certificate of invented facts, to show what those of ``template`` look like."""
    return preview(template, extremes(template.profile)[0], now)
