"""Taking a ceremony's results to the online Troth."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from pathlib import Path

from troth.assembly.context import signer_socket
from troth.assembly.layout import Layout, default_data_dir
from troth.cli.errors import UNREADABLE
from troth.kit import config as configuration
from troth.kit.errors import TrothError
from troth.pki.ceremony.record import MADE, read_brought
from troth.pki.ceremony.results import RESULT_FILE
from troth.pki.ceremony.transcript import prove
from troth.pki.signer.class_rules import bounds_of
from troth.pki.signer.client import SignerClient


def payload_of(directory: Path, session_key: str, slug: str) -> dict[str, str]:
    """What the API is sent, proved here first. Raises TranscriptRefused."""
    key = re.sub(r"\s", "", session_key).lower()
    transcript, result = _read(directory / "transcript.jsonl"), _read(directory / RESULT_FILE)
    name = MADE.get(prove(transcript).ceremony)
    made = b"" if name is None else _read(directory / name)
    read_brought(transcript, result, made, key)
    return {
        "transcript": transcript.decode(),
        "result": result.decode(),
        "made": b64encode(made).decode(),
        "session_key": key,
        "slug": slug,
    }


def bind_key(directory: Path, key_id: str, data: Path | None) -> None:
    """Bind a key of the signer to the certificate that was made for it. Raises SignerRefused when it is for another."""
    brought = read_brought(
        _read(directory / "transcript.jsonl"), _read(directory / RESULT_FILE), _read(directory / "certificate.der")
    )
    layout = Layout.at(data or default_data_dir())
    config = configuration.load(layout.root)

    async def bind() -> None:
        async with SignerClient(signer_socket(config, layout), "setup", layout.secrets) as signer:
            known = {key.key_id: key for key in await signer.list_keys()}
            if key_id in known and known[key_id].certificate == brought.made:
                return  # by an import that was cut short
            await signer.attach_authority(key_id, brought.made, bounds_of(brought.result.issuer_classes))

    asyncio.run(bind())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrothError(UNREADABLE, f"{path}: {error.strerror}") from error
