"""`rollout:`: how many new keys a run makes, and whose come first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keyrota.app.config.model import CredentialConfig
from keyrota.core.policy import Rollout, duration, format_duration
from keyrota.errors import Fault

PER_RUN, CANARY_WAIT, SPREAD = 10, "3d", "0d"


def rollout_schema(span: Mapping[str, Any]) -> dict[str, Any]:
    """Make its schema; `span` is that of a duration."""
    return {
        "type": "object",
        "additionalProperties": False,
        "description": "How many new keys a run makes at most, and whose come first. More are made only where keys "
        "would otherwise miss their deadline; the plan says so.",
        "properties": {
            "per_run": {
                "type": "integer",
                "minimum": 1,
                "default": PER_RUN,
                "description": "New keys that a run makes at most, oldest key first; the runs of one day (UTC) share "
                "them, and so do the functions of a fleet.",
            },
            "canary": {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "examples": [["ci-canary"]],
                "description": "Users (USER or ACCOUNT:USER) whose keys are replaced first. The others wait until "
                "pipelines have used a canary's new key, or `canary_wait` has passed.",
            },
            "canary_wait": {
                **span,
                "default": CANARY_WAIT,
                "description": "The others wait no longer than this for the use of a canary's new key.",
            },
            "spread": {
                **span,
                "default": SPREAD,
                "description": "A key is replaced up to so much earlier than `rotate_after`, always the same for one "
                "credential, so that keys of one age do not all become due on one day.",
            },
        },
    }


def read_rollout(entry: Mapping[str, Any]) -> Rollout:
    """Build it from what fits the schema."""
    return Rollout(
        per_run=entry.get("per_run", PER_RUN),
        canaries=tuple(dict.fromkeys(entry.get("canary", ()))),
        canary_wait=duration(entry.get("canary_wait", CANARY_WAIT)),
        spread=duration(entry.get("spread", SPREAD)),
    )


def rollout_faults(
    rollout: Rollout, credentials: Sequence[CredentialConfig], where: Mapping[str, str], *, is_open: bool
) -> Iterator[Fault]:
    """
    Find canaries that are not configured, or that may be several, and a spread that is too wide for a policy.

    Where the configuration is open, users are selected at each run: a canary may be one of them.
    """
    for name in rollout.canaries:
        found = [entry for entry in credentials if name in {entry.user, f"{entry.known_account}:{entry.user}"}]
        if not found and not is_open:
            yield Fault(
                where=where["canary"],
                what=f"rollout.canary names {name}, which is not configured",
                remedy="write USER or ACCOUNT:USER, as `credentials:` has them",
            )
        elif len(found) > 1:
            remedy = " or ".join(f"{entry.known_account}:{entry.user}" for entry in found if entry.known_account)
            yield Fault(
                where=where["canary"],
                what=f"rollout.canary names {name}, which is configured for {len(found)} accounts",
                remedy=f"write {remedy or 'ACCOUNT:USER'}",
            )
    tight = next((entry for entry in credentials if rollout.is_too_wide_for(entry.policy)), None)
    if rollout.spread and tight is not None:
        yield Fault(
            where=where["spread"],
            what=f"rollout.spread ({format_duration(rollout.spread)}) is too long for the policy of {tight.user}: a "
            "key would be due before the old one has left its slot",
            remedy="let delete_after be less than twice (rotate_after - spread)",
        )
