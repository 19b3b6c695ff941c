"""
A breached provider: every key that was ever written there is replaced, in the order of what is reachable fastest.

With `--now`, and in the function `emergency`, all of the keys are deactivated before any provider is waited for
(promise emergency-first); everything else follows. Where a secret cannot be read, IAM alone deactivates the key.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from keyrota.app.beside import neighbours
from keyrota.app.choice import EVERYTHING, Wanted
from keyrota.app.providers import kind_in, name_in
from keyrota.app.session import Session
from keyrota.core.emergency import Revoke
from keyrota.core.lifecycle import KeyState, interpret
from keyrota.core.model import AccessKeyId, CredentialId, KeyStatus, Observation, TargetEvidence
from keyrota.core.outcome import Outcome
from keyrota.core.plan import CreateKey, Deactivate, Duty
from keyrota.core.planner import Intent, Only
from keyrota.errors import KeyrotaError, ProviderRefused, ProviderUnavailable, UsageError
from keyrota.executor import Event, EventKind, Listener, Preview, apply_all, plan_all
from keyrota.executor.off_alone import observe_alone, only_active, own_key, turn_off
from keyrota.report.data import flatten, retry_at
from keyrota.targets import kinds

_UNMANAGED = {KeyState.FOREIGN, KeyState.STRANGE, KeyState.ORPHAN}
_OFF_AT_ONCE = 16
"""At least this many credentials are deactivated at once: each takes half a dozen calls of AWS, and none waits."""
_LOOKS, _LOOK_AGAIN_S = 5, 3.0
"""IAM's list of keys can lag behind UpdateAccessKey by some seconds: at most this many looks, so far apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What was breached: a provider, or one workspace, organization or group of it."""

    provider: str
    scope: str = ""

    @staticmethod
    def read(text: str, configured: Iterable[str] = ()) -> Place:
        """
        Read `PROVIDER` or `PROVIDER:SCOPE`; a kind means every provider of that kind.

        Args:
            text: As it was given.
            configured: Names that providers have in the configuration.

        Raises:
            UsageError: There is no such provider.
        """
        provider, _, scope = text.partition(":")
        known = {*kinds(), *configured}
        if provider not in known:
            raise UsageError(f"unknown provider {provider!r}", remedy=f"one of: {', '.join(sorted(known))}")
        return Place(provider=provider, scope=scope)

    def covers(self, kind: str, settings: dict[str, object]) -> bool:
        """Return whether a target lies in it."""
        own = kind_in(kind)
        is_of_it = self.provider in {own, name_in(kind)}
        return is_of_it and own in kinds() and (not self.scope or kinds()[own].is_within(settings, self.scope))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """A credential whose keys were served there, and the keys."""

    preview: Preview
    keys: tuple[AccessKeyId, ...]
    """To be replaced or deactivated; the one that targets hold first."""
    before: datetime
    """Keys that were made later are no concern of this command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one credential."""

    credential: CredentialId
    name: str
    """How reports name it."""
    is_safe: bool
    """Every older key was read as Inactive or deleted after everything was done."""
    is_replaced: bool
    """Another key is current, and as far as is known, every target holds it."""
    keys: tuple[AccessKeyId, ...]
    new_key: AccessKeyId | None
    reasons: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    stops: tuple[KeyrotaError, ...] = ()
    """Targets that a limit left to a later run."""

    @property
    def is_done(self) -> bool:
        """Whether the old keys open nothing, and pipelines have another."""
        return self.is_safe and self.is_replaced


_GLANCE = Revoke(key=AccessKeyId(""), off_first=True)
"""Looks at IAM and Secrets Manager, and waits for no provider."""


def glance(session: Session, wanted: Wanted, before: datetime) -> tuple[tuple[Exposed, ...], tuple[KeyrotaError, ...]]:
    """
    Find the keys of credentials without waiting for a provider, and what could not be looked at.

    Secrets Manager is waited for some seconds. Where it does not answer, or refuses, the user's only Active key is
    what is exposed: that one is deactivated at once, and replaced when the secret can be read. Where it is not clear
    which key is meant, the secret is waited for.
    """
    planned = session.plan(wanted, replace(_GLANCE, is_hurried=True))
    found: list[Exposed] = []
    errors: list[KeyrotaError] = [missing.error for missing in planned.unreachable]
    for preview in planned.previews:
        alone = _find_alone(preview, before)
        if alone is not None:
            found.append(alone)
            continue
        patient = preview if preview.observation else _glance_again(session, preview)
        if patient.observation is None:
            errors.append(patient.error or KeyrotaError("it could not be read", where=patient.subject.name))
        else:
            keys = keys_before(patient.observation, before)
            found.append(Exposed(preview=patient, keys=keys, before=before))
    return tuple(found), tuple(errors)


