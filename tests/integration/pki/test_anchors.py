"""Foreign trust anchors: believed for their purposes, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from tests.support.mint import Mint
from tests.support.openssl_ca import OpensslCa
from troth.kit.clock import SystemClock
from troth.pki.anchor_store import AnchorStore
from troth.pki.anchors import add_anchor, read_anchor, remove_anchor, vouched_for
from troth.pki.errors import AuthorityRefused, PathRefused
from troth.store.unit import Unit

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> OpensslCa:
    return OpensslCa.make(tmp_path_factory.mktemp("foreign") / "ca")


def _chain(foreign: OpensslCa, *names: str) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(foreign.der(name)) for name in names]


async def test_an_anchor_vouches_for_its_purposes_alone_and_only_while_it_is_there(
    mint: Mint, foreign: OpensslCa
) -> None:
    now = SystemClock().now()
    anchor = read_anchor(foreign.der("root"), ["serverAuth"], "admin:ann", now)
    await mint.database.commit(add_anchor(Unit(), anchor))
    store = AnchorStore(mint.database)
    chain = _chain(foreign, "newcerts/01", "issuing")
    for sent in (chain, [*chain, *_chain(foreign, "root")]):
        assert vouched_for(sent, "serverAuth", await store.all(), now).sha256 == anchor.sha256
    with pytest.raises(PathRefused, match="no anchor is for this purpose"):
        vouched_for(chain, "clientAuth", await store.all(), now)
    with pytest.raises(PathRefused):
        vouched_for(_chain(foreign, "newcerts/01"), "serverAuth", await store.all(), now)
    with pytest.raises(AuthorityRefused) as caught:
        await mint.database.commit(add_anchor(Unit(), anchor))
    assert caught.value.code == "pki.anchor.exists"
    await mint.database.commit(remove_anchor(Unit(), anchor, actor="admin:ben"))
    assert await store.all() == []
    with pytest.raises(AuthorityRefused) as caught:
        await mint.database.commit(remove_anchor(Unit(), anchor, actor="admin:ben"))
    assert caught.value.code == "pki.anchor.unknown"
    # Neither has it become an authority of ours.
    await mint.catalogue.refresh()
    assert anchor.sha256 not in {one.sha256 for one in mint.catalogue.authorities.values()}


@pytest.mark.parametrize(
    ("name", "purposes", "code"),
    [
        ("newcerts/01", ["serverAuth"], "pki.authority.certificate"),
        ("root", [], "pki.anchor.refused"),
        ("root", ["everything"], "pki.anchor.refused"),
    ],
)
def test_what_cannot_be_an_anchor_is_refused(
    foreign: OpensslCa, name: str, purposes: list[str], code: str, tmp_path: Path
) -> None:
    with pytest.raises(AuthorityRefused) as caught:
        read_anchor(foreign.der(name), purposes, "admin:ann", SystemClock().now())
    assert caught.value.code == code
