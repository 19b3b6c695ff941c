"""What a configuration stands for, as `keyrota config` shows it: plain credentials, and the place of each value."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from keyrota.app.config import Configuration
from keyrota.app.config.templates import escape
from keyrota.app.config.tree import Expanded, Node, name_path

_USED_UP = frozenset({"accounts", "defaults", "include"})
"""What is left of these is in the credentials."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./*-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_COLUMN = 60


def narrow(expanded: Expanded, credentials: Collection[int]) -> Node:
    """Keep what counts, and of the credentials those at these places of the list."""
    fields = {name: node for name, node in expanded.root.fields.items() if name not in _USED_UP}
    every, selections = fields["credentials"], fields.pop("selections", None)
    shown = [_escape(one) for at, one in enumerate(every.items) if at in credentials]
    is_everything = len(shown) == len(every.items)
    more = selections.items if selections is not None and is_everything else ()
    fields["credentials"] = every.with_value([*shown, *more])  # what a selector will find still has its templates
    return expanded.root.with_fields(fields)


def _escape(node: Node) -> Node:
    if isinstance(node.value, dict):
        return node.with_fields({name: _escape(inner) for name, inner in node.fields.items()})
    if isinstance(node.value, list):
        return node.with_value([_escape(inner) for inner in node.items])
    return node.with_value(escape(node.value)) if isinstance(node.value, str) else node


def write_yaml(root: Node) -> Iterator[str]:
    """Write YAML, with a comment on each value that says where it was written."""
    yield from _write(root, "", ())


def _write(node: Node, indent: str, at: tuple[str | int, ...]) -> Iterator[str]:
    for name, inner in node.fields.items():
        yield from _write_field(f"{indent}{_write_scalar(name)}:", inner, f"{indent}  ", (*at, name))
    for number, inner in enumerate(node.items):
        first, *rest = _write(inner, f"{indent}  ", (*at, number)) if _is_open(inner) else [_write_value("", inner, at)]
        yield f"{indent}- {first.lstrip()}"
        yield from rest


def _write_field(head: str, node: Node, indent: str, at: tuple[str | int, ...]) -> Iterator[str]:
    if _is_open(node):
        yield head
        yield from _write(node, indent, at)
    else:
        yield _write_value(head, node, at)


def _is_open(node: Node) -> bool:
    return isinstance(node.value, (dict, list)) and bool(node.value)


def _write_value(head: str, node: Node, at: tuple[str | int, ...]) -> str:
    written = f"{head} {_write_scalar(node.value)}" if head else _write_scalar(node.value)
    return f"{written:<{_COLUMN}}  # {_name_origin(node, at)}"


def _name_origin(node: Node, at: tuple[str | int, ...]) -> str:
    """Name file and line, and what stands there if it is not the credential itself."""
    place = node.where.rpartition(":")[0] or node.where
    return f"{place} {name_path(node.path)}" if node.path[:1] != at[:1] else place


def _write_scalar(value: Any) -> str:
    """Write a scalar so that YAML reads the same one; JSON is YAML."""
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)


def list_origins(node: Node, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Name the file, line and column of each scalar, by its JSON Pointer (RFC 6901)."""
    named = list(node.fields.items()) or [(str(number), one) for number, one in enumerate(node.items)]
    if not named:
        yield pointer, node.where
    for name, inner in named:
        yield from list_origins(inner, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")


def summarize(configuration: Configuration, expanded: Expanded) -> dict[str, Any]:
    """Count what a configuration stands for."""
    credentials = configuration.credentials
    targets = Counter(target.provider for entry in credentials for target in entry.targets)
    files = {node.where.rsplit(":", 2)[0] for node in expanded.root.fields["credentials"].items}
    return {
        "files": len(files | {str(configuration.path)}),
        "credentials": len(credentials),
        "users": len({entry.user for entry in credentials}),
        "accounts": len({entry.known_account for entry in configuration.entrances}),
        "selections": len(configuration.selections),
        "targets": dict(sorted(targets.items())),
    }
