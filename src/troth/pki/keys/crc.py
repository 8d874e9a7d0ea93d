"""CRC-32C (Castagnoli; RFC 3720, B.4): what Google KMS guards its exchanges with."""

from __future__ import annotations


def crc32c(content: bytes) -> int:
    """The checksum of ``content``."""
    register = 0xFFFFFFFF
    for octet in content:
        register = (register >> 8) ^ _CRC_TABLE[(register ^ octet) & 0xFF]
    return register ^ 0xFFFFFFFF


def _crc_row(n: int) -> int:
    for _ in range(8):
        n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
    return n


_CRC_TABLE = tuple(_crc_row(n) for n in range(256))