def _find_alone(preview: Preview, before: datetime) -> Exposed | None:
    """Find what IAM alone says of a credential whose secret cannot be read."""
    if not isinstance(preview.error, (ProviderRefused, ProviderUnavailable)):
        return None
    try:
        key = only_active(preview.subject, before)
    except KeyrotaError:
        return None
    return Exposed(preview=preview, keys=(key,), before=before) if key is not None else None


def _glance_again(session: Session, preview: Preview) -> Preview:
    (again,) = plan_all([preview.subject], session.wiring.settings, intent=_GLANCE, at_once=1)
    return again


def find_exposed(
    session: Session, place: Place, before: datetime, *, is_now: bool = False
) -> tuple[tuple[Exposed, ...], tuple[KeyrotaError, ...]]:
    """
    Find the credentials that were served in a place, and what could not be looked at.

    Args:
        session: Configured credentials; their secrets' indexes name targets that the configuration names no more.
        place: What was breached.
        before: Keys that were made later are safe: they are the ones that an earlier, broken-off run made.
        is_now: No provider may be waited for; else targets are read, and those that answer come first.
    """
    found, errors = glance(session, EVERYTHING, before) if is_now else _look_at_all(session, before)
    served: list[Exposed] = []
    doubts: list[KeyrotaError] = []
    for it in found:
        if _was_served(place, it.preview):
            served.append(it)
        elif it.preview.error is not None:
            doubts.append(it.preview.error)
        elif _forgot(it.preview):
            doubts.append(_unsure(it.preview))
    return tuple(sorted(served, key=_effort)), (*errors, *doubts)


def _look_at_all(session: Session, before: datetime) -> tuple[tuple[Exposed, ...], tuple[KeyrotaError, ...]]:
    planned = session.plan()
    errors = [preview.error for preview in planned.previews if preview.error]
    errors += [missing.error for missing in planned.unreachable]
    found = [
        Exposed(preview=preview, keys=keys_before(preview.observation, before), before=before)
        for preview in planned.previews
        if preview.observation is not None
    ]
    return tuple(found), tuple(errors)


def places(session: Session, provider: str) -> tuple[str, ...]:
    """Name the configured targets at a provider, so that a name that was mistyped shows."""
    every = [target for credential in session.configuration.credentials for target in credential.targets]
    known = session.wiring.providers
    at = [it for it in every if provider in {it.kind, it.provider}]
    return tuple(sorted(known[it.provider].address(it.settings) for it in at))


def _forgot(preview: Preview) -> bool:
    """Return whether a secret no longer knows everywhere it was written to."""
    if preview.observation is None:
        return False
    index = interpret(preview.observation).index
    return index.is_full or not index.is_readable


def _unsure(preview: Preview) -> KeyrotaError:
    return KeyrotaError(
        "where it was written in former times is not known: the tags keyrota:targets do not tell all",
        where=preview.subject.name,
        remedy=f"if it may have been there: keyrota revoke {preview.subject.name}",
    )


def _was_served(place: Place, preview: Preview) -> bool:
    """Look into the configuration, and into the index of what it once named."""
    entries = interpret(preview.observation).index.entries if preview.observation else ()
    # The configuration last: its settings are the newest of a place that both name.
    every = {entry.address: entry for entry in (*entries, *preview.subject.index)}
    for entry in every.values():
        try:
            settings = json.loads(entry.settings)
        except ValueError:
            continue
        if place.covers(entry.kind, settings):
            return True
    return False


def keys_before(seen: Observation, before: datetime, *, made: Collection[AccessKeyId] = ()) -> tuple[AccessKeyId, ...]:
    """
    Find the keys that were made before an instant and still open the account, or that targets still hold.

    Keys that keyrota did not make count as well (promise all-clear-is-seen): which key was in public, or was once put
    where, is not known of them.

    Args:
        seen: The user's keys and their secret.
        before: Keys with a later CreateDate do not count. IAM drops its fraction of a second, so a key of the same
            second does.
        made: Keys that this run made: they do not count, whatever the clocks of this machine and of IAM say.

    Returns:
        The served one first, those that keyrota does not manage last.
    """
    known = interpret(seen)
    old = [key for key in seen.keys if key.created <= before and key.id not in made]
    still = [key for key in old if key.status is not KeyStatus.INACTIVE or key.id == known.current_key]
    still.sort(key=lambda key: (known.state_of(key) in _UNMANAGED, key.id != known.current_key))
    return tuple(key.id for key in still)


