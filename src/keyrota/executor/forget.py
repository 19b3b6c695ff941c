"""End what is left behind: a target that the configuration names no more."""

from __future__ import annotations

from dataclasses import dataclass

from keyrota.core.lifecycle import KEY_ID, interpret
from keyrota.core.model import AccessKeyId, IndexEntry, Observation, TargetState
from keyrota.core.records import Index, format_index, parse_index
from keyrota.core.removed import find_removed
from keyrota.errors import KeyrotaError, ProviderRefused
from keyrota.executor.subject import CredentialContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A target that one credential's secret remembers."""

    subject: CredentialContext
    observation: Observation
    entry: IndexEntry
    name: str
    """Its address, with its origin or ID where a configured target has the same address."""

    @property
    def is_configured(self) -> bool:
        """Whether the configuration still names it."""
        return self.name == self.entry.address and any(target.address == self.name for target in self.subject.targets)

    @property
    def state(self) -> TargetState | None:
        """What it holds now, as it was just read; None for one that is configured."""
        return next((state for state in self.observation.left_behind if state.address == self.name), None)


def list_remembered(subject: CredentialContext, observation: Observation) -> tuple[Remembered, ...]:
    """List the targets that a credential's secret remembers."""
    index = interpret(observation).index
    names = {gone.entry: gone.name for gone in find_removed(index, observation.targets)}
    return tuple(
        Remembered(subject=subject, observation=observation, entry=entry, name=names.get(entry, entry.address))
        for entry in index.entries
    )


def forget(known: Remembered, *, deletes_variables: bool) -> tuple[str, ...]:
    """
    Take a target out of the index, after its variables were deleted where that is asked for.

    Returns:
        The names of the variables that were deleted.

    Raises:
        ProviderRefused: It holds a key that keyrota did not write; nothing was changed.
        KeyrotaError: The provider did not do it; the target is still remembered.
    """
    gone: tuple[str, ...] = ()
    if deletes_variables:
        target = known.subject.reach(known.entry) if known.subject.reach else None
        if target is None or isinstance(target, KeyrotaError):
            what = target.what if target else "it cannot be reached"
            raise ProviderRefused(
                f"its variables cannot be deleted: {what}",
                where=known.name,
                remedy="configure the provider again, or leave --delete-variables out",
            )
        if known.entry.is_at(target.read().place) is False:
            raise ProviderRefused(
                "its variables cannot be deleted: another place answers to that name now",
                where=known.name,
                remedy="leave --delete-variables out, and delete them at the old place yourself",
            )
        gone = target.clear(_our_keys(known.observation))
    subject, store = known.subject, known.subject.store
    state = store.describe(subject.secret_name)
    index = parse_index(dict(state.tags)) if state else Index()  # afresh: another run may have written it
    store.tag(subject.secret_name, format_index(index.without(known.entry)))
    return gone


def _our_keys(observation: Observation) -> frozenset[AccessKeyId]:
    labels = (label for version in interpret(observation).versions for label in version.labels)
    return frozenset(AccessKeyId(label) for label in labels if KEY_ID.fullmatch(label))
