"""The numbers that a TPM speaks in (TPM 2.0 Library Specification, Part 2), as far as keys here may name them."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Algorithm(IntEnum):
    """TPM_ALG_ID (Part 2, 6.3), as far as keys here may name it."""

    RSA = 0x0001
    SHA1 = 0x0004
    AES = 0x0006
    KEYEDHASH = 0x0008
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    SM4 = 0x0013
    RSASSA = 0x0014
    RSAES = 0x0015
    RSAPSS = 0x0016
    OAEP = 0x0017
    ECDSA = 0x0018
    ECDH = 0x0019
    ECDAA = 0x001A
    SM2 = 0x001B
    ECSCHNORR = 0x001C
    MGF1 = 0x0007
    KDF1_SP800_56A = 0x0020
    KDF2 = 0x0021
    KDF1_SP800_108 = 0x0022
    ECC = 0x0023
    SYMCIPHER = 0x0025
    CAMELLIA = 0x0026
    CTR = 0x0040
    OFB = 0x0041
    CBC = 0x0042
    CFB = 0x0043
    ECB = 0x0044


class Attributes(IntFlag):
    """TPMA_OBJECT (Part 2, 8.3)."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18
    X509_SIGN = 1 << 19


class AttestType(IntEnum):
    """TPM_ST of the attestations that are read here (Part 2, 6.9)."""

    CERTIFY = 0x8017
    CREATION = 0x801A


#: TPM_GENERATED_VALUE: no TPM signs outside bytes that begin so with a restricted key (Part 2, 6.2).
GENERATED = 0xFF544347
