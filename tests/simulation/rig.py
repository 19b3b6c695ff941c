"""The real executor and planner in the world in memory, a run a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from checkers import A_DAY, Watch

from keyrota.core.model import IndexEntry, KeyPair, UserName
from keyrota.core.outcome import Outcome
from keyrota.core.planner import Intent
from keyrota.core.policy import CLASSIC, RotationPolicy
from keyrota.executor import CredentialContext, Settings, apply_all, plan_all
from keyrota_sandbox.memory import ACCOUNT, Crash, World, open_target

USER = UserName("ci-deploy")
SECRET = "keyrota/ci-deploy"
SHOP = "bitbucket acme/shop Production"


@dataclass(slots=True, kw_only=True)
class Rig:
    """One credential in a world."""

    world: World
    policy: RotationPolicy = CLASSIC
    places: Sequence[str] = (SHOP,)
    watch: Watch = field(init=False)
    is_secret_named: bool = False
    remembers: bool = False
    """Its subjects keep the index of the places that were written, as configured ones do."""
    runs: int = 0
    deployments_failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Watch every call."""
        self.watch = Watch(self.world, self.policy)
        self.world.after = self.watch

    @property
    def subject(self) -> CredentialContext:
        """The credential with fresh ports, as a new process has them."""
        return self.subject_of(USER, SECRET, self.places)

    def subject_of(self, user: str, secret: str, places: Sequence[str]) -> CredentialContext:
        """Another credential of the same world."""
        world = self.world
        return CredentialContext(
            user=UserName(user),
            account=ACCOUNT,
            secret_name=secret,
            is_secret_named=self.is_secret_named,
            policy=self.policy,
            access_keys=world.access_keys,
            identity=world.identity,
            store=world.store,
            targets=tuple(open_target(world, place) for place in places),
            index=tuple(IndexEntry(address=place, kind="world", settings="{}") for place in places if self.remembers),
            reach=(lambda entry: open_target(world, entry.address)) if self.remembers else None,
        )

    def run(self, intent: Intent | None = None) -> Outcome:
        """Run keyrota once, as a new process."""
        self.runs += 1
        settings = Settings(clock=self.world.clock, run=f"run-{self.runs}")
        (outcome,) = apply_all(plan_all([self.subject], settings, intent=intent))
        return outcome

    def run_until_crash(self) -> bool:
        """Run once; tell whether the run crashed."""
        try:
            self.run()
        except Crash:
            return True
        return False

    def day(self) -> Outcome:
        """Run once, let every pipeline deploy, and let a day pass."""
        outcome = self.run()
        self.deploy()
        self.world.clock.travel(A_DAY)
        return outcome

    def deploy(self) -> None:
        """Let a pipeline run at every place."""
        self.deployments_failed.extend(
            f"{self.world.clock.now()} {place}" for place in self.places if not self.world.deploy(place)
        )


def a_rig(age_days: float = 90, *, policy: RotationPolicy = CLASSIC, places: Sequence[str] = (SHOP,)) -> Rig:
    """Make a user with one key of that age, which its pipelines hold and nobody stored."""
    world = World()
    world.add_user(USER)
    made: KeyPair = world.add_key(USER, age_days=age_days)
    for place in places:
        open_target(world, place)
        world.places[place].pair = made
    return Rig(world=world, policy=policy, places=places)


def free_slot(rig: Rig) -> bool:
    """Do what `revoke` reports where a lost key takes the slot: a person deletes it. Tell whether there was one."""
    stored = rig.world.secrets[SECRET]
    named = {label for version in stored.versions.values() for label in version.labels}
    lost = [key for key in rig.world.users[USER] if key not in named]
    for key in lost:
        rig.watch.person_deletes(USER, key)
    return bool(lost)
