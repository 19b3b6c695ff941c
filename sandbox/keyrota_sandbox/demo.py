"""
The demo: days in the embedded cloud, keyrota run once a day, pipelines deploying every few hours.

Everything is real but the clock: botocore and our HTTP client talk HTTP to a strict AWS and to emulators for
Bitbucket, GitHub and GitLab; each pipeline run calls STS with exactly the variables that its provider holds.
A witness looks at the cloud itself.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from keyrota.app.config import load
from keyrota.app.wiring import Wiring
from keyrota.core import plan as act
from keyrota.core.model import AccessKeyId, KeyPair, UserName
from keyrota.core.outcome import Outcome
from keyrota.core.policy import CLASSIC
from keyrota.core.secret import Secret
from keyrota.executor import Event, EventKind, apply_all, plan_all
from keyrota.executor.subject import CredentialContext
from keyrota.ports import AccessKeys
from keyrota_sandbox.auditor import Witness
from keyrota_sandbox.cloud import REGION, START, Cloud
from keyrota_sandbox.memory import Crash
from keyrota_sandbox.pipelines import AwsCaller, Pipeline
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.providers.github import GitHubEmulator
from keyrota_sandbox.providers.gitlab import GitLabEmulator

CONFIGURATION = """\
version: 1
policy: {{preset: classic}}
providers:
  bitbucket:
    base_url: {bitbucket}/2.0
    auth: {{token: "env:BITBUCKET_TOKEN"}}
  github:
    base_url: {github}
    auth: {{token: "env:GITHUB_TOKEN"}}
  gitlab:
    base_url: {gitlab}/api/v4
    auth: {{token: "env:GITLAB_TOKEN"}}
credentials:
  - user: ci-shop
    targets:
      - bitbucket: {{workspace: acme, repository: shop, environment: Production}}
  - user: ci-payments
    targets:
      - github: {{repository: acme/payments, environment: production, marker: true}}
  - user: ci-docs
    targets:
      - gitlab: {{project: acme/web/docs, environment_scope: production}}
  - user: ci-tools                                  # one key at all three
    targets:
      - bitbucket: {{workspace: acme, repository: tools, environment: Production}}
      - github: {{repository: acme/tools, marker: true}}
      - gitlab: {{project: acme/tools}}
  - user: ci-app
    targets:
      - bitbucket: {{workspace: acme, repository: app, environment: Production{names}}}
"""

_OTHER_NAMES = {"AWS_ACCESS_KEY_ID": "DEPLOY_KEY_ID", "AWS_SECRET_ACCESS_KEY": "DEPLOY_SECRET_KEY"}
"""The pipeline of acme/app reads these; the configuration of the first days does not say so."""
_NAMES_DAY = 9
"""The day on which a person has read the report, and gives the names in the configuration."""

AGES = {"ci-shop": 84, "ci-payments": 61, "ci-docs": 35, "ci-tools": 12, "ci-app": 88}
"""Ages in days of the keys that are there on the first day; nobody has stored them."""

_DOWN_ON_ROTATION = 2
"""GitHub does not answer for acme/payments on the day of its second rotation."""
_QUEUED_ON_ROTATION = 1
"""A run of acme/tools is queued on the day before its first rotation, and waits for an approval."""
_APPROVAL_DAYS = 14
_SCRIPT_DAYS = 24
"""So long after the first rotation a forgotten script still uses ci-shop's old key."""


