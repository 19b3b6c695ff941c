"""Bring AWSCURRENT to the targets, so that the newest wins whatever order runs and events come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from keyrota.core.lifecycle import KeyRing, interpret
from keyrota.core.model import (
    AWSCURRENT,
    CREATED_TAG,
    PAIRS_TAG,
    SYNC_PASS_TAG,
    SYNCED_TAG,
    AccessKeyId,
    IndexEntry,
    KeyPair,
    Observation,
    PairDoubt,
    PairsRecord,
    SecretState,
    SyncPass,
    SyncRecord,
    TargetEvidence,
    TargetState,
    VersionId,
    Written,
    version_mark,
)
from keyrota.core.places import add_places, is_first_write, is_without_our_keys
from keyrota.core.plan import Sync
from keyrota.core.records import (
    Index,
    format_created,
    format_index,
    format_pairs,
    format_pass,
    format_synced,
    parse_index,
    place_digest,
)
from keyrota.errors import KeyrotaError, PartialFailure, ProviderUnavailable, TornPair
from keyrota.executor.observe import was_read_just_now
from keyrota.executor.pairs import Pairs, Torn, another_place
from keyrota.executor.subject import CredentialContext, Settings
from keyrota.executor.verify import verify
from keyrota.ports import Target

_ROUNDS = 5
"""AWSCURRENT moves once in 90 days; if it moves five times while one sync runs, something else is wrong."""
_LOOK_AGAIN_S, _MAX_PAUSE_S = 15.0, 60.0
"""So often a target is asked whether its pipelines are done: soon at first, then less, or a few targets that wait would
use up the hour's calls (1,000 at Bitbucket, three for one look)."""


def sync(
    subject: CredentialContext,
    action: Sync,
    observation: Observation,
    settings: Settings,
    verified: set[AccessKeyId],
    *,
    made_whole: set[str] | None = None,
) -> AccessKeyId:
    """
    Write AWSCURRENT to the targets of the action, and to all of them if it moves meanwhile; then note it.

    Args:
        subject: The credential.
        action: Which targets, and why.
        observation: What the plan was made from.
        settings: Of this run.
        verified: Keys that this run saw accepted by STS; added to.
        made_whole: Addresses to which this run has written a whole pair; added to.

    Returns:
        The ID of the key that the targets hold now.

    Raises:
        TornPair: A pair was begun and could be neither finished nor put back; the tag `keyrota:pairs` remembers it.
        PartialFailure: Some targets were not written; the others were, and the next run writes only what is left.
        ProviderRefused, NotVerified: The key is not the user's or not accepted; nothing was written.
    """
    chosen: tuple[Target, ...] = tuple(target for target in subject.targets if target.address in action.targets)
    walk = _SyncPass(subject, action, observation, settings.clock.now())
    pairs = Pairs(settings=settings, seen=interpret(observation), read=partial(_older_pair, subject, observation))
    wanted = interpret(observation).current_id
    for round_ in range(_ROUNDS):
        # The note first, AWSCURRENT after it: a run that finds no note of another version once it has written knows
        # that whoever goes on to write another one has yet to read AWSCURRENT.
        if wanted is not None:
            walk.begin(wanted, chosen)
        version, credential = subject.store.current(subject.secret_name)
        if version != wanted:
            wanted, chosen = version, _writable(subject, action)
            continue
        if credential.id not in verified:
            verify(subject, credential, settings)
            verified.add(credential.id)
        is_patient = not action.is_urgent and round_ == 0  # a repair waits for nobody

        def is_still_wanted(version: VersionId = version) -> bool:
            return _current(subject.store.describe(subject.secret_name)) == version

        failures = _write(
            chosen, credential, pairs, observation, is_patient=is_patient, is_still_wanted=is_still_wanted
        )
        if made_whole is not None:
            made_whole |= {target.address for target in chosen} - failures.keys()
            made_whole -= pairs.torn.keys()
        state = subject.store.describe(subject.secret_name)
        wanted = _current(state)
        if wanted == version:
            done = [target for target in chosen if target.address not in failures]
            walk.end(done, state, settings.clock.now(), pairs)
            _raise(tuple(failures.values()))
            return credential.id
        # Whatever failed is tried again with the newer key, and what did not has to be written anew as well.
        chosen = _writable(subject, action)  # what was just written may be the last word at any of them
    if wanted is not None:
        walk.begin(wanted, chosen)  # or a pass of another run, which has written them before, would count them
    raise ProviderUnavailable(
        f"AWSCURRENT of {subject.secret_name} moved {_ROUNDS} times while it was sent to the targets",
        remedy="find out who writes this secret; the next run sends it again",
    )


