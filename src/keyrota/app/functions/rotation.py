"""
`rotation`, called by Secrets Manager on its own schedule: createSecret, setSecret, testSecret, finishSecret.

For those who prefer that schedule to ours; the road is the same, and `sync`, `deactivate` and `delete` continue as
usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyrota.app.choice import Wanted
from keyrota.app.functions.aws_events import SecretRef
from keyrota.app.functions.invocation import Work, invoke
from keyrota.app.functions.logs import log
from keyrota.app.functions.matching import of_secret
from keyrota.app.functions.own_events import Announcement, Announcer
from keyrota.core.model import VersionId
from keyrota.errors import UsageError
from keyrota.executor.native import Step, rotate
from keyrota.report.data import CredentialReport


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Do one step of a rotation."""
    answer: dict[str, Any] = invoke("rotation", context, lambda work: _step(work, event))
    return answer


def _step(work: Work, event: Any) -> dict[str, Any]:
    asked = event if isinstance(event, Mapping) else {}
    step, secret, token = (str(asked.get(name) or "") for name in ("Step", "SecretId", "ClientRequestToken"))
    if step not in set(Step) or not secret or not token:
        raise UsageError(
            "this is no step of a rotation", remedy="let Secrets Manager call it: aws secretsmanager rotate-secret"
        )
    ref = SecretRef(text=secret)
    entries = list(of_secret(work, ref))
    if not entries:
        raise UsageError(
            f"no credential of the configuration has the secret {secret}",
            where=work.settings.config,
            remedy="add it, or switch the rotation off: aws secretsmanager cancel-rotate-secret",
        )
    subjects, unreachable = work.session.wiring.subjects(Wanted.only(entries[0]))
    for missing in unreachable:
        raise missing.error
    subject = subjects[0]
    rotation_token = str(asked["RotationToken"]) if asked.get("RotationToken") else None
    key = rotate(subject, work.session.wiring.settings, Step(step), VersionId(token), rotation_token=rotation_token)
    log.info("rotation", extra={"step": step, "user": subject.user, "account": subject.account, "key": key})
    if step == Step.FINISH:
        report = CredentialReport(
            user=subject.user, account=subject.account, secret_name=subject.secret_name, now=work.session.clock.now()
        )
        work.announce([_announce(work, report, key)])
    return {"user": subject.user, "account": subject.account, "step": step, "key": key}


def _announce(work: Work, report: CredentialReport, key: str | None) -> Announcement:
    reason = "rotated by Secrets Manager's own schedule"
    return Announcer(stack=work.settings.stack, run=work.run).announce_rotation(report, new_key=key, reason=reason)
