"""Accounts by name: what `accounts:` says of them, and which ones an entry means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from keyrota.app.config.lists import Report, is_list_of_texts
from keyrota.app.config.tree import Node, name_path
from keyrota.errors import Fault

NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
_NAME = re.compile(NAME_PATTERN)
_ID = re.compile(r"[0-9]{12}", re.ASCII)
_ONE = "keep one of the two"
_GIVEN = ("role", "external_id", "region")
"""What an account says for the credentials in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAccount:
    """One account that an entry means."""

    fields: Mapping[str, Node] = field(default_factory=dict)
    """What it says for its credentials: `account`, `role`, `external_id`, `region`."""
    keys: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str | None:
        """The account's ID; None where the entry names none."""
        node = self.fields.get("account")
        return str(node.value) if node is not None else None


UNNAMED = NamedAccount()


class Accounts:
    """The accounts of a configuration by name."""

    def __init__(self, nodes: Mapping[str, Node], report: Report) -> None:
        self._nodes = nodes
        self._report = report

    def of(self, entry: Node) -> Iterator[NamedAccount]:
        """Find the accounts that an entry means; what it says wrongly is reported, and means none."""
        one, several = entry.fields.get("account"), entry.fields.get("accounts")
        if one is not None and several is not None:
            name = name_path(entry.path)
            what = f"{name} has `account` and `accounts`"
            self._report(Fault(where=entry.keys.get("accounts", several.where), what=what, remedy=_ONE))
        elif several is not None:
            yield from self._several(several)
        elif one is None or not isinstance(one.value, str) or not _NAME.fullmatch(one.value):
            yield NamedAccount(fields={"account": one}) if one is not None else UNNAMED
        else:
            yield from self._find_by_name(one, one.value)

    def _several(self, several: Node) -> Iterator[NamedAccount]:
        if not is_list_of_texts(several, self._report):
            return
        seen: dict[str, Node] = {}
        for item in several.items:
            for account in self._match(item):
                place = account.id or account.name or ""
                if place in seen:
                    what = f"{name_path(several.path)} names the account {account.name or place} twice"
                    self._report(Fault(where=item.where, what=what, remedy=f"the first time is at {seen[place].where}"))
                    continue
                seen[place] = item
                yield account

    def _match(self, item: Node) -> Iterator[NamedAccount]:
        """Find the account of a name or an ID, or those of a pattern (`prod-*`)."""
        text = str(item.value)
        if _ID.fullmatch(text):
            yield NamedAccount(fields={"account": item})
        elif "*" in text or "?" in text:
            names = [name for name in self._nodes if fnmatchcase(name, text)]
            if not names:
                self._report(Fault(where=item.where, what=f"no account of `accounts` is called like {text!r}"))
            for name in names:
                yield from self._find_by_name(item, name)
        else:
            yield from self._find_by_name(item, text)

    def _find_by_name(self, item: Node, name: str) -> Iterator[NamedAccount]:
        node = self._nodes.get(name)
        if node is None:
            close = difflib.get_close_matches(name, self._nodes, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else 'add it: accounts: {NAME: {id: "123456789012"}}'
            self._report(Fault(where=item.where, what=f"the account {name!r} is not in `accounts`", remedy=remedy))
            return
        identifier = node.fields.get("id")
        if identifier is None:
            return  # the schema reports it
        tags = {tag: str(value.value) for tag, value in _fields(node, "tags").items()}
        given = {one: node.fields[one] for one in _GIVEN if one in node.fields}
        keys = {"account": node.keys.get("id", node.where)} | {one: node.keys.get(one, node.where) for one in given}
        yield NamedAccount(fields={"account": identifier, **given}, keys=keys, name=name, tags=tags)


def _fields(node: Node, name: str) -> Mapping[str, Node]:
    inner = node.fields.get(name)
    return inner.fields if inner is not None else {}
