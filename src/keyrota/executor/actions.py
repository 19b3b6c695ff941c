"""How each action is done: a few calls to the ports, each safe to repeat."""

from __future__ import annotations

from itertools import islice
from typing import assert_never

from keyrota.core import own_key
from keyrota.core import plan as act
from keyrota.core.lifecycle import interpret, key_label
from keyrota.core.model import (
    ADOPT_TAG,
    AWSCURRENT,
    DEACTIVATED_TAG,
    ORPHAN_TAG,
    OWNER_TAG,
    PENDING,
    PLACEHOLDER,
    REVOKED,
    STACK_TAG,
    AccessKeyId,
    CarriedRuns,
    DeactivationNote,
    DeactivationRecord,
    KeyOwner,
    KeyStatus,
    Observation,
    SecretReaders,
    UserName,
    VersionId,
    key_token,
    make_restored_token,
)
from keyrota.core.naming import owner_tag
from keyrota.core.readers import readers
from keyrota.core.records import (
    NEW_KEY,
    NOTHING_NOTED,
    DiscardNote,
    format_choice,
    format_deactivated,
    format_discard,
)
from keyrota.core.secret import Secret
from keyrota.errors import (
    KeyrotaError,
    LostRace,
    NotThisUsersKey,
    OwnKey,
    ProviderRefused,
    ProviderUnavailable,
    SecretUnusable,
)
from keyrota.executor.adoption import judge, recognize, refusal
from keyrota.executor.claims import create_under_claim, take_claim
from keyrota.executor.labels import find_current, find_labelled, take_off
from keyrota.executor.ownership import mark_user, set_user_tag, user_tag
from keyrota.executor.run_state import RunState
from keyrota.executor.subject import CredentialContext, Settings
from keyrota.executor.sync import sync
from keyrota.executor.verify import verify

_MAX_NOTED = 4
"""Keys in the tag `keyrota:deactivated`: each takes 57 of its 256 characters (Secrets Manager API Reference, Tag)."""