def _effort(one: Exposed) -> tuple[int, int]:
    """Sort what is reachable fastest first: targets that answer before those that do not, few before many."""
    targets = one.preview.observation.targets if one.preview.observation else ()
    failed = sum(1 for target in targets if target.evidence is TargetEvidence.FAILED)
    return failed, len(targets)


def replace_all(
    session: Session, every: tuple[Exposed, ...], emit: Listener, *, off_first: bool = False
) -> tuple[Verdict, ...]:
    """
    Replace what was exposed; each credential fails alone, and what cannot be done now is left to the next run.

    Args:
        session: Of the command or function.
        every: What was exposed.
        emit: Called at each step.
        off_first: Deactivate all keys of all credentials before any provider is waited for.
    """

    def off(it: Exposed) -> None:
        for key in it.keys:
            wish = Revoke(key=key, off_first=True, is_hurried=True, only_off=True)
            if any(outcome.plan is None for outcome in _carry_out(session, it, wish, emit)):
                _turn_off_alone(session, it, key, emit)

    def replace_one(it: Exposed) -> Verdict:
        return _replace(session, it, emit, off_first=off_first)

    with ThreadPoolExecutor(max_workers=max(_OFF_AT_ONCE, session.configuration.concurrency)) as pool:
        for _ in pool.map(off, every if off_first else ()):
            pass  # what could not be deactivated is tried again below, and read in the end
    _let_the_second_end(session, every)
    with ThreadPoolExecutor(max_workers=session.configuration.concurrency) as pool:
        return tuple(pool.map(replace_one, every))


def _turn_off_alone(session: Session, it: Exposed, key: AccessKeyId, emit: Listener) -> None:
    """
    Deactivate a key with IAM alone, because its secret cannot be read; what fails is read in the end.

    Not the key that keyrota runs with, and none of which an earlier look says that keyrota does not manage it.
    """
    subject = it.preview.subject
    if own_key(subject, key) is not None or _is_unmanaged(it, key):
        return
    try:
        turn_off(subject, key)
    except KeyrotaError:
        return
    now = session.clock.now()
    off = Deactivate(key=key, is_emergency=True, reason="off first, although its secret cannot be read", due=now)
    credential = it.preview.credential
    emit(
        Event(
            at=now,
            user=credential.user,
            account=credential.account,
            label=subject.label,
            kind=EventKind.DONE,
            action=off,
            key=key,
        )
    )


def _is_unmanaged(it: Exposed, key: AccessKeyId) -> bool:
    seen = it.preview.observation
    known = interpret(seen) if seen is not None else None
    found = known.key(key) if known is not None else None
    return known is not None and found is not None and known.state_of(found) in _UNMANAGED


def _let_the_second_end(session: Session, every: tuple[Exposed, ...]) -> None:
    """
    Make no key in the second that separates old keys from new ones, for at most a second.

    IAM drops the fraction of CreateDate: `--before` would count a key of that second as an old one, and replace it.
    """
    now = session.clock.now()
    ends = [it.before.replace(microsecond=0) + timedelta(seconds=1) for it in every if it.keys and it.before <= now]
    left_s = (max(ends, default=now) - now).total_seconds()
    if left_s > 0:
        session.clock.sleep(left_s)


def _find_new_keys(outcomes: list[Outcome]) -> frozenset[AccessKeyId]:
    """Name the keys that these runs made."""
    every = (done for outcome in outcomes for done in outcome.done if isinstance(done.action, CreateKey))
    return frozenset(done.key for done in every if done.key)


def _carry_out(session: Session, it: Exposed, intent: Intent, emit: Listener) -> tuple[Outcome, ...]:
    beside = partial(neighbours, session.wiring)
    previews = plan_all([it.preview.subject], session.wiring.settings, intent=intent, at_once=1, beside=beside)
    return apply_all(previews, emit=emit, at_once=1)


def _intents(it: Exposed, *, off_first: bool) -> Iterator[Intent]:
    """What is done about a credential; one whose old keys are off may still have targets without the new one."""
    for key in it.keys:
        yield Revoke(key=key, off_first=off_first)
    seen = it.preview.observation
    if not it.keys and seen is not None and not _is_served(seen):
        yield Only(duty=Duty.SYNC)


