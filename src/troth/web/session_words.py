"""What sessions, orders about them and their events are called; a part of ``words``."""

from __future__ import annotations

from collections.abc import Mapping

#: Kind of status → value → (tone, symbol, word).
LOOKS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "session": {
        "open": ("good", "circle-check", "on the network"),
        "stop": ("", "circle-dashed", "ended"),
        "boot": ("", "circle-dashed", "ended by a restart"),
        "replaced": ("", "circle-dashed", "ended by another"),
        "age": ("", "clock", "not heard of any more"),
        "gone": ("", "circle-dashed", "gone when asked"),
        "disconnect": ("warn", "circle-x", "disconnected"),
        "withdrawn": ("", "circle-dashed", "did not come about"),
    },
    "session_order": {
        "waiting": ("", "hourglass", "waiting"),
        "staged": ("warn", "circle-pause", "waits for a person"),
        "done": ("good", "circle-check", "done"),
        "gone": ("", "circle-dashed", "was over"),
        "refused": ("bad", "circle-x", "refused"),
        "failed": ("bad", "circle-x", "given up"),
        "dropped": ("", "x", "dropped"),
    },
}

SENTENCES: Mapping[str, str] = {
    "session.ordered": "Ordered for {sessions} sessions: {what}. {reason}",
    "session.order_approved": "Approved what was staged for a session{note}",
    "session.order_dropped": "Dropped what was staged for a session{note}",
    "session.wave_begun": "Sessions are judged anew, at a pace: {reason}",
    "session.wave_ended": "Had {sessions} sessions judged anew: {reason}",
    "session.disconnect_done": "Disconnected {station} at {access_server} in {latency_ms} ms: {detail}",
    "session.disconnect_gone": "{station} had left {access_server} already",
    "session.disconnect_refused": "{access_server} does not disconnect {station}: {detail}",
    "session.disconnect_failed": "Could not disconnect {station} at {access_server}: {detail}",
    "session.disconnect_dropped": "Need not disconnect {station} any more",
    "session.reauthorize_done": "Had {station} judged anew at {access_server} in {latency_ms} ms: {detail}",
    "session.reauthorize_gone": "{station} had left {access_server} already",
    "session.reauthorize_refused": "{access_server} does not have {station} judged anew: {detail}",
    "session.reauthorize_failed": "Could not have {station} judged anew at {access_server}: {detail}",
    "session.reauthorize_dropped": "Need not have {station} judged anew any more",
}
