"""The waves of one run: from the configuration, and from what a person or a schedule asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keyrota.app.choice import Name, Wanted
from keyrota.app.wiring import Wiring
from keyrota.core.model import CredentialId, UserName
from keyrota.core.planner import Intent
from keyrota.core.waves import Share, count_needed
from keyrota.errors import KeyrotaError
from keyrota.executor import Preview, plan_all
from keyrota.executor.waves import Waves


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the waves of one run."""

    is_part: bool = False
    """The run is one of several that share the fleet, and so the new keys of a day."""
    limit: int | None = None
    """`--max`: new keys that the run makes at most."""
    force_reason: str = ""
    """`--force --reason`: nothing waits for its turn, and why; empty: it does."""


def make_waves(wiring: Wiring, wanted: Wanted, asked: Asked, intent: Intent | None) -> Waves:
    """Find how many new keys a run makes, and whose come first."""
    configuration = wiring.configuration
    return Waves(
        rollout=configuration.rollout,
        needed=count_needed(entry.policy for entry in configuration.credentials),
        share=_find_share(wiring, wanted) if asked.is_part else None,
        limit=asked.limit,
        force_reason=asked.force_reason,
        canaries=frozenset(_identify_canaries(wiring)),
        beyond=lambda: _look_at_canaries(wiring, intent),
    )


def _find_share(wiring: Wiring, wanted: Wanted) -> Share:
    chosen = {id(entry) for entry in wiring.chooser.choose(wanted)}
    every = wiring.configuration.credentials
    return Share(positions=tuple(at for at, entry in enumerate(every) if id(entry) in chosen), total=len(every))


def _identify_canaries(wiring: Wiring) -> Iterable[CredentialId]:
    """Identify them; one that cannot be found, or whose account is not known, is never seen: it has proven nothing."""
    known = {name for entry in wiring.canaries for name in (entry.user, f"{entry.known_account}:{entry.user}")}
    yield from (
        CredentialId(account="", user=UserName(name))
        for name in wiring.configuration.rollout.canaries
        if name not in known
    )
    for entry in wiring.canaries:
        try:
            yield wiring.credential(entry)
        except KeyrotaError:
            yield CredentialId(account="", user=UserName(entry.user))


def _look_at_canaries(wiring: Wiring, intent: Intent | None) -> tuple[Preview, ...]:
    """Look at the canaries, which a run of a part of the fleet does not see; one that cannot be reached is left out."""
    if not wiring.canaries:
        return ()
    subjects, _ = wiring.subjects(Wanted(names=tuple(Name.of(entry) for entry in wiring.canaries)))
    return plan_all(subjects, wiring.settings, intent=intent, at_once=wiring.configuration.concurrency)
