"""Lists of a whole account narrow what is read one by one: what they may leave out, and what a run costs then."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from keyrota.core.model import (
    AWSCURRENT,
    AWSPREVIOUS,
    CLAIM,
    CREATED_TAG,
    OWNER_TAG,
    PENDING,
    REVOKED,
    SYNCED_TAG,
    AccessKey,
    AccessKeyId,
    CredentialId,
    KeyStatus,
    SecretState,
    SecretVersion,
    SyncRecord,
    UserName,
    VersionId,
)
from keyrota.core.overview import Overview, find_key_at_rest
from keyrota.core.plan import Duty
from keyrota.core.planner import Only, SyncOnly
from keyrota.core.policy import CLASSIC
from keyrota.core.records import format_created, format_synced
from keyrota.executor import CredentialContext, Preview, Screen, Settings, apply_all, plan_all
from keyrota.executor.screen import is_due_today
from keyrota_sandbox.memory import ACCOUNT, World, open_target
from keyrota_sandbox.memory.lists import WorldLists

DAY = timedelta(days=1)
USER = UserName("ci-deploy")
KEY, OTHER = AccessKeyId("AKIA0000000000000001"), AccessKeyId("AKIA0000000000000002")
NOW = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
MADE = NOW - 20 * DAY


def a_secret(*labels: str, tag: str = format_created(KEY, MADE), older: tuple[str, ...] = ()) -> SecretState:
    versions = [SecretVersion(id=VersionId("v" * 36), labels=frozenset({AWSCURRENT, KEY, *labels}))]
    versions += [SecretVersion(id=VersionId("o" * 36), labels=frozenset(older))] if older else []
    return SecretState(arn="arn", name="keyrota/ci-deploy", versions=tuple(versions), tags=((CREATED_TAG, tag),))


def an_overview(*active: datetime, reported_at: datetime = NOW) -> Overview:
    return Overview(reported_at=reported_at, active={USER: active}, secrets={})


def test_one_key_that_both_lists_tell_of_is_at_rest() -> None:
    found = find_key_at_rest(an_overview(MADE), USER, a_secret(older=(AWSPREVIOUS,)))
    assert isinstance(found, AccessKey)
    assert (found.id, found.created, found.status) == (KEY, MADE, KeyStatus.ACTIVE)


@pytest.mark.parametrize(
    ("overview", "secret"),
    [
        (an_overview(MADE), None),
        (an_overview(MADE), a_secret(PENDING)),
        (an_overview(MADE), a_secret(older=(CLAIM,))),
        (an_overview(MADE), a_secret(older=(f"{REVOKED}{OTHER}",))),
        (an_overview(MADE), a_secret(older=(AWSPREVIOUS, OTHER))),
        (an_overview(MADE), a_secret(tag="")),
        (an_overview(MADE), a_secret(tag=format_created(OTHER, MADE))),
        (an_overview(MADE), a_secret(tag=format_created(KEY, MADE + DAY))),
        (an_overview(), a_secret()),
        (an_overview(MADE, MADE), a_secret()),
        (an_overview(MADE + DAY), a_secret()),
        (an_overview(MADE, reported_at=MADE - DAY), a_secret()),
        (replace(an_overview(MADE), active={}), a_secret()),
    ],
    ids=[
        "no secret",
        "a key is pending",
        "a claim",
        "a revoked key",
        "an older key is to retire",
        "no age is noted",
        "the age of another key is noted",
        "somebody edited the age",
        "no key is Active",
        "two keys are Active",
        "the key was switched on again, or is another one",
        "the report is older than the key",
        "the report is older than the user",
    ],
)
def test_anything_else_is_read_one_by_one(overview: Overview, secret: SecretState | None) -> None:
    assert isinstance(find_key_at_rest(overview, USER, secret), str)


@dataclass
class Fleet:
    """Users at rest in a world that counts calls."""

    size: int
    age_days: int = 20
    has_places: bool = False
    world: World = field(default_factory=World)
    calls: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Make them."""
        self.world.before = lambda name, _: self.calls.update([name])
        for number in range(self.size):
            self.add(f"ci-{number}")

    def add(self, user: str) -> None:
        """Make a user whose key was made, stored and served some days ago."""
        self.world.add_user(user)
        pair = self.world.add_key(UserName(user), age_days=self.age_days)
        created = self.world.users[UserName(user)][pair.id].created
        self.world.make_secret(f"keyrota/{user}", {OWNER_TAG: user})
        version = self.world.person_puts(f"keyrota/{user}", pair, labels=(AWSCURRENT, pair.id))
        synced = SyncRecord(
            version=version,
            since=created,
            confirmed=created + DAY,
            fingerprint=self.subject(user).fingerprint,
            ended=created + DAY,
        )
        tags = {SYNCED_TAG: format_synced(synced), CREATED_TAG: format_created(pair.id, created)}
        self.world.person_tags(f"keyrota/{user}", tags)
        for address in (target.address for target in self.subject(user).targets):
            self.world.places[address].pair = pair

    def subject(self, user: str) -> CredentialContext:
        """Give a run its ports."""
        return CredentialContext(
            user=UserName(user),
            account=ACCOUNT,
            secret_name=f"keyrota/{user}",
            policy=CLASSIC,
            access_keys=self.world.access_keys,
            identity=self.world.identity,
            store=self.world.store,
            targets=(open_target(self.world, f"bitbucket acme/{user}"),) if self.has_places else (),
        )

    def plan(self, intent: Only | SyncOnly | None = None, *, drift_every: timedelta = 7 * DAY) -> tuple[Preview, ...]:
        """Plan all of them, as a run does."""
        self.calls.clear()
        overview = WorldLists(self.world).overview()
        screen = Screen(lists=lambda _: overview, drift_every=drift_every)
        subjects = [self.subject(f"ci-{number}") for number in range(self.size)]
        return plan_all(subjects, Settings(clock=self.world.clock, run="run"), intent=intent, screen=screen)


