"""A first `keyrota.yaml`, from a few answers: what `keyrota init` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyrota.app.config import load_text
from keyrota.app.config.lists import list_forms
from keyrota.app.files import create
from keyrota.errors import UsageError
from keyrota.target_base.provider import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a person said."""

    provider: str
    users: Sequence[str]
    token: str
    """A reference to the provider's token; empty where it needs none."""
    base_url: str
    """Empty: the provider's own."""
    place: Mapping[str, str]
    """Fields of the target: `repository`, `environment`."""
    account: str = ""
    role: str = ""


def place_fields(provider: Provider) -> tuple[str, ...]:
    """Name the fields that say where a key is written, those first that a target must have."""
    needed: Sequence[str] = provider.target_schema.get("required", ())
    known = list_forms(provider).values()
    return (*needed, *(name for name in known if name not in needed))


def is_needed(provider: Provider, field: str) -> bool:
    """Return whether the settings of a provider, or of its targets, must have a field."""
    return field in {*provider.provider_schema.get("required", ()), *provider.target_schema.get("required", ())}


def takes_token(provider: Provider) -> bool:
    """Return whether a single token is one of the ways to authenticate."""
    ways = provider.provider_schema.get("properties", {}).get("auth", {}).get("oneOf", ())
    return any(list(way["required"]) == ["token"] for way in ways)


def write_lines(answers: Answers) -> Iterator[str]:
    """Write the file."""
    settings: dict[str, Any] = {"base_url": answers.base_url} if answers.base_url else {}
    settings |= {"auth": {"token": answers.token}} if answers.token else {}
    yield "version: 1"
    yield "providers:"
    yield f"  {answers.provider}: {_flow(settings)}"
    yield "credentials:"
    one, *more = answers.users
    yield f"  - users: {_flow([one, *more])}" if more else f"  - user: {_flow(one)}"
    yield from (f"    {name}: {_flow(value)}" for name, value in _entrance(answers) if value)
    yield "    targets:"
    yield f"      - {answers.provider}: {_flow(dict(answers.place))}"


def _entrance(answers: Answers) -> tuple[tuple[str, str], ...]:
    return ("account", answers.account), ("role", answers.role)


def _flow(value: object) -> str:
    """Write a value in YAML's flow style, with plain names of fields."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def write_first_file(file: Path, answers: Answers) -> None:
    """
    Check what was answered, and write it where nothing is yet; only the owner can read the file.

    Raises:
        ConfigError: The answers do not make a configuration; nothing was written.
        UsageError: The file exists, or cannot be written.
    """
    text = "".join(f"{line}\n" for line in write_lines(answers))
    load_text(str(file), text)
    try:
        create(file, text.encode())
    except FileExistsError:
        raise UsageError(f"{file} exists", remedy="choose another name with --output, or edit the file") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
