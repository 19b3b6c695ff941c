"""
From what people write to plain credentials: defaults, accounts, lists and templates are resolved here, and only here.

Pure: files go in as trees, and one tree comes out, in which each credential and each target stands for itself and each
value knows its file and line. What is malformed is left as it is, for the schema to report.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from keyrota.app.config import lists
from keyrota.app.config.accounts import Accounts, NamedAccount
from keyrota.app.config.merging import merge
from keyrota.app.config.nodes import Document
from keyrota.app.config.schema import FIRST_WRITE, KIND
from keyrota.app.config.templates import ALLOWED, DUTY, Context, UnusableTemplate, find_templates, replace_templates
from keyrota.app.config.tree import Expanded, Node, annotate, name_path
from keyrota.app.config.written import INSTANCE_NAME
from keyrota.core.selection import DirectoryUser
from keyrota.errors import ConfigError, Fault
from keyrota.target_base.provider import Provider, instance

MAX_CREDENTIALS, MAX_TARGETS = 50_000, 100_000
"""More than anyone has; a few lines of lists could otherwise stand for a billion."""
_INSTANCE = re.compile(INSTANCE_NAME)
_NOT_NAMES = frozenset({FIRST_WRITE, KIND})
_NEVER = frozenset({FIRST_WRITE, "kms_key", "bundle"})
"""Fields of a target that take no templates: a key decides who can read."""
_NOTHING: frozenset[str] = frozenset()
_OF_MAIN = ("policy", "aws", "rollout", "concurrency", "drift_every", "verify", "include")
"""What only the main file says."""
_OF_ALL = frozenset({"version", "policy", "providers", "aws"})
"""What a credential is judged with."""
_ENTRANCE = ("account", "role", "external_id", "region")
_BY_NAME = ("accounts", "providers")
"""Mappings that several files may add to."""
_ACCOUNT_FORMS = {"account": "accounts", "accounts": "account"}


def expand(documents: Sequence[Document], known: Mapping[str, Provider]) -> Expanded:
    """
    Expand a configuration.

    Args:
        documents: The main file, then those that it includes.
        known: Providers by kind.

    Raises:
        ConfigError: It stands for more credentials or targets than anyone has.
    """
    main = annotate(documents[0])
    if not isinstance(main.value, dict):
        return Expanded(documents[0].path, main, documents[0].faults)
    return _Expansion(documents, main, known).run()


@dataclass(slots=True, kw_only=True)
class _Defaults:
    """What entries of one file begin with."""

    credential: Node | None = None
    target: Mapping[str, Node] = field(default_factory=dict)
    """By provider, and `first_write`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """An entry in one account, whose users a selector will find."""

    base: Node
    account: NamedAccount
    defaults: _Defaults


