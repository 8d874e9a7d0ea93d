"""The URLs of one directory, always from the configured public URL and never from a Host header.

All resources of a directory hang under one root, ``https://host:port/acme/NAME``, or under one that holds the secret
of an enrolment, ``https://host:port/acme/NAME/e/SECRET``: whatever the root is, every URL told to a client carries it.
"""

from __future__ import annotations

from uuid import UUID

import msgspec


class Urls(msgspec.Struct, frozen=True):
    """URLs of the directory called ``name``.

    Attributes:
        root: what they all start with, without a slash at the end.
        name: the directory, as the configuration calls it.
        secret: of the enrolment that ``root`` belongs to, as the path has it; empty for the open root.
    """

    root: str
    name: str
    secret: str = ""

    @classmethod
    def of(cls, base: str, name: str, secret: str = "") -> Urls:
        """Under ``base``, the public URL without a slash at the end."""
        root = f"{base}/acme/{name}"
        return cls(f"{root}/e/{secret}" if secret else root, name, secret)

    def at(self, path: str) -> str:
        """The URL of ``path`` below the root."""
        return f"{self.root}/{path}"

    @property
    def directory(self) -> str:
        """Where clients start."""
        return f"{self.root}/directory"

    @property
    def account_prefix(self) -> str:
        """What every account URL starts with."""
        return f"{self.root}/acct/"

    def account(self, account: UUID) -> str:
        """An account; also its ``kid``."""
        return f"{self.root}/acct/{account}"

    def account_uri(self, account: UUID) -> str:
        """How zones name an account (``accounturi``): its URL under the open root, for a secret belongs in no zone."""
        return f"{self.root.removesuffix(f'/e/{self.secret}')}/acct/{account}"

    def orders(self, account: UUID) -> str:
        """The list of an account's orders."""
        return f"{self.root}/acct/{account}/orders"

    def order(self, order: UUID) -> str:
        """An order."""
        return f"{self.root}/order/{order}"

    def finalize(self, order: UUID) -> str:
        """Where an order's CSR goes."""
        return f"{self.root}/order/{order}/finalize"

    def authz(self, authz: UUID) -> str:
        """An authorization."""
        return f"{self.root}/authz/{authz}"

    def challenge(self, authz: UUID, kind: str) -> str:
        """A challenge of an authorization."""
        return f"{self.root}/chall/{authz}/{kind}"

    def certificate(self, certificate: UUID, chain: int = 0) -> str:
        """A certificate with its chain: the first one, or another that is offered."""
        return f"{self.root}/cert/{certificate}/{chain}" if chain else f"{self.root}/cert/{certificate}"