@dataclass(slots=True, kw_only=True)
class Numbers:
    """What is counted; `--json` prints exactly this."""

    days: int = 0
    rotations: int = 0
    syncs: int = 0
    deactivations: int = 0
    deletions: int = 0
    held: int = 0
    orphans_healed: int = 0
    pipeline_runs: int = 0
    pipeline_failures: int = 0
    broken_promises: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened, for people."""

    at: datetime
    day: int
    role: str
    """How it is coloured: `good`, `due`, `held`, `bad`, `quiet`."""
    user: str
    text: str


Emit = Callable[[Moment], None]


class Demo:
    """One play: five users, seven pipelines at three providers, a year and a bit."""

    def __init__(self, *, days: int, seed: int, emit: Emit, pass_day: Callable[[int], None] = lambda _: None) -> None:
        self._days = days
        self._emit_moment = emit
        self._pass_day = pass_day
        self._random = random.Random(seed)  # noqa: S311  # a seed makes a history, no secret
        self._cloud = Cloud(seed=seed)
        self._bitbucket = BitbucketEmulator(self._cloud.clock, self._cloud.faults)
        self._github = GitHubEmulator(self._cloud.clock, self._cloud.faults)
        self._gitlab = GitLabEmulator(self._cloud.clock, self._cloud.faults)
        self._cloud.standins |= {"bitbucket": self._bitbucket, "github": self._github, "gitlab": self._gitlab}
        self._day = 0
        self._rotated: dict[str, int] = dict.fromkeys(AGES, 0)
        self._script: tuple[KeyPair, int] | None = None
        self._queued: tuple[int, KeyPair, int] | tuple[int, None, int] | None = None
        self._is_crash_due = True
        self._last_holds: set[str] = set()
        self.numbers = Numbers(days=days)
        self.failures: list[str] = []

    def play(self) -> Numbers:
        """Play all days; returns the numbers."""
        with self._cloud, _environment(self._cloud.environment()), tempfile.TemporaryDirectory() as folder:
            caller = AwsCaller(self._cloud.aws_url, REGION)
            try:
                self._play(Path(folder), caller)
            finally:
                caller.close()
        return self.numbers

    def _play(self, folder: Path, caller: AwsCaller) -> None:
        pipelines = {name: pipeline for user in AGES for name, pipeline in self._pipelines(user, caller)}
        wiring = self._configure(folder, names="")
        witness = Witness(cloud=self._cloud, grace=CLASSIC.grace)
        for day in range(1, self._days + 1):
            self._day = day
            if day == _NAMES_DAY:
                self._go_to(_midnight(day))
                self._echo("quiet", "ci-app", "a person gives the names that the pipeline reads: DEPLOY_KEY_ID, …")
                id_name, secret_name = _OTHER_NAMES.values()
                wiring = self._configure(folder, names=f", names: {{id: {id_name}, secret: {secret_name}}}")
            self._live_through(day, wiring, pipelines, caller, witness)
            self._pass_day(day)
        for pipeline in pipelines.values():
            self.numbers.pipeline_runs += pipeline.runs
            self.failures += pipeline.failures
        self.numbers.pipeline_failures = len(self.failures)
        self.numbers.broken_promises = len(witness.broken)
        self.failures += witness.broken

    def _configure(self, folder: Path, names: str) -> Wiring:
        """Write the configuration, and read it as a new process does."""
        file = folder / "keyrota.yaml"
        urls = {name: self._cloud.url(name) for name in self._cloud.standins}
        file.write_text(CONFIGURATION.format(names=names, **urls), "utf-8")
        return Wiring(load(file), self._cloud.clock)

    def _pipelines(self, user: str, caller: AwsCaller) -> Iterator[tuple[str, Pipeline]]:
        """Make a user with a key, and the pipelines that someone gave it to by hand."""
        self._cloud.admin.add_user(user)
        pair = self._cloud.admin.add_key(user, age=timedelta(days=AGES[user]))
        for name, place in self._places[user].items():
            place.put(pair)
            yield name, Pipeline(name=name, read=place.read, aws=caller)

    @cached_property
    def _places(self) -> Mapping[str, Mapping[str, _Place]]:
        """Where each user's key lies, by the name of the pipeline."""
        return {
            "ci-shop": {"bitbucket acme/shop Production": self._at_bitbucket("shop")},
            "ci-payments": {"github acme/payments production": self._at_github("payments", "production")},
            "ci-docs": {"gitlab acme/web/docs production": self._at_gitlab("acme/web/docs", "production")},
            "ci-tools": {
                "bitbucket acme/tools Production": self._at_bitbucket("tools"),
                "github acme/tools": self._at_github("tools", None),
                "gitlab acme/tools": self._at_gitlab("acme/tools", "*"),
            },
            "ci-app": {"bitbucket acme/app Production": self._under_other_names(self._at_bitbucket("app"))},
        }

    @staticmethod
    def _under_other_names(place: _Place) -> _Place:
        """The same variables as a pipeline has them that was written before keyrota: under names of its own."""
        usual = {other: name for name, other in _OTHER_NAMES.items()}
        return _Place(
            read=lambda: {usual[name]: value for name, value in place.read().items() if name in usual},
            put_one=lambda name, value: place.put_one(_OTHER_NAMES[name], value),
        )

    def _at_bitbucket(self, repository: str) -> _Place:
        where = ("acme", repository, "Production")
        self._bitbucket.add_repository("acme", repository, ("Test", "Staging", "Production"))

        def put(name: str, value: str) -> None:
            self._bitbucket.set_variable(*where, name, value, secured="SECRET" in name)

        return _Place(read=lambda: self._bitbucket.values(*where), put_one=put)

    def _at_github(self, repository: str, environment: str | None) -> _Place:
        scope = ("env", "acme", repository, environment) if environment else ("repo", "acme", repository)
        self._github.add_repository("acme", repository, (environment,) if environment else ())

        def put(name: str, value: str) -> None:
            self._github.set_secret(scope, name, value)

        return _Place(read=lambda: self._github.values("acme", repository, environment), put_one=put)

    def _at_gitlab(self, project: str, scope: str) -> _Place:
        self._gitlab.add_project(project)

        def put(name: str, value: str) -> None:
            self._gitlab.set_variable(("project", project), name, value, scope=scope, masked=True)

        return _Place(read=lambda: self._gitlab.values(project, "production"), put_one=put)

    # --- a day ----------------------------------------------------------------------------------------------------

    def _live_through(
        self, day: int, wiring: Wiring, pipelines: Mapping[str, Pipeline], caller: AwsCaller, witness: Witness
    ) -> None:
        """
        Let one day pass: keyrota at 06:00, each pipeline at night and twice more, the forgotten script at noon.

        The nightly run starts before keyrota and ends after it, with the pair that it read at its start.
        """
        midnight = _midnight(day)
        self._go_to(midnight + timedelta(hours=5, minutes=45))
        self._queue_run(pipelines["github acme/tools"])
        started = {name: pipeline.variables() for name, pipeline in pipelines.items()}
        self._go_to(midnight + timedelta(hours=6))
        self._before_run()
        self._run(wiring)
        witness.look(pipelines.values())
        self._go_to(midnight + timedelta(hours=6, minutes=30))
        for name, pair in started.items():
            pipelines[name].runs += 1
            pipelines[name].use(pair, self._when())
        hours = sorted((self._random.uniform(7, 23.5), name) for name in list(pipelines) * 2)
        for hour, name in hours:
            self._go_to(midnight + timedelta(hours=hour))
            pipelines[name].runs += 1
            pipelines[name].use(pipelines[name].variables(), self._when())
        self._approve_run(pipelines["github acme/tools"])
        self._use_forgotten_script(caller)

    def _go_to(self, instant: datetime) -> None:
        if instant > self._cloud.clock.now():
            self._cloud.clock.move_to(instant)

    def _when(self) -> str:
        return f"{self._cloud.clock.now():%Y-%m-%d %H:%M}"

    def _use_forgotten_script(self, caller: AwsCaller) -> None:
        if self._script is None:
            return
        pair, until = self._script
        if self._day >= until:
            self._script = None
            self._echo("quiet", "ci-shop", f"the forgotten script is found and mended; it used {pair.id}")
        elif not caller.is_accepted(pair, region="eu-west-1"):
            self.failures.append(f"{self._when()}: the forgotten script failed with {pair.id}")

    def _queue_run(self, pipeline: Pipeline) -> None:
        """Queue a run that carries the secrets of this moment, as GitHub's runs do, and that waits for an approval."""
        if self._queued is None and self._rotated["ci-tools"] == _QUEUED_ON_ROTATION - 1 and self._is_due("ci-tools"):
            number = self._github.add_run("acme", "tools", status="waiting")
            self._queued = (number, pipeline.variables(), self._day + _APPROVAL_DAYS)
            self._echo(
                "quiet", "ci-tools", "a run of acme/tools is queued, with the key of today, and waits for approval"
            )

    def _approve_run(self, pipeline: Pipeline) -> None:
        if self._queued is None or self._queued[1] is None or self._day < self._queued[2]:
            return
        number, pair, _ = self._queued
        self._github.end_run(number)
        pipeline.runs += 1
        word = "passes" if pipeline.use(pair, self._when()) else "FAILS"
        self._echo("quiet", "ci-tools", f"that run is approved after {_APPROVAL_DAYS} days, and {word} with {pair.id}")
        self._queued = (number, None, 0)

    def _before_run(self) -> None:
        """Let trouble come: what it is, is told on the day."""
        is_down = self._rotated["ci-payments"] == _DOWN_ON_ROTATION - 1 and self._is_due("ci-payments")
        if is_down and ("acme", "payments") not in self._github.down:
            self._github.down.add(("acme", "payments"))
            self._echo("bad", "ci-payments", "GitHub answers 503 for acme/payments, today of all days")
        elif ("acme", "payments") in self._github.down:
            self._github.down.clear()
            self._rotated["ci-payments"] += 1000  # the trouble is over, and does not come again
            self._echo("quiet", "ci-payments", "GitHub answers again")

    def _is_due(self, user: str) -> bool:
        newest = max(record.create_date for record in self._cloud.aws.iam.list_access_keys(user))
        return bool(self._cloud.clock.now().replace(tzinfo=None) - newest >= CLASSIC.rotate_after - timedelta(hours=1))

    # --- keyrota --------------------------------------------------------------------------------------------------

    def _run(self, wiring: Wiring) -> None:
        """Run keyrota as the clock would: plan, apply, forget."""
        wiring.__dict__.pop("settings", None)  # a new run has a new ID, as a new process has
        subjects, _ = wiring.subjects()
        for subject in subjects:
            try:
                previews = plan_all([self._perhaps_crashing(subject)], wiring.settings, at_once=1)
                (outcome,) = apply_all(previews, emit=self._on_event, at_once=1)
            except Crash:
                self._echo("bad", subject.user, "keyrota's machine dies between CreateAccessKey and the store")
                continue
            self._tell_holds(outcome)

    def _perhaps_crashing(self, subject: CredentialContext) -> CredentialContext:
        """Give ci-docs' first rotation a machine that dies at the worst moment."""
        if subject.user != "ci-docs" or not self._is_crash_due:
            return subject

        def die() -> None:
            self._is_crash_due = False
            raise Crash

        doomed: Any = _DiesAfterCreate(subject.access_keys, die)
        return replace(subject, access_keys=doomed)

    def _on_event(self, event: Event) -> None:
        if event.kind is EventKind.FAILED:
            self._echo("bad", event.user, f"{event.action.shown} failed: {event.error}")
        if event.kind is not EventKind.DONE:
            return
        match event.action:
            case act.Promote():
                self._on_rotation(event)
            case act.Sync():
                self.numbers.syncs += 1
                if not event.action.is_rewrite:
                    self._echo("good", event.user, f"synced: {_providers(event.action)} {event.key}")
            case act.Deactivate():
                self.numbers.deactivations += 1
                self._echo("good", event.user, f"deactivated {event.key}: {event.action.reason}")
            case act.Delete():
                self.numbers.deletions += 1
                self._echo("good", event.user, f"deleted {event.key}: {event.action.reason}")
            case act.DeleteOrphan():
                self.numbers.orphans_healed += 1
                self._echo("good", event.user, f"deleted the orphan {event.key}: {event.action.reason}")

    def _on_rotation(self, event: Event) -> None:
        self.numbers.rotations += 1
        self._rotated[event.user] += 1
        self._echo("due", event.user, f"rotated: {event.key} is AWSCURRENT")
        if event.user == "ci-shop" and self._rotated[event.user] == 1:
            values = self._bitbucket.values("acme", "shop", "Production")
            old = _pair_of(values)
            self._script = (old, self._day + _SCRIPT_DAYS)
            self._echo("quiet", "ci-shop", f"a script that nobody remembers goes on with {old.id}")

    def _tell_holds(self, outcome: Outcome) -> None:
        holds = {f"{hold.key} {hold.target}": hold.reason for hold in outcome.plan.holds} if outcome.plan else {}
        self.numbers.held += len(holds)
        for name, reason in holds.items():
            if f"{outcome.user} {name}" not in self._last_holds:
                self._echo("held", outcome.user, f"held: {reason}")
        self._last_holds = {name for name in self._last_holds if not name.startswith(f"{outcome.user} ")}
        self._last_holds |= {f"{outcome.user} {name}" for name in holds}

    def _echo(self, role: str, user: str, text: str) -> None:
        self._emit_moment(Moment(at=self._cloud.clock.now(), day=self._day, role=role, user=user, text=text))


