"""Why a request gets no answer, or a Reject before anything was decided."""

from __future__ import annotations

from troth.kit.errors import reason

NO_METHOD = reason(
    "radius.request.no_method",
    "the network takes nothing that comes without EAP, and no EAP came",
    fix="Switch 802.1X on at the access server, or allow the network `mab` or `pap`.",
)
NOT_SETTLED = reason(
    "radius.request.not_settled",
    "something about the certificate has just changed and was not known for sure in time",
    fix="Nothing: the access server asks again. If it lasts, look at the database and at `troth status`.",
    status=503,
)
CODE = reason(
    "radius.packet.code",
    "a packet of a kind that is not answered on this port",
    fix="Send Access-Requests to the port for authentication and Accounting-Requests to the one for accounting.",
)
OVERLOADED = reason(
    "radius.overloaded",
    "more requests are under way than this process or this access server may have",
    fix="Raise `radius.in_flight` or the access server's `max_in_flight`, or add workers.",
    status=503,
)