def _writable(subject: CredentialContext, action: Sync) -> tuple[Target, ...]:
    """Find every target that may be written: where a doubt is open, nothing is, whatever AWSCURRENT becomes."""
    return tuple(target for target in subject.targets if target.address not in action.kept_out)


@dataclass(slots=True)
class _SyncPass:
    """The way over the targets, as the secret's tags tell it."""

    subject: CredentialContext
    action: Sync
    observation: Observation
    now: datetime
    """When this run began to write."""
    version: VersionId | None = None
    written: frozenset[str] = frozenset()
    has_begun: bool = False
    """The tag `keyrota:pairs` says that pairs are being written."""
    left: str | None = None
    """The record as this run last knew it: what it saw, or wrote itself."""
    began: datetime = field(init=False)
    """When the pass began, in this run or in an earlier one that it continues."""

    def __post_init__(self) -> None:
        """Remember the record that this run saw."""
        self.began = self.now
        self.left = _record(self.observation.secret)

    def begin(self, version: VersionId, chosen: Sequence[Target]) -> None:
        """
        Note, before the first write, where a key may be from now on; make the record untrue where a pair may break.

        A write that breaks off in the middle of a pair leaves targets that hold neither version: a rollback to the
        version of the record would otherwise find nothing to send. Where someone else's pair is written over, the
        ID may show our key beside their secret: nothing but the record would tell.
        """
        known = interpret(self.observation)
        going_on = known.active_sync_pass(self.action.not_before)
        self.written = frozenset()
        if going_on is not None and going_on.version == version and self.version is None:
            self.began, self.written = going_on.began, going_on.written
        is_again = self.version is not None  # in the round before, this run has noted another version, or written it
        self.version = version
        tags: dict[str, str] = {}
        is_other = known.synced is not None and known.synced.version != version
        if is_other or (self.action.is_repair and known.synced is not None):
            self.left = f"{version}@begun"
            tags |= {SYNCED_TAG: self.left, SYNC_PASS_TAG: self._pass()}
        if is_again or (known.sync_pass is not None and known.sync_pass.version != version):
            tags |= {SYNC_PASS_TAG: self._pass()}  # or it would count again when its version comes back
        entries = (*self._entries(), *self._list_passed_over())
        if known.index.join(entries).entries != known.index.entries and not known.index.is_full:
            # The tags of an index are replaced as a whole, so what another run added since our look would be lost, and
            # with it the knowledge of a place that holds a key. The window that is left is one call wide.
            state = self.subject.store.describe(self.subject.secret_name)
            index = parse_index(dict(state.tags)) if state else known.index  # afresh: another run may have added to it
            tags |= format_index(index.join(entries)) if index.is_readable else {}
        if begun := self._note_begun(version, chosen):
            tags |= {PAIRS_TAG: format_pairs(begun)}
        if tags:
            self.subject.store.tag(self.subject.secret_name, tags)

    def _note_begun(self, version: VersionId, chosen: Sequence[Target]) -> PairsRecord | None:
        """
        Note which pairs may be torn from now on, should this process be killed; the same pair again tears nothing.

        But where a place tells when it was changed, that will be later than what is noted of our last write: that is
        noted as well. What an earlier run left torn stays noted until it is written.
        """
        known = interpret(self.observation)
        is_same = known.is_synced() and known.current_id == version and not self.action.is_repair
        is_again = is_same and not any(known.doubt_of(target.address) for target in chosen)
        telling = {state.address for state in self.observation.targets if state.changed_at is not None}
        addresses = {
            target.address
            for target in chosen
            if (target.address in telling if is_again else target.has_separate_variables)
        }
        if is_again and not addresses:
            return None
        doubt = PairDoubt.SAME if is_again else PairDoubt.BEGUN
        begun = tuple((place_digest(address), doubt) for address in sorted(addresses))
        places = (*begun, *self._list_earlier_doubts(without=addresses))
        self.has_begun = bool(places)
        return PairsRecord(version=version, at=self.now, places=places) if places else None

    def _entries(self) -> tuple[IndexEntry, ...]:
        """Name the targets that may be written as the index does, with the places that they are."""
        entries = (entry for entry in self.subject.index if entry.address not in self.action.kept_out)
        return add_places(entries, self.observation.targets)

    def _list_passed_over(self) -> tuple[IndexEntry, ...]:
        """Name the archived targets that were never written: no record of a sync says that they were."""
        states = {target.address: target for target in self.observation.targets}
        archived = [
            entry for entry in self.subject.index if entry.address in states and states[entry.address].is_archived
        ]
        named, known = add_places(archived, self.observation.targets), interpret(self.observation)
        return tuple(replace(entry, is_begun=False) for entry in named if known.index.of(entry) is None)

    def end(self, done: Sequence[Target], state: SecretState | None, now: datetime, pairs: Pairs) -> None:
        """
        Write the tag `keyrota:synced`, or how far the walk has come.

        `since` stays when the same version is sent again, or the overlap would never end; `confirmed` moves only when
        all targets were written, and it is the time before the first write. Where another run has touched the record
        meanwhile, it may have been about to send another version, and left half of it: then nothing stays, all is as
        if sent for the first time.

        Args:
            done: The targets that were written.
            state: The secret as it was after the last write.
            now: Aware, UTC.
            pairs: What became of the pairs that were begun.
        """
        addresses = self._find_running()
        self.written |= {target.address for target in done}
        is_whole = self.written >= addresses
        before = interpret(self.observation)
        # A compare without a swap: tags have no condition. Another run that wrote meanwhile is found here, before the
        # record that it may rely on is replaced.
        is_untouched = _record(state) == self.left
        is_known = before.is_synced() and before.synced is not None and before.synced.version == self.version
        # From here on None means: as if it were written for the first time. The overlap then starts again, which costs
        # days and breaks nothing; to keep `since` wrongly would end a key that a target holds.
        known = before.synced if is_known and is_untouched else None
        index = parse_index(dict(state.tags)) if state else Index()
        held = self._date_writes(before, index, done, now, is_untouched=is_untouched)
        tags = format_index(index.note(held)) if held and index.is_readable and not index.is_full else dict[str, str]()
        is_mended = not self.action.is_repair or len(done) == len(self.action.targets)
        if is_whole or (known is not None and is_mended):
            # The time before the first write, not after the last: whatever another run wrote in between may have come
            # later.
            confirmed = self.began if is_whole and not self.action.is_repair else None
            record = SyncRecord(
                version=self.version or VersionId(""),
                since=self._since(before, index.note(held), known, now, is_untouched=is_untouched),
                confirmed=(confirmed or known.confirmed) if known else now,
                fingerprint=self.subject.fingerprint,
                ended=now,
            )
            # Last of all, once every write is known to be done: a crash before leaves the record of before, and the
            # next run writes again.
            tags |= {SYNCED_TAG: format_synced(record), **self._note_created(state)}
        if not is_whole and not self.action.is_repair and len(addresses) > 1:
            tags[SYNC_PASS_TAG] = self._pass()
        if self.has_begun or pairs.torn:
            is_whole_again = {target.address for target in done} | pairs.put_back
            tags[PAIRS_TAG] = format_pairs(self._note_torn(now, pairs.torn, is_whole_again))
        if tags:
            self.subject.store.tag(self.subject.secret_name, tags)

    def _note_created(self, state: SecretState | None) -> dict[str, str]:
        """Say how old the key is, as IAM tells it, so that a list of secrets alone tells when it is due."""
        version = next((one for one in (state.versions if state else ()) if one.id == self.version), None)
        key = next((key for key in self.observation.keys if version is not None and key.id in version.labels), None)
        return {CREATED_TAG: format_created(key.id, key.created)} if key is not None else {}

    def _note_torn(self, now: datetime, torn: Mapping[str, Torn], whole: set[str]) -> PairsRecord:
        """Note what is torn now; what an earlier run left torn stays noted until it is whole."""
        kept = self._list_earlier_doubts(without=whole | torn.keys())
        new = tuple((place_digest(address), one.doubt) for address, one in sorted(torn.items()))
        return PairsRecord(version=self.version or VersionId(""), at=now, places=(*new, *kept))

    def _list_earlier_doubts(self, *, without: Iterable[str]) -> tuple[tuple[str, PairDoubt], ...]:
        """Find what earlier runs left torn, at places that are still known."""
        known, seen = interpret(self.observation), self.observation
        names = {target.address for target in self.subject.targets} | {state.address for state in seen.left_behind}
        digests = {place_digest(address) for address in names.difference(without)}
        return tuple(
            (digest, doubt) for digest, doubt in (known.pairs.places if known.pairs else ()) if digest in digests
        )

    def _date_writes(
        self, before: KeyRing, index: Index, done: Sequence[Target], now: datetime, *, is_untouched: bool
    ) -> dict[tuple[str, str, str], Written]:
        """Say since when each place that was written holds this version, by the position of its entry."""
        version = version_mark(self.version or VersionId(""))
        states = {target.address: target for target in self.observation.targets}
        placed_at = {entry.address: entry for entry in self._entries()}
        found = {}
        for target in done:
            known = index.of(placed_at[target.address]) if target.address in placed_at else None
            if known is None:
                continue
            state, written = states[target.address], known.written
            is_kept = written is not None and written.version == version and is_untouched
            if is_kept and not (self.action.is_repair and _may_be_ours(state, before)):
                continue
            is_first = is_first_write(before, state) and is_without_our_keys(before, state)
            found[known.position] = Written(version=version, since=now, is_first=is_first)
        return found

    def _since(
        self, before: KeyRing, index: Index, known: SyncRecord | None, now: datetime, *, is_untouched: bool
    ) -> datetime:
        """
        Say since when no place holds an older key: the overlap counts from here.

        Places that were added and never held an older key do not make it later: a set of targets that grows every week
        would otherwise never let an older key go. A run that began before AWSCURRENT moved cannot reach them either:
        within `JUST_NOW` of the move all of them are written once more (`core.sync.sync_targets`), and after it there
        is none.
        """
        if known is not None:
            return now if self._is_ours_replaced(before) else known.since
        record, version = before.synced, version_mark(self.version or VersionId(""))
        if record is None or record.version != self.version or not is_untouched:
            return now
        latest = record.since
        for entry in self._entries():
            # An archived place runs nothing, so that it neither holds an older key in use nor delays the overlap.
            if entry.address not in self._find_running():
                continue
            remembered = index.of(entry)
            written = remembered.written if remembered else None
            if written is None or written.version != version:
                return now
            latest = latest if written.is_first else max(latest, written.since)
        # A place that the index does not remember may have held anything until now.
        return latest if self._is_remembered() else now

    def _is_remembered(self) -> bool:
        """Return whether the index knows every place that counts."""
        return self._find_running() <= {entry.address for entry in self._entries()}

    def _find_running(self) -> frozenset[str]:
        """Find the addresses of the places that run something."""
        archived = {target.address for target in self.observation.targets if target.is_archived}
        return frozenset(target.address for target in self.subject.targets) - archived

    def _is_ours_replaced(self, before: KeyRing) -> bool:
        """Return whether a repair took an older key of ours from a target, or may have: its overlap starts anew."""
        if not self.action.is_repair:
            return False
        mended = [target for target in self.observation.targets if target.address in self.action.targets]
        return any(_may_be_ours(target, before) for target in mended)

    def _pass(self) -> str:
        addresses = [target.address for target in self.subject.targets]
        record = SyncPass(
            version=self.version or VersionId(""),
            began=self.began,
            fingerprint=self.subject.fingerprint,
            written=self.written,
        )
        return format_pass(record, addresses)


