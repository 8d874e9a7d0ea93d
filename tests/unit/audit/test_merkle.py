"""The tree against RFC 6962's own recursive words, and against published roots."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.audit.errors import ProofInvalid
from troth.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

#: The eight entries and the root that Certificate Transparency's own tests use.
CT_ENTRIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def mth(entries: Sequence[bytes]) -> bytes:
    """MTH(D[n]) as section 2.1 writes it."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) as section 2.1.1 writes it."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: Sequence[bytes], known: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) as section 2.1.2 writes it."""
    if m == len(entries):
        return [] if known else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], known), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def leaves_of(entries: Sequence[bytes]) -> list[bytes]:
    return [leaf_hash(entry) for entry in entries]


entry_lists = st.integers(0, 70).map(lambda n: [bytes([i]) for i in range(n)])


def test_the_root_of_the_published_tree_is_the_published_root() -> None:
    assert root_of(leaves_of(CT_ENTRIES)).hex() == CT_ROOT


@given(entry_lists)
def test_root_and_frontier_agree_with_the_recursive_definition(entries: list[bytes]) -> None:
    frontier = Frontier()
    for n, entry in enumerate(entries):
        assert frontier.root() == mth(entries[:n])
        frontier.append(leaf_hash(entry))
        frontier = Frontier(frontier.size, frontier.nodes)
    assert frontier.root() == mth(entries)
    assert frontier.size == len(entries)


@given(entry_lists.filter(bool), st.data())
def test_inclusion_proofs_agree_with_the_recursive_definition_and_verify(
    entries: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    leaves = leaves_of(entries)
    proof = inclusion_proof(leaves, index)
    assert proof == path(index, entries)
    verify_inclusion(mth(entries), len(entries), index, leaves[index], proof)


@given(entry_lists.filter(bool), st.data())
def test_consistency_proofs_agree_with_the_recursive_definition_and_verify(
    entries: list[bytes], data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, len(entries)))
    leaves = leaves_of(entries)
    proof = consistency_proof(leaves, old)
    assert proof == subproof(old, entries, True)
    verify_consistency(mth(entries[:old]), old, mth(entries), len(entries), proof)


@given(entry_lists.filter(bool), st.data())
def test_an_inclusion_proof_with_anything_changed_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    size = len(entries)
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(entries)
    proof, root = inclusion_proof(leaves, index), mth(entries)
    with pytest.raises(ProofInvalid):
        verify_inclusion(root, size, index, leaf_hash(b"another"), proof)
    with pytest.raises(ProofInvalid):
        verify_inclusion(root, size, index, leaves[index], [*proof, EMPTY_ROOT])
    with pytest.raises(ProofInvalid):
        verify_inclusion(root, size, size, leaves[index], proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        with pytest.raises(ProofInvalid):
            verify_inclusion(root, size, index, leaves[index], [*proof[:at], EMPTY_ROOT, *proof[at + 1 :]])
        with pytest.raises(ProofInvalid):
            verify_inclusion(root, size, index, leaves[index], proof[:-1])
        other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index))
        with pytest.raises(ProofInvalid):
            verify_inclusion(root, size, other, leaves[index], proof)


@given(entry_lists.filter(lambda entries: len(entries) > 1), st.data())
def test_a_consistency_proof_of_a_rewritten_history_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(entries)))
    at = data.draw(st.integers(0, old - 1))
    rewritten = [*entries[:at], b"changed", *entries[at + 1 :]]
    with pytest.raises(ProofInvalid):
        verify_consistency(
            mth(entries[:old]), old, mth(rewritten), len(rewritten), consistency_proof(leaves_of(rewritten), old)
        )


def test_a_shrunken_tree_is_never_consistent() -> None:
    entries = CT_ENTRIES
    with pytest.raises(ProofInvalid):
        verify_consistency(mth(entries), 8, mth(entries[:7]), 7, [])
    with pytest.raises(ProofInvalid):
        verify_consistency(mth(entries), 8, mth(entries[:7]), 8, [])


def test_the_empty_tree_is_a_prefix_of_all_but_only_with_its_own_root() -> None:
    verify_consistency(EMPTY_ROOT, 0, mth(CT_ENTRIES), 8, [])
    with pytest.raises(ProofInvalid):
        verify_consistency(mth(CT_ENTRIES), 0, mth(CT_ENTRIES), 8, [])
    with pytest.raises(ProofInvalid):
        verify_consistency(EMPTY_ROOT, 0, mth(CT_ENTRIES), 0, [])


@pytest.mark.parametrize(
    ("size", "nodes"), [(1, []), (3, [b"\0" * 32]), (2, [b"\0" * 31]), (-1, []), (0, [b"\0" * 32])]
)
def test_nodes_that_cannot_be_the_frontier_of_that_size_are_refused(size: int, nodes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="no frontier"):
        Frontier(size, nodes)


def test_a_leaf_that_is_no_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        Frontier().append(b"short")