class _Expansion:
    def __init__(self, documents: Sequence[Document], main: Node, known: Mapping[str, Provider]) -> None:
        self._path: Path | str = documents[0].path
        self._main = main
        self._others = [annotate(document) for document in documents[1:]]
        self._faults = [fault for document in documents for fault in document.faults]
        self._known = dict(known)
        self._counted: Counter[str] = Counter()
        self._fields = dict(main.fields)
        self._selections: list[Node] = []
        self._pending: list[_Pending] = []

    def run(self) -> Expanded:
        for other in self._others:
            self._judge(other)
        for name in _BY_NAME:
            self._fields |= self._join(name)
        self._refuse_templates(self._fields.get("providers"))
        self._faults.extend(_find_misnamed(self._fields.get("providers"), self._known))
        self._kinds = self._known | name_instances(self._fields.get("providers"), self._known)
        accounts = self._fields.get("accounts")
        self._accounts = Accounts(accounts.fields if accounts is not None else {}, self._faults.append)
        self._expand_entries()
        root = self._main.with_fields(self._fields)
        if self._selections:
            every = Node(value=self._selections, where=self._fields["credentials"].where, path=("credentials",))
            root = root.with_fields({**self._fields, "selections": every})
        return Expanded(self._path, root, self._faults, self.select)

    def _expand_entries(self) -> None:
        made: list[Node] = []
        common = _read_defaults(self._main, None)
        for root in (self._main, *self._others):
            entries = root.fields.get("credentials")
            if entries is None:
                continue
            if not isinstance(entries.value, list):
                self._fields["credentials"] = entries  # the schema says what it must be
                return
            defaults = common if root is self._main else _read_defaults(root, common)
            made += [one for entry in entries.items for one in self._make_credentials(entry, defaults)]
        entries = self._fields.get("credentials", self._main)
        if "credentials" in self._fields or made or self._selections:
            self._fields["credentials"] = Node(value=made, where=entries.where, path=("credentials",))

    # --- files ----------------------------------------------------------------------------------------------------

    def _judge(self, other: Node) -> None:
        """Refuse what an included file must not say; the rest of it counts all the same."""
        if not isinstance(other.value, dict):
            what = f"the file is {'empty' if other.value is None else 'no mapping'}"
            self._faults.append(Fault(where=other.where, what=what, remedy="see docs/reference/configuration.md"))
        for name in other.fields:
            if name in _OF_MAIN:
                what, remedy = f"`{name}` belongs into the file that includes this one", "move it there"
                self._faults.append(Fault(where=other.keys[name], what=what, remedy=remedy))
            elif name not in {"version", "defaults", "credentials", *_BY_NAME}:
                known = "known in an included file: version, accounts, providers, defaults, credentials"
                self._faults.append(Fault(where=other.keys[name], what=f"{name!r} is not known here", remedy=known))
        version = other.fields.get("version")
        if version is not None and version.value != 1:
            self._faults.append(Fault(where=version.where, what="version must be 1"))

    def _join(self, name: str) -> dict[str, Node]:
        """Join a mapping of several files; a name that two of them define is reported."""
        nodes = [root.fields[name] for root in (self._main, *self._others) if name in root.fields]
        if len(nodes) < 2 or not all(isinstance(node.value, dict) for node in nodes):  # noqa: PLR2004  # nothing to join
            return {name: nodes[0]} if nodes else {}
        fields, keys = dict(nodes[0].fields), dict(nodes[0].keys)
        for node in nodes[1:]:
            for key, inner in node.fields.items():
                if key in fields:
                    what, remedy = f"{name}.{key} is given twice", f"the first time is at {keys[key]}"
                    self._faults.append(Fault(where=node.keys[key], what=what, remedy=remedy))
                fields.setdefault(key, inner)
                keys.setdefault(key, node.keys[key])
        return {name: nodes[0].with_fields(fields, keys)}

    def _refuse_templates(self, node: Node | None) -> None:
        """A template must not choose the host that gets a secret, nor the secret that is read."""
        if node is None:
            return
        for inner in (*node.fields.values(), *node.items):
            self._refuse_templates(inner)
        found = find_templates(node.value) if isinstance(node.value, str) else ()
        if found:
            what = f"{name_path(node.path)}: {found[0]} is not replaced in the settings of a provider"
            remedy = "write the text itself: a template must not choose where a secret is sent or read"
            self._faults.append(Fault(where=node.where, what=what, remedy=remedy))

    # --- credentials ----------------------------------------------------------------------------------------------

    def _make_credentials(self, entry: Node, defaults: _Defaults) -> Iterator[Node]:
        """Make the credentials that one entry stands for; what a selector will find is noted for later."""
        if not isinstance(entry.value, dict):
            yield entry
            return
        users = self._read_users(entry)
        accounts = tuple(self._accounts.of(merge(entry, _keep_account(defaults.credential), _ACCOUNT_FORMS)))
        self._count("credentials", entry, len(accounts) * len(users))
        selector = _selector_of(entry)
        for account in accounts:
            own = merge(_drop_account(entry), _annotate_account(account, entry))
            base = merge(own, defaults.credential, _ACCOUNT_FORMS)
            if selector is not None:
                self._note_selection(base, selector, account, defaults)
            for user in users:
                yield self._make_credential(base, user, account, defaults)

    def _note_selection(self, base: Node, selector: Node, account: NamedAccount, defaults: _Defaults) -> None:
        """Keep an entry whose users are not known yet; its templates are looked at all the same."""
        made = self._make_credential(base, None, account, defaults, is_later=True)
        context = _context(None, account)
        entrance = {
            name: self._replace(base.fields[name], _allow(name), context) for name in _ENTRANCE if name in base.fields
        }
        self._selections.append(made.with_fields({**made.fields, **entrance, "users": selector}))
        self._pending.append(_Pending(base=base, account=account, defaults=defaults))

    def select(self, number: int, user: DirectoryUser) -> Expanded:
        """Make the credential of one user that a selector found: a configuration that has nothing else."""
        pending, before = self._pending[number], len(self._faults)
        named = Node(value=str(user.name), where=pending.base.where, path=(*pending.base.path, "users"))
        found = _context(named, pending.account)
        context = replace(found, path=user.path, tags=user.tags)
        made = self._make_credential(pending.base, named, pending.account, pending.defaults, context=context)
        faults, self._faults[before:] = self._faults[before:], []
        fields = {
            name: node for name, node in self._fields.items() if name in {"version", "policy", "providers", "aws"}
        }
        fields["credentials"] = pending.base.with_value([made])
        return Expanded(self._path, self._main.with_fields(fields), faults)

    def _read_users(self, entry: Node) -> Sequence[Node | None]:
        """Return the users that an entry names; none where it names them wrongly, or a selector will find them."""
        one, several = entry.fields.get("user"), entry.fields.get("users")
        if several is None:
            return [one]
        if one is not None:
            what = f"{name_path(entry.path)} has `user` and `users`"
            self._faults.append(
                Fault(where=entry.keys.get("users", several.where), what=what, remedy="keep one of the two")
            )
            return ()
        if isinstance(several.value, dict):
            return ()
        return several.items if lists.is_list_of_texts(several, self._faults.append) else ()

    def _make_credential(
        self,
        base: Node,
        user: Node | None,
        account: NamedAccount,
        defaults: _Defaults,
        *,
        is_later: bool = False,
        context: Context | None = None,
    ) -> Node:
        context = context or replace(_context(user, account), is_later=is_later)
        fields = {"user": user} if user is not None else {}
        fields |= {
            name: node
            for name, node in base.fields.items()
            if name not in {"user", "users", "accounts"} and not (node.value is None and node.path[:1] == ("accounts",))
        }
        if "targets" in fields and isinstance(fields["targets"].value, list):
            targets = [one for entry in fields["targets"].items for one in self._make_targets(entry, defaults)]
            fields["targets"] = fields["targets"].with_value(targets)
        made = {name: self._replace(node, _allow(name), context) for name, node in fields.items()}
        return base.with_fields(made)

    def _make_targets(self, entry: Node, defaults: _Defaults) -> Iterator[Node]:
        """Make the targets that one entry of `targets` stands for."""
        for name in entry.fields:
            provider = self._kinds.get(name)
            if provider is None:
                continue
            forms = lists.list_forms(provider)
            names = {**forms, **{single: form for form, single in forms.items()}}
            settings = merge(entry.fields[name], defaults.target.get(name), names)
            self._count("targets", entry, lists.count(settings, provider))
            asked = entry.fields.get(FIRST_WRITE) or defaults.target.get(FIRST_WRITE)
            rest = {other: node for other, node in entry.fields.items() if other != name}
            rest |= {FIRST_WRITE: asked} if asked is not None else {}
            for one in lists.spread(settings, provider, self._faults.append):
                yield entry.with_fields({name: one, **rest})
            return
        yield entry

    def _count(self, what: str, entry: Node, number: int = 1) -> None:
        """Count before anything is made."""
        at_most = MAX_CREDENTIALS if what == "credentials" else MAX_TARGETS
        self._counted[what] += number
        if self._counted[what] > at_most:
            fault = f"with {name_path(entry.path)}, this configuration stands for more than {at_most:,} {what}"
            raise ConfigError([Fault(where=entry.where, what=fault, remedy="shorten its lists, or use two files")])

    def _replace(self, node: Node, allowed: frozenset[str], context: Context) -> Node:
        """Replace the templates of all texts in a value; a value without any stays the same one."""
        if isinstance(node.value, dict):
            fields = {
                name: self._replace(inner, _NOTHING if name in _NEVER else allowed, context)
                for name, inner in node.fields.items()
            }
            return node if all(fields[name] is node.fields[name] for name in fields) else node.with_fields(fields)
        if isinstance(node.value, list):
            items = [self._replace(inner, allowed, context) for inner in node.items]
            is_same = all(one is other for one, other in zip(items, node.items, strict=True))
            return node if is_same else node.with_value(items)
        if not isinstance(node.value, str) or "{" not in node.value:
            return node
        try:
            text = replace_templates(node.value, allowed, context)
        except UnusableTemplate as error:
            what = f"{name_path(node.path)}: {error.what}"
            self._faults.append(Fault(where=node.where, what=what, remedy=error.remedy))
            return node
        return node if text == node.value else node.with_value(text)