def _may_be_ours(target: TargetState, before: KeyRing) -> bool:
    if target.evidence is TargetEvidence.CANNOT_TELL:
        return True
    return target.key is not None and before.version_of(target.key) is not None


def _record(state: SecretState | None) -> str | None:
    return dict(state.tags).get(SYNCED_TAG) if state else None


def _current(state: SecretState | None) -> VersionId | None:
    versions = state.versions if state else ()
    return next((version.id for version in versions if AWSCURRENT in version.labels), None)


def _write(
    targets: Iterable[Target],
    credential: KeyPair,
    pairs: Pairs,
    observation: Observation,
    *,
    is_patient: bool,
    is_still_wanted: Callable[[], bool],
) -> dict[str, KeyrotaError]:
    """
    Write targets in parallel; returns what failed, by address.

    Who waited for a pipeline asks again whether the credential is still the current one: it may be revoked by then.
    """
    seen, known = {state.address: state for state in observation.targets}, interpret(observation)

    def attempt(target: Target) -> tuple[str, KeyrotaError] | None:
        state = seen.get(target.address)
        try:
            # AWSCURRENT may have been moved or revoked during the wait, which lasts up to `wait_for_idle`. Another run
            # serves the newer one; writing this one now could come after it (promise newest-wins).
            if is_patient and _wait_until_quiet(target, pairs.settings) and not is_still_wanted():
                return None
            if state is not None and is_first_write(known, state):
                _demand_unchanged(target, state, observation, pairs.settings)
            # As late as possible: between this question and the write there is one call, and no provider offers a
            # condition on it.
            _demand_same_place(target, state, known.index, pairs.settings)
            pairs.write(target, credential)
        except KeyrotaError as error:
            error.target = target.address
            return target.address, error
        return None

    return dict(failure for failure in pairs.settings.each(attempt, targets) if failure is not None)