def _midnight(day: int) -> datetime:
    return START.replace(hour=0) + timedelta(days=day - 1)


def _pair_of(values: Mapping[str, str]) -> KeyPair:
    """Take the pair that Bitbucket still holds while the new key is only AWSCURRENT."""
    return KeyPair(id=AccessKeyId(values["AWS_ACCESS_KEY_ID"]), secret=Secret(values["AWS_SECRET_ACCESS_KEY"]))


def _providers(sync: act.Sync) -> str:
    names = {"bitbucket": "Bitbucket", "github": "GitHub", "gitlab": "GitLab"}
    found = [names[address.partition(" ")[0]] for address in sync.targets]
    return f"{found[0]} holds" if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]} hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A place at a provider, as a person uses it."""

    read: Callable[[], Mapping[str, str]]
    put_one: Callable[[str, str], None]

    def put(self, pair: KeyPair) -> None:
        """Write a pair by hand."""
        self.put_one("AWS_ACCESS_KEY_ID", pair.id)
        self.put_one("AWS_SECRET_ACCESS_KEY", pair.secret.reveal())


class _DiesAfterCreate:
    """IAM, on a machine that dies when the answer of CreateAccessKey has just arrived."""

    def __init__(self, real: AccessKeys, die: Callable[[], None]) -> None:
        self._real = real
        self._die = die

    def create(self, user: UserName) -> object:
        """Make a key, and die."""
        self._real.create(user)
        self._die()
        return None

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a while; those of a real account must not shine through."""
    hidden = [name for name in os.environ if name.startswith("AWS_")]
    before = {name: os.environ.get(name) for name in {*variables, *hidden}}
    for name in hidden:
        del os.environ[name]
    os.environ.update(variables)
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    try:
        yield
    finally:
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", *before):
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})
