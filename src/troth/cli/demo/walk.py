"""The walk itself: issue, know, tell, watch and act, record. Each step does, looks, and says what it saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from troth.cli.demo import fleet
from troth.cli.demo.cleaning import accused, take_back
from troth.cli.demo.doors import Decision, Doors, Issued, Pair, Row
from troth.cli.demo.errors import NOT_AS_TOLD, DemoError
from troth.cli.demo.feeds import Feed, Taken
from troth.cli.demo.server import challenge_server, obtain
from troth.cli.demo.story import Story
from troth.cli.demo.watching import HELD, expect, timed
from troth.client.acme import AcmeError, AcmeTimeout
from troth.client.ocsp import Ocsp
from troth.client.transport import Transport
from troth.kit.clock import Clock

#: Beside the full 30 days, a certificate is one of the short ones that an obligation of the policy made.
_FULL = timedelta(days=29)


class Told(msgspec.Struct, kw_only=True):
    """What the walk made and measured. Milliseconds are counted from the moment a signal is sent."""

    devices: int = 0
    issued: int = 0
    kept: int = 0
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    acme: str = ""
    hold_ms: float = 0.0
    release_ms: float = 0.0
    quarantined: int = 0
    staged: int = 0
    ledger_events: int = 0


@dataclass(kw_only=True)
class Walk:
    """One telling of it.

    Attributes:
        directory: the ACME directory for servers.
        challenge_port: where http-01 looks, as the configuration says.
        make_feeds: makes the fleet's feeds, by name, with fresh secrets.
        verify: proves the ledger from an export; returns the number of events, raises when it does not hold.
    """

    doors: Doors
    story: Story
    clock: Clock
    transport: Transport
    directory: str
    challenge_port: int
    make_feeds: Callable[[], Mapping[str, Feed]]
    verify: Callable[[], int]
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    told: Told = field(default_factory=Told)

    async def run(self) -> Told:
        """Play it from the beginning. Raises DemoError where Troth does otherwise than it promises."""
        if self.doors.frozen():
            raise DemoError(NOT_AS_TOLD, "enforcement is frozen, so nothing would be held: lift the freeze first")
        await self.know()
        await self.listen()
        await self.issue()
        await self.serve()
        hero = self.hero()
        ocsp = Ocsp(hero.leaf, hero.issuer, self.transport)
        await self.tell(hero, ocsp)
        await self.intrusion(hero, ocsp)
        await self.why()
        await self.stranger(ocsp)
        await self.cleared(hero, ocsp)
        await self.storm()
        await self.record()
        return self.told

    # --- know ------------------------------------------------------------------------------------------------------

    async def know(self) -> None:
        """Who and what there is."""
        devices = fleet.devices()
        self.told.devices = len(devices)
        self.story.title("Know who and what there is")
        counted = self.doors.apply(fleet.directory(self.clock.now()))
        fresh = sum(number for (kind, action), number in counted.items() if action == "created" and kind != "fact")
        owners = len({one.owner for one in devices})
        self.story.tell(
            f"{len(devices)} devices of {owners} people, every one invented, with what an MDM and an EDR last said of "
            "them, and when."
        )
        self.story.tell("They are here from an earlier run." if not fresh else f"{fresh} subjects are new.")
        self.story.see(f"/subjects?q={fleet.PREFIX}")
        await self.story.beat()

    async def listen(self) -> None:
        """The systems that may speak of them."""
        self.story.title("Say who may report about them, and how far that goes")
        self.feeds = self.make_feeds()
        self.story.tell(f"{', '.join(self.feeds)}: about these devices only, and no further than quarantine.")
        self.story.tell("Their signing secrets were just made anew, and are known to this process alone.")
        self.story.see("/feeds")
        suspects = accused(self.doors)
        if suspects:
            await take_back(self.feeds, suspects, "An earlier run of the demonstration is over.")
            self.story.tell(f"First, an earlier run's accusations of {len(suspects)} devices are taken back.")
        await self.story.beat()

    # --- issue -----------------------------------------------------------------------------------------------------

    async def issue(self) -> None:
        """A certificate for each device that policy lets have one."""
        self.story.title("Issue: a certificate for each device, if policy says so")
        self.story.tell("Each key is made here and stays here. Most devices get 30 days; of the others:")
        self.story.see("/certificates?profile=client-device")
        rows, outcomes = self.doors.subjects("device"), Counter[str]()
        for device in fleet.devices():
            row = rows[device.name]
            if self._serving(row):
                self.told.kept += 1
                continue
            issued = self.doors.issue(device)
            if issued is not None and issued.lifetime > _FULL:
                outcomes["allow"] += 1
            else:
                decision = self.doors.why(str(issued.id) if issued is not None else f"device:{device.name}")
                outcomes[decision.outcome] += 1
                self.story.tell(f"  {device.name}: {_shortly(issued, decision)}")
            await self.story.beat(0.15)
        self.told.outcomes = dict(outcomes)
        self.told.issued = sum(outcomes.values()) - outcomes["deny"]
        known = f", {self.told.kept} have theirs from an earlier run" if self.told.kept else ""
        self.story.tell(f"{self.told.issued} issued, {outcomes['deny']} refused{known}.")
        await self.story.beat()

    def _serving(self, row: Row) -> bool:
        now = self.clock.now()
        return row.certificates > 0 and any(one.serves(now) for one in self.doors.certificates(row.id))

    async def serve(self) -> None:
        """A server's certificate, by ACME."""
        self.story.title("A server proves what is its own, by ACME")
        address, port = fleet.SERVER_ADDRESS, self.challenge_port
        try:
            async with challenge_server(address, port) as show:
                leaf = await obtain(self.directory, address, show, self.transport)
        except OSError as error:
            self.told.acme = f"left out: {address}:{port} cannot be served: {error.strerror}"
            self.story.tell(f"Left out: Troth looks for the proof on port {port}, which cannot be served here.")
            self.story.tell("Set acme.http_port (or TROTH__ACME__HTTP_PORT, for Troth and for this) to a free one.")
        except (AcmeError, AcmeTimeout) as error:
            self.told.acme = f"failed: {error.detail}"
            self.story.tell(f"Troth refused: {error.detail}")
            self.story.tell(f"It was served on port {port}. Was Troth started with another acme.http_port?")
        else:
            self.told.acme = "issued"
            days = (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days + 1
            self.story.tell(f"{fleet.SERVER} showed a token at http://{address}:{port} (http-01) and has {days} days.")
            self.story.tell(f"Any ACME client does the same at {self.directory}")
            self.story.see("/certificates?profile=tls-server")
        await self.story.beat()

    # --- tell ------------------------------------------------------------------------------------------------------

    def hero(self) -> Pair:
        """The certificate that the rest is about."""
        now, row = self.clock.now(), self.doors.subjects("device")[fleet.HERO]
        for one in self.doors.certificates(row.id):
            if one.profile == "client-device" and one.serves(now):
                return self.doors.pair(one.id, self.doors.issuer())
        raise DemoError(NOT_AS_TOLD, f"{fleet.HERO} has no certificate")

    async def tell(self, hero: Pair, ocsp: Ocsp) -> None:
        """What OCSP says of a healthy device."""
        self.story.title(f"Tell: is the certificate of {fleet.HERO} good?")
        answer = await ocsp.ask()
        self.story.tell(f"OCSP, at {ocsp.url} as the certificate says: {answer}.")
        expect(answer, "good")
        self.story.see(f"/certificates/{hero.id}")
        await self.story.beat()

    # --- watch and act ---------------------------------------------------------------------------------------------

    async def intrusion(self, hero: Pair, ocsp: Ocsp) -> None:
        """The EDR reports, and the certificate is on hold."""
        self.story.title(f"Watch: the EDR reports an intrusion on {fleet.HERO}")

        async def act() -> Taken:
            return await self.feeds[fleet.EDR].say("edr.intrusion", fleet.HERO, "Credential dumping (invented).")

        taken, self.told.hold_ms = await timed(act, ocsp, HELD, self.clock)
        self.story.tell(f"Troth took the signed signal; {fleet.HERO} is {taken.standing}.")
        self.story.tell(f"OCSP said {HELD} {self.told.hold_ms:.0f} ms after the signal was sent.")
        self.story.see(f"/certificates/{hero.id}")
        await self.story.beat()

    async def why(self) -> None:
        """The causes, and what a fresh request is told."""
        self.story.title("Ask why")
        subject = self.doors.subject(fleet.HERO)
        for cause in subject.causes:
            source = cause.source.removeprefix("feed:")
            self.story.tell(f"{subject.name} is {cause.effect}: {source} raised {cause.cause!r}.")
            self.story.tell(f"What clears it: {cause.clears}.")
        device = next(one for one in fleet.devices() if one.name == fleet.HERO)
        issued = self.doors.issue(device)
        if issued is None:
            raise DemoError(NOT_AS_TOLD, "a quarantined device got no certificate of the quarantine profile")
        self.story.tell("It asks for a new certificate meanwhile, and `troth why` tells what came of that:")
        for line in self.doors.why(str(issued.id)).lines:
            self.story.quote(line)
        self.story.see(f"/subjects/{subject.id}")
        await self.story.beat(6.0)

    async def stranger(self, ocsp: Ocsp) -> None:
        """Another feed cannot clear it."""
        self.story.title("Another system cannot take it back")
        taken = await self.feeds[fleet.MDM].say("edr.cleared", fleet.HERO, "Looks fine to us (invented).")
        answer = await ocsp.ask()
        self.story.tell(f"{fleet.MDM} says it is clean. The cause is {fleet.EDR}'s, so it stays {taken.standing}.")
        self.story.tell(f"OCSP still says {answer}.")
        expect(answer, HELD)
        await self.story.beat()

    async def cleared(self, hero: Pair, ocsp: Ocsp) -> None:
        """The feed that raised it clears it."""
        self.story.title("The EDR finds it clean")

        async def act() -> Taken:
            return await self.feeds[fleet.EDR].say("edr.cleared", fleet.HERO, "Cleaned and checked (invented).")

        taken, self.told.release_ms = await timed(act, ocsp, "good", self.clock)
        self.story.tell(f"{fleet.HERO} is {taken.standing}; OCSP said good again after {self.told.release_ms:.0f} ms.")
        self.story.see(f"/certificates/{hero.id}")
        await self.story.beat()

    async def storm(self) -> None:
        """More than the cap allows waits for a person."""
        accused = fleet.storm()
        self.story.title("A broken sensor accuses twelve devices at once")
        answers = [await self.feeds[fleet.SENSOR].say("edr.intrusion", one.name, "Everything is on fire (invented).")
                   for one in accused]  # fmt: skip
        self.told.staged = sum(one.staged for one in answers)
        self.told.quarantined = sum(one.standing == "quarantined" for one in answers)
        self.story.tell(
            f"Its cap is {fleet.SENSOR_CAP} devices in {fleet.SENSOR_WINDOW} seconds: {self.told.quarantined} are "
            f"quarantined, and {self.told.staged} wait until a person has looked."
        )
        if self.told.staged + self.told.quarantined != len(accused) or not self.told.staged:
            raise DemoError(NOT_AS_TOLD, f"{self.told.quarantined} quarantined, {self.told.staged} staged")
        self.story.see("/staged")
        await self.story.beat()

    # --- record ----------------------------------------------------------------------------------------------------

    async def record(self) -> None:
        """The proof of it all."""
        self.story.title("All of it is in the ledger, and the ledger can be proved")
        self.told.ledger_events = await asyncio.to_thread(self.verify)
        self.story.tell(
            f"{self.told.ledger_events} events, exported and verified here: every leaf, every index, every signed "
            "checkpoint."
        )
        self.story.tell("`troth audit verify` does the same, and finds any row changed, deleted or reordered.")
        self.story.see("/events")
        await self.story.beat(1.0)


def _shortly(issued: Issued | None, decision: Decision) -> str:
    """What came of a request that is not like the others, and why, in a few words."""
    open_ = [one for one in decision.conditions if one.result != "true" and one.name != "match"]
    because = "; ".join(reason for one in open_ for reason in (one.why or (f"{one.name} was {one.result}",)))
    if issued is None:
        what = "refused"
    elif decision.outcome == "quarantine":
        what = f"{_hours(issued.lifetime)} of the quarantine profile"
    else:
        what = f"{_hours(issued.lifetime)} only"
    return f"{what}, by rule {decision.rule}{f' ({because})' if because else ''}"


def _hours(length: timedelta) -> str:
    return f"{round(length / timedelta(hours=1))} hours"
