"""Settings of the RADIUS server: the section ``[radius]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class RadiusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The RADIUS server (RFC 2865, 2866, 3579, EAP-TLS). Off until `listen`, or `radsec.listen`, names an address."""

    listen: Annotated[
        str,
        Meta(
            description="`HOST:PORT` for authentication over UDP, as `*:1812`; port 0 takes a free one on the first "
            "start and keeps it. Empty: nothing is answered over UDP."
        ),
    ] = ""
    accounting: Annotated[
        str, Meta(description="`HOST:PORT` for accounting. Empty: the same host, the port after that of `listen`.")
    ] = ""
    workers: Annotated[
        int, Meta(ge=0, le=16, description="Processes that answer. 0: one for every core, at most 8.")
    ] = 0
    steering: Annotated[
        bool,
        Meta(
            description="Tell the kernel which worker a packet is for (Linux). False, or where it cannot be told: it "
            "chooses by address and port, and workers hand over what is another's, which costs more CPU."
        ),
    ] = True
    node: Annotated[
        int,
        Meta(
            ge=0,
            le=255,
            description="This machine's number among those that one access server may ask: it stands in every State, "
            "and a conversation that another machine has begun is left to that machine.",
        ),
    ] = 0
    server_name: Annotated[
        str,
        Meta(
            description="DNS name in the server's certificate, which supplicants are told to expect "
            "(`radius.corp.example`). Empty: `radius.` and the host of the public URL.",
            pattern=r"\A([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+)?\Z",
        ),
    ] = ""
    certificate: Annotated[
        str,
        Meta(
            description="Path of a certificate of your own for the server, in PEM: leaf first, then intermediates. "
            "Read again when it changes. Empty: Troth makes and renews one for `server_name`."
        ),
    ] = ""
    key: Annotated[
        str, Meta(description="Path of its private key in PEM, without a passphrase; for the RADIUS role alone.")
    ] = ""
    rsa_authority: Annotated[
        str,
        Meta(
            description="Slug of an authority with an RSA key that certifies RADIUS servers: Troth then makes and "
            "renews a second certificate, RSA, for devices that do not do ECDSA. Empty: there is none."
        ),
    ] = ""
    rsa_certificate: Annotated[
        str, Meta(description="Path of an RSA certificate of your own in its place, as `certificate`.")
    ] = ""
    rsa_key: Annotated[str, Meta(description="Path of its private key in PEM, as `key`.")] = ""
    fragment_octets: Annotated[
        int,
        Meta(
            ge=64,
            le=1400,
            description="TLS octets in one EAP-TLS packet at most; an access server's Framed-MTU may ask for less. "
            "More saves a round trip and fails on paths that lose fragmented UDP.",
            extra={"unit": "octets"},
        ),
    ] = 1024
    conversations: Annotated[
        int,
        Meta(
            ge=16,
            le=100_000,
            description="TLS handshakes under way that one process keeps at most (some 76 KiB each). Above it new "
            "ones are not begun; those that are under way go on.",
        ),
    ] = 4_000
    conversations_per_client: Annotated[
        int, Meta(ge=1, le=100_000, description="The same of one access server, so that none takes all of them.")
    ] = 1_000
    ticket_key_hours: Annotated[
        int,
        Meta(
            ge=1,
            le=168,
            description="After so long the key of TLS session tickets is another one, in new processes; sessions "
            "from before it are not resumed.",
            extra={"unit": "hours"},
        ),
    ] = 24
    in_flight: Annotated[
        int,
        Meta(ge=16, le=65_536, description="Packets that one process works on at the same time; more are dropped."),
    ] = 2_048
    in_flight_per_client: Annotated[
        int, Meta(ge=1, le=65_536, description="The same for one access server that has no limit of its own.")
    ] = 512
    duplicate_seconds: Annotated[
        int,
        Meta(
            ge=5,
            le=30,
            description="How long an answer is kept to be sent again to a packet that comes again (RFC 5080, 2.2.2).",
            extra={"unit": "seconds"},
        ),
    ] = 10
    hold_back_milliseconds: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="A decision waits this long for a worker's lease on the trust stream to be renewed when it has "
            "lapsed, as on a machine that is busy for a moment; then the network's `stale` rule counts. Nobody is let "
            "in meanwhile, and a packet that comes again is not worked on twice. Keep it below the time after which "
            "your access servers give up (timeout times tries).",
            extra={"unit": "milliseconds"},
        ),
    ] = 2500
    reject_delay_milliseconds: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="An Access-Reject waits this long, so that guessing is slow. Some access servers take a server "
            "that waits longer for dead.",
            extra={"unit": "milliseconds"},
        ),
    ] = 500
    drain_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=300,
            description="How long processes with the former certificate or networks go on with what they have begun.",
            extra={"unit": "seconds"},
        ),
    ] = 60
