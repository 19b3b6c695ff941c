"""One run of one command: configuration, wiring, plans, outcomes, reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from keyrota.app.beside import neighbours
from keyrota.app.choice import EVERYTHING, Wanted
from keyrota.app.clock import clock
from keyrota.app.config import load_from
from keyrota.app.lists import AccountLists
from keyrota.app.selection import select_users
from keyrota.app.waves import Asked, make_waves
from keyrota.app.wiring import Unreachable, Wiring
from keyrota.core.outcome import Outcome
from keyrota.core.planner import Intent
from keyrota.executor import Listener, Preview, Screen, apply_all, plan_all
from keyrota.executor.parallel import in_parallel, in_turns
from keyrota.executor.waves import is_in_waves, plan_in_turns
from keyrota.ports import Clock
from keyrota.report.data import CredentialReport

_AS_CONFIGURED = Asked()
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What was found: a plan for each credential that can be reached, and those that cannot."""

    previews: tuple[Preview, ...]
    unreachable: tuple[Unreachable, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of the run as a whole."""


class Watch(Protocol):
    """Whoever shows the progress of long work."""

    def watched(self, clock: Clock) -> Clock:
        """Return a clock whose waits are shown."""
        ...

    def parallel(self, do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:
        """Do the same with several things at once, as `executor.parallel.Parallel`."""
        ...


class Session:
    """What every command does with the configured credentials."""

    def __init__(
        self,
        config: Path | str,
        *,
        sha256: str = "",
        stack: str = "",
        duty: str = "operator",
        ends_in: timedelta | None = None,
        watch: Watch | None = None,
    ) -> None:
        """
        Read the configuration, and prepare what it needs.

        Args:
            config: Where it is.
            sha256: The fingerprint that its text must have; empty: any.
            stack: Who keeps the credentials: name, region and account.
            duty: Of the function; `operator` for the command line.
            ends_in: How long the process may still run (the time limit of a function); None: nobody says.
            watch: Shows the progress of long work.
        """
        self.clock = watch.watched(clock()) if watch else clock()
        self.watch = watch
        self.stack = stack
        until = self.clock.now() + ends_in if ends_in is not None else None
        self.configuration = load_from(config, sha256=sha256)
        # Half, so that a credential that waits for a limit leaves time for those that do not.
        at_most = ends_in / 2 if ends_in is not None else None
        self.wiring = Wiring(
            self.configuration,
            self.clock,
            stack=stack,
            duty=duty,
            at_most=at_most,
            until=until,
            parallel=watch.parallel if watch else in_parallel,
        )
        if self.configuration.selections:
            self.configuration = select_users(self.wiring)

    def plan(
        self, wanted: Wanted = EVERYTHING, intent: Intent | None = None, waves: Asked | None = _AS_CONFIGURED
    ) -> Planned:
        """
        Look at the credentials, or at those that are wanted, and plan; writes nothing.

        Args:
            wanted: Which.
            intent: What was asked for; None: the routine.
            waves: What is asked of the waves; None: no new key waits for its turn.
        """
        subjects, unreachable = self.wiring.subjects(wanted)
        at_once = self.configuration.concurrency
        beside = partial(neighbours, self.wiring)
        lists = AccountLists(self.wiring, subjects)
        screen = Screen(lists=lists.of, drift_every=self.configuration.drift_every)
        settings = self.wiring.settings
        previews = plan_all(subjects, settings, intent=intent, at_once=at_once, beside=beside, screen=screen)
        if waves is not None and is_in_waves(intent):
            previews = plan_in_turns(previews, make_waves(self.wiring, wanted, waves, intent), self.clock.now())
        return Planned(previews=previews, unreachable=unreachable, notes=tuple(lists.notes))

    def one(self, wanted: Wanted, intent: Intent | None = None) -> Preview:
        """
        Look at the one credential that is wanted; writes nothing.

        Raises:
            UsageError: It is not configured, or several are meant.
            KeyrotaError: It cannot be reached.
        """
        planned = self.plan(wanted, intent)
        for missing in planned.unreachable:
            raise missing.error
        (preview,) = planned.previews
        if preview.error is not None:
            raise preview.error
        return preview

    def apply(
        self, planned: Planned, *, emit: Listener, is_late: Callable[[], bool] = lambda: False
    ) -> tuple[Outcome, ...]:
        """Carry the plans out; what is not begun when it is late is left to the next run."""
        return apply_all(
            planned.previews,
            emit=emit,
            parallel=self.watch.parallel if self.watch else in_turns,
            at_once=self.configuration.concurrency,
            is_late=is_late,
        )

    def reports(self, planned: Planned) -> tuple[CredentialReport, ...]:
        """Report plans."""
        now = self.clock.now()
        found = [
            CredentialReport(
                user=preview.user,
                account=preview.subject.account,
                secret_name=preview.subject.secret_name,
                now=now,
                observation=preview.observation,
                plan=preview.plan,
                errors=(preview.error,) if preview.error else (),
                policy=preview.subject.policy,
                label=preview.subject.label,
            )
            for preview in planned.previews
        ]
        return (*found, *self._unreachable(planned))

    def outcome_report(self, preview: Preview, outcome: Outcome) -> CredentialReport:
        """Report what was done for one credential."""
        return CredentialReport(
            user=outcome.user,
            account=outcome.account,
            secret_name=preview.subject.secret_name,
            now=self.clock.now(),
            observation=outcome.observation,
            plan=outcome.plan,
            done=outcome.done,
            errors=outcome.errors,
            left=outcome.left,
            policy=preview.subject.policy,
            label=preview.subject.label,
        )

    def outcome_reports(self, planned: Planned, outcomes: Iterable[Outcome]) -> tuple[CredentialReport, ...]:
        """Report what was done."""
        pairs = zip(planned.previews, outcomes, strict=True)
        found = [self.outcome_report(preview, outcome) for preview, outcome in pairs]
        return (*found, *self._unreachable(planned))

    def _unreachable(self, planned: Planned) -> tuple[CredentialReport, ...]:
        return tuple(
            CredentialReport(
                user=missing.user,
                account=missing.account,
                secret_name=missing.secret_name,
                now=self.clock.now(),
                errors=(missing.error,),
                label=missing.label,
            )
            for missing in planned.unreachable
        )
