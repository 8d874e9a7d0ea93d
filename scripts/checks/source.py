"""A parsed module, and the questions that the rules ask of it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks one rule."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"src/troth/{self.path}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class Source:
    """One module of the product.

    Attributes:
        path: relative to ``src/troth``, with slashes: ``pki/gate.py``.
        text: the file.
        tree: its syntax.
        nodes: all of the tree, breadth first: walked once, since every rule looks at all of it.
        names: what each imported name stands for, dotted: ``{"dt": "datetime.datetime"}``.
    """

    path: str
    text: str
    tree: ast.Module = field(repr=False)
    nodes: tuple[ast.AST, ...] = field(repr=False)
    names: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, path: str, text: str) -> Source:
        """Raises SyntaxError where Python would."""
        tree = ast.parse(text, filename=path)
        nodes = tuple(ast.walk(tree))
        return cls(path, text, tree, nodes, _imported_names(nodes))

    @property
    def room(self) -> str:
        """The room this module is in: ``pki``; for a module beside the rooms its own name."""
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def file_name(self) -> str:
        """``store.py``."""
        return self.path.rsplit("/", 1)[-1]

    def finding(self, rule: str, node: ast.AST | int, message: str) -> Finding:
        """A finding of ``rule`` at ``node`` (or a line number)."""
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return Finding(self.path, line, rule, message)

    def dotted(self, node: ast.AST) -> str | None:
        """What ``node`` names, followed through the imports: ``time.time``; None for anything but names."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base else None
        return None

    def calls(self, name: str) -> Iterator[ast.Call]:
        """Calls of something whose last name is ``name``, imported or local, under whatever alias."""
        for node in self.nodes:
            if isinstance(node, ast.Call) and (self.dotted(node.func) or "").rsplit(".", 1)[-1] == name:
                yield node

    def imports(self) -> Iterator[tuple[ast.stmt, str]]:
        """Every imported module or name, dotted, at any depth of nesting: ``import a.b`` and ``from a import b``."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node, alias.name
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    yield node, f"{node.module}.{alias.name}"


def read_tree(root: Path) -> list[Source]:
    """Every module under ``root`` (``src/troth``), in the order of paths."""
    return [
        Source.parse(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*.py"))
    ]


def _imported_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    names[alias.asname] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names
