"""The invented fleet: forty devices that are plainly invented, in documents that Troth takes."""

from __future__ import annotations

from datetime import UTC, datetime

import yaml

from troth.cli.demo import fleet
from troth.trust.feeds.model import parse_feeds
from troth.trust.subjects.directory import parse_directory

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def test_forty_devices_are_declared_and_every_one_is_labelled_as_invented() -> None:
    declared = parse_directory(fleet.directory(NOW), at=NOW)
    assert len(fleet.devices()) == sum(one.kind.value == "device" for one in declared.subjects) == 40
    assert {one.name.startswith(fleet.PREFIX) for one in declared.subjects} == {True}
    assert {one.attributes["description"] for one in declared.subjects} == {fleet.LABEL}
    assert {one.groups for one in declared.subjects} == {(fleet.GROUP,)}


def test_the_empty_fleet_is_of_the_same_source_so_that_pruning_finds_it() -> None:
    assert parse_directory(fleet.nobody(), at=NOW).source == parse_directory(fleet.directory(NOW), at=NOW).source


def test_the_feeds_may_speak_of_the_fleet_alone_and_quarantine_at_most() -> None:
    for feed in parse_feeds(fleet.feeds()):
        assert feed.scope.groups == (fleet.GROUP,)
        assert feed.greatest_effect == "quarantined"


def test_suspending_the_feeds_changes_nothing_else() -> None:
    running, suspended = (yaml.safe_load(fleet.feeds(suspended=one))["feeds"] for one in (False, True))
    assert [{**one, "suspended": True} for one in running] == suspended


def test_the_storm_spares_the_hero_and_exceeds_the_cap() -> None:
    names = [one.name for one in fleet.storm()]
    assert fleet.HERO not in names
    assert len(set(names)) == 12 > fleet.SENSOR_CAP
