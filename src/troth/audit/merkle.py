"""The Merkle tree of RFC 6962, section 2.1 (RFC 9162, section 2.1): hashes, roots and proofs, and nothing that stores.

A tree over n entries has one shape: the left half of every node is the largest power of two smaller than n. So a log
that only grows keeps no tree, but a :class:`Frontier`: the roots of the perfect subtrees that n's one-bits name. It
is what the sequencer keeps in the head row and the notary keeps beside its key.

Everything here takes *leaf hashes*. The prefixes 0x00 and 0x01 of :func:`leaf_hash` and :func:`node_hash` are what
keeps a node from being shown as an entry (second-preimage resistance); hashing an entry any other way breaks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from troth.audit.errors import PROOF_INVALID, ProofInvalid

#: The root of the tree without entries.
EMPTY_ROOT = sha256(b"").digest()
HASH_SIZE = 32


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: enough to append and to name the root, in log2(n) hashes.

    Args:
        size: number of leaves so far.
        nodes: roots of the perfect subtrees, largest (leftmost) first, one for each one-bit of ``size``.

    Raises ValueError when the two do not belong together; that they belong to *this* log only the root can tell.
    """

    __slots__ = ("_nodes", "_size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        kept = list(nodes)
        if size < 0 or len(kept) != size.bit_count() or any(len(node) != HASH_SIZE for node in kept):
            raise ValueError(f"{len(kept)} nodes are no frontier of a tree with {size} leaves")
        self._size = size
        self._nodes = kept

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def nodes(self) -> list[bytes]:
        """The subtree roots, largest first (a copy)."""
        return list(self._nodes)

    def copy(self) -> Frontier:
        """Another frontier at the same place, which grows apart from this one."""
        return Frontier(self._size, self._nodes)

    def append(self, leaf: bytes) -> None:
        """Grow by one leaf hash."""
        if len(leaf) != HASH_SIZE:
            raise ValueError("a leaf hash has 32 octets")
        # Each trailing one-bit of the size is a perfect subtree that the new leaf completes to the next power of two.
        carried, rest = leaf, self._size
        while rest & 1:
            carried = node_hash(self._nodes.pop(), carried)
            rest >>= 1
        self._nodes.append(carried)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Grow by each leaf hash in turn."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """The root over all leaves."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over ``leaves``."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree over ``leaves``, nearest sibling first (RFC 6962, 2.1.1).

    Raises ValueError when there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"no leaf {index} in a tree with {len(leaves)}")
    path: list[bytes] = []
    start, end = 0, len(leaves)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(root_of(leaves[middle:end]))
            end = middle
        else:
            path.append(root_of(leaves[start:middle]))
            start = middle
    path.reverse()
    return path


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Proof that the tree over the first ``old_size`` leaves is a prefix of the tree over all (RFC 6962, 2.1.2).

    Empty for ``old_size`` 0 and for the whole. Raises ValueError when ``old_size`` is not within the tree.
    """
    if not 0 <= old_size <= len(leaves):
        raise ValueError(f"no tree of {old_size} leaves within one of {len(leaves)}")
    if old_size in (0, len(leaves)):
        return []
    path: list[bytes] = []
    start, end = 0, len(leaves)
    while old_size < end:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(root_of(leaves[middle:end]))
            end = middle
        else:
            path.append(root_of(leaves[start:middle]))
            start = middle
    # The old root itself is known to the verifier when the old tree is one perfect subtree at the left edge.
    if start > 0:
        path.append(root_of(leaves[start:end]))
    path.reverse()
    return path


def verify_inclusion(root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]) -> None:
    """Raise ProofInvalid unless ``leaf`` is leaf ``index`` of the tree with this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofInvalid(PROOF_INVALID, f"no leaf {index} in a tree with {size}")
    at, last, value = index, size - 1, leaf
    for node in path:
        if last == 0:
            raise ProofInvalid(PROOF_INVALID, "the inclusion proof is too long")
        if at & 1 or at == last:
            value = node_hash(node, value)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            value = node_hash(value, node)
        at, last = at >> 1, last >> 1
    if last != 0 or value != root:
        raise ProofInvalid(PROOF_INVALID, f"leaf {index} is not in the tree of {size} with this root")


def verify_consistency(old_root: bytes, old_size: int, root: bytes, size: int, path: Sequence[bytes]) -> None:
    """Raise ProofInvalid unless the old tree is a prefix of the new one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old_size <= size:
        raise ProofInvalid(PROOF_INVALID, f"a tree of {size} cannot extend one of {old_size}")
    if old_size in (0, size):
        expected = EMPTY_ROOT if old_size == 0 else root
        if path or old_root != expected or (size == 0 and root != EMPTY_ROOT):
            raise ProofInvalid(PROOF_INVALID, f"the tree of {size} does not extend that of {old_size}")
        return
    nodes = list(path) if old_size & (old_size - 1) else [old_root, *path]
    if not nodes:
        raise ProofInvalid(PROOF_INVALID, "the consistency proof is too short")
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            raise ProofInvalid(PROOF_INVALID, "the consistency proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    if last != 0 or old != old_root or new != root:
        raise ProofInvalid(PROOF_INVALID, f"the tree of {size} does not extend that of {old_size}")


def _split(size: int) -> int:
    """The largest power of two smaller than ``size`` (which is above 1)."""
    return 1 << ((size - 1).bit_length() - 1)
