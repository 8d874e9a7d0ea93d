"""Ceremonies that are killed, or fail, at the nth thing they do: a process that forks one for each n.

Run as ``python -m tests.chaos.killable_ceremony DIRECTORY root|root-crl|token-root|token-crl kill|fail``; prints one
JSON line per n. It is a process of its own so that it may fork: it has no threads, and no PKCS#11 library loaded.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.integration.pki.ceremony.test_in_tokens import by_shares, key_of
from tests.support.ceremonies import Office
from tests.support.tokens import SoftToken, initialise
from troth.kit.errors import TrothError
from troth.pki.ceremony import custody
from troth.pki.ceremony import token as tokens
from troth.pki.ceremony.plan import Plan
from troth.pki.ceremony.proof import prove_results

PRESENT = ("Anna", "Cleo", "Emil")
SIGNING = "signing_function"
#: Everything by which a ceremony changes the disk or uses a key.
TOUCHED = ("fsync", "replace", "rename", "write", "mkdir")
#: With a token each run takes longer, and what is written is seen by its name; and what the token does.
TOUCHED_BY_TOKEN = ("replace", "rename", "mkdir")


def break_at(count: int, how: str, *, token: bool = False) -> list[int]:
    """Let the ``count``-th touch of disk or key be the last thing, or fail; answers what is left till then."""
    left = [count]

    def touch() -> None:
        left[0] -= 1
        if left[0] == 0:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(28, "no space left")

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            touch()
            return real(*arguments, **named)

        return call

    setattr(os, "fsync", lambda _: None)  # noqa: B010 - a killed process loses nothing that the kernel has
    for name in TOUCHED_BY_TOKEN if token else TOUCHED:
        setattr(os, name, wrapped(getattr(os, name)))
    if token:

        def around(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                touch()
                result = real(*arguments, **named)
                touch()
                return result

            return call

        setattr(tokens, "_set_pin", around(tokens._set_pin))  # noqa: B010
        for name in ("generate", "sign"):
            setattr(tokens.Pkcs11Token, name, around(getattr(tokens.Pkcs11Token, name)))
    real_sign = getattr(custody, SIGNING)
    setattr(custody, SIGNING, lambda key: wrapped(real_sign(key)))
    return left


def note_signatures(log: Path) -> None:
    """Write down what is signed before it is."""
    real = getattr(custody, SIGNING)

    def signing_function(key: Any) -> Callable[[bytes], bytes]:
        sign = real(key)

        def noted(message: bytes) -> bytes:
            with log.open("a") as file:
                file.write(message.hex() + "\n")
            return bytes(sign(message))

        return noted

    setattr(custody, SIGNING, signing_function)
    in_token = tokens.Pkcs11Token.sign

    def sign(token: Any, handle: Any, algorithm: Any, content: bytes, **named: Any) -> bytes:
        with log.open("a") as file:
            file.write(content.hex() + "\n")
        return in_token(token, handle, algorithm, content, **named)

    setattr(tokens.Pkcs11Token, "sign", sign)  # noqa: B010


def forked(act: Callable[[], None]) -> int:
    """The exit status of ``act`` in a child; 9 for one that was killed."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except TrothError as error:
            os._exit(7 if error.code == "ceremony.output.exists" else 3)
        except BaseException as error:  # noqa: BLE001 - the parent must hear of it
            sys.stderr.write(f"{error!r}\n")
            os._exit(5)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def attempt(office: Office, plan: Plan, log: Path, count: int, how: str) -> int:
    """One run that ends at its ``count``-th touch."""

    def act() -> None:
        note_signatures(log)
        left = break_at(count, how, token=plan.document.key.label is not None)
        office.hold(plan, *PRESENT)
        if left[0] <= 0:
            os._exit(1)  # it went on without what failed

    return forked(act)


def fresh_token(base: Path, count: int) -> SoftToken:
    """A token that nobody has used, to which the library in the next child finds its way."""
    token = initialise(base / f"token-{count:03}", f"troth {count}")
    os.environ.update(token.environ)
    return token


def hold_root(office: Office, name: str, token: SoftToken) -> None:
    """A root whose key is in ``token``, whole."""
    office.hold(office.plan(f"{name}.yaml", office.root(name, key=key_of(token))), *PRESENT)


def hold_crl(office: Office, root: str, token: SoftToken) -> None:
    """A CRL of that root."""
    inputs = {"issuer": f"{root}/certificate.pem"}
    key = {**by_shares(token), "shares": f"{root}/shares.json"}
    office.hold(office.plan(f"{root}-crl.yaml", office.crl(f"{root}-crl", inputs=inputs, key=key)), *PRESENT)


def main() -> None:
    """See the module."""
    base, kind, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    setattr(os, "fsync", lambda _: None)  # noqa: B010
    rooted = Office(base / "rooted")
    rooted.directory.mkdir()
    # Once for all: linter and program digest are in memory before the forks.
    rooted.hold(rooted.plan("root.yaml", rooted.root(algorithm="p256")))
    ended, count, token = False, 0, SoftToken(base, "")
    while not ended:
        count += 1
        office, name = rooted, f"made-{count:03}"
        directory = office.directory / name
        log = base / f"{name}.log"
        match kind:
            case "root-crl":
                document = office.crl(name, key=office.existing(algorithm="p256"))
            case "token-root":
                token = fresh_token(base, count)
                document = office.root(name, key=key_of(token))
            case "token-crl":
                token, made = fresh_token(base, count), f"root-{count:03}"
                assert forked(partial(hold_root, office, made, token)) == 0
                inputs = {"issuer": f"{made}/certificate.pem"}
                key = {**by_shares(token), "shares": f"{made}/shares.json"}
                document = office.crl(name, inputs=inputs, key=key)
            case _:
                document = office.root(name, "p256")
        plan = office.plan(f"{name}.yaml", document)
        first = attempt(office, plan, log, count, how)
        ended = first == 0
        whole_before = directory.exists()
        again = attempt(office, plan, log, 10_000, how)
        # Whatever was cut short: the key in the token is the certificate's, and the shares open it.
        opened = forked(partial(hold_crl, office, name, token)) if kind == "token-root" else 0
        proved, beside = prove_results(directory / "transcript.jsonl")
        signed = log.read_text().split() if log.exists() else []
        line = {
            "first": first,
            "whole_before": whole_before,
            "again": again,
            "opened": opened,
            "missing": sorted(set(proved.outputs) - set(beside)),
            "different_messages": len(set(signed)),
            "left": sorted(path.name for path in office.directory.iterdir() if path.name.endswith(".partial")),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
