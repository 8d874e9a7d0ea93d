"""``troth authority``: who signs what, and how an authority comes and goes."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli import authority_import as coming
from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, table, when
from troth.pki.issuer_classes import IssuerClass, issuer_classes
from troth.pki.keys.algorithm import KeyAlgorithm

app = App(name="authority", help="Who signs what: the authorities and their CRLs.", help_format="plaintext")


@app.command(name="list")
def list_(*, data: Data = None, output: Output = "text") -> int:
    """List the authorities, each below the one that certified it."""
    found = Api.at(data).get("/authorities")
    depth: dict[str, int] = {}
    for one in found:
        depth[one["slug"]] = depth.get(one["parent"], -1) + 1
    rows = [
        ("  " * depth[one["slug"]] + one["slug"], one["state"], one["issuer_classes"] or one["kind"],
         one["key_algorithm"], one["custodian"], when(one["not_after"]), when(one["crl_next_update"]))
        for one in found
    ]  # fmt: skip
    head = ("authority", "state", "issues for", "key", "held by", "ends", "next CRL by")
    return listed(found, output, head, rows, empty="No authority. The first start makes them: troth up")


@app.command
def show(
    slug: Annotated[str, Parameter(help="The authority's short name, as in `troth authority list`.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Show one authority: its certificate, its key and limits, its CRLs."""
    one = Api.at(data).get(f"/authorities/{segment(slug)}")
    if output == "json":
        return as_json(one)
    days = None if one["max_validity_seconds"] is None else f"{one['max_validity_seconds'] // 86_400} days"
    facts(
        (
            ("Name", one["name"]),
            ("Kind", f"{one['kind']}{', trial, online-born' if one['trial'] else ''}"),
            ("State", one["state"]),
            ("Issues for", one["issuer_classes"]),
            ("Below", one["parent"]),
            ("Subject", one["subject"]),
            ("Serial number", one["serial"]),
            ("SHA-256", one["sha256"]),
            ("In force", f"{when(one['not_before'])} until {when(one['not_after'])}"),
            ("Key", one["key_algorithm"]),
            ("Held by", one["custodian"]),
            ("Certifies", one["usages"]),
            ("For at most", days),
            ("Name constraints", one["name_constraints"]),
            ("Certificates", one["certificates"] if one["kind"] == "issuing" else None),
            ("Certificate at", one["ca_issuers_url"]),
            ("OCSP at", one["ocsp_url"]),
            ("CRL at", one["crl_url"]),
        )
    )
    print()
    rows = [
        (crl["kind"], crl["shard"], crl["number"], crl["entries"], when(crl["this_update"]), when(crl["next_update"]))
        for crl in one["crls"]
    ]
    table(("crl", "shard", "number", "entries", "made", "next by"), rows, empty="No CRL published.")
    return 0


Slug = Annotated[str, Parameter(help="Short name: lower-case letters, digits, hyphens. It stands in URLs.")]
Certificate = Annotated[Path, Parameter(help="The authority's certificate, PEM or DER.")]
Chain = Annotated[Path | None, Parameter(help="What is above it and not known here: PEM, the root last.")]
Class = Annotated[
    tuple[IssuerClass, ...], Parameter(name="--class", help="For whom it issues; may be given several times.")
]
DryRun = Annotated[bool, Parameter(help="Check everything that can be checked here, and change nothing.", negative="")]


@app.command
def state(
    slug: Annotated[str, Parameter(help="The authority's short name.")],
    wanted: Annotated[Literal["active", "retiring", "retired"], Parameter(help="Where it goes.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Let an authority issue (active), stop it for now (retiring) or for good (retired). CRLs and OCSP go on."""
    found = Api.at(data).post(f"/authorities/{segment(slug)}/state", {"state": wanted})
    if output == "json":
        return as_json(found)
    print(f"{plain(slug)} is {wanted}.")
    return 0


@app.command
def request(
    out: Annotated[Path, Parameter(help="File for the public key (PEM), to be taken to a ceremony or another CA.")],
    *,
    algorithm: Annotated[KeyAlgorithm | None, Parameter(help="Kind of key. Default: signer.issuing_algorithm.")] = None,
    custodian: Annotated[
        str | None, Parameter(help="`software` or KIND:NAME. Default: signer.issuing_custodian.")
    ] = None,
    data: Data = None,
) -> int:
    """Make a key for a new authority, and write its public half. For the data directory's owner alone."""
    made = coming.make_key(out, algorithm, custodian, data)
    print(f"Made {made.key_id} ({made.algorithm.value}) with {made.custodian}; its public key is in {out}.")
    print(f"SHA-256 of the public key: {coming.fingerprint(made.public_key)}")
    print(f"When it is certified: troth authority add SLUG --key {made.key_id} --certificate FILE --class CLASS")
    return 0


@app.command
def add(
    slug: Slug,
    *,
    key: Annotated[str, Parameter(help="The key's id, as `troth authority request` told it.")],
    certificate: Certificate,
    classes: Class,
    chain: Chain = None,
    dry_run: DryRun = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Add an authority that was certified in a ceremony or by another CA. It is planned: it issues nothing yet.

    Its key is bound to the certificate in the signer, once. For the data directory's owner alone.
    """
    brought = coming.Brought.read(slug, certificate, chain, None, issuer_classes(classes))
    told = coming.bring(brought, coming.Held(key), None, data, dry_run=dry_run)
    return _told(told, slug, output)


@app.command(name="import")
def import_(
    slug: Slug,
    *,
    certificate: Certificate,
    key: Annotated[
        str, Parameter(help="FILE (PEM or DER), fd:N (an open file descriptor to read from), or pkcs11:NAME/LABEL.")
    ],
    classes: Class,
    crl: Annotated[Path, Parameter(help="Its latest complete CRL, PEM or DER.")],
    issued: Annotated[
        Path | None, Parameter(help="Directory or file with the certificates that it has issued, PEM or DER.")
    ] = None,
    chain: Chain = None,
    passphrase_file: Annotated[Path | None, Parameter(help="File with the key's passphrase.")] = None,
    dry_run: DryRun = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Take over a CA that exists: its key, its certificate and chain, what it has issued, and its CRL.

    It is planned afterwards: let it issue with `troth authority state SLUG active`. What was cut short is taken up by
    the same command. For the data directory's owner alone.
    """
    brought = coming.Brought.read(slug, certificate, chain, crl, issuer_classes(classes))
    told = coming.bring(brought, coming.key_of(key, passphrase_file), issued, data, dry_run=dry_run)
    return _told(told, slug, output)


@app.command
def cross(
    certificate: Annotated[Path, Parameter(help="The cross-certificate, PEM or DER.")],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Offer a second way up: a certificate of an authority here that another root has made in a ceremony."""
    der = coming.blocks(certificate, "CERTIFICATE")[0]
    done = Api.at(data).post("/cross-certificates", {"certificate": b64encode(der).decode()})
    if output == "json":
        return as_json(done)
    print(f"{plain(done['issuer'])} vouches for {plain(done['authority'])}; clients are offered that chain as well.")
    return 0


def _told(told: coming.Told, slug: str, output: str) -> int:
    if output == "json":
        return as_json({"authority": slug, "dry_run": told.dry_run, "lines": told.lines})
    for line in told.lines:
        print(plain(line))
    print("Nothing was changed." if told.dry_run else f"Let it issue: troth authority state {plain(slug)} active")
    return 0