def perform(  # noqa: C901, PLR0912, PLR0915  # one branch an action: the one place that knows them all
    subject: CredentialContext, action: act.Action, observation: Observation, settings: Settings, memory: RunState
) -> AccessKeyId | None:
    """
    Do one action.

    Returns:
        The ID of the key that it was about, where there is one.

    Raises:
        KeyrotaError: It was not done, or for a write whose answer was lost, perhaps it was.
    """
    name = subject.secret_name
    # The planner leaves such actions out already. A second lock, at the only door to IAM: a mistake in the plan would
    # end the key that keyrota runs with, and with it every way to repair that.
    _refuse_own_key(action, observation)
    only_recognizes = isinstance(action, act.Adopt) and not action.is_labelled  # as sync does: it may not tag a user
    if action.marks_user and not only_recognizes:
        mark_user(subject, observation, memory)
    match action:
        case act.CreateSecret():
            subject.store.create(name, {**subject.tags, OWNER_TAG: owner_tag(subject.user)})
        case act.Adopt():
            return _adopt(subject, action, observation, settings, memory)
        case act.Preflight():
            memory.readiness = tuple(settings.each(lambda target: target.preflight(), subject.targets))
        case act.TakeClaim():
            memory.claim = take_claim(subject, action, observation, settings)
        case act.CreateKey():
            return _create(subject, action, observation, settings, memory)
        case act.Verify():
            _verify(subject, action, settings, memory)
        case act.Restore():
            _restore(subject, action)
        case act.Promote():
            _promote(subject, action, memory)
        case act.RemoveLabel():
            take_off(subject, action.label, action.version)
        case act.Sync():
            return sync(subject, action, observation, settings, memory.verified, made_whole=memory.made_whole)
        case act.AskRuns():
            memory.carried = _ask_runs(subject, action, settings)
        case act.LookAround():
            memory.surroundings = tuple(settings.each(lambda target: target.surroundings(), subject.targets))
        case act.AskFirst():
            _ask_first(subject, action, settings, memory)
        case act.AskValue():
            memory.value_asked = action.version
            memory.refused, is_empty = judge(subject, action.version, observation, settings)
            if is_empty and interpret(observation).owner:
                memory.labels[PLACEHOLDER] = action.version  # as a run does that adopts it
        case act.AskOwner():
            memory.user_tag = user_tag(subject)
        case act.TakeOver():
            memory.user_tag = set_user_tag(subject)
        case act.Deactivate():
            subject.access_keys.deactivate(subject.user, action.key)
            # Remembered before the tag is written: where that fails the key is off all the same, and the next look may
            # still show it as Active.
            memory.switched[action.key] = KeyStatus.INACTIVE
            # IAM has no date for a status. Without this note the grace period could not be counted (docs/facts/aws.md).
            subject.store.tag(name, _note_on_tag(action.key, DeactivationNote.ROUTINE, observation, settings, memory))
        case act.NoteStack():
            subject.store.tag(name, {STACK_TAG: subject.stack})
        case act.NoteOrphan():
            note = DiscardNote(key=action.key, at=settings.clock.now())
            subject.store.tag(name, {ORPHAN_TAG: format_discard(note)})
        case act.Choose():
            subject.store.tag(name, {ADOPT_TAG: format_choice(action.key or NEW_KEY, settings.clock.now())})
        case act.Release():
            note = DiscardNote(key=action.key, at=settings.clock.now(), is_released=True)
            subject.store.tag(name, {ORPHAN_TAG: format_discard(note)})
        case act.MarkRevoked():
            _mark_revoked(subject, action.key)
        case act.NoteActive():
            _note_active(subject, action.key, observation, settings, memory)
        case act.Reactivate():
            _unmark_revoked(subject, action.key)
            subject.access_keys.reactivate(subject.user, action.key)
            memory.switched[action.key] = KeyStatus.ACTIVE
            subject.store.tag(
                name, _note_on_tag(action.key, DeactivationNote.SEEN_ACTIVE, observation, settings, memory)
            )
        case act.Delete():
            is_ours = subject.access_keys.delete(subject.user, action.key)
            memory.deleted.add(action.key)
            if action.version is not None:
                take_off(subject, action.key, action.version)
            _demand_ours(action, is_ours=is_ours)
        case act.DeleteOrphan():
            is_ours = subject.access_keys.delete(subject.user, action.key)
            memory.deleted.add(action.key)
            memory.made.pop(action.key, None)
            _demand_ours(action, is_ours=is_ours)
        case act.DenySessions():
            subject.access_keys.deny_sessions_before(subject.user, settings.clock.now())
            memory.are_sessions_denied = True
        case act.ReleaseQuarantine():
            subject.access_keys.release_quarantine(subject.user, action.policy_arn)
        case _:
            assert_never(action)
    return action.key


def _demand_ours(action: act.Delete | act.DeleteOrphan, *, is_ours: bool) -> None:
    """Leave what another run has deleted meanwhile to that run's report: each deletion is reported once."""
    if not is_ours:
        raise LostRace(f"another run has deleted {action.key} meanwhile")


def _refuse_own_key(action: act.Action, observation: Observation) -> None:
    """Make sure once more, whatever was planned (promise right-credential)."""
    if isinstance(action, act.Ending):
        held = own_key.refusal(observation, action.key)
        if held is not None:
            raise OwnKey(held.reason, where=f"IAM user {observation.user}", remedy=held.remedy)


def _ask_runs(subject: CredentialContext, action: act.AskRuns, settings: Settings) -> tuple[CarriedRuns, ...]:
    return tuple(settings.each(lambda target: target.runs_with_old_key(action.before), subject.targets))


def _ask_first(subject: CredentialContext, action: act.AskFirst, settings: Settings, memory: RunState) -> None:
    """Read what surrounds places, and whose keys they show; what was asked in this run is not asked again."""
    before = memory.first_looks or ()
    wanted = set(action.targets) - {look.address for look in before}
    chosen = [target for target in subject.targets if target.address in wanted]
    memory.first_looks = (*before, *settings.each(lambda target: target.surroundings(), chosen))
    known = {owner.key for owner in memory.owners}
    memory.owners = (*memory.owners, *(_owner(subject, key) for key in action.keys if key not in known))
    if action.asks_readers:
        memory.readers = _readers(subject)


