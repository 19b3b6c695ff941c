"""
What a place is, and whether a write there is harmless (promises first-write-asks, a-place-is-an-id).

A place that keyrota has written before is known by the provider's own ID, which the secret's index remembers. Any other
write is a first one: it is made only where the place is empty, holds a key of this user, or holds a whole pair that
nobody can read. Everything else is a doubt, and a doubt is a hold until a person has confirmed exactly what was seen.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from shlex import quote

from keyrota.core import plan as act
from keyrota.core.lifecycle import KeyRing, key_label
from keyrota.core.model import (
    AccessKeyId,
    Conflict,
    FirstWrite,
    IndexEntry,
    KeyOwner,
    KeyStatus,
    TargetEvidence,
    TargetState,
    version_mark,
)
from keyrota.core.plan import Hold
from keyrota.core.situation import Situation

SHARED_REMEDY = "remove one of the two from the configuration, or give it other `names:`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One reason not to write into a place."""

    reason: str
    remedy: str
    is_confirmable: bool = True
    """A person's confirmation ends it; otherwise only what the remedy says does."""

    @property
    def mark(self) -> str:
        """Shorten the reason, as a confirmation remembers it: another reason is another question."""
        return base64.b64encode(hashlib.sha256(self.reason.encode(errors="backslashreplace")).digest()[:6]).decode()


def holds(situation: Situation) -> Iterator[Hold]:
    """Name the places that are not written, each with its reasons and what ends them."""
    for target in situation.view.observation.targets:
        yield from _hold_for_doubts(situation, target)


def find_unwritable(situation: Situation) -> frozenset[str]:
    """Find the addresses that no sync may write: a doubt is open, or it is not known what is there."""
    targets = situation.view.observation.targets
    return frozenset(
        target.address
        for target in targets
        if target.is_archived or is_unlooked(situation, target) or _is_held(situation, target)
    )


def _hold_for_doubts(situation: Situation, target: TargetState) -> Iterator[Hold]:
    for doubt in open_doubts(situation, target):
        yield Hold(
            target=target.address,
            key=None,
            reason=f"{target.address} is not written: {doubt.reason}",
            remedy=doubt.remedy,
        )


def _is_held(situation: Situation, target: TargetState) -> bool:
    return next(open_doubts(situation, target), None) is not None