def _replace(session: Session, it: Exposed, emit: Listener, *, off_first: bool) -> Verdict:
    intents = tuple(_intents(it, off_first=off_first))
    outcomes = [outcome for intent in intents for outcome in _carry_out(session, it, intent, emit)]
    latest = outcomes
    if len(intents) > 1 and not _is_through(outcomes[0]):
        # What stood in the way of the first key was seen before the others were dealt with.
        retried = _carry_out(session, it, intents[0], emit)
        outcomes, latest = [*outcomes, *retried], [*outcomes[1:], *retried]
    made = _find_new_keys(outcomes)
    last, missed = _look_again(session, it, outcomes, made)
    told = tuple(_reasons(latest, it, last, missed, made))
    is_safe = last is not None and not _open(last, it.before, made)
    is_read = last is not None and missed is None
    is_replaced = last is not None and is_read and not keys_before(last, it.before, made=made) and _is_served(last)
    is_done = is_safe and is_replaced
    return Verdict(
        credential=it.preview.credential,
        name=it.preview.subject.name,
        is_safe=is_safe,
        is_replaced=is_replaced,
        keys=it.keys,
        new_key=interpret(last).current_key if last else None,
        reasons=() if is_done else tuple(dict.fromkeys(reason for reason, _ in told)),
        remedies=() if is_done else tuple(dict.fromkeys(remedy for _, remedy in told if remedy)),
        stops=() if is_done else tuple(single for single in _singles(latest) if retry_at(single) is not None),
    )


def _is_through(outcome: Outcome) -> bool:
    return not outcome.errors and not (outcome.plan and outcome.plan.holds)


def _open(seen: Observation, before: datetime, made: Collection[AccessKeyId]) -> tuple[AccessKeyId, ...]:
    """Find the older keys that still open the account."""
    active = {key.id for key in seen.keys if key.status is not KeyStatus.INACTIVE}
    return tuple(key for key in keys_before(seen, before, made=made) if key in active)


def _is_served(seen: Observation) -> bool:
    """Return whether every target has the current key, as the secret records it, or there is no key to have."""
    known = interpret(seen)
    return known.current_key is None or known.is_synced()


def _look_again(
    session: Session, it: Exposed, outcomes: list[Outcome], made: Collection[AccessKeyId]
) -> tuple[Observation | None, KeyrotaError | None]:
    """
    Read the keys anew, after everything was done: only what this read shows may be called safe.

    Waits for no provider; looks again while IAM's list lags behind what this command did.
    """
    done = outcomes[-1].observation if outcomes else None
    for look in range(_LOOKS):
        seen, error = _look(it)
        if seen is None or look == _LOOKS - 1 or not _lags_behind(seen, done, it.before, made):
            break
        session.clock.sleep(_LOOK_AGAIN_S)
    return seen, error


def _lags_behind(seen: Observation, done: Observation | None, before: datetime, made: Collection[AccessKeyId]) -> bool:
    """Return whether a read does not show yet what the run itself has done, or may have done with IAM alone."""
    if done is None:
        return bool(_open(seen, before, made))
    is_off_later = bool(_open(seen, before, made)) and not _open(done, before, made)
    return is_off_later or (_is_served(done) and not _is_served(seen))


def _look(it: Exposed) -> tuple[Observation | None, KeyrotaError | None]:
    """Read the keys, and the secret: where the latter fails, what is known of the keys counts all the same."""
    subject = it.preview.subject
    try:
        keys = subject.access_keys.list(subject.user)
    except KeyrotaError as error:
        return None, error
    seen = replace(it.preview.observation or observe_alone(subject, ()), keys=keys)
    try:
        return replace(seen, secret=subject.store.describe(subject.secret_name)), None
    except KeyrotaError as error:
        return seen, error


def _singles(outcomes: list[Outcome]) -> Iterator[KeyrotaError]:
    """Go through all errors of a credential's runs, one target at a time."""
    yield from (single for outcome in outcomes for error in outcome.errors for single in flatten(error))


def _reasons(
    outcomes: list[Outcome],
    it: Exposed,
    last: Observation | None,
    missed: KeyrotaError | None,
    made: Collection[AccessKeyId],
) -> Iterator[tuple[str, str]]:
    yield from ((str(single), single.remedy) for single in _singles(outcomes) if retry_at(single) is None)
    for outcome in outcomes:
        for hold in outcome.plan.holds if outcome.plan else ():
            yield hold.reason, hold.remedy
    if missed is not None and last is not None:
        yield f"whether another key took its place is not known: {missed}", missed.remedy
    elif missed is not None:
        yield f"its keys could not be read after that: {missed}", missed.remedy
    if last is None:
        yield from ((f"whether {key} is still Active is not known", "") for key in it.keys)
        return
    for key in keys_before(last, it.before, made=made):
        status = next(known.status_word or known.status.value for known in last.keys if known.id == key)
        if key not in _open(last, it.before, made):
            yield f"{key} is {status}, and not replaced yet: pipelines that hold it fail now", ""
            continue
        held = "the key that targets hold, and " if key == interpret(last).current_key else ""
        yield f"{key} is {held}still {status}", ""
    if missed is None and not _is_served(last):
        yield f"not every target holds the new key {interpret(last).current_key} yet: pipelines there fail now", ""