def _demand_unchanged(target: Target, state: TargetState, observation: Observation, settings: Settings) -> None:
    """
    Refuse a first write where something else is there than what the plan judged (promise first-write-asks).

    Between that read and the write lie the verification, runs that are waited for, and other places: up to hours.

    Raises:
        ProviderUnavailable: The place, or another level of its project, has changed, or cannot be read any more.
    """
    if was_read_just_now(state, settings.clock.now()):
        return
    found = target.read()
    looks = [look for look in observation.first_looks or () if look.address == target.address]
    conflicts = target.surroundings().conflicts if looks else ()
    if _what_is_there(found) == _what_is_there(state) and all(one in looks[0].conflicts for one in conflicts):
        return
    is_failed = found.evidence is TargetEvidence.FAILED
    what = found.detail if is_failed else "something was put there, or at another level, since it was read"
    raise ProviderUnavailable(
        f"nothing was written to {target.address} for the first time: {what}",
        where=target.address,
        remedy="the next run reads it again, and says what a write would replace",
        is_undone=True,
    )


def _what_is_there(state: TargetState) -> tuple[object, ...]:
    return state.evidence, state.key, state.is_empty, state.is_archived, state.place, state.variables, state.conflicts


def _demand_same_place(target: Target, state: TargetState | None, index: Index, settings: Settings) -> None:
    """
    Refuse to write a place whose name was given to something else since it was read (promise a-place-is-an-id).

    Between the read and the write lie the verification, runs that are waited for, and other credentials: up to hours.
    Where the read failed, the place is compared with what was written under its name.
    """
    place = state.place if state else None
    written = [entry for entry in index.entries if entry.address == target.address and entry.is_begun and entry.place]
    is_young = state is not None and was_read_just_now(state, settings.clock.now())
    is_known = is_young if place is not None else not written
    if is_known:
        return
    found = target.place_now()
    if found is None:
        return
    is_other = found != place if place is not None else all(entry.is_at(found) is False for entry in written)
    if is_other:
        before = place.id if place is not None else written[0].place
        remedy = "nothing was written there; if the first one was renamed, write its new name into the configuration, "
        raise another_place(target, before, found, f"{remedy}and the next run writes it")


