"""Record that a person lets keyrota write into a place for the first time, whatever it holds now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from keyrota.core.lifecycle import interpret
from keyrota.core.model import OWNER_TAG, Confirmation, IndexEntry, Observation, TargetState
from keyrota.core.naming import owner_tag
from keyrota.core.places import Doubt, add_places, open_doubts
from keyrota.core.records import Index, format_index, parse_index
from keyrota.core.situation import Situation
from keyrota.errors import ProviderRefused
from keyrota.executor.subject import CredentialContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A place that is not written before a person has looked, and why."""

    subject: CredentialContext
    target: TargetState
    doubts: tuple[Doubt, ...]

    @property
    def is_confirmable(self) -> bool:
        """Whether a person's word ends every doubt."""
        return all(doubt.is_confirmable for doubt in self.doubts)


def questions(subject: CredentialContext, observation: Observation, now: datetime) -> tuple[Question, ...]:
    """Find the places of a credential that wait for a person."""
    situation = Situation(view=interpret(observation), policy=subject.policy, now=now)
    found = ((target, tuple(open_doubts(situation, target))) for target in observation.targets)
    return tuple(Question(subject=subject, target=target, doubts=doubts) for target, doubts in found if doubts)


def confirm(question: Question, *, by: str, at: datetime) -> None:
    """
    Note in the secret's index that exactly what was seen may be written over.

    Args:
        question: What a person was asked.
        by: ARN of the caller.
        at: Aware, UTC.

    Raises:
        ProviderRefused: The index cannot take the note: nothing was changed.
        KeyrotaError: Secrets Manager did not take it.
    """
    subject, address = question.subject, question.target.address
    state = subject.store.describe(subject.secret_name)
    if state is None:
        subject.store.create(subject.secret_name, {**subject.tags, OWNER_TAG: owner_tag(subject.user)})
    elif OWNER_TAG not in dict(state.tags) and not subject.is_secret_named:
        raise ProviderRefused(
            f"a secret named {subject.secret_name} exists, and keyrota did not make it",
            where=address,
            remedy=f"name it with `secret: {subject.secret_name}` in the configuration to let keyrota adopt it",
        )
    index = parse_index(dict(state.tags)) if state else Index()
    tags = format_index(_confirm(index, question, by=by, at=at))
    if not index.is_readable or "yes" in tags.values():
        raise ProviderRefused(
            "the confirmation cannot be recorded: the tags keyrota:targets of the secret are full, or cannot be read",
            where=address,
            remedy="set `first_write: confirmed` beside this target in the configuration instead",
        )
    subject.store.tag(subject.secret_name, tags)


def _confirm(index: Index, question: Question, *, by: str, at: datetime) -> Index:
    target = question.target
    named = [entry for entry in question.subject.index if entry.address == target.address]
    plain = IndexEntry(address=target.address, kind="", settings="{}")
    (entry,) = add_places(named or [plain], [target])
    known = index.of(entry)
    before = known.confirmed.seen.split(".") if known and known.confirmed else []
    seen = ".".join(sorted({*before, *(doubt.mark for doubt in question.doubts)}))
    noted = Confirmation(by=by, at=at, seen=seen)
    # What was written there is gone, or is written over: it holds nothing of ours until the next write has ended.
    fresh = replace(known, written=None, confirmed=noted) if known else replace(entry, is_begun=False, confirmed=noted)
    others = [one for one in index.entries if one is not known]
    return replace(index, entries=tuple(sorted([*others, fresh], key=lambda one: one.position)))
