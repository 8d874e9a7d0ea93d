"""``/acme/unpause/…``: the page on which a paused client is set going again.

Nobody logs in, so nothing is done for being looked at: programs that follow links in mails and chats only see the page,
and the button posts. No cookie stands behind it, so no other site can use somebody's; the link itself is the right.
"""

from __future__ import annotations

from html import escape

from troth.enroll.acme.pausing import Pausing
from troth.enroll.acme.problems import AcmeProblem
from troth.kit.lane import Request, Response, Route

PATH = "/acme/unpause/{}"
ACTOR = "public:unpause-link"
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#1c1c1c;"
    "background:#fff}button{font:inherit;padding:.5rem 1rem}code{overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}}"
)


class UnpauseDoor:
    """See the module."""

    def __init__(self, pausing: Pausing) -> None:
        self._pausing = pausing

    def routes(self) -> list[Route]:
        """What to put on the https lane, before the directories."""
        return [
            Route(PATH, {"GET": self.look, "HEAD": self.look, "POST": self.act}, permission="public", max_body=1024)
        ]

    async def look(self, request: Request) -> Response:
        """What is paused."""
        try:
            found = await self._pausing.names(self._pausing.read(request.params[0]))
        except AcmeProblem as problem:
            return _refused(problem)
        if not found:
            return _page(200, "Nothing is paused", "<p>The client may ask again at once.</p>")
        names = "".join(
            f"<li><code>{escape(one.value)}</code>: {one.failures} failures in a row, the last at "
            f"{one.last_at:%Y-%m-%d %H:%M} UTC</li>"
            for one in found
        )
        return _page(
            200,
            "Certificate requests are paused",
            "<p>For these names a client has failed again and again to prove that it controls them, so this server has "
            f"stopped trying:</p><ul>{names}</ul><p>Most often the name leads to another machine by now, or the "
            "challenge port is closed. Mend that first, or the client will soon be paused again.</p>"
            '<form method="post"><button>Let the client try again</button></form>',
        )

    async def act(self, request: Request) -> Response:
        """Set it going again."""
        try:
            link = self._pausing.read(request.params[0])
            number = await self._pausing.unpause(link.account, until=link.made_at, by=ACTOR)
        except AcmeProblem as problem:
            return _refused(problem)
        told = f"{number} {'name' if number == 1 else 'names'}" if number else "Nothing was paused any more"
        return _page(200, "The client may try again", f"<p>Set going again: {told}.</p>")


def _refused(problem: AcmeProblem) -> Response:
    return _page(problem.status, "This link does not work", f"<p>{escape(problem.detail)}.</p>")


def _page(status: int, title: str, body: str) -> Response:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title} · Troth</title>'
    html = (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    return Response(status, html.encode(), _HEADERS)
