"""Private keys of the host, wherever they are held.

``model`` says what a place for keys promises; ``files``, ``pkcs11`` and ``tpm`` are such places. The agent never asks
where a key is: it has it made, has it sign, and gives the consumer what the place says the consumer needs.
"""