def _older_pair(subject: CredentialContext, observation: Observation, key: AccessKeyId) -> KeyPair | None:
    """Read the pair of an older key from the version that wears its ID; None where that cannot be."""
    version = interpret(observation).version_of(key)
    if version is None:
        return None
    try:
        found = subject.store.read(subject.secret_name, version.id)
    except KeyrotaError:
        return None
    return found if found is not None and found.id == key else None


def _wait_until_quiet(target: Target, settings: Settings) -> bool:
    """
    Wait until no run is in progress there, up to the target's `wait_for_idle`; unknown counts as busy.

    Returns:
        Whether it had to wait.
    """
    until, has_waited, pause = settings.clock.now() + target.wait_for_idle, False, _LOOK_AGAIN_S
    while settings.clock.now() < until and target.is_busy() is not False:
        left = (until - settings.clock.now()) / timedelta(seconds=1)
        settings.clock.sleep(max(0.1, min(pause, left)))
        has_waited, pause = True, min(2 * pause, _MAX_PAUSE_S)
    return has_waited


def _raise(failures: Sequence[KeyrotaError]) -> None:
    # A torn pair fails pipelines now; whatever else failed can wait until it has been read.
    failures = sorted(failures, key=lambda failure: not isinstance(failure, TornPair))
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise PartialFailure(f"{len(failures)} targets were not written", failures)