@pytest.mark.parametrize("size", [100, 1_000, 10_000])
def test_an_idle_fleet_costs_two_calls_and_one_for_each_hundred(size: int) -> None:
    fleet = Fleet(size)
    previews = fleet.plan()
    assert fleet.calls == {
        "iam:GenerateCredentialReport": 1,
        "iam:GetCredentialReport": 1,
        "secretsmanager:ListSecrets": size // 100,
    }
    assert all(preview.plan and not preview.plan.actions and not preview.plan.holds for preview in previews)
    assert all(preview.observation and preview.observation.keys_as_of for preview in previews)


def test_what_is_due_is_read_and_rotated_and_the_others_are_left_alone() -> None:
    fleet = Fleet(60)
    (key,) = fleet.world.users[UserName("ci-7")].values()
    fleet.world.users[UserName("ci-7")][key.id] = old = replace(key, created=key.created - 80 * DAY)
    fleet.world.person_tags("keyrota/ci-7", {CREATED_TAG: format_created(key.id, old.created)})
    previews = fleet.plan()
    assert fleet.calls["iam:ListAccessKeys"] >= 1
    assert [one.user for one in previews if one.plan and one.plan.makes_key] == ["ci-7"]
    outcomes = apply_all(previews)
    assert [outcome.user for outcome in outcomes if outcome.done] == ["ci-7"]
    assert {len(keys) for user, keys in fleet.world.users.items() if user != "ci-7"} == {1}


def test_a_change_is_read_one_by_one() -> None:
    fleet = Fleet(60)
    (key,) = fleet.world.users[UserName("ci-7")]
    fleet.world.change(key, status=KeyStatus.INACTIVE, status_word="Inactive")
    fleet.world.person_puts("keyrota/ci-8", None, labels=(AWSCURRENT,))
    fleet.world.person_untags("keyrota/ci-9", SYNCED_TAG)
    found = {one.user for one in fleet.plan() if one.observation and one.observation.keys_as_of is None}
    assert found == {"ci-7", "ci-8", "ci-9"}


def test_a_duty_reads_what_is_its_own_and_a_person_s_sync_reads_everything() -> None:
    fleet = Fleet(60)
    fleet.plan(Only(duty=Duty.DELETE))
    assert fleet.calls["iam:ListAccessKeys"] == 0
    fleet.plan(SyncOnly())
    assert fleet.calls["iam:ListAccessKeys"] == 60


def test_each_place_is_read_once_in_seven_days_and_what_was_not_read_is_named() -> None:
    fleet = Fleet(70, has_places=True)
    read: Counter[str] = Counter()
    for _ in range(7):
        previews = fleet.plan()
        unread = [preview.user for preview in previews if preview.observation and preview.observation.unread]
        assert 0 < len(unread) < 70
        assert fleet.calls["iam:ListAccessKeys"] == 0
        read.update(preview.user for preview in previews if preview.user not in unread)
        fleet.world.clock.travel(DAY)
    assert read == {f"ci-{number}": 1 for number in range(70)}


def test_a_place_that_differs_is_read_again_with_its_credential() -> None:
    fleet = Fleet(60, has_places=True)
    fleet.world.places["bitbucket acme/ci-3"].pair = None
    previews = fleet.plan(drift_every=DAY)
    assert [one.user for one in previews if one.plan and one.plan.actions] == ["ci-3"]
    (found,) = [one.observation for one in previews if one.user == "ci-3"]
    assert found is not None
    assert found.keys_as_of is None


def test_a_credential_has_one_day_in_each_span() -> None:
    credential = CredentialId(account=ACCOUNT, user=USER)
    for days in (1, 3, 7, 30):
        found = [is_due_today(credential, NOW + number * DAY, days * DAY) for number in range(4 * days)]
        assert sum(found) == 4
        assert found[:days] == found[days : 2 * days]
