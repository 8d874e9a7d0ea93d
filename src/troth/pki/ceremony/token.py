"""The key of a ceremony in a PKCS#11 token.

The token is the one that the plan names, by its label and, if told, its serial number, before any PIN is tried. A new
PIN is split and on the disk as age files before the token gets it: a ceremony that is cut short in between leaves a
token that either the old PIN or the custodians open.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from uuid import UUID

from troth.pki.algorithms import load_public
from troth.pki.ceremony.custody import SHARES, OpenKey, People, give_shares
from troth.pki.ceremony.desk import Desk
from troth.pki.ceremony.errors import KEY_OTHER, TOKEN_FAILED, TOKEN_OTHER, CeremonyFailed, PlanRefused
from troth.pki.ceremony.plan import Plan
from troth.pki.ceremony.shares import ShareSet, wipe
from troth.pki.keys.algorithm import public_algorithm
from troth.pki.keys.errors import KEY_GONE, PIN_REFUSED, CustodianDown, KeyUnavailable
from troth.pki.keys.pins import FILE, UNSEAL, PinSource
from troth.pki.keys.pkcs11_library import Library, Login, api, name_of
from troth.pki.keys.pkcs11_token import Pkcs11Token
from troth.pki.prehash import new_digest

_SECONDS = 60.0


def make_token_key(plan: Plan, desk: Desk, people: People) -> OpenKey:
    """Make the plan's key in its token, or take up the one that this ceremony made before it was cut short."""
    _check_token(plan)
    token = _token(plan, _pin_for_new(plan, desk, people))
    handle = _handle(plan)
    try:
        present = token.public_key(handle)
    except KeyUnavailable as trouble:
        if trouble.reason is not KEY_GONE:
            raise
        made = token.generate(str(plan.document.key.label), plan.document.key.algorithm)
        return _open(plan, token, made.public_key, made.evidence)
    if not desk.resumed:
        token.close()
        raise PlanRefused(KEY_OTHER, f"the token holds a key named {plan.document.key.label} already")
    return _open(plan, token, present, token.evidence(handle))


def open_token_key(plan: Plan, people: People) -> OpenKey:
    """The existing key that the plan names. Raises CeremonyFailed, KeyUnavailable."""
    _check_token(plan)
    token = _token(plan, _pin(plan, people))
    handle = _handle(plan)
    return _open(plan, token, token.public_key(handle), token.evidence(handle))


def _check_token(plan: Plan) -> None:
    """Raise CeremonyFailed unless label and serial number are the plan's; no PIN is needed to see that."""
    key = plan.document.key
    library = Library.at(str(plan.place(str(key.module))))
    login = Login(library, str(key.token), PinSource(UNSEAL))
    try:
        about = dict(library.lane.call(login.about, _SECONDS))
    except CustodianDown:
        # A token that was put in after the library started is seen only when it starts again.
        library.lane.call(library.restart, _SECONDS)
        about = dict(library.lane.call(login.about, _SECONDS))
    if key.serial is not None and about["token serial"] != key.serial:
        found = about["token serial"]
        raise CeremonyFailed(TOKEN_OTHER, f"the plan says serial number {key.serial}, the token says {found}")


def _token(plan: Plan, pin: PinSource) -> Pkcs11Token:
    key = plan.document.key
    return Pkcs11Token(str(plan.place(str(key.module))), str(key.token), pin, timeout=_SECONDS)


def _handle(plan: Plan) -> dict[str, str]:
    label = str(plan.document.key.label)
    return {"label": label, "id": UUID(label.split("-", 1)[1]).hex}


def _open(plan: Plan, token: Pkcs11Token, spki: bytes, evidence: tuple[tuple[str, str], ...]) -> OpenKey:
    opened = opened_key(token, _handle(plan), spki, (("custody", "PKCS#11 token"), *evidence))
    if opened.algorithm is not plan.document.key.algorithm:
        raise CeremonyFailed(KEY_OTHER, f"the plan says {plan.document.key.algorithm}, the key is {opened.algorithm}")
    return opened


def opened_key(
    token: Pkcs11Token, handle: Mapping[str, str], spki: bytes, evidence: tuple[tuple[str, str], ...]
) -> OpenKey:
    """A key in a token whose session is open."""
    public = load_public(spki)
    algorithm = public_algorithm(public)

    def sign(message: bytes) -> bytes:
        digest = new_digest(public)
        if digest is None:
            return token.sign(handle, algorithm, message, digested=False)
        digest.update(message)
        return token.sign(handle, algorithm, digest.digest(), digested=True)

    return OpenKey(
        algorithm,
        public,
        sign,
        evidence,
        handle["label"],
        token.close,
    )


def _pin(plan: Plan, people: People) -> PinSource:
    key = plan.document.key
    if key.pin == "shares":
        listed = ShareSet.parse(plan.read(key.shares, "the shares' list"))
        return _unsealed(people.secret(listed))
    return PinSource(f"{FILE}{plan.place(str(key.pin).removeprefix(FILE)).absolute()}")


def _unsealed(pin: bytearray) -> PinSource:
    source = PinSource(UNSEAL)
    source.unseal(bytes(pin))
    wipe(pin)
    return source


def _pin_for_new(plan: Plan, desk: Desk, people: People) -> PinSource:
    key, custodians = plan.document.key, plan.document.custodians
    if key.pin != "new" or custodians is None:
        return _pin(plan, people)
    if desk.has(SHARES):
        people.tell("This ceremony was cut short after the token's PIN was split; the custodians open the token again.")
        pin = people.secret(ShareSet.parse(desk.read(SHARES)))
        if _opens(plan, pin):
            return _unsealed(pin)
    else:
        pin = bytearray(base64.b32encode(secrets.token_bytes(20)).lower())
        give_shares(pin, custodians, f"PIN of token {key.token}", desk)
    _set_pin(plan, pin)
    return _unsealed(pin)


def _opens(plan: Plan, pin: bytearray) -> bool:
    key = plan.document.key
    library, source = Library.at(str(plan.place(str(key.module)))), PinSource(UNSEAL)
    source.unseal(bytes(pin))
    login = Login(library, str(key.token), source)
    try:
        library.lane.call(login.session, _SECONDS)
    except CustodianDown as trouble:
        if trouble.reason is PIN_REFUSED:
            return False
        raise
    library.lane.call(login.drop, _SECONDS)
    return True


def _set_pin(plan: Plan, pin: bytearray) -> None:
    """Give the token its new PIN in place of the initial one."""
    key = plan.document.key
    library = Library.at(str(plan.place(str(key.module))))
    initial = PinSource(f"{FILE}{plan.place(str(key.initial_pin)).absolute()}")
    login = Login(library, str(key.token), initial)

    def change() -> None:
        pkcs11 = api()
        session = login.writing()
        try:
            session.set_pin(initial.read().decode(), pin.decode())
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise CeremonyFailed(TOKEN_FAILED, f"the token keeps its PIN: {name_of(error)}") from error
        finally:
            session.close()
            login.drop()

    library.lane.call(change, _SECONDS)
