"""The plan: all that is decided about a ceremony before it is held, in one YAML file.

Strict in every respect. An unknown field is refused, a key given twice is refused, a time without a zone is refused,
and so is what has no meaning for the kind of ceremony. The digest of the file's very bytes stands in the script, is
read aloud before the ceremony, and begins the transcript.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
import yaml

from troth.pki.ceremony.errors import INPUT, PLAN_MALFORMED, PlanRefused
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keys.algorithm import KeyAlgorithm

_T = TypeVar("_T")

MAX_SIZE = 262_144
_MAX_ENTRIES = 10_000

_LABEL = r"^[a-z0-9]{1,20}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

Words: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Place: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]
Slug: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Oid: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-2](\.(0|[1-9][0-9]{0,9})){1,15}$")]
Url: TypeAlias = Annotated[str, msgspec.Meta(max_length=512, pattern=r"^http://[A-Za-z0-9.\-\[\]:]+(/[!-~]*)?$")]
Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Ceremony(StrEnum):
    """What a ceremony makes."""

    ROOT = "root"
    INTERMEDIATE = "intermediate"
    CROSS_CERTIFICATE = "cross-certificate"
    KEY = "key"
    ROOT_CRL = "root-crl"


class Custody(StrEnum):
    """Where the key is.

    ``software``: in a file, sealed under a secret that exists only as shares. ``pkcs11``: in a token. ``pem``: in an
    encrypted PKCS#8 file with a passphrase, as the root of a first start is; such a key is used and never made.
    """

    SOFTWARE = "software"
    PKCS11 = "pkcs11"
    PEM = "pem"


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begin": "from", "end": "until"}):
    """When the ceremony may be held; the machine's clock must be inside."""

    begin: Moment
    end: Moment


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key that signs, or that is made.

    Attributes:
        algorithm: of the key; an existing one must be of it.
        sealed: ``software``: the sealed key of an earlier ceremony; absent when this one makes it.
        shares: the ``shares.json`` of the secret that opens it (software), or of the PIN (pkcs11).
        file: ``pem``: the encrypted key.
        passphrase: ``pem``: the file with its passphrase.
        module: ``pkcs11``: the vendor's library.
        token: label of the token.
        serial: serial number of the token; the label alone could be given to another one.
        pin: ``file:PATH``, ``shares``, or ``new``: made here, set in the token, and left as shares alone.
        initial_pin: with ``new``: the file with the PIN that the token has now.
        label: the key's label in the token: a word, a hyphen and a UUID, so that no two keys share one.
        existing: ``pkcs11``, in a root ceremony: a key ceremony has made the key before.
    """

    custody: Custody
    algorithm: KeyAlgorithm
    sealed: Place | None = None
    shares: Place | None = None
    file: Place | None = None
    passphrase: Place | None = None
    module: Place | None = None
    token: Words | None = None
    serial: Words | None = None
    pin: Place | None = None
    initial_pin: Place | None = None
    label: Annotated[str, msgspec.Meta(pattern=_LABEL)] | None = None
    existing: bool | None = None


class Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files that the ceremony reads, relative to the plan.

    Attributes:
        issuer: certificate of the authority that signs (intermediate, cross-certificate, root-crl).
        public_key: SubjectPublicKeyInfo to be certified (intermediate).
        public_key_sha256: its digest as read aloud where the key was made.
        certificate: whose subject and key are cross-certified (cross-certificate).
        previous_crl: the last CRL, above whose number the new one must be (root-crl).
    """

    issuer: Place | None = None
    public_key: Place | None = None
    public_key_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    certificate: Place | None = None
    previous_crl: Place | None = None


class Outputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the results go: a directory that is not there yet and appears complete."""

    directory: Place


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A distinguished name, in this order: C, O, OU, CN."""

    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")] | None = None
    organization: Words | None = None
    organizational_unit: Words | None = None
    common_name: Words


class Validity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begin": "from", "end": "until"}):
    """notBefore and notAfter; the last second is inclusive (RFC 5280, 4.1.2.5)."""

    begin: Moment
    end: Moment


class NameConstraints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Permitted and excluded subtrees: ``dns:example.org``, ``email:example.org``, ``ip:192.0.2.0/24``, ``uri:…``."""

    permitted: tuple[Place, ...] = ()
    excluded: tuple[Place, ...] = ()


class CertificatePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The certificate that is made.

    Attributes:
        path_length: authorities allowed below it.
        policies: certificate policies, dotted.
        extended_key_usages: dotted; the authority's certificates may have no other.
        issuer_classes: for whom an intermediate issues.
        ca_issuers_url: where the issuer's certificate is fetched (AIA).
        ocsp_url: of the issuer.
        crl_url: of the issuer's CRL.
    """

    subject: Subject | None = None
    validity: Validity
    path_length: Annotated[int, msgspec.Meta(ge=0, le=8)] | None = None
    name_constraints: NameConstraints | None = None
    policies: tuple[Oid, ...] = ()
    extended_key_usages: tuple[Oid, ...] = ()
    issuer_classes: tuple[IssuerClass, ...] = ()
    ca_issuers_url: Url | None = None
    ocsp_url: Url | None = None
    crl_url: Url | None = None


class RevokedEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One revoked certificate: serial in hex, when, and the reason of RFC 5280 by its number."""

    serial: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{2,40}$")]
    at: Moment
    reason: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0


class CrlPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The root's CRL."""

    number: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
    this_update: Moment
    next_update: Moment
    revoked: Annotated[tuple[RevokedEntry, ...], msgspec.Meta(max_length=_MAX_ENTRIES)] = ()


class Custodian(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person who keeps a share; ``recipient`` is an age public key."""

    name: Words
    recipient: Annotated[str, msgspec.Meta(pattern="^age1[a-z0-9]{10,2100}$")]


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Custodians of one kind, of whom ``threshold`` are needed."""

    name: Words
    threshold: Annotated[int, msgspec.Meta(ge=1, le=16)]
    members: Annotated[tuple[Custodian, ...], msgspec.Meta(min_length=1, max_length=16)]


class Custodians(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who keeps shares. ``groups_needed`` absent: every group is needed."""

    groups: Annotated[tuple[Group, ...], msgspec.Meta(min_length=1, max_length=16)]
    groups_needed: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who does what; names for the script, nothing is decided by them."""

    administrator: Words | None = None
    operator: Words | None = None
    witness: Words | None = None
    auditor: Words | None = None


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of a plan's file."""

    ceremony: Ceremony
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
    window: Window
    key: Key
    outputs: Outputs
    inputs: Inputs = Inputs()
    certificate: CertificatePlan | None = None
    crl: CrlPlan | None = None
    custodians: Custodians | None = None
    roles: Roles = Roles()


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was read. ``directory`` is where the file lies; ``digest`` is of its bytes."""

    directory: Path
    digest: bytes
    document: Document

    @property
    def kind(self) -> Ceremony:
        """What is made."""
        return self.document.ceremony

    @property
    def output(self) -> Path:
        """The directory of the results."""
        return self.place(self.document.outputs.directory)

    def place(self, path: str) -> Path:
        """``path`` seen from the plan's directory."""
        return self.directory / path

    def read(self, path: str | None, what: str, *, most: int = 4_194_304) -> bytes:
        """An input file of at most ``most`` octets. Raises PlanRefused."""
        if path is None:
            raise PlanRefused(PLAN_MALFORMED, f"the plan does not name {what}")
        try:
            with self.place(path).open("rb") as file:
                content = file.read(most + 1)
        except OSError as error:
            raise PlanRefused(INPUT, f"{what}: {path}: {error.strerror or error}") from error
        if not 0 < len(content) <= most:
            raise PlanRefused(INPUT, f"{what}: {path} has {'no' if not content else 'too many'} octets")
        return content


class _Loader(yaml.SafeLoader):
    """Safe YAML without doubled keys and without aliases, which could make a small file large."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed in a plan")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse doubled and merged keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name or name in seen or key.tag == "tag:yaml.org,2002:merge":
                raise yaml.YAMLError(f"field {str(name)[:80]!r} stands twice, merges, or has no plain name")
            seen.add(name)
        return super().construct_mapping(node, deep)


def _time(loader: yaml.SafeLoader, node: Any) -> str:
    """A time stays text: YAML would make 10:00 of ``10:00+02:00``, and drop the zone where none is given."""
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _time)


def parse_plan(content: bytes, directory: Path) -> Plan:
    """The plan in ``content``, whose paths are relative to ``directory``. Raises PlanRefused."""
    return Plan(directory, hashlib.sha256(content).digest(), _parsed(content, Document))


def read_custodians(content: bytes) -> Custodians:
    """Custodians alone, in the form that they have in a plan. Raises PlanRefused."""
    return _parsed(content, Custodians)


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises PlanRefused."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise PlanRefused(INPUT, f"{path}: {error.strerror or error}") from error
    return parse_plan(content, path.parent)


def utc(moment: datetime) -> datetime:
    """In UTC."""
    return moment.astimezone(UTC)


def _parsed(content: bytes, kind: type[_T]) -> _T:
    if len(content) > MAX_SIZE:
        raise PlanRefused(PLAN_MALFORMED, f"longer than {MAX_SIZE} octets")
    try:
        value = yaml.load(content.decode(), Loader=_Loader)  # noqa: S506 - a SafeLoader, made stricter
        return msgspec.convert(value, kind)
    except UnicodeDecodeError as error:
        raise PlanRefused(PLAN_MALFORMED, "not UTF-8") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PlanRefused(PLAN_MALFORMED, _one_line(str(error))) from error


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(one if one.isprintable() else " " for one in text))[:400]
