"""Ceremonies over the API."""

from __future__ import annotations

from litestar import post
from litestar.params import JSONBody
from msgspec import Struct

from troth.access.roles import Permission
from troth.web.asking import ask
from troth.web.guard import needs
from troth.web.render import Req


class CeremonyCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """What an offline ceremony has left.

    Attributes:
        transcript: transcript.jsonl.
        result: result.json.
        made: certificate.der or crl.der in base64; empty for a key ceremony.
        session_key: as written on paper, hex; empty to believe the transcript.
        slug: names a new authority.
    """

    transcript: str
    result: str
    made: str = ""
    session_key: str = ""
    slug: str = ""


class CeremonyTaken(Struct, frozen=True):
    """What came of it."""

    ceremony: str
    authority: str | None
    added: bool


@post("/ceremonies", opt=needs(Permission.ACCESS_MANAGE), operation_id="importCeremony", tags=["Authorities"])
async def import_ceremony(request: Req, data: JSONBody[CeremonyCommand]) -> CeremonyTaken:
    """Record a ceremony in the ledger, and take in the CRL or authority that it made."""
    payload = {
        "transcript": data.transcript,
        "result": data.result,
        "made": data.made,
        "session_key": data.session_key,
        "slug": data.slug,
    }
    done = await ask(request, "ceremony.import", payload, comment=data.slug)
    return CeremonyTaken(
        str(done["ceremony"]), None if done["authority"] is None else str(done["authority"]), bool(done["added"])
    )


HANDLERS = [import_ceremony]
