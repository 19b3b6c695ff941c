"""The defaults that the schema tells, and those that the loader takes, are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from keyrota.app.config import Configuration, load_text, schema
from keyrota.core.policy import duration
from keyrota.executor import Settings
from keyrota_sandbox.memory.clock import WorldClock

BARE = "version: 1\ncredentials: [{user: ci}]\n"


def _told(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, Mapping):
        if "default" in node and path:
            yield path, node["default"]
        for name, below in node.get("properties", {}).items():
            yield from _told(below, (*path, name))
        for option in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            yield from _told(option, path)


TOLD = dict(_told(schema()))
TAKEN: Mapping[tuple[str, ...], Any] = {
    ("verify", "times"): lambda it: it.verify.times,
    ("verify", "within"): lambda it: it.verify.span_s,
    ("rollout", "per_run"): lambda it: it.rollout.per_run,
    ("rollout", "canary_wait"): lambda it: it.rollout.canary_wait.total_seconds(),
    ("rollout", "spread"): lambda it: it.rollout.spread.total_seconds(),
    ("concurrency",): lambda it: it.concurrency,
    ("drift_every",): lambda it: it.drift_every.total_seconds(),
}


@pytest.mark.parametrize("path", TAKEN, ids=".".join)
def test_a_default_is_the_one_that_is_told(path: tuple[str, ...]) -> None:
    configuration: Configuration = load_text("keyrota.yaml", BARE)
    told = TOLD[path]
    assert TAKEN[path](configuration) == (duration(told).total_seconds() if isinstance(told, str) else told)


def test_a_run_that_is_told_nothing_proves_a_key_as_the_configuration_does() -> None:
    verify = load_text("keyrota.yaml", BARE).verify
    bare = Settings(clock=WorldClock(), run="r")
    assert (bare.verify_times, bare.verify_span_s) == (verify.times, verify.span_s)


def test_every_default_outside_of_providers_and_targets_is_compared() -> None:
    beyond = {path for path in TOLD if path[0] not in {"providers", "credentials", "policy"}}
    assert beyond <= set(TAKEN)
