"""
A plan in a file, so that exactly what was reviewed is applied.

What the file says is only compared: `apply` looks and plans anew, and does what it found if that is what the file says.
So a file that someone changed can make keyrota refuse, and nothing else. It holds no secret: names, key IDs, places.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from keyrota.app.choice import Name, Wanted
from keyrota.app.config import Configuration
from keyrota.app.files import Unreadable, read_bounded, replace
from keyrota.core.changes import changes
from keyrota.core.lifecycle import interpret
from keyrota.core.model import CredentialId, UserName
from keyrota.core.places import is_first_write
from keyrota.core.plan import Duty
from keyrota.errors import ConfigError, Fault, PartialFailure, PlanChanged, UsageError, printable
from keyrota.report.data import CredentialReport, lines

_VERSION = 1
_BEGIN = b'"keyrota_plan"'
_MAX_SIZE = 64 * 1024 * 1024
_MAX_TOLD = 20
_NOT_COMPARED = frozenset({"path", "where"})
"""Where something stands in the configuration; it says the same elsewhere."""


def _text(most: int, pattern: str = "") -> dict[str, Any]:
    return {"type": "string", "maxLength": most, **({"pattern": pattern} if pattern else {})}


_NONE = {"type": "null"}
_STEP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["action", "key", "target"],
    "properties": {
        "action": _text(40, r"^[a-z-]+\Z"),
        "key": {"anyOf": [_text(128, r"^[A-Z0-9]+\Z"), _NONE]},
        "target": {"anyOf": [_text(2000), _NONE]},
        "replaces": {"type": "array", "maxItems": 10, "items": _text(1000)},
    },
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["keyrota_plan", "configuration", "only", "credentials"],
    "properties": {
        "keyrota_plan": {"const": _VERSION},
        "at": _text(40),
        "configuration": _text(64, r"^[0-9a-f]{64}\Z"),
        "only": {"anyOf": [{"enum": list(Duty)}, _NONE]},
        "credentials": {
            "type": "array",
            "maxItems": 1_000_000,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["account", "user", "steps"],
                "properties": {
                    "account": _text(12, r"^([0-9]{12})?\Z"),
                    "user": _text(128, r"^[A-Za-z0-9_+=,.@-]{1,128}\Z"),
                    "steps": {"type": "array", "maxItems": 100_000, "items": _STEP},
                },
            },
        },
    },
}
"""Of the file, which is held against it when it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a plan, as far as it has to stay the same."""

    action: str
    key: str | None
    target: str | None
    replaces: tuple[str, ...] = ()
    """What a first write replaces in this place, or what it makes."""

    def __str__(self) -> str:
        """Write it for people."""
        about = " ".join(part for part in (self.key, self.target) if part)
        return f"{self.action} {about}".strip() + (f" ({'; '.join(self.replaces)})" if self.replaces else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedPlan:
    """What a person has seen."""

    configuration: str
    """`configuration_hash` of that time."""
    only: Duty | None
    steps: Mapping[CredentialId, tuple[Step, ...]]

    @property
    def wanted(self) -> Wanted:
        """Ask for the credentials of this plan."""
        return Wanted(names=tuple(Name(user=one.user, account=one.account or None) for one in self.steps))


def configuration_hash(configuration: Configuration) -> str:
    """Return the SHA-256 of what a configuration says, wherever and in whatever order of keys it says it."""
    return hashlib.sha256(json.dumps(_plain(configuration), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Put a value into what JSON has; sets in an order of their own."""
    if is_dataclass(value) and not isinstance(value, type):
        compared = (one.name for one in fields(value) if one.compare and one.name not in _NOT_COMPARED)
        return {name: _plain(getattr(value, name)) for name in compared}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(json.dumps(_plain(inner), sort_keys=True) for inner in value)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Enum) or not isinstance(value, (str, int, float, bool, type(None))):
        return str(value)
    return value


def write(path: Path, configuration: Configuration, only: Duty | None, reports: Iterable[CredentialReport]) -> None:
    """
    Write what was planned, for its owner alone.

    Raises:
        UsageError: The file cannot be written.
    """
    reports = tuple(reports)
    document = {
        "keyrota_plan": _VERSION,
        "at": f"{reports[0].now:%Y-%m-%dT%H:%M:%SZ}" if reports else "",
        "configuration": configuration_hash(configuration),
        "only": only,
        "credentials": [
            {"account": report.account, "user": report.user, "steps": [_describe(step) for step in list_steps(report)]}
            for report in reports
            if report.plan is not None
        ],
    }
    try:
        replace(path, (json.dumps(document, indent=1) + "\n").encode())
    except OSError as error:
        raise UsageError(f"the plan cannot be written: {error.strerror}", where=str(path)) from None


def _describe(step: Step) -> dict[str, Any]:
    told = {"action": step.action, "key": step.key, "target": step.target}
    return told | ({"replaces": list(step.replaces)} if step.replaces else {})


