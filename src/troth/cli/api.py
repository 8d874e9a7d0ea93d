"""The admin API over the local Unix socket: the kernel tells the server who asks, so no log-in is needed.

The socket lies in the data directory and is open to its owner and root alone.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from troth.assembly.layout import Layout, default_data_dir
from troth.cli.errors import GARBLED, UNREACHABLE, Proposed
from troth.kit.errors import Reason, TrothError

_SECONDS = 120
_ACCEPTED = 202


class ApiError(TrothError):
    """The server refused. Carries its reason as the server words it."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Api:
    """Calls under ``/api/v1``. Answers are decoded JSON; refusals raise ApiError, what waits for approval Proposed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def at(cls, data: Path | None) -> Api:
        """The API of the Troth on data directory ``data``, by default the one that ``troth up`` takes."""
        return cls(Layout.at(data or default_data_dir()).admin_socket)

    def get(self, path: str, **query: Any) -> Any:
        """GET; empty values of ``query`` are left out."""
        kept = {name: value for name, value in query.items() if value not in ("", None)}
        return self._json("GET", f"{path}?{urlencode(kept)}" if kept else path, None)

    def post(self, path: str, body: Mapping[str, Any] | str | None = None, **query: Any) -> Any:
        """POST a JSON object, or text as it is."""
        return self._json("POST", f"{path}?{urlencode(query)}" if query else path, {} if body is None else body)

    def put(self, path: str, body: Mapping[str, Any], **query: Any) -> Any:
        """PUT a JSON object."""
        return self._json("PUT", f"{path}?{urlencode(query)}" if query else path, body)

    def delete(self, path: str, **query: Any) -> None:
        """DELETE."""
        self._json("DELETE", f"{path}?{urlencode(query)}" if query else path, None)

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a long text answer, as they come."""
        connection, response = self._send("GET", path, None)
        try:
            while line := response.readline():
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise TrothError(UNREACHABLE, f"the answer broke off: {error}") from error
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: Mapping[str, Any] | str | None) -> Any:
        connection, response = self._send(method, path, body)
        try:
            data = response.read()
        finally:
            connection.close()
        try:
            told = json.loads(data) if data else None
        except ValueError as error:
            raise TrothError(GARBLED) from error
        if response.status == _ACCEPTED and isinstance(told, dict) and "proposal" in told:
            raise Proposed(told)
        return told

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | str | None
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        headers = {}
        data: bytes | None = None
        if isinstance(body, str):
            data, headers["content-type"] = body.encode(), "application/yaml"
        elif body is not None:
            data, headers["content-type"] = json.dumps(body).encode(), "application/json"
        connection = _Connection(self._path)
        try:
            connection.request(method, f"/api/v1{path}", data, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise TrothError(UNREACHABLE, f"{self._path}: {error}") from error
        if response.status >= 400:
            refused = _refusal(response)
            connection.close()
            raise refused
        return connection, response


def _refusal(response: http.client.HTTPResponse) -> TrothError:
    try:
        told = json.loads(response.read())
        made = Reason(str(told["code"]), str(told["title"]), str(told["fix"]), response.status)
        detail = str(told["detail"])
    except (ValueError, KeyError, TypeError):
        return TrothError(GARBLED, f"status {response.status}")
    facts = {name: told[name] for name in ("decision_id", "correlation") if name in told}
    return ApiError(made, detail + "".join(f"\n{name}: {value}" for name, value in facts.items()), **facts)


def segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="")
