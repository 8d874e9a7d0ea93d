"""Every route of the admin application, for everybody who might knock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from tests.support.dashboard import Browser, House
from troth.access.roles import ROLES, Permission, Role
from troth.kit.ids import new_id

#: The only doors before the log-in.
PUBLIC = {
    "/livez", "/static/{address:path}", "/login", "/login/passkey", "/login/passkey/options", "/setup",
    "/setup/passkey", "/setup/passkey/options",
}  # fmt: skip


@dataclass(frozen=True)
class Door:
    """One method of one route."""

    method: str
    pattern: str
    permission: object

    @property
    def path(self) -> str:
        """An address that the pattern matches."""
        path = re.sub(r"\{[a-z_]+:uuid\}", str(uuid4()), self.pattern)
        return re.sub(r"\{[a-z_]+:(str|path)\}", "0123456789abcdef", path)


def doors(app: Litestar) -> Iterator[Door]:
    """Every handler, the ones that Litestar adds by itself (OPTIONS, OpenAPI) included."""
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in handler.http_methods:
                yield Door(str(method), route.path, handler.opt.get("permission"))


@pytest.fixture
def everything(litestar: Litestar) -> list[Door]:
    found = list(doors(litestar))
    assert len(found) > 60
    return found


async def test_every_handler_but_the_doors_names_a_permission(everything: list[Door]) -> None:
    nameless = {d.pattern for d in everything if d.method != "OPTIONS" and d.permission is None}
    assert nameless <= {"/api", "/api/{path:str}"}, "Litestar's own pages for OpenAPI, which nobody may see"
    assert {d.pattern for d in everything if d.permission == "public"} == PUBLIC


async def test_without_log_in_nothing_answers_but_the_doors(house: House, everything: list[Door]) -> None:
    async with Browser(house.app) as stranger:
        for door in everything:
            if door.permission == "public" and door.method != "OPTIONS":
                continue
            answer = await stranger.request(door.method, door.path)
            if door.path.startswith("/api") or door.path in ("/events/stream", "/waiting"):
                assert answer.status_code == 401, door
                assert answer.json()["code"] == "access.not_logged_in", door
            else:
                assert answer.status_code == 303, door
                assert answer.headers["location"].startswith("/login"), door
            assert "laptop" not in answer.text


async def test_an_address_that_does_not_exist_answers_a_stranger_like_one_that_does(house: House) -> None:
    async with Browser(house.app) as stranger:
        for path in ("/certificates", "/no-such-page", "/certificates/nonsense"):
            answer = await stranger.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")
        for path in ("/api/v1/certificates", "/api/v1/no-such-thing", "/api/"):
            assert (await stranger.get(path)).status_code == 401


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_reaches_exactly_what_its_permissions_name(
    house: House, everything: list[Door], role: Role
) -> None:
    browser = await house.logged_in(role)
    for door in everything:
        if door.permission == "public" or door.pattern in ("/logout", "/events/stream"):
            continue
        answer = await browser.request(door.method, door.path)
        allowed = isinstance(door.permission, Permission) and door.permission in ROLES[role]
        if allowed:
            assert answer.status_code not in (401, 403), (door, answer.text[:300])
            assert answer.status_code < 500, (door, answer.text[:300])
        else:
            assert answer.status_code in (403, 404), (door, answer.text[:300])


async def test_every_answer_carries_the_headers_of_a_careful_page(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    async with Browser(house.app) as stranger:
        for who, path in ((stranger, "/login"), (stranger, "/nowhere"), (browser, "/"), (browser, "/api/v1/me")):
            headers = (await who.get(path)).headers
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in headers


async def test_static_files_are_cached_for_good_and_only_listed_ones_exist(house: House) -> None:
    async with Browser(house.app) as stranger:
        page = (await stranger.get("/setup")).text
        style = re.search(r'href="(/static/troth\.[0-9a-f]{16}\.css)"', page)
        assert style is not None
        answer = await stranger.get(style[1])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        unlisted = ("troth.css", "../app.py", "%2e%2e/app.py", "vendor/LICENSE-htmx.txt")
        for path in (f"/static/{name}" for name in unlisted):
            assert (await stranger.get(path)).status_code in (303, 404), path


async def test_openapi_is_served_to_those_who_are_logged_in(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    schema = (await browser.get("/api/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    operations = {op["operationId"] for path in schema["paths"].values() for op in path.values()}
    assert {"listCertificates", "issueCertificate", "why", "apply", "freeze", "exportLedger"} <= operations
    assert not [path for path in schema["paths"] if not path.startswith("/api/v1/")]


async def test_no_value_in_an_address_is_a_failure_of_ours(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    paths = (await browser.get("/api/openapi.json")).json()["paths"]
    given, numbers = str(new_id()), 0
    for path, operations in paths.items():
        if "get" not in operations or path.endswith("/export"):
            continue
        asked = operations["get"].get("parameters", [])
        there = re.sub(r"\{\w+\}", given, path)
        tries = [(re.sub(r"\{\w+\}", "a%00b", path), None)] if there != path else []
        for one in asked:
            if one["in"] == "query":
                number = '"integer"' in json.dumps(one["schema"])
                wrong = ("-1", "9" * 20) if number else ("a%00b",)
                tries += [(f"{there}?{one['name']}={value}", 400 if number else None) for value in wrong]
        for address, status in tries:
            said = await browser.get(address)
            assert said.status_code < 500, (address, said.text)
            numbers += status is not None
            assert status in (None, said.status_code), (address, said.text[:300])
    assert numbers > 40
