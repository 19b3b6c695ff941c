"""Leave out of a run what the lists of an account show to be at rest (`core.overview`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keyrota.core.model import CredentialId, Observation, SecretState
from keyrota.core.overview import Overview, find_key_at_rest, find_reason_to_read
from keyrota.core.plan import Plan
from keyrota.core.planner import Intent, Only, Routine, plan
from keyrota.executor.observe import read_targets
from keyrota.executor.subject import CredentialContext, Settings

DAY = timedelta(days=1)
Lists = Callable[[CredentialContext], Overview | None]
"""Finds what the lists of a credential's account say; None: the credential is read one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What may be left out of a run."""

    lists: Lists
    drift_every: timedelta = 7 * DAY
    """Each place is read at least so often."""


def screen_credential(
    subject: CredentialContext, settings: Settings, screen: Screen, intent: Intent | None
) -> tuple[Observation, Plan] | None:
    """
    Return what the lists say of a credential at rest; None: it is to be read one by one.

    Its places are read here, in a run of the day that is theirs; what is found in them has to be decided afresh.
    """
    if not isinstance(intent or Routine(), Routine | Only):
        return None
    overview = screen.lists(subject)
    if overview is None:
        return None
    secret = _drop_own_kms_key(subject, overview.secrets.get(subject.secret_name))
    key = find_key_at_rest(overview, subject.user, secret)
    if isinstance(key, str):
        return None
    now, configured = settings.clock.now(), frozenset(target.address for target in subject.targets)
    seen = Observation(
        user=subject.user,
        account=subject.account,
        label=subject.label,
        keys=(key,),
        secret=secret,
        targets=(),
        fingerprint=subject.fingerprint,
        run=settings.run,
        is_secret_named=subject.is_secret_named,
        stack=subject.stack,
        first_writes=subject.first_writes,
        runs_as=subject.runs_as,
        secret_mark=subject.secret_mark,
        keys_as_of=overview.reported_at,
        unread=tuple(target.address for target in subject.targets),
    )
    planned = plan(seen, subject.policy, now, intent)
    if find_reason_to_read(seen, configured, planned):
        return None
    if not configured or not is_due_today(subject.credential, now, screen.drift_every):
        return seen, planned
    seen = replace(seen, targets=read_targets(subject, settings), unread=())
    planned = plan(seen, subject.policy, now, intent)
    return None if find_reason_to_read(seen, configured, planned) else (seen, planned)


def is_due_today(credential: CredentialId, now: datetime, every: timedelta) -> bool:
    """
    Return whether a credential's places are read in the runs of this day: one day out of each span.

    Which day that is follows from the credential's name, so that nothing has to be remembered, and each day has about
    as many places as any other.
    """
    days = max(1, every // DAY)
    digest = hashlib.sha256(str(credential).encode()).digest()
    return (int(now.timestamp() // DAY.total_seconds()) + int.from_bytes(digest[:8])) % days == 0


def _drop_own_kms_key(subject: CredentialContext, secret: SecretState | None) -> SecretState | None:
    """Leave the name of the KMS key out where it is the configured one, as a secret that is read alone does."""
    if secret is None or secret.other_kms_key != subject.kms_key:
        return secret
    return replace(secret, other_kms_key="")
