"""Keys and custodians over the API. Keys are made on the machine itself (``troth key generate``), never by the web."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from troth.access.roles import Permission
from troth.web.guard import needs
from troth.web.key_views import KeysView, KeyTest, KeyView
from troth.web.render import Req, services_of


@get("/keys", opt=needs(Permission.KEY_READ), operation_id="listKeys", tags=["System"])
async def list_keys(request: Req) -> KeysView:
    """Who holds keys, how they are, and every key of the signer with the evidence of its making."""
    return await services_of(request).keys.list()


@get("/keys/{key_id:str}", opt=needs(Permission.KEY_READ), operation_id="getKey", tags=["System"])
async def get_key(request: Req, key_id: FromPath[str]) -> KeyView:
    """One key by its id."""
    return await services_of(request).keys.get(key_id[:100])


@post("/keys/{key_id:str}/test", opt=needs(Permission.KEY_MANAGE), operation_id="testKey", tags=["System"],
      status_code=200)  # fmt: skip
async def test_key(request: Req, key_id: FromPath[str]) -> KeyTest:
    """Have the key sign a nonce now, and verify the signature."""
    return await services_of(request).keys.test(key_id[:100])


HANDLERS = (list_keys, get_key, test_key)