def read(path: Path) -> ReviewedPlan:
    """
    Read a plan, and trust nothing in it.

    Raises:
        ConfigError: It is not a plan of this version, with what is wrong where.
        UsageError: It cannot be read.
    """
    try:
        document = json.loads(read_bounded(path, _MAX_SIZE).decode("utf-8"))
    except FileNotFoundError:
        raise UsageError("there is no such plan", where=str(path), remedy="keyrota plan --out FILE makes one") from None
    except Unreadable as error:
        raise UsageError(error.what, where=str(path), remedy="keyrota plan --out FILE makes a plan") from None
    except (ValueError, RecursionError):
        raise _no_plan(path, "it is not JSON in UTF-8") from None
    _refuse_misfit(path, document)
    steps: dict[CredentialId, tuple[Step, ...]] = {}
    for one in document["credentials"]:
        credential = CredentialId(account=one["account"], user=UserName(one["user"]))
        if credential in steps:
            raise _no_plan(path, f"{credential} is in it twice")
        steps[credential] = tuple(map(_step, one["steps"]))
    if not steps:
        raise _no_plan(path, "no credential is in it")
    only = Duty(document["only"]) if document["only"] else None
    return ReviewedPlan(configuration=document["configuration"], only=only, steps=steps)


def _step(fields_: Mapping[str, Any]) -> Step:
    return Step(**{**fields_, "replaces": tuple(fields_.get("replaces", ()))})


def _refuse_misfit(path: Path, document: object) -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415  # heavy, and only here
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    try:
        error: Any = best_match(Draft202012Validator(SCHEMA).iter_errors(document))
    except RecursionError:
        raise _no_plan(path, "it is nested too deeply") from None
    if error is not None:
        at = "/".join(map(str, error.absolute_path)) or "the whole file"
        raise _no_plan(path, f"{at}: {error.message[:200]}")


def _no_plan(path: Path, what: str) -> ConfigError:
    remedy = "make it anew with `keyrota plan --out FILE`, and do not edit it"
    what = printable(f"this is not a plan of keyrota: {what}")
    return ConfigError([Fault(where=str(path), what=what, remedy=remedy)])


def is_plan(path: Path) -> bool:
    """Return whether a file begins as a plan does; only to tell it from another file of that name."""
    try:
        if not path.is_file():
            return False  # a pipe that nobody writes to would be waited for
        with path.open("rb") as file:
            return _BEGIN in file.read(64)
    except (OSError, ValueError):
        return False


def refuse_other_configuration(reviewed: ReviewedPlan, configuration: Configuration) -> None:
    """
    Refuse a plan that was made with another configuration.

    Raises:
        PlanChanged: It was; nothing was changed.
    """
    if reviewed.configuration != configuration_hash(configuration):
        raise PlanChanged(
            "the configuration says something else than when this plan was made",
            where=str(configuration.path),
            remedy="nothing was changed: run `keyrota plan --out FILE` again, and review it",
        )


def refuse_difference(reviewed: ReviewedPlan, reports: Iterable[CredentialReport]) -> None:
    """
    Refuse to apply what is not exactly the plan that was reviewed.

    Raises:
        PartialFailure: With everything that is different; nothing was changed.
    """
    different = list(find_differences(reviewed, reports))
    if not different:
        return
    more = [f"and {len(different) - _MAX_TOLD} more differences"] if len(different) > _MAX_TOLD else []
    remedy = "nothing was changed: run `keyrota plan --out FILE` again, and review it"
    last = PlanChanged("this is not the plan that was reviewed", remedy=remedy)
    told = (PlanChanged(one) for one in [*different[:_MAX_TOLD], *more])
    raise PartialFailure("this is not the plan that was reviewed", [*told, last])


def find_differences(reviewed: ReviewedPlan, reports: Iterable[CredentialReport]) -> Iterator[str]:
    """Name what is due and not in the reviewed plan, and what is in it and not due any more."""
    for report in reports:
        if report.plan is None:
            yield f"{report.name} cannot be looked at"
            continue
        before, now = Counter(reviewed.steps.get(report.credential, ())), Counter(list_steps(report))
        yield from (f"{report.name}: not in the plan: {step}" for step in (now - before).elements())
        yield from (f"{report.name}: not due any more: {step}" for step in (before - now).elements())


def list_steps(report: CredentialReport) -> Sequence[Step]:
    """List the lines of a plan, with what first writes do."""
    if report.plan is None:
        return ()
    replaced = dict(_first_writes(report))
    rotated = next((one.key for one in report.plan.actions if one.shown == "rotate" and one.key), None)
    keys = {"rotate": rotated}
    return [
        Step(
            action=line.action,
            key=line.key or keys.get(line.action),
            target=line.target,
            replaces=replaced.get(line.target or "", ()),
        )
        for line in lines(report.plan.actions)
    ]


def _first_writes(report: CredentialReport) -> Iterator[tuple[str, tuple[str, ...]]]:
    if report.observation is None:
        return
    known = interpret(report.observation)
    for target in report.observation.targets:
        if is_first_write(known, target):
            yield target.address, tuple(f"{change.name} {change}" for change in changes(known, target))
