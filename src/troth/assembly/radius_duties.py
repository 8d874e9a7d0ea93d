"""What the worker does for RADIUS: the server's certificate, and what a first start needs to be tried out.

A first start with RADIUS makes an access server ``local`` for this machine itself, whose secret lies in a file that
only the owner reads, and a network ``trial`` behind it that takes the shipped profiles for
devices and people. Both are
documents like any other; once there is an access server or a network, or the file, nothing of it is made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from troth.assembly.context import RoleContext
from troth.assembly.datagrams import is_on
from troth.assembly.identity import ServiceIdentity
from troth.assembly.mint import Mint
from troth.audit.lull import Lull
from troth.kit.errors import TrothError
from troth.kit.http import HttpClient
from troth.kit.log import get_logger
from troth.kit.sealing import SecretBox
from troth.pki.keys.files import write_private
from troth.radius.admission.crls import MAX_CRL
from troth.radius.admission.desk import NetworkDesk
from troth.radius.admission.document import MatchDefinition, NetworkDefinition
from troth.radius.admission.fetching import ListFetcher
from troth.radius.identity.issuing import ServerCertificates
from troth.radius.identity.naming import server_name
from troth.radius.nas.definition import NasDefinition
from troth.radius.nas.desk import NasDesk
from troth.store.pool import Database

log = get_logger("assembly")

_LISTS_SECONDS = 30.0

LOCAL, NETWORK = "local", "trial"
_ACTOR = "system:radius"
_AUTHORITIES = ("issuing", "people")
_PROFILES = ("wifi-device", "wifi-user", "client-device", "quarantine")


def certificate_duty(
    context: RoleContext, database: Database, mint: Mint, identity: ServiceIdentity
) -> Callable[[], Awaitable[object]] | None:
    """Keeps the server's certificates in force; None where RADIUS is off, or people keep all of them in files."""
    config, settings = context.config, context.config.radius
    second = settings.rsa_authority if not settings.rsa_certificate else ""
    if not is_on(config) or (settings.certificate and not second):
        return None
    name = server_name(config.radius.server_name, config.pki.radius_names, context.state.public_url)
    made = ServerCertificates(
        database, mint.own_gate, mint.signer, mint.catalogue, context.clock, name=name, subject=identity.subject,
        rsa_authority=second,
    )  # fmt: skip

    async def ensure() -> None:
        if not settings.certificate:
            await made.ensure()
        if second:
            try:
                await made.ensure_second()
            except TrothError as error:  # it keeps nobody from the first, nor the worker from its other duties
                log.warning("radius.second_identity_postponed", code=error.code, detail=error.detail)

    return ensure


async def fetch_lists(context: RoleContext, database: Database, lull: Lull) -> None:
    """Look for others' revocation lists from now on, until told to stop.

    They are signed, and RFC 5280 has them lie under http:// addresses, so those are allowed here whatever
    ``egress.plain_http`` says of what is not signed. Only hosts on the allow-list are asked, as ever.
    """
    largest = max(context.config.egress.max_body_kib, MAX_CRL // 1024)
    http = HttpClient(replace(context.config.egress, plain_http=True, max_body_kib=largest))
    fetcher = ListFetcher(database, context.clock, http)
    try:
        while not context.stop.is_set():
            try:
                await fetcher.run_once()
            except TrothError as error:
                log.warning("duty.postponed", duty="revocation lists", code=error.code, detail=error.detail)
            await lull.rest(_LISTS_SECONDS, context.stop)
    finally:
        await http.close()


async def ensure_trial(context: RoleContext, database: Database) -> None:
    """See the module."""
    secret_file = context.layout.radius_secret
    if not context.config.radius.listen or secret_file.exists():
        return
    box = SecretBox.at(context.layout.secrets / "nas.secret", purpose="nas")
    access_servers = NasDesk(database, context.clock, box)
    networks = NetworkDesk(database, context.clock)
    if await access_servers.book() or await networks.list():
        return
    local = NasDefinition(name=LOCAL, addresses=("127.0.0.1/32", "::1/128"), description="This machine itself.")
    await access_servers.apply([local], actor=_ACTOR)
    await networks.apply(
        [
            NetworkDefinition(
                name=NETWORK,
                match=MatchDefinition(nas=(LOCAL,)),
                description="Whatever asks from this machine itself, with the shipped profiles for devices and people.",
                authorities=_AUTHORITIES,
                profiles=_PROFILES,
            )
        ],
        actor=_ACTOR,
    )
    write_private(secret_file, await access_servers.set_secret(LOCAL, actor=_ACTOR) + b"\n")
    log.info("radius.trial_made", access_server=LOCAL, network=NETWORK, secret_file=str(secret_file))
