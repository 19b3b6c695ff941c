"""Many credentials in one run: several at once, each failing alone."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from keyrota.core.emergency import Revoke
from keyrota.core.lifecycle import interpret
from keyrota.core.model import AccessKeyId, CredentialId, Observation, UserName
from keyrota.core.neighbours import (
    Neighbour,
    credential_of,
    find_served_keys,
    find_shared_places,
    find_shared_with,
    group_by_place,
    neighbours_of,
)
from keyrota.core.outcome import Outcome
from keyrota.core.places import SHARED_REMEDY
from keyrota.core.plan import Plan
from keyrota.core.planner import Intent
from keyrota.errors import Bug, KeyrotaError, SharedPlace
from keyrota.executor.events import Listener
from keyrota.executor.parallel import Parallel, in_turns
from keyrota.executor.run import Beside, Run, nobody
from keyrota.executor.screen import Screen, screen_credential
from keyrota.executor.subject import CredentialContext, Settings
from keyrota.http import bound_waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One credential's plan, or why there is none."""

    subject: CredentialContext
    run: Run
    plan: Plan | None = None
    observation: Observation | None = None
    error: KeyrotaError | None = None

    @property
    def user(self) -> UserName:
        """The IAM user."""
        return self.subject.user

    @property
    def credential(self) -> CredentialId:
        """Whose plan it is."""
        return self.subject.credential

    @property
    def seen(self) -> Observation:
        """The observation, where there is one."""
        if self.observation is None:
            raise self.error or RuntimeError("nothing was observed")
        return self.observation


def plan_all(
    subjects: Iterable[CredentialContext],
    settings: Settings,
    *,
    intent: Intent | None = None,
    at_once: int = 8,
    beside: Beside = nobody,
    screen: Screen | None = None,
) -> tuple[Preview, ...]:
    """
    Plan every credential; a credential that cannot be read is an error of its own. Writes nothing.

    Args:
        subjects: The credentials of this run.
        settings: What holds for all of them.
        intent: What was asked for; None: the routine.
        at_once: So many are looked at at once.
        beside: Asked once for the configured credentials that this run does not look at.
        screen: What the lists of whole accounts show to be at rest is not read one by one; None: everything is.
    """

    def one(subject: CredentialContext) -> Preview:
        run = Run(subject, settings, intent, beside)
        try:
            with bound_waits(settings.clock, settings.until):
                quiet = screen_credential(subject, settings, screen, intent) if screen is not None else None
                observation, planned = quiet or run.plan()
        except KeyrotaError as error:
            return Preview(subject=subject, run=run, error=error)
        except Exception as error:  # noqa: BLE001  # promise one-fails-alone: a bug on one is no reason to stop the others
            return Preview(subject=subject, run=run, error=_bug(error))
        return Preview(subject=subject, run=run, plan=planned, observation=observation)

    previews = tuple(settings.parallel(one, subjects, at_once))
    # All are read before any is judged: whose key a place shows may only be known from another credential of this run.
    seen = [preview.observation for preview in previews if preview.observation is not None]
    unread = (_neighbour(one) for one in seen if one.unread)
    around = _Around.of(seen, (*(beside(seen) if seen else ()), *unread))
    return tuple(_beside(preview, around, is_urgent=isinstance(intent, Revoke)) for preview in previews)


def _neighbour(seen: Observation) -> Neighbour:
    """Name the places of a credential that were not read, as its secret remembers them."""
    view = interpret(seen)
    return Neighbour(credential=credential_of(seen), places=view.index.entries, key=view.current_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What credentials of one configuration do to each other."""

    served: Mapping[AccessKeyId, CredentialId]
    of_run: Mapping[CredentialId, tuple[tuple[str, str], ...]]
    """Places that two credentials of this run write, by credential: addresses, each with what is wrong."""
    at_place: Mapping[tuple[str, str], Sequence[Neighbour]]
    """Other credentials, by the places that they write."""

    @staticmethod
    def of(seen: Sequence[Observation], others: Sequence[Neighbour]) -> _Around:
        theirs = {one.key: one.credential for one in others if one.key is not None}
        served = {**theirs, **find_served_keys(seen)}
        return _Around(served=served, of_run=find_shared_places(seen), at_place=group_by_place(others))

    def find_shared(self, seen: Observation) -> tuple[tuple[str, str], ...]:
        places = {(target.place.origin, target.place.mark) for target in seen.targets if target.place is not None}
        near = [other for place in sorted(places) for other in self.at_place.get(place, ())]
        return (*self.of_run.get(credential_of(seen), ()), *find_shared_with(seen, near))


def _beside(preview: Preview, around: _Around, *, is_urgent: bool) -> Preview:
    """
    Refuse a credential that would write another one's place, and plan again where a place shows another one's key.

    What is urgent is not refused: a key that leaked is replaced, and only the place that is shared is not written.
    """
    if preview.observation is None:
        return preview
    known, shared = neighbours_of(preview.observation, around.served), around.find_shared(preview.observation)
    if shared and not is_urgent:
        return replace(preview, plan=None, error=SharedPlace(shared[0][1], remedy=SHARED_REMEDY))
    if not known and not shared:
        return preview
    try:
        with preview.run.bound_waits():
            observation, planned = preview.run.plan_beside(known, shared)
    except KeyrotaError as error:
        return replace(preview, plan=None, observation=None, error=error)
    return replace(preview, plan=planned, observation=observation)


def apply_all(
    previews: Sequence[Preview],
    *,
    emit: Listener = lambda _: None,
    at_once: int = 8,
    is_late: Callable[[], bool] = lambda: False,
    parallel: Parallel = in_turns,
) -> tuple[Outcome, ...]:
    """
    Carry the plans out.

    Args:
        previews: What `plan_all` said.
        emit: Called from several threads, one call at a time for each credential.
        at_once: Number of credentials processed in parallel.
        is_late: Asked before each credential; what is not begun then is left to the next run.
        parallel: How they are worked on at once.
    """

    def one(preview: Preview) -> Outcome:
        if preview.plan is None or preview.observation is None:
            errors = (preview.error,) if preview.error else ()
            subject = preview.subject
            return Outcome(user=subject.user, account=subject.account, label=subject.label, errors=errors)
        # Asked before the credential, never within it: a pair that is begun is finished (promise whole-pair).
        if preview.plan.actions and is_late():
            return replace(preview.run.outcome(preview.plan, preview.observation), left=preview.plan.actions)
        try:
            with preview.run.bound_waits():
                return preview.run.apply(preview.plan, preview.observation, emit)
        except Exception as error:  # noqa: BLE001  # as above
            so_far = preview.run.outcome(preview.plan, preview.observation)
            return replace(so_far, errors=(*so_far.errors, _bug(error)))

    return tuple(parallel(one, previews, at_once))


def _bug(error: Exception) -> Bug:
    """Wrap what nobody expected; its text is left out, because it may hold anything."""
    # Function and line only. The text of an unknown exception, and the locals of its frames, may hold a secret (promise
    # nothing-leaks).
    where = traceback.extract_tb(error.__traceback__)[-1]
    return Bug(
        f"a bug in keyrota: {type(error).__name__}",
        where=f"{where.name}, line {where.lineno}",
        remedy="report it; the other credentials went on, and the next run looks again",
    )
