"""Templates against cryptography's builder: the same random profile and input must give the same bytes."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.unit.pki.forge import NOW, URLS, Forge, spki
from tests.unit.pki.reference import built
from troth.pki.attributes import TYPES, canonical_attribute
from troth.pki.errors import NameRefused
from troth.pki.extremes import SAMPLES
from troth.pki.lint import Expected, findings_of
from troth.pki.names import canonical_names
from troth.pki.profile import CertificatePolicy, NameConstraints, Profile
from troth.pki.rendering import Rendered
from troth.pki.serial import new_serial
from troth.pki.template import StatusUrls
from troth.pki.usages import EXTENDED_KEY_USAGES, KEY_USAGES

FORGE = Forge.make()
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).map(lambda s: s.replace("--", "-a"))
DNS = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
OID = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=6).map(lambda arcs: ".".join(map(str, (1, 3, *arcs))))
WORD = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=30)
NAME = st.one_of(
    DNS.map(lambda name: ("dns", name)),
    DNS.map(lambda name: ("dns", "*." + name)),
    st.ip_addresses().filter(lambda ip: not getattr(ip, "scope_id", None)).map(lambda ip: ("ip", str(ip))),
    DNS.map(lambda name: ("email", "someone@" + name)),
    DNS.map(lambda name: ("uri", f"spiffe://{name}/workload")),
    st.tuples(WORD, DNS).map(lambda pair: ("upn", "@".join(pair))),
    WORD.map(lambda word: ("permanent-identifier", word)),
    st.tuples(OID, WORD).map(lambda pair: ("permanent-identifier", "/".join(pair))),
    st.tuples(OID, st.binary(min_size=1, max_size=32)).map(lambda p: ("hardware-module", f"{p[0]}/{p[1].hex()}")),
    WORD.map(lambda word: ("directory", f"C=DE,O=a\\,b\\=c,CN={word}")),
    st.sampled_from(sorted(SAMPLES)).flatmap(lambda kind: st.sampled_from(SAMPLES[kind]).map(lambda one: (kind, one))),
)
SUBJECT = st.lists(st.tuples(st.sampled_from(sorted(TYPES)), WORD), max_size=6)
SID = st.none() | st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5).map(
    lambda parts: "-".join(map(str, ("S-1-5", *parts)))
)
USAGE = st.sampled_from(sorted(EXTENDED_KEY_USAGES)) | OID
CONSTRAINT = DNS.map(lambda name: {"dns": name}) | st.sampled_from([{"ip": "10.0.0.0/8"}, {"ip": "2001:db8::/32"}])


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Any profile that can be encoded, whether or not its fields make sense together."""
    ca = draw(st.booleans())
    usages = [name for name in KEY_USAGES if ca or name not in ("keyCertSign", "cRLSign")]
    changes: dict[str, Any] = {
        "extended_key_usage": draw(
            st.lists(st.sampled_from(sorted(EXTENDED_KEY_USAGES)) | OID, min_size=1, max_size=4)
        ),
        "key_usage": tuple(draw(st.sets(st.sampled_from(usages), min_size=1))),
        "basic_constraints": "ca" if ca else draw(st.sampled_from(["absent", "end-entity"])),
        "path_length": draw(st.none() | st.integers(0, 8)) if ca else None,
        "policies": tuple(
            CertificatePolicy(oid, cps)
            for oid, cps in draw(st.lists(st.tuples(OID, st.none() | st.just("https://a.example/cps")), max_size=3))
        ),
        "name_constraints": draw(
            st.none()
            | st.tuples(st.lists(CONSTRAINT, min_size=1, max_size=3), st.lists(CONSTRAINT, max_size=2)).map(
                lambda pair: NameConstraints(tuple(pair[0]), tuple(pair[1]))
            )
        ),
        "must_staple": draw(st.booleans()),
        "no_rev_avail": draw(st.booleans()),
        "ocsp_nocheck": draw(st.booleans()),
        "status": draw(st.sampled_from([("ocsp", "crl"), ("ocsp",), ("crl",), ()])),
    }
    usage = changes["extended_key_usage"]
    if len({EXTENDED_KEY_USAGES.get(one, one) for one in usage}) != len(usage):
        changes["extended_key_usage"] = usage[:1]
    return msgspec.structs.replace(FORGE.profiles["tls-server"], **changes)


@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    profile=profiles(),
    issuer_kind=st.sampled_from(sorted(FORGE.authorities)),
    key_kind=st.sampled_from(sorted(FORGE.keys)),
    names=st.lists(NAME, max_size=12),
    subject=SUBJECT,
    sid=SID,
    year=st.integers(2026, 2060),
    urls=st.sampled_from([URLS, StatusUrls(), StatusUrls(crl=URLS.crl), StatusUrls(ca_issuers=URLS.ca_issuers)]),
)
def test_a_template_of_any_profile_is_byte_equal_to_the_builder(
    profile: Profile,
    issuer_kind: str,
    key_kind: str,
    names: list[tuple[str, str]],
    subject: list[tuple[str, str]],
    sid: str | None,
    year: int,
    urls: StatusUrls,
) -> None:
    rendered = _rendered(names, subject, sid)
    template = FORGE.template(profile, issuer_kind, urls)
    serial, key = new_serial(NOW), FORGE.keys[key_kind]
    begin = NOW.replace(microsecond=0)
    end = begin.replace(year=year, month=12)
    ours = template.tbs(
        serial=serial,
        spki=spki(key),
        names=rendered.names,
        subject=rendered.subject,
        sid=rendered.sid,
        not_before=begin,
        not_after=end,
    )
    assert ours == built(FORGE, urls, profile, serial, key, rendered, begin, end, issuer_kind)
    # And the gate's own assertions agree, but for those about time and policy, which this random input ignores.
    expected = Expected(
        serial, spki(key), rendered.names, rendered.common_name, begin, end, NOW, rendered.subject, rendered.sid
    )
    found = set(findings_of(ours, template, expected)) - {
        "lint.validity",
        "lint.subject",
        "lint.basic_constraints",
        "lint.key",
    }
    assert not found, (found, rendered)


def _rendered(names: list[tuple[str, str]], subject: list[tuple[str, str]], sid: str | None) -> Rendered:
    """What of the random input has a canonical form."""
    kept: list[tuple[str, str]] = []
    for name in names:
        try:
            kept += canonical_names([name])
        except NameRefused:
            continue
    attributes = []
    for kind, value in subject:
        try:
            attributes.append(canonical_attribute(kind, value))
        except NameRefused:
            continue
    return Rendered(canonical_names(kept), tuple(attributes), sid)