def open_doubts(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    """Find the doubts about a place that nobody has confirmed."""
    known = _find_remembered(situation.view, target)
    confirmed = known.confirmed.seen.split(".") if known and known.confirmed else ()
    for doubt in doubts(situation, target):
        # A confirmation is of what was seen (decision 0026): a place that shows another key by now is asked about
        # again.
        if not (doubt.is_confirmable and doubt.mark in confirmed):
            yield doubt


def doubts(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    """Find every reason not to write into a place, confirmed or not; an archived place is never written."""
    if target.is_archived:
        return
    yield from _doubt_shared(situation, target)
    yield from _of_neighbours(situation, target)
    yield from _of_this_user(situation, target)
    if is_first_write(situation.view, target):
        yield from _doubt_replaced(situation, target)
        yield from _first_doubts(situation, target)
        return
    # The run that noted the beginning may have died before its write arrived, and someone else may have written since.
    if not is_written(situation.view, target) and not _is_confirmed_by_file(situation, target):
        yield from _strange(situation, target)
        yield from (_as_doubt(target, conflict) for conflict in target.conflicts if conflict.is_of_others)
    yield from _doubt_vanished(situation, target)
    if not _is_confirmed_by_file(situation, target):
        yield from (_as_doubt(target, conflict) for conflict in target.conflicts if conflict.is_lasting)


# --- whether a place is known ---------------------------------------------------------------------------------------


def entry_of(target: TargetState) -> IndexEntry:
    """Name what was read as the index does, so that it can be looked up there."""
    place = target.place
    return IndexEntry(
        address=target.address,
        kind=place.kind if place else "",
        settings="",
        origin=place.origin if place else "",
        place=place.mark if place else "",
        variables=tuple(variable.name for variable in target.variables),
    )


def _find_remembered(view: KeyRing, target: TargetState) -> IndexEntry | None:
    """Find what the index remembers of a place; None: nothing."""
    return view.index.of(entry_of(target)) if view.index.entries else None


def find_known(view: KeyRing, target: TargetState) -> IndexEntry | None:
    """Find what the index remembers of a place into which a write was begun; None: none was."""
    found = _find_remembered(view, target)
    return found if found and found.is_begun else None


def is_first_write(view: KeyRing, target: TargetState) -> bool:
    """
    Return whether keyrota has never written into this place.

    The record of a sync counts as well: it names the set of targets, and all of them were written then. It says
    nothing where the index knows another place of this name, or that this one was archived and is not begun.
    """
    known = _find_remembered(view, target)
    if known is not None:
        return not known.is_begun
    return not _is_recorded(view) or any(_others_of_this_name(view, target))


def is_written(view: KeyRing, target: TargetState) -> bool:
    """
    Return whether a write into this place has come to its end.

    One that was only begun may never have arrived: the run that noted it died. What shows another user's key then is
    not ours to write over; what shows half a pair may be what that run left, and is finished.
    """
    if _is_recorded(view):
        return True
    known = find_known(view, target)
    return known is None or known.written is not None


def _is_recorded(view: KeyRing) -> bool:
    """Return whether the record of a sync says that all targets of now were written, or archived then."""
    return view.synced is not None and view.synced.fingerprint == view.observation.fingerprint


def _earlier(view: KeyRing, target: TargetState) -> IndexEntry | None:
    """Find another place that had this address when keyrota wrote it."""
    return next((entry for entry in _others_of_this_name(view, target) if entry.is_begun), None)


def _others_of_this_name(view: KeyRing, target: TargetState) -> Iterator[IndexEntry]:
    """Find other places that had this address: written, or passed over because they were archived."""
    for entry in view.index.entries:
        if entry.address == target.address and entry.is_at(target.place) is False:
            yield entry


def is_unlooked(situation: Situation, target: TargetState) -> bool:
    """Return whether it is not known what a first write would replace: nothing is written then."""
    if not is_first_write(situation.view, target):
        return False
    asked = {answer.address for answer in situation.view.observation.first_looks or ()}
    # An answer that failed is none: an empty place and one that does not answer look the same from here.
    return target.evidence is TargetEvidence.FAILED or target.address not in asked


def questions(situation: Situation, *, is_due: bool) -> Iterator[act.AskFirst]:
    """
    Ask what has to be known before a first write, and whose keys are in sight at any place.

    Args:
        situation: The credential.
        is_due: Something would be written now; before that, only the owners of keys in sight are asked for.
    """
    seen = situation.view.observation
    asked = {answer.address for answer in seen.first_looks or ()}
    owned = {owner.key for owner in seen.owners}
    open_ = [target for target in seen.targets if _may_be_written(target)]
    first = [target for target in open_ if is_first_write(situation.view, target)]
    around = tuple(target.address for target in first if is_due and target.address not in asked)
    keys = tuple(
        dict.fromkeys(key for target in open_ for key in _strange_keys(situation.view, target) if key not in owned)
    )
    if around or keys:
        reason = "ask what a first write would replace" if around else "ask whose keys places show"
        yield act.AskFirst(targets=around, keys=keys, reason=reason, due=situation.now)


def _may_be_written(target: TargetState) -> bool:
    return target.evidence is not TargetEvidence.FAILED and not target.is_archived


# --- the doubts -----------------------------------------------------------------------------------------------------


def _doubt_shared(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    """Two configured targets are one place: each run would write one pair over the other."""
    for other in situation.view.observation.targets:
        if other.address != target.address and is_same_variable(target, other):
            yield Doubt(
                reason=f"{other.address} is the same place ({target.place})",
                remedy="remove one of the two from the configuration",
                is_confirmable=False,
            )
    for address, words in situation.view.observation.shared:
        if address == target.address:
            yield Doubt(reason=words, remedy=SHARED_REMEDY, is_confirmable=False)


def is_same_variable(one: TargetState, other: TargetState) -> bool:
    """Return whether two targets would write the same variable of the same place."""
    names = {variable.name for variable in one.variables} & {variable.name for variable in other.variables}
    # Not known is not shared: two targets whose IDs a token may not see would otherwise refuse each other for ever.
    if one.place is None or other.place is None:
        return False
    return one.place.identity == other.place.identity and bool(names)


def _of_neighbours(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    neighbours = dict(situation.view.observation.neighbours)
    for key in _list_shown(target):
        if key in neighbours and key not in _own_keys(situation.view):
            yield Doubt(
                reason=f"it holds {key}, the key that keyrota keeps for {neighbours[key]}",
                remedy="configure the place for one of the two users, or give each its own variables (`names:`); "
                f"if it was given to this user: keyrota confirm {quote(target.address)}",
            )


def _of_this_user(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    """
    Another Active key of the same user is no ordinary drift, whatever `drift:` says: a person put it there to stay.

    Written over, it would fail with the key that the person deletes next, believing it replaced.
    """
    view = situation.view
    if _was_given_what_a_person_put(view, target):
        return
    for key_id in _list_shown(target):
        key = view.key(key_id)
        # An Inactive one works for no one, so that writing over it takes nothing from anybody.
        if key is None or key.status is not KeyStatus.ACTIVE or key_id == view.current_key:
            continue
        if view.current_key is not None and view.version_of(key_id) is None:
            yield _doubt(
                target,
                f"it holds {key_id}, another Active key of this user, which keyrota did not make",
                f"to keep {key_id}, store its pair in the secret (aws secretsmanager put-secret-value): keyrota "
                f"verifies it, adopts it and brings it to every target; do not delete {view.current_key} before",
            )


def _was_given_what_a_person_put(view: KeyRing, target: TargetState) -> bool:
    """
    Return whether keyrota itself wrote there a value that a person had put into the secret, and that has no label yet.

    The duty that serves such a value at once may move no labels, so which key it is cannot be told from the versions
    until the next run that rotates.
    """
    known = find_known(view, target)
    if known is None or known.written is None:
        return False
    given = (version for version in view.versions if version_mark(version.id) == known.written.version)
    return any(key_label(version) is None and view.holds_secret(version) for version in given)


def _doubt_replaced(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    earlier, place = _earlier(situation.view, target), target.place
    if earlier is None or place is None or earlier.origin != place.origin:
        return  # another origin is a new place that the configuration names; the old one is a removed target
    yield Doubt(
        reason=f"it is not the place that keyrota wrote: that was {earlier.place}, and this name now means {place.id}",
        remedy="if the first one was renamed, write its new name into the configuration; if pipelines use this one, "
        f"{_confirm(target)}",
    )


def _doubt_vanished(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    known = find_known(situation.view, target)
    is_all_gone = target.evidence is TargetEvidence.ABSENT and target.is_empty
    if is_all_gone and known is not None and known.written is not None:
        yield Doubt(
            reason=f"the whole pair that keyrota wrote there ({known.written.since:%Y-%m-%d %H:%M} UTC) is gone",
            remedy=f"if pipelines still need it there, {_confirm(target)}; if not, remove it from the configuration, "
            f"then: keyrota forget {quote(target.address)}",
        )


def _first_doubts(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    if target.evidence is TargetEvidence.FAILED or _is_confirmed_by_file(situation, target):
        return
    around = next(
        (look for look in situation.view.observation.first_looks or () if look.address == target.address), None
    )
    # Each once, in their order: the level of the place itself is read by both.
    found = dict.fromkeys((*target.conflicts, *(around.conflicts if around else ())))
    conflicts = tuple(conflict for conflict in found if not _is_of_neighbour(situation, conflict))
    yield from (_as_doubt(target, conflict) for conflict in conflicts)
    if _is_half(target) and not conflicts:
        yield _doubt(target, f"half a pair is there: it lacks {target.detail}", "find where the other half comes from")
    yield from _strange(situation, target)
    if target.evidence is TargetEvidence.HOLDS and target.key is None:
        yield _doubt(target, "it holds something that is not a key ID", "look at what uses it")
    if _asks_always(situation, target) and _is_unreadable(target):
        yield _doubt(target, "it holds a pair that cannot be read (`first_write: ask`)", "look at what uses it")


def _strange(situation: Situation, target: TargetState) -> Iterator[Doubt]:
    for key in _strange_keys(situation.view, target):
        yield _doubt(target, f"it holds {key}, {whose(situation.view, key)}", "check which account it is meant for")


def _is_half(target: TargetState) -> bool:
    """
    Return whether a part of the pair is there.

    A marker is none, unless it has the name of a secret: jobs read that half as a variable (`marker:` at GitHub).
    """
    marked = {variable.name for variable in target.variables if variable.is_marker and variable.is_present}
    parts = [variable for variable in target.variables if not variable.is_marker]
    of_pair = [variable.is_present or variable.name in marked for variable in parts]
    is_part = target.evidence is TargetEvidence.ABSENT and not target.is_empty
    return is_part and (not of_pair or not all(of_pair))


def _is_of_neighbour(situation: Situation, conflict: Conflict) -> bool:
    """Return a pair of another configured user beside ours, under names of its own: the place is meant for both."""
    return conflict.key in dict(situation.view.observation.neighbours) and conflict.key not in _own_keys(situation.view)


def _as_doubt(target: TargetState, conflict: Conflict) -> Doubt:
    return _doubt(target, conflict.what, conflict.remedy)


def _doubt(target: TargetState, reason: str, remedy: str) -> Doubt:
    return Doubt(reason=reason, remedy=f"{remedy}; if keyrota may write there all the same, {_confirm(target)}")


def _confirm(target: TargetState) -> str:
    return f"keyrota confirm {quote(target.address)}"


def _is_confirmed_by_file(situation: Situation, target: TargetState) -> bool:
    return dict(situation.view.observation.first_writes).get(target.address) is FirstWrite.CONFIRMED


def _asks_always(situation: Situation, target: TargetState) -> bool:
    wanted = dict(situation.view.observation.first_writes).get(target.address, situation.policy.first_write)
    return wanted is FirstWrite.ASK


def _is_unreadable(target: TargetState) -> bool:
    """Return whether something is there that cannot be read, and nothing that says whose it is."""
    hidden = any(variable.is_present and not variable.is_readable for variable in target.variables)
    return not _list_shown(target) and (hidden or target.evidence is TargetEvidence.CANNOT_TELL)


# --- whose key it is ------------------------------------------------------------------------------------------------


def _list_shown(target: TargetState) -> tuple[AccessKeyId, ...]:
    """Find the key IDs that our own variables show."""
    keys = (target.key, *(variable.key for variable in target.variables))
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def _own_keys(view: KeyRing) -> frozenset[AccessKeyId]:
    """Find the keys of this user: those that IAM lists, and those that the secret has stored."""
    stored = (key_label(version) for version in view.versions)
    return frozenset({key.id for key in view.keys} | {key for key in stored if key})


def _strange_keys(view: KeyRing, target: TargetState) -> tuple[AccessKeyId, ...]:
    return tuple(key for key in _list_shown(target) if key not in _own_keys(view))


def is_without_our_keys(view: KeyRing, target: TargetState) -> bool:
    """Return whether a place certainly holds no key of this user: it was read as empty, or shows another key."""
    if target.evidence is TargetEvidence.ABSENT:
        return target.is_empty
    return target.evidence is TargetEvidence.HOLDS and target.key is not None and target.key not in _own_keys(view)


def whose(view: KeyRing, key: AccessKeyId) -> str:
    """Say in words whose key an ID is."""
    seen = view.observation
    if key in _own_keys(view):
        return "a key of this user"
    owner = seen.owner_of(key) or KeyOwner(key=key)
    if owner.user is not None:
        return f"a key of the user {owner.user}"
    if owner.account is None:
        return "a key of an account that AWS does not name"
    if owner.account == seen.account:
        return f"a key of this account ({owner.account}), of a user that IAM does not name"
    return f"a key of the account {owner.account}"


# --- what it is called -------------------------------------------------------------------------


def find_former_address(view: KeyRing, target: TargetState) -> str:
    """Name the address under which a renamed place was written; empty where it has that address still."""
    known = find_known(view, target)
    return known.address if known and known.address != target.address else ""


def add_places(entries: Iterable[IndexEntry], targets: Iterable[TargetState]) -> tuple[IndexEntry, ...]:
    """Add to the index's entries of configured targets which places they are, as they were read."""
    states = {target.address: entry_of(target) for target in targets}
    return tuple(
        replace(entry, origin=state.origin, place=state.place, variables=state.variables)
        if (state := states.get(entry.address))
        else entry
        for entry in entries
    )
