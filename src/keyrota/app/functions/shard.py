"""
`shard`: cuts the configuration into items for the map over a fleet, and writes the manifest to S3.

One item is an account, or a shard of its credentials, so that the assumed role, the report and IAM's pacing stay
together. Reads the configuration, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from keyrota.app.config import CredentialConfig
from keyrota.app.functions.invocation import Work, invoke
from keyrota.core.plan import Duty
from keyrota.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,120}")


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Write the manifest of one execution; returns where it is."""
    answer: dict[str, Any] = invoke("shard", context, lambda work: _write(work, event))
    return answer


def _write(work: Work, event: Any) -> dict[str, Any]:
    asked = event if isinstance(event, dict) else {}
    duty, execution = str(asked.get("duty", "")), str(asked.get("execution", ""))
    if duty not in set(Duty) or not _NAME.fullmatch(execution):
        raise UsageError("a fleet's event names a duty and an execution", remedy='{"duty": "rotate"}')
    bucket, size = os.environ.get("KEYROTA_FLEET_BUCKET", ""), int(os.environ.get("KEYROTA_SHARD_SIZE", "200"))
    items = list(shards(work.session.configuration.credentials, size))
    key = f"manifests/{duty}/{execution}.json"
    from keyrota.aws.objects import write_object  # noqa: PLC0415  # botocore is imported late

    write_object(work.session.wiring.own_account(), bucket, key, json.dumps(items).encode())
    if work.session.wiring.unselected:  # no item is about these
        told = [f"{one.label}: {one.error}" for one in work.session.wiring.unselected]
        work.alarm("keyrota: users could not be selected", "\n".join(told))
    return {"bucket": bucket, "key": key, "items": len(items)}


def shards(credentials: Iterable[CredentialConfig], size: int) -> Iterator[dict[str, Any]]:
    """Group credentials by account and role, and cut each group."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in credentials:
        # By account and role, so that each item of the map assumes one role: STS is asked once for a shard, not once
        # for a user.
        groups.setdefault((entry.known_account or "", entry.role or ""), []).append(entry.user)
    for (account, _), users in groups.items():
        for at in range(0, len(users), size):
            yield {"account": account, "users": users[at : at + size]}
