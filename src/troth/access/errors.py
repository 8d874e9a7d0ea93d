"""Why somebody may not act. Wordings never tell whether an account exists."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

NOT_LOGGED_IN = reason(
    "access.not_logged_in",
    "this needs a log-in",
    fix="Log in at /login, or send an API token as 'Authorization: Bearer …'.",
    status=401,
)
FORBIDDEN = reason(
    "access.forbidden",
    "your role does not allow this",
    fix="Ask an administrator, or act with an account or token whose role has the permission named in the detail.",
    status=403,
)
LOGIN_REFUSED = reason(
    "access.login_refused",
    "name and password (or passkey) do not match an account",
    fix="Check name and password. An administrator can issue a new set-up token with 'troth admin invite'.",
    status=401,
)
TOO_MANY_ATTEMPTS = reason(
    "access.too_many_attempts",
    "too many log-in attempts",
    fix="Wait for the time given and try again; a passkey log-in is not slowed by others' guesses at your name.",
    status=429,
)
INVITATION_INVALID = reason(
    "access.invitation_invalid",
    "this set-up token is unknown, used or expired",
    fix="Read the newest token from the file admin.token in the data directory; restart Troth to get a fresh one "
    "while no administrator exists, or ask for one made with 'troth admin invite'.",
    status=401,
)
NAME_INVALID = reason(
    "access.name_invalid",
    "an account name has 1 to 64 letters, digits, dots, hyphens, underscores or @",
    fix="Choose another name.",
    status=422,
)
NAME_TAKEN = reason(
    "access.name_taken",
    "an account of this name exists already",
    fix="Choose another name.",
    status=409,
)
PASSWORD_WEAK = reason(
    "access.password_weak",
    "this password is too easy to guess",
    fix="Use at least 12 characters besides your own name; a few random words do well.",
    status=422,
)
PASSKEY_INVALID = reason(
    "access.passkey_invalid",
    "the passkey's answer could not be verified",
    fix="Try again from the page's own address; passkeys work only under the host name they were made for.",
    status=422,
)
ROLE_UNKNOWN = reason(
    "access.role_unknown",
    "there is no such role",
    fix="Use administrator, operator, approver or auditor.",
    status=422,
)
TOKEN_LIFETIME = reason(
    "access.token_lifetime",
    "an API token lives between one hour and one year",
    fix="Give a lifetime within these bounds.",
    status=422,
)
NOT_FOUND = reason(
    "access.not_found",
    "there is no such account, session or token",
    fix="List what exists and use its identifier.",
    status=404,
)
OWN_ACCOUNT = reason(
    "access.own_account",
    "nobody turns off or removes his own account",
    fix="Ask another administrator.",
    status=409,
)
REAUTHENTICATION = reason(
    "access.reauthentication",
    "this needs the password or a passkey of the account once more",
    fix="Give your present password, or use a passkey that you have made before.",
    status=403,
)
LAST_CREDENTIAL = reason(
    "access.last_credential",
    "this is the only way to log in to the account",
    fix="Make another passkey or set a password first.",
    status=409,
)


class AccessError(TrothError):
    """A refusal of this room."""


class NotLoggedIn(AccessError):
    """No principal stands behind the request."""

    def __init__(self) -> None:
        super().__init__(NOT_LOGGED_IN)


class Forbidden(AccessError):
    """The principal lacks the permission."""

    def __init__(self, permission: str) -> None:
        super().__init__(FORBIDDEN, f"this needs the permission {permission}", permission=permission)


class LoginRefused(AccessError):
    """Unknown name, wrong password, wrong passkey or disabled account: one answer for all of them."""

    def __init__(self) -> None:
        super().__init__(LOGIN_REFUSED)


class TooManyAttempts(AccessError):
    """The account, the address or the pair of both must wait."""

    def __init__(self) -> None:
        super().__init__(TOO_MANY_ATTEMPTS, "too many log-in attempts; wait up to 15 minutes")


class InvitationInvalid(AccessError):
    """The set-up token does not open anything."""

    def __init__(self) -> None:
        super().__init__(INVITATION_INVALID)
