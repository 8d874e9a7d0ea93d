"""OpenID AuthZEN Authorization API 1.0: evaluation and evaluations; the searches are not offered (501).

A subject is a ``user``, ``device`` or ``workload`` of ours by name (``id``), which the application has authenticated
itself, or a ``certificate``: its SHA-256 as ``id``, or its PEM in the property ``pem``. Properties that the caller
makes up are evidence of nothing and are passed over, but for the client's ``address`` in the context.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from troth.connect.authz.certificates import from_hash, from_pem
from troth.connect.authz.door import Answer, Caller, Gate, as_json, asking_of, obligations, refusal
from troth.connect.authz.errors import MALFORMED, UNSUPPORTED, AuthzError
from troth.connect.authz.store import Application
from troth.kit.canonical import Json
from troth.kit.lane import Request, Response, Route

MAX_BODY: Final = 262_144
#: Questions in one request.
MAX_EVALUATIONS: Final = 100

# PostgreSQL takes no NUL.
_Text = Annotated[str, Meta(max_length=1024, pattern=r"\A[^\x00]*\Z")]
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}\Z")


class Subject(Struct, frozen=True):
    """Whom it is about."""

    type: _Text
    id: _Text
    properties: dict[str, Any] = {}


class Action(Struct, frozen=True):
    """What is to be done."""

    name: _Text
    properties: dict[str, Any] = {}


class Resource(Struct, frozen=True):
    """What it is to be done to."""

    type: _Text
    id: _Text
    properties: dict[str, Any] = {}


class Evaluation(Struct, frozen=True):
    """One question; what is left out in one of several is what stands above them."""

    subject: Subject | None = None
    action: Action | None = None
    resource: Resource | None = None
    context: dict[str, Any] | None = None


class Options(Struct, frozen=True):
    """How several questions are answered."""

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class Evaluations(Struct, frozen=True):
    """Several questions."""

    subject: Subject | None = None
    action: Action | None = None
    resource: Resource | None = None
    context: dict[str, Any] | None = None
    evaluations: Annotated[tuple[Evaluation, ...], Meta(max_length=MAX_EVALUATIONS)] = ()
    options: Options = Options()


_one = msgspec.json.Decoder(Evaluation)
_several = msgspec.json.Decoder(Evaluations)


class AuthZen:
    """The endpoints. ``base``: the public URL, without a slash at the end."""

    def __init__(self, caller: Caller, gate: Gate, base: str) -> None:
        self._caller = caller
        self._gate = gate
        self._base = base

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane. Public: each request proves its caller."""
        found = [
            Route("/.well-known/authzen-configuration", {"GET": self.metadata}, permission="public"),
            Route("/access/v1/evaluation", {"POST": self.evaluation}, permission="public", max_body=MAX_BODY),
            Route("/access/v1/evaluations", {"POST": self.evaluations}, permission="public", max_body=MAX_BODY),
        ]
        return found + [
            Route(f"/access/v1/search/{what}", {"POST": self.search}, permission="public", max_body=MAX_BODY)
            for what in ("subject", "resource", "action")
        ]

    async def metadata(self, _request: Request) -> Response:
        """Section 9: what there is, and where."""
        return as_json(
            {
                "policy_decision_point": self._base,
                "access_evaluation_endpoint": f"{self._base}/access/v1/evaluation",
                "access_evaluations_endpoint": f"{self._base}/access/v1/evaluations",
            }
        )

    async def evaluation(self, request: Request) -> Response:
        """Section 6: one question."""
        try:
            application = await self._caller.prove(request)
            self._caller.take(application)
            asked = _read(_one, request.body)
            return as_json(await self._ask(application, asked), *_echo(request))
        except AuthzError as error:
            return refusal(error, *_echo(request))

    async def evaluations(self, request: Request) -> Response:
        """Section 7: several questions, or one where there are none."""
        try:
            application = await self._caller.prove(request)
            asked = _read(_several, request.body)
            whole = Evaluation(asked.subject, asked.action, asked.resource, asked.context)
            self._caller.take(application, max(1, len(asked.evaluations)))
            if not asked.evaluations:
                return as_json(await self._ask(application, whole), *_echo(request))
            # What is malformed is refused before anything is decided.
            questions = [_filled(one, whole) for one in asked.evaluations]
            for one in questions:
                _complete(one)
            answers: list[dict[str, Json]] = []
            for one in questions:
                answers.append(await self._ask(application, one))
                if (asked.options.evaluations_semantic, answers[-1]["decision"]) in _ENDS:
                    break
            return as_json({"evaluations": answers}, *_echo(request))
        except AuthzError as error:
            return refusal(error, *_echo(request))

    async def search(self, request: Request) -> Response:
        """Section 8 is not offered: the judge answers about who is there, not who might be."""
        try:
            await self._caller.prove(request)
        except AuthzError as error:
            return refusal(error, *_echo(request))
        return refusal(AuthzError(UNSUPPORTED, "there is no search"), *_echo(request))

    async def _ask(self, application: Application, asked: Evaluation) -> dict[str, Json]:
        subject, action, resource = _complete(asked)
        address = (asked.context or {}).get("address")
        asking = asking_of(
            application,
            action=action.name,
            resource_type=resource.type,
            resource=resource.id,
            address=address if isinstance(address, str) else "",
        )
        if subject.type == "certificate":
            pem = subject.properties.get("pem")
            sha256 = from_pem(pem.encode()) if isinstance(pem, str) else from_hash(subject.id)
            if isinstance(pem, str) and subject.id and from_hash(subject.id) != sha256:
                raise AuthzError(MALFORMED, "the certificate's id is not its SHA-256")
            answer = await self._gate.certificate(application, sha256, asking)
        else:
            answer = await self._gate.subject(application, subject.type, subject.id, asking)
        self._caller.count(application, _result(answer))
        return told(answer)


_ENDS = {("deny_on_first_deny", False), ("permit_on_first_permit", True)}


def told(answer: Answer) -> dict[str, Json]:
    """The answer as AuthZEN has it. What was seen of whom stays here: the application is told the decision's id."""
    admission = answer.admission
    context: dict[str, Json] = {"outcome": admission.outcome.value, "reason": admission.reason}
    if answer.decision is not None:
        context["id"] = str(answer.decision)
    if admission.obligations.say is not None:
        context["reason_user"] = {"en": admission.obligations.say}
    duties = obligations(admission.obligations)
    if duties and answer.permits:
        context["obligations"] = duties
    return {"decision": answer.permits, "context": context}


def _result(answer: Answer) -> str:
    return "permit" if answer.permits else "deny"


def _read(decoder: Any, body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AuthzError(MALFORMED, str(error)[:300]) from error


def _filled(one: Evaluation, whole: Evaluation) -> Evaluation:
    return Evaluation(
        one.subject or whole.subject,
        one.action or whole.action,
        one.resource or whole.resource,
        one.context if one.context is not None else whole.context,
    )


def _complete(one: Evaluation) -> tuple[Subject, Action, Resource]:
    for name, value in (("subject", one.subject), ("action", one.action), ("resource", one.resource)):
        if value is None:
            raise AuthzError(MALFORMED, f"the question has no {name}")
    assert one.subject is not None and one.action is not None and one.resource is not None  # noqa: S101, PT018 -- above
    return one.subject, one.action, one.resource


def _echo(request: Request) -> tuple[tuple[bytes, bytes], ...]:
    """Section 10.1.5: the caller's own number for its request."""
    given = request.headers.get("x-request-id", "")
    return ((b"x-request-id", given.encode("ascii")),) if _REQUEST_ID.match(given) else ()
