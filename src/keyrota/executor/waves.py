"""Waves over what was planned: from previews to the turns of `core.waves`, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keyrota.core import plan as act
from keyrota.core.lifecycle import interpret
from keyrota.core.model import AccessKey, CredentialId, Turn
from keyrota.core.plan import Duty
from keyrota.core.planner import Intent, Only, Routine
from keyrota.core.policy import Rollout
from keyrota.core.records import format_forced
from keyrota.core.schedule import find_new_key_deadline
from keyrota.core.waves import Canary, Candidate, Share, Wave, count_later_runs, judge_canary
from keyrota.executor.fleet import Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Waves:
    """What decides how many new keys a run makes, and whose."""

    rollout: Rollout
    needed: int = 0
    """New keys a day that it takes to replace every configured key in time."""
    share: Share | None = None
    """Of a run that sees a part of the fleet."""
    limit: int | None = None
    """What a person said for this one run."""
    force_reason: str = ""
    """Why a person lets nothing wait in this one run; empty: nobody does."""
    canaries: frozenset[CredentialId] = frozenset()
    beyond: Callable[[], Iterable[Preview]] = tuple
    """Looks at canaries that are not among the credentials of this run; asked only where something waits for them."""


def is_in_waves(intent: Intent | None) -> bool:
    """Return whether a run makes the new keys that are due; what a person asks for by name waits for no turn."""
    return intent is None or isinstance(intent, Routine) or (isinstance(intent, Only) and intent.duty is Duty.ROTATE)


def plan_in_turns(previews: Sequence[Preview], waves: Waves, now: datetime) -> tuple[Preview, ...]:
    """Plan again, without reading anything, where the new key of a credential waits for its turn."""
    candidates = [one for preview in previews if (one := _make_candidate(preview, waves, now)) is not None]
    if not any(one.is_due for one in candidates):
        return tuple(previews)
    wave = Wave(
        rollout=waves.rollout,
        needed=waves.needed,
        share=waves.share,
        limit=waves.limit,
        made_today=sum(_is_made_today(preview, now) for preview in previews) if waves.limit is None else 0,
    )
    others = any(one.is_due and not one.is_canary for one in candidates)
    turns = wave.assign_turns(candidates, _judge_canaries(previews, waves, now) if others else {}, now)
    return tuple(_plan_again(preview, turns.get(preview.credential), waves, now) for preview in previews)


def _plan_again(preview: Preview, turn: Turn | None, waves: Waves, now: datetime) -> Preview:
    if turn is None:
        return preview
    if turn.waits and waves.force_reason:
        turn = _force(preview.subject.caller, waves.force_reason, now)
    observation, planned = preview.run.plan_in_turn(turn, preview.seen)
    return replace(preview, observation=observation, plan=planned)


def _force(by: str, reason: str, now: datetime) -> Turn:
    """Let nothing wait, and say who wanted that and why: in the report, and in a tag of the secret."""
    told = f"made out of turn (--force) by {by or 'an unknown caller'}: {reason}"
    return Turn(waits=False, reason=told, record=format_forced(by, reason, now))


def _judge_canaries(previews: Iterable[Preview], waves: Waves, now: datetime) -> dict[CredentialId, Canary]:
    """Judge the canaries of the whole fleet; one that cannot be read has proven nothing."""
    seen = {preview.credential: preview for preview in previews if preview.credential in waves.canaries}
    if waves.canaries - seen.keys():
        seen |= {preview.credential: preview for preview in waves.beyond()}
    return {one: _judge(seen.get(one), waves.rollout, now) for one in waves.canaries}


def _judge(preview: Preview | None, rollout: Rollout, now: datetime) -> Canary:
    if preview is None or preview.observation is None:
        return Canary(holds=True)
    return judge_canary(interpret(preview.observation), preview.plan, rollout, now)


def _make_candidate(preview: Preview, waves: Waves, now: datetime) -> Candidate | None:
    if preview.plan is None or preview.observation is None:
        return None
    old = _find_replaced(preview)
    if old is None and not preview.plan.makes_key:
        return None
    policy = preview.subject.policy
    by = find_new_key_deadline(old, policy) if old is not None else None
    return Candidate(
        credential=preview.credential,
        created=old.created if old is not None else None,
        by=by,
        runs=count_later_runs(by, policy, now) if by is not None else None,
        is_due=preview.plan.makes_key,
        policy=policy,
        is_canary=preview.credential in waves.canaries,
    )


def _find_replaced(preview: Preview) -> AccessKey | None:
    """Find the key whose successor the plan makes, now or later."""
    planned, seen = preview.plan, preview.seen
    ids = {key for key in _list_replaced_ids(planned) if key is not None} if planned else set()
    return next((key for key in seen.keys if key.id in ids), None)


def _list_replaced_ids(planned: act.Plan) -> Iterator[object]:
    yield from (action.key for action in planned.actions if isinstance(action, act.CreateKey))
    yield from (later.key for later in planned.upcoming if later.shown == "rotate")


def _is_made_today(preview: Preview, now: datetime) -> bool:
    """Return whether a key of the credential was made today (UTC) and stored: the runs of one day share a number."""
    if preview.observation is None:
        return False
    view, began = interpret(preview.observation), now.replace(hour=0, minute=0, second=0, microsecond=0)
    return any(key.created >= began and view.version_of(key.id) is not None for key in view.keys)
