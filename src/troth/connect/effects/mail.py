"""Notification by mail. ``Message-ID`` is made of the effect's id, so that most mailboxes show a repetition once."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Protocol

from troth.connect.effects.smtp import Server, SmtpFailed, submit
from troth.connect.effects.targets import Targets, target_of
from troth.connect.effects.words import lines, title
from troth.kit.http import EgressRefused, HttpFailed
from troth.trust.outbox.model import Effect, EffectSubject, Outcome
from troth.trust.outbox.reactions import ChatTarget, MailTarget, Target, WebhookTarget


class Judge(Protocol):
    """Knows where Troth may connect: :class:`troth.kit.http.HttpClient`."""

    async def judged(self, host: str, port: int) -> str:
        """The address of ``host`` to connect to. Raises EgressRefused, HttpFailed."""
        ...


class MailPort:
    """``notify`` for targets of kind ``mail``."""

    def __init__(self, targets: Targets, egress: Judge, *, context: ssl.SSLContext | None = None) -> None:
        self._targets = targets
        self._egress = egress
        self._context = context or ssl.create_default_context()

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        target = await target_of(self._targets, effect.target, MailTarget)
        secret = await self._targets.secret(effect.target)
        if target.user and secret is None:
            return Outcome.refused(
                f"target {effect.target} has no password for {target.server}: `troth effect secret {effect.target}`"
            )
        host, port = target.address
        password = "" if secret is None else secret.decode()
        try:
            address = await self._egress.judged(host, port)
            server = Server(host, address, port, target.tls, target.user, password)
            word = await submit(
                server, target.sender, target.to, message(target, effect, subject), context=self._context
            )
        except EgressRefused as error:
            return Outcome.refused(str(error))
        except HttpFailed as error:
            return Outcome.retry(str(error))
        except SmtpFailed as error:
            return Outcome.refused(str(error)) if error.final else Outcome.retry(str(error))
        return Outcome.done(f"taken: {word.splitlines()[0][:200] if word else ''}".rstrip(": "))


def message(target: MailTarget, effect: Effect, subject: EffectSubject) -> bytes:
    """RFC 5322, the same bytes at every try."""
    made = EmailMessage(policy=SMTP)
    made["From"] = target.sender
    made["To"] = ", ".join(target.to)
    made["Subject"] = f"Troth: {title(effect)}"
    made["Date"] = format_datetime(effect.planned_at)
    made["Message-ID"] = f"<effect.{effect.id}@{target.sender.rpartition('@')[2]}>"
    # RFC 3834: nobody's out-of-office answers to it.
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("\n".join(lines(effect, subject)) + "\n")
    return made.as_bytes()


class NotifyPort:
    """``notify``: by mail, in a chat room, or by webhook where a policy names one, as the target is."""

    def __init__(self, targets: Targets, mail: MailPort, chat: Port, webhook: Port) -> None:
        self._targets = targets
        self._ports: Mapping[type[Target], Port] = {MailTarget: mail, ChatTarget: chat, WebhookTarget: webhook}

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        port = self._ports.get(type(await self._targets.target(effect.target)))
        if port is None:
            return Outcome.refused(f"target {effect.target} is none that people are told by")
        return await port.execute(effect, subject)


class Port(Protocol):
    """Another port."""

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        ...
