"""
What a report says of the places that a run was shown (promise says-broken), and how long a pair may stay torn.

A place is broken where every pipeline fails: its key is Inactive or deleted, or the two halves of its pair are of
different keys. What a run cannot know is not asked of it: what happened while it was at work, what the provider does
not show, and a key that no version of the secret names, which may be of another account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from limits import SHOWN_AFTER, TORN_RUNS, TRIED, WAITED_FOR
from record import Record

from keyrota.core.model import AccessKeyId, KeyStatus, TargetEvidence, UserName
from keyrota.core.outcome import Outcome
from keyrota.core.plan import Duty, Needs
from keyrota.core.planner import Only
from keyrota.executor import Preview
from keyrota.report.data import CredentialReport
from keyrota_sandbox.memory import Variables
from keyrota_sandbox.memory.stored import LONG_AGO
from keyrota_sandbox.simulation import RunInfo, owner_of

_LOOKS = (None, Duty.SYNC)
"""Who reports on places: whoever does everything, and the duty whose work they are."""


@dataclass(slots=True)
class ReportPromises:
    """Judges what runs report."""

    record: Record
    torn_runs: Counter[str] = field(default_factory=Counter)
    """How many runs that went through have left a place torn, in a row."""

    def look_at_run(self, info: RunInfo) -> None:
        """Judge the report of a run that came to its end, or the plan that it showed."""
        duty = info.intent.duty if isinstance(info.intent, Only) else None
        if duty not in _LOOKS:
            return
        outcomes = [_shown(preview) for preview in info.previews] if info.is_plan_only else info.outcomes
        for outcome in outcomes:
            by = info.name if len(info.users) == 1 else f"{info.name} {owner_of(outcome)}"
            for address, key, trouble in self._broken_places(by, info, outcome):
                self._is_said(by, outcome, address, key, trouble)
            if not info.is_plan_only:
                self._is_whole_again(by, info, outcome)

    def _broken_places(self, by: str, info: RunInfo, outcome: Outcome) -> Iterator[tuple[str, AccessKeyId | None, str]]:
        """Find the places at which pipelines have failed since before the run began, as far as it could know."""
        user, seen = owner_of(outcome), outcome.observation
        as_of = seen.keys_as_of if seen is not None and seen.keys_as_of is not None else info.began
        world, latest = self.record.history.world, min(as_of, info.began) - SHOWN_AFTER
        for address in self.record.history.runs[by].addresses:
            place, shown = world.places[address], self.record.shown.get((by, address))
            if shown is None or shown.evidence is TargetEvidence.FAILED or place.is_down or place.is_archived:
                continue
            if place.torn_since is not None:
                if place.torn_since < latest and not self._is_mixed(address, place):
                    yield address, None, "half a pair"
                continue
            key = place.pair.id if place.pair else None
            is_shown = shown.evidence is TargetEvidence.HOLDS and shown.key == key
            if key is None or not is_shown or (place.changed_at is not None and place.changed_at > latest):
                continue
            trouble = self._trouble_of(key, user, info)
            since = self.record.dead_since(key)
            if trouble is not None and since is not None and since < latest:
                yield address, key, trouble

    def _trouble_of(self, key: AccessKeyId, user: UserName, info: RunInfo) -> str | None:
        found = self.record.history.world.find(key)
        if found is not None:
            return "Inactive" if found[1].status is KeyStatus.INACTIVE and found[0] == user else None
        stored = self.record.stored_by(info, user)
        is_named = stored is not None and any(key in version.labels for version in stored.versions.values())
        is_new = stored is not None and stored.changed_at > info.began - WAITED_FOR
        return "deleted" if is_named and not is_new else None

    def _is_said(self, by: str, outcome: Outcome, address: str, key: AccessKeyId | None, trouble: str) -> None:
        """Exit code 1, and a line about the place or its key."""
        self.record.statistics["reports of a broken place"] += 1
        report = _report(outcome)
        holds = [hold for hold in outcome.plan.holds if hold.needs is Needs.REPAIR] if outcome.plan else []
        is_named = any(hold.target == address or (key is not None and hold.key == key) for hold in holds)
        if not report.is_broken:
            self.record.breaks("says-broken", f"{by} ends with 0 or 3, and {address} holds {key}: {trouble}")
        elif not is_named and not outcome.errors:
            self.record.breaks("says-broken", f"{by} does not say that {address} holds {key}: {trouble}")

    def _is_whole_again(self, by: str, info: RunInfo, outcome: Outcome) -> None:
        """A run that went through leaves no pair as torn as it found it."""
        is_through = not info.is_plan_only and not outcome.errors and outcome.plan is not None
        for address in self.record.history.runs[by].addresses:
            place = self.record.history.world.places[address]
            if self._is_left_torn(by, address, place):
                self.record.breaks("whole-pair", f"{by} leaves {address} with half a pair, and it took writes")
            is_old = place.torn_since is not None and place.torn_since <= info.began - SHOWN_AFTER
            if not is_old or self._is_mixed(address, place):
                self.torn_runs.pop(address, None)
            elif is_through and not place.is_down and not self._is_without_key(owner_of(outcome)):
                self.torn_runs[address] += 1
                if self.torn_runs[address] > TORN_RUNS:
                    torn = self.torn_runs[address]
                    self.record.breaks("whole-pair", f"{by} is run {torn} that leaves {address} with half a pair")

    def _is_mixed(self, address: str, place: Variables) -> bool:
        """Return whether both halves have arrived, and somebody else wrote between the two: no run can know of that."""
        return place.ours is not None and (address, place.ours) in self.record.has_held

    def _is_left_torn(self, by: str, address: str, place: Variables) -> bool:
        """Return whether a run tore a pair itself, and left it so without having tried it again and again."""
        torn, down = place.torn_since, self.record.down_seen.get(address)
        written = self.record.halves.get((by, address, place.ours), set()) if place.ours is not None else set()
        is_last = self.record.wrote_last.get(address) == by  # another run may write between two halves
        is_own = is_last and len(written) == 1  # where both arrived, somebody else wrote between the two
        is_to_blame = self.record.refused[by, address] < TRIED and (down is None or torn is None or down < torn)
        return torn is not None and is_own and not place.by_hand and is_to_blame

    def _is_without_key(self, user: UserName) -> bool:
        """Return whether AWSCURRENT holds nothing that could be sent."""
        return self.record.sendable(user) is None


def _shown(preview: Preview) -> Outcome:
    """Put a plan that was only shown into the form of an outcome."""
    errors = (preview.error,) if preview.error else ()
    return replace(preview.run.outcome(preview.plan, preview.observation), errors=errors)


def _report(outcome: Outcome) -> CredentialReport:
    return CredentialReport(
        user=outcome.user,
        account=outcome.account,
        secret_name="",
        now=LONG_AGO,
        observation=outcome.observation,
        plan=outcome.plan,
        errors=outcome.errors,
        left=outcome.left,
    )
