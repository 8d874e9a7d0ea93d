"""Trust stores of the host: which roots its programs believe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from troth.agent.survey.formats import Unreadable, read
from troth.agent.survey.walk import Walk

MAX_ROOTS = 1000
_SYSTEM = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem",
           "etc/ssl/cert.pem")  # fmt: skip
_JAVA = ("etc/ssl/certs/java/cacerts", "etc/pki/java/cacerts")
_JVM = ("usr/lib/jvm/*/lib/security/cacerts", "opt/*/lib/security/cacerts")
#: Firefox, Chromium and their like keep a database of their own. It is told of and not read.
_NSS = ("etc/pki/nssdb/cert9.db", "home/*/.pki/nssdb/cert9.db", "root/.pki/nssdb/cert9.db",
        "home/*/.mozilla/firefox/*/cert9.db")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Store:
    """One trust store. ``roots``: SHA-256 in hexadecimal, None where it was not read."""

    name: str
    place: str
    roots: tuple[str, ...] | None


def stores(walk: Walk, root: Path = Path("/")) -> Iterator[Store]:
    """What there is under ``root``: one system store, each Java once, and who has an NSS database."""
    for bundle in _SYSTEM:
        if (root / bundle).is_file():
            yield _read(walk, "system", root / bundle)
            break
    seen: set[Path] = set()
    for path in (*(root / one for one in _JAVA), *(one for glob in _JVM for one in sorted(root.glob(glob))[:10])):
        try:
            real = path.resolve(strict=True)
        except OSError:
            continue
        if real not in seen:
            seen.add(real)
            yield _read(walk, "java", path)
    for one in [found for glob in _NSS for found in sorted(root.glob(glob))][:5]:
        yield Store("nss", str(one.parent), None)


def _read(walk: Walk, name: str, path: Path) -> Store:
    data = walk.read(path)
    try:
        found = None if data is None else {hashlib.sha256(one.der).hexdigest() for one in read(data)}
    except Unreadable as error:
        walk.tell(f"{path}: {error}")
        found = None
    return Store(name, str(path), None if found is None else tuple(sorted(found)[:MAX_ROOTS]))
