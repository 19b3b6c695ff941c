"""
Templates in the texts of a configuration, as in `repository: "acme/{user}"`.

A template is replaced once: what it stands for is never looked at again. It may name a place within what a token can
reach, and never decides where a secret is sent or from where one is read: `ALLOWED` says which fields take which.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

TEMPLATE = re.compile(r"(?P<dollar>\$)?\{(?P<escaped>\{)?(?P<name>[a-z][a-z_.]*)(?::(?P<of>[^{}]*))?\}(?(escaped)\})")
"""A UUID in braces, as Bitbucket writes them, has digits and hyphens, and is no template."""
DUTY = "duty"
"""`{duty}` in a role is replaced later, by each function."""
OF_ACCOUNT = frozenset({"account", "account.name", "account.tag"})
OF_USER = frozenset({"user", "path", "tag"})
OF_SELECTED = frozenset({"path", "tag"})
"""What only AWS knows of a user. Whoever may tag users chooses it, so it decides nothing but places."""
NAMES = OF_ACCOUNT | OF_USER

ALLOWED: Mapping[str, frozenset[str]] = {
    "role": OF_ACCOUNT,
    "external_id": OF_ACCOUNT,
    "secret": OF_ACCOUNT | {"user"},
    "names": OF_ACCOUNT | {"user"},
    "tags": NAMES,
    "targets": NAMES,
}
"""By field of a credential; the others take none."""


class UnusableTemplate(Exception):
    """
    A template cannot be replaced; `what` and `remedy` say why.

    What still holds: nothing was replaced.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what, self.remedy = what, remedy
        super().__init__(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the templates of one credential stand for; None: not known."""

    user: str | None = None
    account: str | None = None
    account_name: str | None = None
    account_tags: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    tags: Mapping[str, str] | None = None
    is_later: bool = False
    """A selector will find the user: templates are looked at now, and replaced once it has."""

    def value(self, name: str, of: str | None) -> str | None:
        """
        Return what a template stands for; None: it is known later.

        Raises:
            UnusableTemplate: It is not known, or has characters that a text of a configuration never has.
        """
        if (of is not None) != (name in {"tag", "account.tag"}) or of == "":
            raise UnusableTemplate(f"{_spell(name, of)} is not a template", f"known: {_KNOWN}")
        if self.is_later:
            return None
        found = self._find(name, of or "")
        if not found:
            raise UnusableTemplate(*self._unknown(name, of))
        if not found.isprintable() or len(found) > _MAX_LENGTH or "{" in found or "}" in found:
            raise UnusableTemplate(f"{_spell(name, of)} has characters or a length that no text here may have")
        return found

    def _find(self, name: str, of: str) -> str | None:
        if name in {"tag", "account.tag"}:
            return ((self.tags or {}) if name == "tag" else self.account_tags).get(of)
        path = self.path.strip("/") if self.path is not None else None
        values = {"user": self.user, "account": self.account, "account.name": self.account_name, "path": path}
        return values[name]

    def _unknown(self, name: str, of: str | None) -> tuple[str, str]:
        written = _spell(name, of)
        if name in OF_SELECTED and self.tags is None:
            return f"{written} is known only of users that a selector finds", "write `users: {…}` instead of `user`"
        if name == "account.tag":
            return f"the account has no tag {of!r}", "add it: accounts: {NAME: {tags: {…}}}"
        if name in OF_ACCOUNT:
            return f"{written} is not known here", "name the account: `account: NAME`, with `accounts: {NAME: {id: …}}`"
        return (
            f"{written} is empty for the user {self.user}",
            "give the user that tag, or leave it out with `except`",
        )


_MAX_LENGTH = 256
_KNOWN = "{user}, {account}, {account.name}, {account.tag:NAME}, {path}, {tag:NAME}"


def replace_templates(text: str, allowed: frozenset[str], context: Context) -> str:
    """
    Replace the templates of a text; `{{user}}` is written for the text `{user}`.

    A text is returned as it is where that is done later.

    Raises:
        UnusableTemplate: A template does not exist, is not allowed here, or stands for nothing.
    """
    if "{" not in text:
        return text
    parts, at = [], 0
    for match in TEMPLATE.finditer(text):
        parts += [text[at : match.start()], _value(match, allowed, context) or ""]
        at = match.end()
    return text if context.is_later else "".join([*parts, text[at:]])


def _value(match: re.Match[str], allowed: frozenset[str], context: Context) -> str | None:
    name, of = match["name"], match["of"]
    if name not in NAMES and (match["dollar"] or match["escaped"]):
        return match[0]  # as other programs write theirs: a text like any other
    if match["escaped"]:
        return f"{match['dollar'] or ''}{_spell(name, of)}"
    if match["dollar"]:
        raise UnusableTemplate(f"{match[0]} is not a template", f"write {_spell(name, of)}")
    if name == DUTY and DUTY in allowed and of is None:
        return match[0]
    if name not in NAMES and not allowed:
        return match[0]  # a text like any other, for the schema to judge
    if name not in NAMES:
        close = difflib.get_close_matches(name, sorted(NAMES), n=1)
        remedy = f"did you mean {_spell(close[0], of)}?" if close else f"known: {_KNOWN}"
        raise UnusableTemplate(f"{match[0]} is not a template", remedy)
    if name not in allowed:
        raise UnusableTemplate(f"{match[0]} is not replaced here", _list_allowed(allowed))
    return context.value(name, of)


def _list_allowed(allowed: frozenset[str]) -> str:
    known = allowed - {DUTY}
    return f"known here: {', '.join(sorted(f'{{{name}}}' for name in known))}" if known else "write the text itself"


def _spell(name: str, of: str | None) -> str:
    return f"{{{name}:{of}}}" if of is not None else f"{{{name}}}"


def find_templates(text: str) -> tuple[str, ...]:
    """Name the templates of a text that exist: what a text that takes none must not hold."""
    return tuple(match[0] for match in TEMPLATE.finditer(text) if not match["escaped"] and match["name"] in NAMES)


def escape(text: str) -> str:
    """Write a text so that what looks like a template in it is read as it stands."""
    return TEMPLATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    before = match["dollar"] or ""
    return f"{before}{{{match[0].removeprefix(before)}}}" if match["name"] in NAMES else match[0]
