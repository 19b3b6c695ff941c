"""A document as a tree in which every value knows where it was written, whatever is made of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keyrota.app.config.nodes import Document, Path_
from keyrota.core.selection import DirectoryUser
from keyrota.errors import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value of a file. What is derived from it keeps its place."""

    value: Any
    """A scalar; a `dict` of text to `Node`; or a `list` of `Node`."""
    where: str
    """File, line and column."""
    path: Path_
    """Where it is within its own file: `("credentials", 0, "user")`."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Of a mapping: the place of each key."""

    @property
    def fields(self) -> dict[str, Node]:
        """The fields of a mapping; none of anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> Sequence[Node]:
        """The items of a list; none of anything else."""
        return self.value if isinstance(self.value, list) else ()

    def with_fields(self, fields: Mapping[str, Node], keys: Mapping[str, str] | None = None) -> Node:
        """Return this mapping with other fields."""
        return replace(self, value=dict(fields), keys=self.keys if keys is None else keys)

    def with_value(self, value: Any) -> Node:
        """Return another value that was written in the same place."""
        return replace(self, value=value)

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def annotate(document: Document) -> Node:
    """Annotate a document."""
    return _annotate(document, document.value, ())


def _annotate(document: Document, value: Any, path: Path_) -> Node:
    where = document.where(path)
    if isinstance(value, dict):
        fields = {name: _annotate(document, inner, (*path, name)) for name, inner in value.items()}
        keys = {name: document.key_where(path, name) for name in value}
        return Node(value=fields, where=where, path=path, keys=keys)
    if isinstance(value, list):
        items = [_annotate(document, inner, (*path, number)) for number, inner in enumerate(value)]
        return Node(value=items, where=where, path=path)
    return Node(value=value, where=where, path=path)


def name_path(path: Iterable[str | int]) -> str:
    """Write a path as messages do: `credentials[2].user`."""
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".") or "the file"


Select = Callable[[int, DirectoryUser], "Expanded"]


class Expanded:
    """What was made of the files: plain values for the schema, and the place of each."""

    def __init__(self, path: Path | str, root: Node, faults: Iterable[Fault], select: Select | None = None) -> None:
        self.path = path
        self.root = root
        self.faults = list(faults)
        self.value: Any = root.plain()
        self.select = select
        """Makes the configuration of one user that the selection of a number found."""

    def nearest(self, steps: Iterable[str | int]) -> tuple[Node, Path_]:
        """Find the innermost node on a path, and what is left of the path."""
        node, left = self.root, tuple(steps)
        while left:
            step = left[0]
            inner = node.fields.get(step) if isinstance(step, str) else None
            if isinstance(step, int) and step < len(node.items):
                inner = node.items[step]
            if inner is None:
                break
            node, left = inner, left[1:]
        return node, left

    def where(self, steps: Iterable[str | int]) -> str:
        """Return the file, line and column of a value; of its nearest parent if it is not there itself."""
        return self.nearest(steps)[0].where

    def key_where(self, steps: Iterable[str | int], key: str) -> str:
        """Return the place of a mapping's key."""
        node, left = self.nearest(steps)
        return node.where if left else node.keys.get(key, node.where)

    def name(self, steps: Iterable[str | int]) -> str:
        """Name a value as its file does: of credentials that one entry stands for, all are that entry."""
        node, left = self.nearest(steps)
        return name_path((*node.path, *left))