def _readers(subject: CredentialContext) -> SecretReaders:
    """Read who else may read the secret; a question that is refused or fails leaves it unknown."""
    try:
        policy = subject.store.resource_policy(subject.secret_name)
        return readers(policy, subject.account, subject.secret_readers)
    except (ProviderRefused, ProviderUnavailable) as error:
        remedy = error.remedy or "allow secretsmanager:GetResourcePolicy on the secret, and run the same command again"
        return SecretReaders(why_unknown=str(error), remedy=remedy)


def _owner(subject: CredentialContext, key: AccessKeyId) -> KeyOwner:
    account = subject.identity.account_of(key)
    # GetAccessKeyLastUsed names the user, and answers for keys of the own account only; another account's key is known
    # by its number (sts:GetAccessKeyInfo).
    user = subject.access_keys.user_of(key) if account in {subject.account, None} else None
    status = _status(subject, key, user) if user not in {None, subject.user} else None
    return KeyOwner(key=key, account=account or (subject.account if user else None), user=user, status=status)


def _status(subject: CredentialContext, key: AccessKeyId, user: UserName | None) -> KeyStatus | None:
    """Read the status of another user's key; None where that is not allowed, or the list does not have it."""
    try:
        keys = subject.access_keys.list(user) if user else ()
    except KeyrotaError:
        return None
    return next((known.status for known in keys if known.id == key), None)


def _adopt(
    subject: CredentialContext, action: act.Adopt, observation: Observation, settings: Settings, memory: RunState
) -> AccessKeyId | None:
    """
    Label AWSCURRENT with the key that it stands for; a version that holds no pair counts as a placeholder.

    A value that cannot be served is remembered as refused: the plan holds it, with the reason, and nothing is written.
    """
    version = action.version or find_current(subject)
    key = action.key
    if key is None:
        try:
            key = recognize(subject, version, observation, settings, memory.verified)
        except (SecretUnusable, NotThisUsersKey) as error:
            memory.refused = refusal(version, error)
            return None
    label = key or PLACEHOLDER
    if action.is_labelled:
        # A plan has read that the version holds no pair. With the key's label alone it would count as stored, and a
        # later run would send what is not there.
        is_known_empty = key is not None and memory.labels.get(PLACEHOLDER) == version
        if is_known_empty and find_labelled(subject, PLACEHOLDER) != version:
            subject.store.move_label(subject.secret_name, PLACEHOLDER, to=version, remove_from=None)
        wearing = find_labelled(subject, label)
        subject.store.move_label(subject.secret_name, label, to=version, remove_from=wearing)
        subject.store.tag(subject.secret_name, {OWNER_TAG: owner_tag(subject.user)})
    # Only now: where the label could not be moved, a run that remembered it would replace a key that no later run
    # knows as its own, and the places that hold it would be written no more.
    memory.labels[label] = version
    return key


def _create(
    subject: CredentialContext, action: act.CreateKey, observation: Observation, settings: Settings, memory: RunState
) -> AccessKeyId:
    """Make the key and store it with the very next call: the one window that cannot be closed is between the two."""
    if action.base is None:
        raise RuntimeError("a projected key cannot be created")
    beside = _beside(subject, action.base, observation)
    with settings.stop.whole():
        created = create_under_claim(subject, settings, memory)
        subject.store.put_pending(
            subject.secret_name,
            key_token(created.credential.id, action.base),
            created.credential,
            beside=beside,
        )
    return created.credential.id


def _beside(subject: CredentialContext, base: VersionId, observation: Observation) -> Secret:
    """
    Read the fields that people keep beside the pair.

    Where AWSCURRENT cannot be read as JSON, they are those that were last served: a new key is the way out of such a
    value, which stays in the secret as the version before.
    """
    store, name = subject.store, subject.secret_name
    try:
        return store.other_fields(name, base)
    except SecretUnusable:
        seen = interpret(observation)
        older = next((one for one in (seen.recorded, seen.previous, *seen.versions) if one and key_label(one)), None)
        if older is None:
            raise
    return store.other_fields(name, older.id)


