"""The program by which the kernel chooses a worker's socket for each datagram: classic BPF, made anew for who lives.

It reads the datagram alone (offset 0 is the packet's code) and ends with the place whose socket is meant:

1. What is too short, or says that it is longer than it came: nobody's, the kernel's own hash decides. It is dropped
   wherever it goes.
2. An Access-Request is walked, attribute by attribute, to its first State. One of our form and node names the worker
   that holds the conversation, and so its place.
3. Everything else is spread over the places that are served, by the Request Authenticator: an Access-Request's is
   random, an Accounting-Request's a digest of what it says (RFC 2866, 3), and what comes again has the same one, so
   that it meets the worker that remembers its answer. So is a State that names nobody who lives, a foreign one (of a
   server behind a proxy: ``proxy.pool`` sends a device to the same server from every worker), and a packet of more
   attributes than the walk has steps.

Classic BPF has forward jumps only, so the walk is unrolled; and conditional jumps of 8 bits, so what lies far is
reached by an unconditional one that is jumped over. A load beyond the datagram ends the program with 0, place 0.
What comes out is never more than a good guess: whoever gets a packet that is another's hands it over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from troth.radius.eap.state import LENGTH, VERSION
from troth.radius.wire.packet import HEADER, STATE, Code

#: Result that names no socket: the kernel takes its hash of both addresses instead.
NOBODY: Final = 0xFFFF_FFFF
#: Attributes that are walked at most: requests have a dozen or two, and an EAP-Message of 1,400 octets takes six.
STEPS: Final = 64
#: Longest program that a kernel takes (BPF_MAXINSNS).
MOST: Final = 4096
#: Knuth's multiplier: neighbours (an access server that counts) come apart.
_SPREAD: Final = 0x9E37_79B1

# linux/bpf_common.h: class, size, mode and operation in one.
LD_LEN, LD_IMM, LD_WORD, LD_BYTE, LD_HALF = 0x80, 0x00, 0x20, 0x30, 0x28
LD_HALF_AT_X, LD_BYTE_AT_X = 0x48, 0x50
LDX_MEM, ST = 0x61, 0x02
ADD, SUB, MUL, AND, RSH, MOD, ADD_X, XOR_X = 0x04, 0x14, 0x24, 0x54, 0x74, 0x94, 0x0C, 0xAC
JA, JEQ, JGE, JGT_X = 0x05, 0x15, 0x35, 0x2D
RET, TAX = 0x06, 0x07


class Instruction(NamedTuple):
    """One of ``struct sock_filter``: jumps are counted from the next instruction."""

    code: int
    jump_true: int
    jump_false: int
    operand: int


class _Far(NamedTuple):
    """A jump to a label, whose distance is not known yet."""

    label: str


def program(
    node: int, owners: Mapping[int, int], served: Sequence[int], *, steps: int = STEPS
) -> tuple[Instruction, ...]:
    """The program; see the module.

    Args:
        owners: worker → its place, of all that live; one that drains has the place where its successor reads.
        served: places that take what begins; not empty.
        steps: attributes that are walked at most.
    """
    lines: list[Instruction | _Far] = []
    labels: dict[str, int] = {}
    lines += _whole()
    # M[0]: the last octet at which an attribute may begin. A: where the walk is.
    lines += [_do(SUB, 2), _do(ST, 0), _do(LD_BYTE, 0), _if(JEQ, Code.ACCESS_REQUEST, 1, 0), _Far("spread")]
    lines.append(_do(LD_IMM, HEADER))
    for _ in range(steps):
        lines += _step()
    lines.append(_Far("spread"))
    labels["state"] = len(lines)
    # X: where State begins.
    lines += [_do(LD_BYTE_AT_X, 1), _if(JEQ, LENGTH + 2, 1, 0), _Far("spread")]
    lines += [_do(LD_HALF_AT_X, 2), _if(JEQ, VERSION << 8 | node, 1, 0), _Far("spread")]
    lines.append(_do(LD_BYTE_AT_X, 4))
    for worker, place in sorted(owners.items()):
        lines += [_if(JEQ, worker, 0, 1), _do(RET, place)]
    labels["spread"] = len(lines)
    lines += _spread(served)
    return tuple(_resolved(lines, labels))


def _whole() -> list[Instruction]:
    """A: the packet's own length, which the datagram has, and which has room for a header."""
    return [
        _do(LD_LEN), _if(JGE, HEADER, 1, 0), _do(RET, NOBODY), _do(TAX),
        _do(LD_HALF, 2), _if(JGT_X, 0, 0, 1), _do(RET, NOBODY), _if(JGE, HEADER, 1, 0), _do(RET, NOBODY),
    ]  # fmt: skip


def _step() -> list[Instruction | _Far]:
    """From A, where an attribute may begin, to A, where the next may; X follows. Ends at State, or behind the last."""
    return [
        _do(LDX_MEM, 0), _if(JGT_X, 0, 0, 1), _Far("spread"), _do(TAX),
        # Type and length at once: State, of whatever length, lies between two numbers.
        _do(LD_HALF_AT_X, 0), _if(JGE, STATE << 8, 0, 2), _if(JGE, STATE + 1 << 8, 1, 0), _Far("state"),
        _do(AND, 0xFF), _do(ADD_X),
    ]  # fmt: skip


def _spread(served: Sequence[int]) -> Iterator[Instruction]:
    if len(served) > 1:
        yield _do(LD_WORD, 4)
        for at in (8, 12, 16):
            yield from (_do(TAX), _do(LD_WORD, at), _do(XOR_X))
        yield from (_do(MUL, _SPREAD), _do(RSH, 16), _do(MOD, len(served)))
        for number, place in enumerate(served[:-1]):
            yield from (_if(JEQ, number, 0, 1), _do(RET, place))
    yield _do(RET, served[-1])


def _do(code: int, operand: int = 0) -> Instruction:
    return Instruction(code, 0, 0, operand)


def _if(code: int, operand: int, jump_true: int, jump_false: int) -> Instruction:
    return Instruction(code, jump_true, jump_false, operand)


def _resolved(lines: Sequence[Instruction | _Far], labels: Mapping[str, int]) -> Iterator[Instruction]:
    for at, line in enumerate(lines):
        yield _do(JA, labels[line.label] - at - 1) if isinstance(line, _Far) else line
