"""How many session tickets a device is given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.radius_devices import client_context
from tests.support.radius_house import Papers
from troth.radius.eap.tls import Handshake


def last_flight(home: Path) -> int:
    """Octets of the server's last flight of a full handshake of TLS 1.3."""
    from OpenSSL import SSL

    papers = Papers(home)
    contexts = papers.contexts()
    network = contexts.current("corp")
    assert network is not None
    ours = Handshake(contexts.base, network, None)
    theirs = SSL.Connection(client_context(papers.issue("device.corp.test"), papers.root, "1.3"), None)
    theirs.set_connect_state()
    flight = b""
    while not ours.finished:
        if flight:
            theirs.bio_write(flight)
        try:
            theirs.do_handshake()
        except SSL.WantReadError:
            pass
        flight = ours.feed(theirs.bio_read(65_536))
    return len(flight) + len(ours.protect_success())


_ALONE = """
import sys
from pathlib import Path
from troth.radius.eap.tickets import one_ticket
assert one_ticket() and not one_ticket()
from tests.unit.radius.eap.test_tickets import last_flight
print(last_flight(Path(sys.argv[1])))
"""


def test_a_full_handshake_gives_one_ticket_so_that_its_last_flight_fits_into_a_fragment(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 1024 - 10 < last_flight(tmp_path), done.stdout
