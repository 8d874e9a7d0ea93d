"""TPMs over the API: which of them belongs to which device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct, structs

from troth.access.roles import Permission
from troth.enroll.tpm.registry import MAX_CSV, MAX_ROWS, read_csv
from troth.web.asking import ask
from troth.web.books.tpms import TpmView
from troth.web.errors import NotFound
from troth.web.guard import needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of
from troth.web.views import Page


class TpmCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """One TPM. ``device``: of the directory; ``ek``: SHA-256 of the endorsement key, or the key or its certificate."""

    device: str
    ek: str
    identifier: str = ""
    manufacturer: str = ""
    model: str = ""
    version: str = ""


class RegisterCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """TPMs to be registered, all or none: as a list, or as a table (CSV) with the same columns."""

    tpms: Annotated[tuple[TpmCommand, ...], Meta(max_length=MAX_ROWS)] = ()
    csv: Annotated[str, Meta(max_length=MAX_CSV)] = ""


class Registered(Struct, frozen=True):
    """SHA-256 of the endorsement keys that are registered now."""

    registered: Sequence[str]


class Removed(Struct, frozen=True):
    """Which one."""

    ek_sha256: str


@get("/tpms", opt=needs(Permission.SUBJECT_READ), operation_id="listTpms", tags=["Trust"])
async def list_tpms(
    request: Req, device: FromQuery[str] = "", cursor: FromQuery[str] = "", limit: Limit = 50
) -> Page[TpmView]:
    """Registered TPMs by endorsement key; those of one ``device`` (id or name)."""
    services = services_of(request)
    if not device:
        return await services.tpms.page(cursor=cursor[:64], limit=limit)
    found = await services.subjects.find(device[:300])
    if found is None:
        raise NotFound("there is no such device")
    return Page(tuple(await services.tpms.of_device(found)), None)


@get("/tpms/{ek:str}", opt=needs(Permission.SUBJECT_READ), operation_id="getTpm", tags=["Trust"])
async def get_tpm(request: Req, ek: FromPath[str]) -> TpmView:
    """One TPM by the SHA-256 of its endorsement key."""
    return await services_of(request).tpms.get(ek[:100])


@post("/tpms", opt=needs(Permission.CONFIGURATION_APPLY), operation_id="registerTpms", tags=["Trust"],
      status_code=200)  # fmt: skip
async def register_tpms(request: Req, data: JSONBody[RegisterCommand]) -> Registered:
    """Say which TPMs belong to which devices; the attestation CA certifies keys of these and of no others."""
    wanted = [structs.asdict(one) for one in data.tpms]
    if data.csv:
        wanted += [
            {
                "device": one.device, "ek": one.ek, "identifier": one.identifier, "manufacturer": one.manufacturer,
                "model": one.model, "version": one.version,
            }
            for one in read_csv(data.csv)
        ]  # fmt: skip
    done = await ask(request, "tpm.register", {"tpms": [dict(one) for one in wanted]})
    registered = done["registered"]
    return Registered([str(one) for one in registered] if isinstance(registered, list) else [])


@post("/tpms/{ek:str}/remove", opt=needs(Permission.CONFIGURATION_APPLY), operation_id="removeTpm", tags=["Trust"],
      status_code=200)  # fmt: skip
async def remove_tpm(request: Req, ek: FromPath[str]) -> Removed:
    """Forget a TPM: none of its attestation keys is certified any more."""
    done = await ask(request, "tpm.remove", {"ek": ek[:100]})
    return Removed(str(done["ek_sha256"]))


HANDLERS = (list_tpms, get_tpm, register_tpms, remove_tpm)
