"""Transmitters' keys, by the address of their set: fetched, kept and renewed as ``client.keyset`` does."""

from __future__ import annotations

from troth.client.jose import VerifyingKey
from troth.client.keyset import KeySet
from troth.connect.proof import Fetches
from troth.connect.ssf.errors import TRANSMITTER_ANSWER, TransmitterFailed
from troth.kit.clock import Clock
from troth.pki.keycheck import check_offered

#: More sets than streams that anybody has.
_MOST = 200


class TransmitterKeys:
    """Key sets of any number of transmitters, in this process. Weak keys (RSA below 2,048 bits …) are left out."""

    def __init__(self, http: Fetches, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._sets: dict[str, KeySet] = {}

    async def find(self, uri: str, key_id: str | None) -> VerifyingKey:
        """The key of that id in the set at ``uri``. Raises JoseError."""
        known = self._sets.get(uri)
        if known is None:
            if len(self._sets) >= _MOST:
                self._sets.clear()
            known = self._sets[uri] = KeySet(
                lambda: self._get(uri), self._clock, check=check_offered, of=uri[:200]
            )  # fmt: skip
        return await known.find(key_id)

    async def _get(self, uri: str) -> bytes:
        answer = await self._http.request("GET", uri, headers={"accept": "application/json"})
        if answer.status != 200:
            raise TransmitterFailed(TRANSMITTER_ANSWER, f"its key set answers with status {answer.status}")
        return answer.body
