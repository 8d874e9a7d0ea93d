"""The ``troth`` command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import cyclopts
from cyclopts import App

import troth
from troth.cli.errors import Proposed
from troth.kit.errors import TrothError

FAILED, USAGE, NOT_FOUND, DENIED, PROPOSED = 1, 2, 3, 4, 5

app = App(
    name="troth",
    help="A PKI whose certificates hold only while faith is kept.",
    version=troth.__version__,
    version_flags=["--version"],
    help_format="plaintext",
)
# The help stands here, so that the list of commands needs none of their modules.
app.command("troth.cli.up:up", name="up", help="Start everything on this machine and serve until Ctrl-C.")
app.command("troth.cli.serve:serve", name="serve", help="Run one role alone.")
app.command("troth.cli.verbs:status", name="status", help="Say how this installation is.")
app.command("troth.cli.verbs:apply", name="apply", help="Apply directories, policies, feeds, connectors, profiles.")
app.command("troth.cli.verbs:why", name="why", help="Say why a certificate or device is trusted, or not.")
app.command("troth.cli.cert:app", name="cert", help="Find, issue, hold, release and revoke certificates.")
app.command("troth.cli.authority:app", name="authority", help="Who signs what: the authorities and their CRLs.")
app.command("troth.cli.lint:lint", name="lint", help="Say what is wrong with a certificate, request or CRL.")
app.command("troth.cli.subject:app", name="subject", help="Users, devices and workloads.")
app.command("troth.cli.enrolment:app", name="enrolment", help="What lets clients open ACME accounts.")
app.command("troth.cli.est:app", name="est", help="EST: certificates for what speaks no ACME.")
app.command("troth.cli.account:app", name="account", help="ACME accounts, and clients that are paused.")
app.command("troth.cli.staged:app", name="staged", help="Decide on actions that wait for a person.")
app.command("troth.cli.policy:app", name="policy", help="When a certificate may exist: try, compare, go back.")
app.command("troth.cli.standing:app", name="standing", help="How signals add up to a standing.")
app.command("troth.cli.exempt:app", name="exempt", help="Break glass: subjects that automation does not hold.")
app.command("troth.cli.profile:app", name="profile", help="What certificates look like.")
app.command("troth.cli.approval:app", name="approval", help="Acts that wait for other persons' approval.")
app.command("troth.cli.approver:app", name="approver", help="Persons whose passkeys are pinned in the signer.")
app.command("troth.cli.inventory:app", name="inventory", help="Certificates that agents found on their hosts.")
app.command("troth.cli.crl:app", name="crl", help="Certificate revocation lists: shards, deltas, publication.")
app.command("troth.cli.key:app", name="key", help="Keys of the signer, and who holds them.")
app.command("troth.cli.feed:app", name="feed", help="Sources of signals.")
app.command("troth.cli.connector:app", name="connector", help="Other systems that Troth reads and listens to.")
app.command("troth.cli.signal:app", name="signal", help="Signals about nobody we know, and refused ones.")
app.command("troth.cli.ssf:app", name="ssf", help="Shared signals: streams from identity providers.")
app.command("troth.cli.effect:app", name="effect", help="What follows elsewhere from changes of standing.")
app.command("troth.cli.application:app", name="application", help="Applications that ask whether to let somebody in.")
app.command("troth.cli.network:app", name="network", help="What an SSID or a port is, and whom it lets in.")
app.command("troth.cli.radius:app", name="radius", help="Who wanted to join a network, and what came of it.")
app.command("troth.cli.session:app", name="session", help="Who is on the network; end or move sessions.")
app.command("troth.cli.proxy:app", name="proxy", help="Other RADIUS servers that conversations are handed on to.")
app.command("troth.cli.mab:app", name="mab", help="Devices that may join a network by their address alone.")
app.command("troth.cli.mab:pap", name="pap", help="Accounts that may join a network with a password.")
app.command("troth.cli.nas:app", name="nas", help="Access servers: who may ask over RADIUS, and their secrets.")
app.command("troth.cli.place:app", name="place", help="Where a network puts whom it lets in.")
app.command("troth.cli.verbs:freeze", name="freeze", help="Stop automation.")
app.command("troth.cli.verbs:unfreeze", name="unfreeze", help="Let automation go on.")
app.command("troth.cli.audit:app", name="audit", help="Export the ledger, and prove an export offline.")
app.command("troth.cli.backup:app", name="backup", help="Sealed archives of the whole installation.")
app.command("troth.cli.restore:app", name="restore", help="Restore an archive; decide what may be lost.")
app.command("troth.cli.admin:app", name="admin", help="Accounts of the dashboard.")
app.command("troth.cli.unseal:unseal", name="unseal", help="Open a sealed custodian with shares of its PIN.")
app.command("troth.cli.anchor:app", name="anchor", help="Roots of others, believed for some purposes.")
app.command("troth.cli.attest:app", name="attest", help="Attestations of devices.")
app.command("troth.cli.tpm:app", name="tpm", help="TPMs, and the devices they belong to.")
app.command("troth.cli.vantage:app", name="vantage", help="Places elsewhere from which names are looked at.")
app.command("troth.cli.renewal:app", name="renewal", help="Have certificates renewed early, some a minute.")
app.command("troth.cli.rollover:app", name="rollover", help="From one issuing authority to the next, stage by stage.")
app.command("troth.cli.ceremony:app", name="ceremony", help="Plan, hold and prove ceremonies of an offline root.")
app.command("troth.cli.demo.command:demo", name="demo", help="Play a walk through it all with an invented fleet.")
app.command("troth.cli.agent:app", name="agent", help="Get and keep the certificates of this host.")
app.command("troth.cli.config:app", name="config", help="Check the configuration; print the reference.")
app.command("troth.cli.version:version", name="version", help="Print the version.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in ``arguments`` (default: the process's own) and return its exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        print(f"troth: {error}", file=sys.stderr)
        print("Try `troth --help`.", file=sys.stderr)
        return USAGE
    except TrothError as error:
        tell(error, as_json=wants_json(tokens))
        return exit_code(error)
    except Proposed as made:
        tell_proposed(made, as_json=wants_json(tokens))
        return PROPOSED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`troth … | head`). Python would complain once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return result if isinstance(result, int) else 0


def exit_code(error: TrothError) -> int:
    """The exit code for ``error``."""
    return {403: DENIED, 404: NOT_FOUND}.get(error.reason.status, FAILED)


def tell(error: TrothError, *, as_json: bool) -> None:
    """Say on standard error what failed, why, and what to do about it."""
    if as_json:
        told = {"code": error.code, "detail": error.detail, "summary": error.reason.summary, "fix": error.reason.fix}
        print(json.dumps({"error": told}), file=sys.stderr)
        return
    print(f"troth: {error.reason.summary}", file=sys.stderr)
    if error.detail != error.reason.summary:
        print("\n".join(f"  {line}" for line in error.detail.splitlines()), file=sys.stderr)
    print(f"  {error.reason.fix}  [{error.code}]", file=sys.stderr)


def tell_proposed(made: Proposed, *, as_json: bool) -> None:
    """Say that the act waits for other persons, and what is to be done next."""
    waiting = made.waiting
    if as_json:
        print(json.dumps(waiting, indent=2))
        return
    digest = str(waiting["act_hash"])
    print(f"Proposed, not done: {waiting['words']}. It takes {waiting['needed']} approvals by {waiting['expires_at']}.")
    print(f"  Ask the others to open {waiting['page']} in the dashboard and approve with a passkey.")
    print(f"  The hash to read aloud: {' '.join(digest[place : place + 4] for place in range(0, 24, 4))}")
    print(f"  See how it stands: troth approval show {waiting['proposal']}")


def wants_json(tokens: Sequence[str]) -> bool:
    """Whether the command was asked for JSON, told from its words alone: it may not even have started."""
    joined = " ".join(tokens)
    return any(f" {form}" in f" {joined}" for form in ("--output json", "--output=json", "-o json", "-o=json"))
