"""List forms: `repositories: [a, b]` stands for one target with `repository: a` and one with `repository: b`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from keyrota.app.config.tree import Node, name_path
from keyrota.errors import Fault
from keyrota.target_base.provider import Provider

_NOT_PLACES = frozenset({"bundle", "kms_key", "marker"})
"""Texts that say how a place is written, not which."""

Report = Callable[[Fault], None]


def pluralize(name: str) -> str:
    """Name the list form of a field."""
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def list_forms(provider: Provider) -> Mapping[str, str]:
    """Name the list forms that a provider's targets take, each with its field."""
    properties: Mapping[str, Any] = provider.target_schema.get("properties", {})
    return {
        pluralize(name): name for name, schema in properties.items() if name not in _NOT_PLACES and _is_text(schema)
    }


def _is_text(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    return "string" in ([kinds] if isinstance(kinds, str) else kinds or ()) and "format" not in schema


def find_used_forms(settings: Node, provider: Provider) -> dict[str, str]:
    """
    Find the list forms in the settings of a target.

    A provider may have a field of that name itself (GitHub: `repositories` beside `visibility`); it counts where what
    it depends on stands beside it.
    """
    own, needs = provider.target_schema.get("properties", {}), provider.target_schema.get("dependentRequired", {})
    return {
        form: name
        for form, name in list_forms(provider).items()
        if form in settings.fields and not (form in own and any(one in settings.fields for one in needs.get(form, ())))
    }


def count(settings: Node, provider: Provider) -> int:
    """Count the targets that an entry stands for, without making them."""
    return prod(len(settings.fields[form].items) for form in find_used_forms(settings, provider))


def spread(settings: Node, provider: Provider, report: Report) -> Iterator[Node]:
    """Make one target of each combination; what is wrong with a list is reported, and nothing is made of it."""
    forms = find_used_forms(settings, provider)
    if not forms:
        yield settings
        return
    usable = [_is_usable(settings, form, name, report) for form, name in forms.items()]
    if not all(usable):
        return
    rest = {key: node for key, node in settings.fields.items() if key not in forms}
    for chosen in product(*(settings.fields[form].items for form in forms)):
        keys = {name: settings.keys.get(form, settings.where) for form, name in forms.items()}
        made = dict(zip(forms.values(), chosen, strict=True))
        yield settings.with_fields(rest | made, {**settings.keys, **keys})


def _is_usable(settings: Node, form: str, name: str, report: Report) -> bool:
    node = settings.fields[form]
    if name in settings.fields:
        what = f"{name_path(settings.path)} has `{name}` and `{form}`"
        report(Fault(where=settings.keys.get(form, node.where), what=what, remedy="keep one of the two"))
        return False
    return is_list_of_texts(node, report)


def is_list_of_texts(node: Node, report: Report) -> bool:
    """Return whether a node is a list of different texts or numbers; report what is wrong."""
    name = name_path(node.path)
    if not isinstance(node.value, list):
        report(Fault(where=node.where, what=f"{name} must be a list", remedy="write [a, b]"))
        return False
    if not node.value:
        report(Fault(where=node.where, what=f"{name} must not be empty"))
        return False
    seen: dict[str, str] = {}
    for item in node.items:
        if isinstance(item.value, bool) or not isinstance(item.value, (str, int)) or item.value == "":
            report(Fault(where=item.where, what=f"{name_path(item.path)} must be a text"))
            return False
        if str(item.value) in seen:
            what, first = f"{item.value!r} is in {name} twice", seen[str(item.value)]
            report(Fault(where=item.where, what=what, remedy=f"the first time is at {first}"))
            return False
        seen[str(item.value)] = item.where
    return True