def _verify(subject: CredentialContext, action: act.Verify, settings: Settings, memory: RunState) -> None:
    if action.version is None:
        raise RuntimeError("a projected verification cannot be carried out")
    credential = subject.store.read(subject.secret_name, action.version)
    if credential is None or credential.id != action.key:
        raise ProviderRefused(
            f"the version labelled {action.key} does not hold that key",
            where=f"secret {subject.secret_name}",
            remedy=f"take the label {PENDING} off that version; the next run makes a new key",
        )
    memory.verified.discard(credential.id)  # what is asked again is not known until it is answered
    verify(subject, credential, settings)
    memory.verified.add(credential.id)


def _restore(subject: CredentialContext, action: act.Restore) -> None:
    """
    Store an older pair beside the fields of AWSCURRENT; its key's label moves to it with the same call.

    Where AWSCURRENT cannot be read as JSON, the fields that were stored with the pair are kept: going back is the way
    out of such a value.
    """
    store, name = subject.store, subject.secret_name
    credential = store.read(name, action.version)
    if credential is None or credential.id != action.key:
        raise ProviderRefused(
            f"the version labelled {action.key} does not hold that key",
            where=f"secret {name}",
            remedy="keyrota revoke makes a new key",
        )
    try:
        beside = store.other_fields(name, action.base)
    except SecretUnusable:
        beside = store.other_fields(name, action.version)
    store.put_restored(name, make_restored_token(action.key, action.base), credential, beside=beside)


def _promote(subject: CredentialContext, action: act.Promote, memory: RunState) -> None:
    if action.version is None or action.key is None:
        raise RuntimeError("a projected promotion cannot be carried out")
    memory.made_whole.clear()  # what was written until now was the key before
    memory.promoted.add(action.key)  # first, since the answer may be lost
    try:
        subject.store.move_label(subject.secret_name, AWSCURRENT, to=action.version, remove_from=action.remove_from)
    except LostRace:
        memory.promoted.discard(action.key)
        raise


def _mark_revoked(subject: CredentialContext, key: AccessKeyId) -> None:
    version = find_labelled(subject, key)
    if version is not None and find_labelled(subject, REVOKED + key) is None:
        subject.store.move_label(subject.secret_name, REVOKED + key, to=version, remove_from=None)


def _unmark_revoked(subject: CredentialContext, key: AccessKeyId) -> None:
    """A person asked for this key: it is trusted again."""
    version = find_labelled(subject, REVOKED + key)
    if version is not None:
        take_off(subject, REVOKED + key, version)


def _note_active(
    subject: CredentialContext, key: AccessKeyId, observation: Observation, settings: Settings, memory: RunState
) -> None:
    """Note that a key is wanted, and with the same call that it is not to be discarded."""
    tags = _note_on_tag(key, DeactivationNote.SEEN_ACTIVE, observation, settings, memory)
    discard = interpret(observation).discard
    if discard is not None and discard.key == key:
        tags[ORPHAN_TAG] = NOTHING_NOTED
    subject.store.tag(subject.secret_name, tags)


def _note_on_tag(
    key: AccessKeyId, note: DeactivationNote, observation: Observation, settings: Settings, memory: RunState
) -> dict[str, str]:
    """
    Return the tag with a key's new record beside what is noted of the user's other keys.

    The tag's value has room for four keys, and a user has two. What this run wrote counts before what it read: the
    store can lag behind.
    """
    record = DeactivationRecord(key=key, at=settings.clock.now(), note=note)
    memory.noted[key] = record
    there = {known.id for known in observation.keys}
    known = {it.key: it for it in interpret(observation).deactivated} | memory.noted
    others = (it for it in known.values() if it.key != key and it.key in there)
    return {DEACTIVATED_TAG: format_deactivated(record, *islice(others, _MAX_NOTED - 1))}
