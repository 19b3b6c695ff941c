"""One credential in one run: the loop."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

from keyrota.core import plan as act
from keyrota.core.adoption import Adoption
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import find_named_and_gone, interpret
from keyrota.core.model import AccessKeyId, CredentialId, Evidence, KeyStatus, LastUse, Observation, TargetState, Turn
from keyrota.core.neighbours import Neighbour, find_shared_with
from keyrota.core.outcome import Done, Outcome
from keyrota.core.places import is_first_write
from keyrota.core.plan import Duty, Plan
from keyrota.core.planner import Intent, Only, Routine, plan
from keyrota.errors import KeyrotaError, LostRace, PlanChanged, ProviderRefused, Stopped
from keyrota.executor.actions import perform
from keyrota.executor.events import Event, EventKind, Listener
from keyrota.executor.observe import URGENT_S, list_unasked, observe, was_read_just_now
from keyrota.executor.own_writes import OwnWrites
from keyrota.executor.run_state import RunState
from keyrota.executor.subject import CredentialContext, Settings
from keyrota.http import bound_waits, hurry

_log = logging.getLogger(__name__)

_TIMES = 5
"""More often than this, no road does the same thing in one run."""
_SETTLES_S = 5.0
_STEPS = 60
"""More steps than any road has: a loop that does not end is a bug, not a state of the world."""

Beside = Callable[[Sequence[Observation]], Sequence[Neighbour]]
"""Finds, for what was observed, the configured credentials that were not."""


def nobody(_: Sequence[Observation]) -> Sequence[Neighbour]:
    """Know of no other configured credential."""
    return ()


class Run:
    """
    One credential in one run.

    Keeps what the run did and what it knows beyond the observation; `apply` may be called once.
    """

    def __init__(
        self, subject: CredentialContext, settings: Settings, intent: Intent | None = None, beside: Beside = nobody
    ) -> None:
        self._subject = replace(subject, store=OwnWrites(subject.store, settings.clock))
        self._settings = settings
        self._intent = intent or Routine()
        self._beside = beside
        self._memory = RunState()
        self._targets: tuple[TargetState, ...] | None = None
        self._left_behind: tuple[TargetState, ...] | None = None
        self._is_unasked = isinstance(intent, Revoke) and intent.off_first
        """No provider is asked before the key is off (promise emergency-first): what targets hold is not known yet."""
        if self._is_unasked:
            self._targets, self._left_behind = list_unasked(subject), ()
        self._done: list[Done] = []
        self._errors: list[KeyrotaError] = []
        self._failed: set[tuple[object, ...]] = set()
        self._read: Observation | None = None
        """What was read last, without what this run knows beyond it."""
        self._read_at = settings.clock.now()
        self._latest: tuple[Observation, Plan] | None = None
        """What was seen last, and the plan that was made from it."""
        self._left: dict[act.Action, None] = {}
        self._times: Counter[tuple[object, ...]] = Counter()
        self._lost: dict[tuple[object, ...], LostRace] = {}
        self._is_read_again = False

    def bound_waits(self) -> AbstractContextManager[None]:
        """Bound how long what happens within waits for services: it is of one credential."""
        return bound_waits(self._settings.clock, self._settings.until)

    def plan(self) -> tuple[Observation, Plan]:
        """
        Look, and decide; asks targets whether they are ready where a rotation is due. Writes nothing.

        Raises:
            KeyrotaError: IAM or Secrets Manager could not be read; nothing can be planned then.
        """
        return self._look_through(is_proof=False)

    def plan_beside(
        self, neighbours: tuple[tuple[AccessKeyId, CredentialId], ...], shared: tuple[tuple[str, str], ...]
    ) -> tuple[Observation, Plan]:
        """Plan again, knowing which keys other credentials serve, and which places they write."""
        self._memory.neighbours, self._memory.shared = neighbours, shared
        return self._look(is_fresh=False) if self._read is None else self._decide(self._read)

    def plan_in_turn(self, turn: Turn, seen: Observation) -> tuple[Observation, Plan]:
        """Plan again, knowing what the wave says of the new key that is due; nothing is read."""
        self._memory.turn = turn
        observation = replace(seen, turn=turn)
        planned = plan(observation, self._subject.policy, self._settings.clock.now(), self._intent)
        self._latest = observation, planned
        return observation, planned

    def _look_late(self) -> tuple[Observation, Plan]:
        """Look at what was not asked before the key was off: the places, and who else writes them."""
        observation, planned = self._look(is_fresh=True)
        neighbours = self._beside((observation,))
        self._memory.shared = find_shared_with(observation, neighbours)
        return self._look(is_fresh=False) if self._memory.shared else (observation, planned)

    def _look_through(self, *, is_proof: bool) -> tuple[Observation, Plan]:
        """
        Look, and ask targets what the plan wants to know of them before it can be made.

        Questions may take minutes. What cannot be taken back rests on a look that comes after their answers; for a plan
        the one before them is enough, since whatever is done looks again.
        """
        if self._is_unasked:
            return self._look(is_fresh=False)
        self._memory.carried = None
        self._memory.surroundings = None
        observation, planned = self._look(is_fresh=True)
        asked: set[act.Action] = set()
        while question := next((one for one in planned.actions if self._is_asked_now(one) and one not in asked), None):
            asked.add(question)
            perform(self._subject, question, observation, self._settings, self._memory)
            observation, planned = self._decide(self._read or observation)
        if not is_proof or not asked:
            return observation, planned
        self._read = None  # the last use is read once more
        return self._look(is_fresh=False)

    def _is_asked_now(self, action: act.Action) -> bool:
        """Return whether an action is a question of the plan; a revocation asks no provider before its key is off."""
        is_urgent = isinstance(self._intent, Revoke) and isinstance(action, act.AskFirst)
        is_not_ours = isinstance(action, act.AskValue) and not self._settings.reads_values
        return action.is_question and not is_urgent and not is_not_ours

    def apply(self, first: Plan, observation: Observation, emit: Listener) -> Outcome:
        """
        Do what the plan says: the first action that can be done, look again, until nothing is left but holds.

        Args:
            first: The plan that was shown; actions of another kind, or about another key, are left to the next run.
            observation: What that plan was made from.
            emit: Called at each step.
        """
        planned = first
        for _ in range(_STEPS):
            action = self._next(planned, first)
            # Of several leaked keys all are deactivated before a provider is asked for any (promise emergency-first);
            # the rest of the road is the caller's second round.
            if self._is_only_off and self._is_unasked and not _is_before_off(action):
                break
            try:
                again = self._look_before(action, first, (observation, planned), emit)
                if again is not None:
                    observation, planned = again
                    continue
                if action is None or self._is_stopped(action):
                    break
                # The failed action is left out of the next choice, and what does not depend on it is still done.
                if self._is_endless(action):
                    continue
                self._do(action, observation, emit)
                observation, planned = self._look_after(action)
            except KeyrotaError as error:
                self._errors.append(error)
                break
        else:
            # A bug: every action is either done, failed or held, and each of these leaves the plan.
            raise RuntimeError(f"{self._subject.name}: no end after {_STEPS} steps")
        # Also after an error: a secret that cannot be written keeps no leaked key Active.
        self._off_all_the_same(first, observation, emit)
        for action in planned.actions:
            if not action.follows and action.identity in self._lost:
                self._errors.append(self._lost.pop(action.identity))  # nobody did it instead
        return self.outcome(planned, observation)

    def _look_before(
        self, action: act.Action | None, first: Plan, seen: tuple[Observation, Plan], emit: Listener
    ) -> tuple[Observation, Plan] | None:
        """Look once more where an action must not rest on what was seen before; None: it may be done."""
        if self._is_unasked and not _is_before_off(action):
            self._off_all_the_same(first, seen[0], emit)
            self._ask_from_now_on()
            return self._look_late()
        if self._is_read_too_long_ago(action, seen[0]):
            self._memory.first_looks = None  # what other levels define may have changed as well
            return self._look_through(is_proof=False)
        # Told to stop, the run ends before the action anyway: another look would only take time that it may not have.
        if action is None or not action.needs_fresh_proof or self._settings.stop.is_asked:
            return None
        if self._is_proven_afresh(action):
            return None
        return self._latest or seen  # which says what is in the way

    def _off_all_the_same(self, first: Plan, observation: Observation, emit: Listener) -> None:
        """
        Deactivate the key of `revoke --now` although Secrets Manager failed on the way there: that needs IAM alone.

        Only where the plan that was shown said so, and where no other run was first.
        """
        is_failed = self._is_unasked and self._errors and not self._settings.stop.is_asked
        key = self._intent.key if is_failed and isinstance(self._intent, Revoke) else None
        shown = [one for one in first.actions if isinstance(one, (act.Adopt, act.Deactivate)) and one.key == key]
        if key is None or not shown or self._lost or key in self._memory.switched:
            return
        reason = "revoked with --now: off first, although its secret could not be read or written"
        off = act.Deactivate(key=key, is_emergency=True, reason=reason, due=shown[0].due)
        if off.identity not in self._failed:
            self._do(off, observation, emit)

    def _is_read_too_long_ago(self, action: act.Action | None, observation: Observation) -> bool:
        """
        Return whether places have to be read once more before a first write (promise first-write-asks); once a run.

        Between the plan and the write lie the verification and other credentials: up to hours.
        """
        if not isinstance(action, act.Sync) or self._is_read_again:
            return False
        view = interpret(observation)
        self._is_read_again = any(
            is_first_write(view, target) and not was_read_just_now(target, self._settings.clock.now())
            for target in observation.targets
            if target.address in action.targets
        )
        return self._is_read_again

    def _look_after(self, action: act.Action) -> tuple[Observation, Plan]:
        """
        Look at what an action has come to.

        A provider may show for some seconds what was there before our write: such a place is read once more.
        """
        observation, planned = self._look(is_fresh=False)
        # Other actions change nothing at a provider, and the pause would add up over a fleet.
        if not isinstance(action, act.Sync) or not any(
            hold.target in self._memory.made_whole for hold in planned.holds
        ):
            return observation, planned
        try:
            self._settings.clock.sleep(_SETTLES_S)
        except Stopped:
            return observation, planned
        self._targets = None
        return self._look(is_fresh=False)

    def _is_endless(self, action: act.Action) -> bool:
        """Stop doing what something undoes each time (a tag that is removed, a label that is moved back)."""
        same = (*action.identity, str(getattr(action, "label", "")), str(getattr(action, "targets", "")))
        self._times[same] += 1
        if self._times[same] <= _TIMES:
            return False
        self._failed.add(action.identity)
        self._errors.append(
            ProviderRefused(
                f"{self._subject.name}: {action.shown} was done {_TIMES} times in this run, and undone each time",
                where=f"secret {self._subject.secret_name}",
                remedy="find what changes the secret, its tags or labels, or the places back; CloudTrail names it",
            )
        )
        return True

    @property
    def _is_hurried(self) -> bool:
        """Whether the key of `revoke --now` is not off yet, so that nothing is waited for that this does not need."""
        is_hurried = isinstance(self._intent, Revoke) and self._intent.is_hurried
        return self._is_unasked and is_hurried and not self._memory.switched

    @property
    def _is_only_off(self) -> bool:
        return isinstance(self._intent, Revoke) and self._intent.only_off

    def _ask_from_now_on(self) -> None:
        """The key is off, or cannot be: providers may take their time now."""
        self._is_unasked = False
        self._targets = self._left_behind = None

    def _is_stopped(self, action: act.Action) -> bool:
        """Begin nothing more once the process was told to stop."""
        try:
            self._settings.stop.demand_no_stop()
        except Stopped as error:
            self._errors.append(error)
            self._left.setdefault(action)
            return True
        return False

    def outcome(self, planned: Plan | None = None, observation: Observation | None = None) -> Outcome:
        """Return what became of it so far."""
        return Outcome(
            user=self._subject.user,
            account=self._subject.account,
            label=self._subject.label,
            done=tuple(self._done),
            errors=tuple(self._errors),
            plan=planned,
            observation=observation,
            left=tuple(self._left),
        )

    def _look(self, *, is_fresh: bool) -> tuple[Observation, Plan]:
        settings, subject = self._settings, self._subject
        # What is seen is at least as new as this: a run that stands still while it looks takes nothing for over that
        # was not over when it began to look (a claim whose key it could not see yet).
        now = settings.clock.now()
        look = partial(
            observe,
            subject,
            settings,
            known_targets=None if is_fresh else self._targets,
            known_left=None if is_fresh else self._left_behind,
            known_uses=None if is_fresh else self._uses,
            is_urgent=self._is_hurried,
        )
        with_claim = not isinstance(self._intent, Only) or self._intent.duty is Duty.ROTATE
        try:
            seen = look(with_claim=with_claim)
        except KeyrotaError:
            if not self._is_unasked:
                raise
            seen = look(with_claim=False)  # a value that cannot be read keeps no leaked key Active
        self._targets, self._left_behind = seen.targets, seen.left_behind
        self._memory.seen_gone |= find_named_and_gone(seen, now)
        if isinstance(self._intent, Revoke):
            seen = self._with_quarantine(seen)
        self._read, self._read_at = seen, now
        return self._decide(seen)

    @property
    def _uses(self) -> dict[AccessKeyId, LastUse]:
        """The last uses that were read last; one that could not be read is read again."""
        keys = self._read.keys if self._read is not None else ()
        return {key.id: key.last_use for key in keys if key.last_use.evidence is not Evidence.UNKNOWN}

    def _decide(self, read: Observation) -> tuple[Observation, Plan]:
        """Plan from what was read last, and from what this run knows beyond it."""
        seen = self._memory.add_to(read)
        planned = plan(seen, self._subject.policy, self._read_at, self._intent)
        _log_plan(self._subject, planned)
        self._latest = seen, planned
        return seen, planned

    def _with_quarantine(self, seen: Observation) -> Observation:
        """Add the quarantine policies; what is only reported keeps no leaked key Active: it is asked again later."""
        try:
            found = self._subject.access_keys.quarantine_policies(self._subject.user)
        except KeyrotaError:
            if not self._is_unasked:
                raise
            found = ()
        return replace(seen, quarantine=found)

    @property
    def _is_asked_for(self) -> bool:
        """A person asked for the whole road (`revoke`, `rollback`), not for what a plan showed."""
        return isinstance(self._intent, (Revoke, Rollback, Adoption))

    def _next(self, planned: Plan, first: Plan) -> act.Action | None:
        """Find the first action that can be done now, was planned at the start, and has not failed in this run."""
        promised = {_kind(action) for action in first.actions}
        for action in planned.actions:
            if action.follows or action.identity in self._failed:
                continue
            if self._is_asked_for or _kind(action) in promised or _is_own_cleanup(action, self._memory):
                return action
            if not action.is_question:
                self._left.setdefault(action)
            elif (waiting := _find_waiting(action, planned)) is not None and _kind(waiting) not in promised:
                self._left.setdefault(waiting)
        return None

    def _is_proven_afresh(self, action: act.Action) -> bool:
        if self._is_unasked:
            return True
        try:
            seen, planned = self._look_through(is_proof=True)
        except KeyrotaError as error:
            self._failed.add(action.identity)
            self._errors.append(error)
            return False
        again = next((other for other in planned.actions if other.identity == action.identity), None)
        if again is not None and not again.follows:
            return True
        self._failed.add(action.identity)
        if not _is_explained(action, seen, planned):
            self._errors.append(
                PlanChanged(
                    f"{self._subject.name}: {action.shown} {action.key} was planned, and what it needs has changed "
                    "since",
                    remedy="nothing was done about it; keyrota plan shows what is due now",
                )
            )
        return False

    def _do(self, action: act.Action, observation: Observation, emit: Listener) -> None:
        self._emit(emit, EventKind.DOING, action)
        is_ours = action.key in self._memory.made
        try:
            key = self._perform(action, observation)
        except LostRace as error:
            # Another run was first. What it did is in the next observation; if nothing moved, we would try for ever.
            self._failed.add(action.identity)
            self._lost[action.identity] = error
            return
        except KeyrotaError as error:
            self._failed.add(action.identity)
            if isinstance(action, act.CreateKey):
                # A key may exist whose answer was lost: claiming again would take it for one that was there before.
                self._failed.add((act.TakeClaim.__name__, action.key))
            self._errors.append(error)
            self._emit(emit, EventKind.FAILED, action, error=error)
            return
        finally:
            if isinstance(action, act.Sync):
                self._targets = None
        if isinstance(action, act.Adopt) and key is None and self._memory.refused is not None:
            return  # nothing was adopted: the next plan holds the value, and says why
        if isinstance(action, act.DeleteOrphan) and is_ours and not self._lost and not self._errors:
            self._errors.append(_make_dropped(action))
        self._done.append(Done(action=action, at=self._settings.clock.now(), key=key))
        self._emit(emit, EventKind.DONE, action, key=key)

    def _perform(self, action: act.Action, observation: Observation) -> AccessKeyId | None:
        if not (self._is_unasked and isinstance(action, (act.CreateSecret, act.Adopt))):
            return perform(self._subject, action, observation, self._settings, self._memory)
        # A key that is to be deactivated within seconds is not proven for half a minute before. That proof is for keys
        # that are served: what was accepted once is not remembered as verified, and sync proves it anew.
        verified = set(self._memory.verified)
        quick = replace(self._settings, verify_times=1, verify_span_s=0.0)
        try:
            with hurry(URGENT_S) if self._is_hurried else nullcontext():
                return perform(self._subject, action, observation, quick, self._memory)
        finally:
            self._memory.verified &= verified

    def _emit(
        self,
        emit: Listener,
        kind: EventKind,
        action: act.Action,
        *,
        key: AccessKeyId | None = None,
        error: KeyrotaError | None = None,
    ) -> None:
        emit(
            Event(
                at=self._settings.clock.now(),
                user=self._subject.user,
                account=self._subject.account,
                label=self._subject.label,
                kind=kind,
                action=action,
                key=key or action.key,
                error=error,
            )
        )


def _is_before_off(action: act.Action | None) -> bool:
    """Return whether an action asks no provider; who else may read a secret is asked of AWS alone."""
    if action is None:
        return False
    return action.precedes_switch_off or (isinstance(action, act.AskFirst) and not action.targets)


def _find_waiting(question: act.Action, planned: Plan) -> act.Action | None:
    """Find what is due and waits for the answer to a question that this run does not ask."""
    waiting = (action for action in planned.actions if action.follows and action.shown == question.shown)
    return next((action for action in waiting if not action.is_question), None)


def _log_plan(subject: CredentialContext, planned: Plan) -> None:
    """Return why, for --debug: reasons and IDs, never a value."""
    for action in planned.actions:
        _log.debug("%s: %s %s: %s", subject.name, type(action).__name__, action.key or "", action.reason)
    for hold in planned.holds:
        _log.debug("%s: held: %s", subject.name, hold.reason)
    for later in planned.upcoming:
        _log.debug("%s: %s due %s: %s", subject.name, later.shown, later.due.isoformat(), later.reason)


def _kind(action: act.Action) -> tuple[str, str]:
    """Return what a person was promised: the kind of change, and for changes to a key, which one."""
    is_named = isinstance(action, (act.Deactivate, act.Delete, act.DeleteOrphan))
    return action.shown, str(action.key) if is_named else ""


def _is_explained(action: act.Action, seen: Observation, planned: Plan) -> bool:
    """Return whether another run has done it meanwhile, or the plan that was made afresh says why it is not done."""
    key = next((key for key in seen.keys if key.id == action.key), None)
    is_done = key is None or (isinstance(action, act.Deactivate) and key.status is KeyStatus.INACTIVE)
    told = {hold.key for hold in planned.holds} | {later.key for later in planned.upcoming}
    return is_done or action.key in told


def _make_dropped(action: act.DeleteOrphan) -> ProviderRefused:
    return ProviderRefused(
        f"the key {action.key} that this run made was dropped again: the secret did not show that it was stored",
        remedy="look who else changes the secret; the next run makes another key",
    )


def _is_own_cleanup(action: act.Action, memory: RunState) -> bool:
    """Return whether the action only keeps the books, or drops what this very run made."""
    if isinstance(action, act.DeleteOrphan):
        return action.key in memory.made
    return action.is_bookkeeping
