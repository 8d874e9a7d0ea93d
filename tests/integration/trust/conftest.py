"""Fixtures of the trust room's tests against a real PostgreSQL."""

from __future__ import annotations

import pytest

from tests.support.policies import apply_shipped
from troth.kit.clock import FakeClock
from troth.store.pool import Database
from troth.trust.authoring.service import PolicyService
from troth.trust.decision.decide import Judge
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.facts import StoredFacts
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects


@pytest.fixture
def subject_store(database: Database) -> SubjectStore:
    return SubjectStore(database)


@pytest.fixture
def subjects(subject_store: SubjectStore) -> Subjects:
    return Subjects(subject_store)


@pytest.fixture
def directory(database: Database, clock: FakeClock) -> Directory:
    return Directory(database, clock)


@pytest.fixture
def policies(database: Database, clock: FakeClock) -> PolicyService:
    return PolicyService(database, clock)


@pytest.fixture
async def judge(database: Database, clock: FakeClock, policies: PolicyService) -> Judge:
    """A judge with the shipped policies in force and the database as its one source."""
    await apply_shipped(database, clock)
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    return Judge(cache, [StoredFacts(SubjectStore(database))], clock)
