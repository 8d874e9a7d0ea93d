"""``troth ceremony``: what is signed on a machine without a network, before witnesses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from troth.cli.ceremony_desk import People, put, spoken, title_of
from troth.cli.ceremony_shares import app as shares_app
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, plain
from troth.kit.clock import SystemClock

app = App(name="ceremony", help="Plan, hold and prove ceremonies of an offline root.", help_format="plaintext")
app.command(shares_app)

PlanFile = Annotated[Path, Parameter(help="The plan.")]
ShareFiles = Annotated[
    tuple[Path, ...], Parameter(name="--share", help="A custodian's share: his age file, or a file with the words.")
]
Identities = Annotated[
    tuple[Path, ...], Parameter(name="--identity", help="An age identity file that opens shares given with --share.")
]


@app.command
def run(
    plan: PlanFile,
    *,
    dry_run: Annotated[bool, Parameter(help="Do all of it with a throw-away key.", negative="")] = False,
    share: ShareFiles = (),
    identity: Identities = (),
    yes: Annotated[bool, Parameter(help="Sign without asking: for rehearsals and tests.", negative="")] = False,
) -> int:
    """Hold the ceremony of a plan. Needs no network and no database; what it cannot finish does not exist."""
    from troth.pki.ceremony.plan import read_plan
    from troth.pki.ceremony.run import hold
    from troth.pki.signer.process import harden

    harden()
    held = hold(read_plan(plan), SystemClock(), People(share, identity, yes=yes or dry_run), dry_run=dry_run)
    print()
    for name, digest in sorted(held.outputs.items()):
        spoken(name, bytes.fromhex(digest))
    spoken("transcript's seal", held.digest)
    spoken("key of this session", bytes.fromhex(held.session_key))
    print(f"\n{'DRY RUN done' if dry_run else 'Done'}: {held.directory}")
    return 0


@app.command
def script(
    plan: PlanFile,
    *,
    out: Annotated[Path, Parameter(help="File to write: .html to print, anything else plain text.")],
) -> int:
    """Write the script of a plan, to be printed and followed step by step."""
    from troth.pki.ceremony.checks import check_plan
    from troth.pki.ceremony.inputs import read_inputs
    from troth.pki.ceremony.plan import read_plan
    from troth.pki.ceremony.script import script_of, text_of
    from troth.pki.ceremony.script_html import html_of

    read = read_plan(plan)
    # A script is printed before the day: the plan is judged as on its first moment.
    check_plan(read, read.document.window.begin)
    made = script_of(read, read_inputs(read), plan.name)
    put(out, (html_of(made) if out.suffix in (".html", ".htm") else text_of(made)).encode())
    print(f"{out} written; its plan is")
    spoken(plan.name, read.digest)
    return 0


@app.command
def verify(
    transcript: Annotated[Path, Parameter(help="transcript.jsonl of a ceremony.")],
    *,
    session_key: Annotated[str, Parameter(help="The key of the session, as it was written down on paper.")] = "",
    output: Output = "text",
) -> int:
    """Prove a transcript and the results beside it. Needs no network."""
    from troth.pki.ceremony.proof import prove_results

    proved, files = prove_results(transcript, session_key)
    if output == "json":
        return as_json(
            {
                "ceremony": proved.ceremony,
                "title": proved.title,
                "dry_run": proved.dry_run,
                "plan": proved.plan.hex(),
                "digest": proved.digest.hex(),
                "session_key": proved.session_key,
                "sealed_at": proved.sealed_at.isoformat(),
                "outputs": proved.outputs,
                "beside": files,
            }
        )
    facts(
        [
            ("Ceremony", proved.ceremony),
            ("Title", proved.title),
            ("Sealed", f"{proved.sealed_at:%Y-%m-%d %H:%M:%S} UTC"),
        ]
    )
    if proved.dry_run:
        print("This was a DRY RUN.")
    spoken("seal", proved.digest)
    spoken("session key", bytes.fromhex(proved.session_key))
    print(
        f"✓ {len(proved.lines)} lines, none changed, removed or moved; {len(files)} results beside it are as they were."
    )
    for name in sorted(set(proved.outputs) - set(files)):
        print(f"  not here: {plain(name)}")
    if not session_key:
        print("  Give the session's key from the paper with --session-key to prove who sealed it.")
    return 0


@app.command(name="import")
def import_(
    directory: Annotated[Path, Parameter(help="The results of the ceremony, transcript.jsonl among them.")],
    *,
    session_key: Annotated[str, Parameter(help="The key of the session, as it was written down on paper.")] = "",
    slug: Annotated[str, Parameter(help="Short name of a new authority.")] = "",
    key: Annotated[str, Parameter(help="Key of this signer that an issuing certificate is for.")] = "",
    data: Data = None,
    output: Output = "text",
) -> int:
    """Take the results to the online Troth: record the ceremony, publish its CRL, or add the authority it made.

    Binding a signer's key to its certificate (--key) is for the data directory's owner alone, and happens once.
    """
    from troth.cli.api import Api
    from troth.cli.ceremony_import import bind_key, payload_of

    payload = payload_of(directory, session_key, slug)
    if key:
        bind_key(directory, key, data)
    done = Api.at(data).post("/ceremonies", payload)
    if output == "json":
        return as_json(done)
    if "proposal" in done:
        print(f"Proposed; it waits for approval: {plain(done['page'])}")
        return 0
    about = f", authority {plain(done['authority'])}" if done["authority"] else ""
    print(f"Recorded in the ledger: ceremony {plain(done['ceremony'])}{about}{' added' if done['added'] else ''}.")
    return 0


@app.command
def plan(
    *,
    preset: Literal["small", "enterprise", "regulated", "post-quantum"],
    org: Annotated[str, Parameter(help="Organisation; stands in every subject.")],
    out: Annotated[Path, Parameter(help="Directory to make.")],
    url: Annotated[str, Parameter(help="Where certificates and CRLs will be fetched from, plain HTTP.")],
    custodian: Annotated[
        tuple[str, ...], Parameter(help="GROUP:NAME:RECIPIENT, one for each custodian; groups are security and audit.")
    ],
    module: Annotated[str, Parameter(help="PKCS#11 library (regulated).")] = "",
    token: Annotated[str, Parameter(help="Label of the token (regulated).")] = "",
    policy_tier: Annotated[bool, Parameter(help="An authority between root and issuers.", negative="")] = False,
) -> int:
    """Write the plans of a whole hierarchy, to be read, changed and agreed on."""
    from troth.pki.ceremony.presets import Preset, Token, keeper_of, plans_of

    made = plans_of(
        Preset(preset),
        org=org,
        now=SystemClock().now(),
        url=url,
        keepers=[keeper_of(text) for text in custodian],
        token=Token(module, token) if module or token else None,
        policy_tier=policy_tier,
    )
    for name, text in made.items():
        put(out / name, text.encode())
        print(f"{name:<36}{title_of(text)}")
    print(f"{len(made)} plans in {out}, in the order in which they are held.")
    return 0


@app.command
def program() -> int:
    """Print the digest of the program on this machine, as scripts and transcripts tell it."""
    from troth.pki.ceremony import aloud

    spoken(aloud.program(), aloud.program_digest())
    return 0
