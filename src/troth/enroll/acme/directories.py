"""What one ACME directory offers, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from troth.enroll.acme import errors
from troth.enroll.acme.attested import USUAL, Attesting
from troth.enroll.acme.model import DNS_01, HTTP_01, TLS_ALPN_01
from troth.enroll.acme.problems import AcmeProblem
from troth.pki.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory, as the configuration has it.

    Attributes:
        name: stands in its URLs; accounts are made in a directory and good there alone.
        profiles: names of the profiles that may be asked for; the first is taken where an order names none.
        requires: what a newcomer must bring.
        challenges: types of proof offered, in the order in which clients see them.
        identifiers: types of identifier that may be asked for.
        attesting: what it makes of device attestations, where it takes them.
        subdomains: a domain's proof may be asked to hold for the names below it (RFC 9444).
        caa: CAA records are looked at.
        pre_authorization: names may be proved before they are ordered.
        issuers: domain names that stand for this server in CAA records and for dns-persist-01.
        plain_uris: a dns-persist-01 record may name an account by its URL, as drafts up to -01 have it.
    """

    name: str
    profiles: tuple[str, ...]
    requires: str = "nothing"
    challenges: tuple[str, ...] = (HTTP_01, DNS_01, TLS_ALPN_01)
    identifiers: tuple[str, ...] = ("dns", "ip")
    attesting: Attesting = USUAL
    subdomains: bool = False
    caa: bool = False
    issuers: tuple[str, ...] = ()
    plain_uris: bool = True
    pre_authorization: bool = False

    def offered(self, catalogue: Catalogue) -> Mapping[str, str]:
        """``meta.profiles``: the profiles that can be had now, each with its description."""
        applied = catalogue.profiles
        return {name: applied[name].profile.description for name in self.profiles if name in applied}

    def profile(self, wanted: object, catalogue: Catalogue) -> str:
        """The profile for an order that asks for ``wanted`` (draft-ietf-acme-profiles, section 4).

        None asked for: the directory's first. Raises AcmeProblem (invalidProfile).
        """
        if wanted is None:
            wanted = next((name for name in self.profiles if name in catalogue.profiles), None)
            if wanted is None:
                raise AcmeProblem(errors.PROFILE_UNKNOWN, "no profile of this directory can be had at present")
        return self.still(wanted, catalogue)

    def still(self, profile: object, catalogue: Catalogue) -> str:
        """``profile``, if the directory offers it now; asked again at finalize. Raises AcmeProblem (invalidProfile)."""
        if not isinstance(profile, str) or profile not in self.profiles or profile not in catalogue.profiles:
            there = ", ".join(self.offered(catalogue)) or "none"
            raise AcmeProblem(errors.PROFILE_UNKNOWN, f"the profiles of this directory are: {there}")
        return profile

    def longest(self, profile: str, catalogue: Catalogue) -> timedelta:
        """How far ahead certificates of ``profile`` can end. Raises AcmeProblem (invalidProfile)."""
        applied = catalogue.profiles[self.still(profile, catalogue)].profile
        return applied.max_lifetime - applied.backdate