def _context(user: Node | None, account: NamedAccount) -> Context:
    return Context(
        user=user.value if user is not None and isinstance(user.value, str) else None,
        account=account.id,
        account_name=account.name,
        account_tags=account.tags,
    )


def _selector_of(entry: Node) -> Node | None:
    users = entry.fields.get("users")
    return users if users is not None and isinstance(users.value, dict) and "user" not in entry.fields else None


def _allow(name: str) -> frozenset[str]:
    return ALLOWED.get(name, _NOTHING) | ({DUTY} if name == "role" else _NOTHING)


def name_instances(providers: Node | None, known: Mapping[str, Provider]) -> dict[str, Provider]:
    """Find the providers that have a name of their own: `ghes: {kind: github, …}`; what is wrong is the schema's."""
    found = {}
    for name, node in (providers.fields if providers is not None else {}).items():
        kind = node.fields.get(KIND)
        provider = known.get(str(kind.value)) if kind is not None else None
        if provider is not None and name not in known and _INSTANCE.fullmatch(name) and name not in _NOT_NAMES:
            found[name] = instance(provider, name)
    return found


def _find_misnamed(providers: Node | None, known: Mapping[str, Provider]) -> Iterator[Fault]:
    """Find providers whose own name, or kind, cannot be one."""
    for name, node in (providers.fields if providers is not None else {}).items():
        kind = node.fields.get(KIND)
        where = providers.keys.get(name, node.where) if providers is not None else node.where
        if kind is None or name in known:
            continue
        if str(kind.value) not in known:
            close = difflib.get_close_matches(str(kind.value), known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(sorted(known))}"
            yield Fault(where=where, what=f"providers.{name}: {kind.value!r} is not a kind of provider", remedy=remedy)
        elif not _INSTANCE.fullmatch(name) or name in _NOT_NAMES:
            remedy = "begin with a letter, and use small letters, digits, `-` and `_`"
            yield Fault(where=where, what=f"{name!r} cannot be the name of a provider", remedy=remedy)


def _read_defaults(root: Node, common: _Defaults | None) -> _Defaults:
    """Return the defaults of a file; those of the main file hold where it says nothing itself."""
    node = root.fields.get("defaults")
    fields = node.fields if node is not None else {}
    credential, target = fields.get("credential"), fields.get("target")
    targets = dict(target.fields) if target is not None else {}
    if common is None:
        return _Defaults(credential=credential, target=targets)
    joined = {name: merge(inner, common.target.get(name)) for name, inner in targets.items()}
    own = merge(credential, common.credential) if credential is not None else common.credential
    return _Defaults(credential=own, target={**common.target, **joined})


def _drop_account(entry: Node) -> Node:
    return entry.with_fields({name: node for name, node in entry.fields.items() if name not in _ACCOUNT_FORMS})


def _keep_account(default: Node | None) -> Node | None:
    if default is None:
        return None
    return default.with_fields({name: node for name, node in default.fields.items() if name in _ACCOUNT_FORMS})


def _annotate_account(account: NamedAccount, entry: Node) -> Node:
    return Node(value=dict(account.fields), where=entry.where, path=entry.path, keys=account.keys)
