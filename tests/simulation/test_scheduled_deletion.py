"""
Somebody schedules the deletion of a secret that keyrota keeps, at any call of a run, or before it.

A clear error with the way back, no key made once it is seen, nothing lost; restored, all goes on. In the world, and
with the real adapters over moto.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from aws_rig import a_cloud, client
from rig import SECRET, SHOP, USER, Rig, a_rig

from keyrota.aws.account import Account
from keyrota.aws.iam import IamAccessKeys
from keyrota.aws.secretsmanager import SecretsManagerStore
from keyrota.aws.sts import StsIdentity
from keyrota.core.emergency import Revoke
from keyrota.core.model import KeyStatus
from keyrota.core.outcome import Outcome
from keyrota.core.planner import Intent
from keyrota.core.policy import CLASSIC
from keyrota.executor import CredentialContext, Settings, apply_all, plan_all
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.memory import World

WRITES = {
    "iam:CreateAccessKey",
    "iam:UpdateAccessKey",
    "iam:DeleteAccessKey",
    "secretsmanager:CreateSecret",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:TagResource",
}
REMEDY = f"aws secretsmanager restore-secret --secret-id {SECRET}"


def remedies(outcome: Outcome) -> set[str]:
    """Name what a report tells people to do."""
    holds = outcome.plan.holds if outcome.plan else ()
    return {hold.remedy for hold in holds} | {error.remedy for error in outcome.errors}


def _stored() -> Rig:
    """Bring a credential into keeping; its key is due now."""
    rig = a_rig()
    for _ in range(23):
        rig.day()
    rig.world.clock.travel(timedelta(days=70))
    return rig


def _intents(rig: Rig) -> tuple[Intent | None, ...]:
    pair = rig.world.places[SHOP].pair
    assert pair is not None
    return (None, Revoke(key=pair.id), Revoke(key=pair.id, off_first=True))


@pytest.mark.parametrize("number", range(3))
def test_a_secret_that_is_scheduled_for_deletion_stops_everything(number: int) -> None:
    """The routine and both emergency roads: nothing is written, and the report says how to restore it."""
    rig = _stored()
    intent = _intents(rig)[number]
    rig.world.person_deletes_secret(SECRET)
    before = len(rig.world.journal)
    outcome = rig.run(intent)
    assert outcome.done == ()
    assert REMEDY in remedies(outcome)
    assert WRITES & set(rig.world.journal[before:]) == set()
    assert rig.world.deploy(SHOP)


def _calls() -> int:
    rig = _stored()
    before = len(rig.world.journal)
    rig.run()
    return len(rig.world.journal) - before


@pytest.mark.parametrize("number", range(1, _calls() + 1))
def test_scheduled_in_the_middle_of_a_run_nothing_is_lost(number: int) -> None:
    """At any call of a rotation: pipelines go on, the report names the way back, and restored it comes home."""
    rig = _stored()
    _delete_at(rig, number)
    told = remedies(rig.run())
    rig.world.before = None
    assert rig.world.secrets[SECRET].deleted_at is not None
    made = len(rig.world.users[USER])
    rig.world.clock.sleep(16 * 60)
    told |= remedies(rig.run())
    assert REMEDY in told
    assert len(rig.world.users[USER]) == made
    assert rig.world.deploy(SHOP)
    rig.world.person_restores_secret(SECRET)
    for _ in range(40):
        rig.day()
    assert rig.watch.broken == []
    assert rig.deployments_failed == []
    assert [key.status for key in rig.world.users[USER].values()] == [KeyStatus.ACTIVE]


def _delete_at(rig: Rig, number: int) -> None:
    count = 0

    def delete(_: str, world: World) -> None:
        nonlocal count
        count += 1
        if count == number:
            world.person_deletes_secret(SECRET)

    rig.world.before = delete


def test_deleted_for_good_the_served_key_lives() -> None:
    """After the recovery window, or by force, no version is left; what pipelines hold stays Active."""
    rig = _stored()
    pair = rig.world.places[SHOP].pair
    assert pair is not None
    rig.world.person_deletes_secret(SECRET, days=7)
    rig.world.clock.travel(timedelta(days=8))
    assert rig.world.secret(SECRET) is None
    for _ in range(3):
        rig.day()
    assert rig.world.users[USER][pair.id].status is KeyStatus.ACTIVE
    assert rig.deployments_failed == []
    assert rig.watch.broken == []


# --- over moto --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One sandbox for all."""
    with a_cloud() as made:
        yield made


@pytest.fixture
def subject(cloud: Cloud) -> CredentialContext:
    """A user whose only key is of ninety days, stored in the secret by hand and adopted."""
    cloud.aws.reset()
    cloud.admin.add_user(USER)
    pair = cloud.admin.add_key(USER, age=timedelta(days=91))
    cloud.admin.store(SECRET, pair)
    account = Account()
    made = CredentialContext(
        user=USER,
        account=account.enter(cloud.clock),
        secret_name=SECRET,
        is_secret_named=True,
        policy=CLASSIC,
        access_keys=IamAccessKeys(account),
        identity=StsIdentity(account),
        store=SecretsManagerStore(account),
        targets=(),
    )
    _run(cloud, made)
    return made


def _run(cloud: Cloud, subject: CredentialContext) -> Outcome:
    settings = Settings(clock=cloud.clock, run=f"run-{len(cloud.aws.journal)}")
    (outcome,) = apply_all(plan_all([subject], settings))
    return outcome


def test_over_moto_it_stops_everything_too(cloud: Cloud, subject: CredentialContext) -> None:
    sm = client(cloud, "secretsmanager")
    keys = cloud.admin.keys(USER)
    versions = sm.describe_secret(SecretId=SECRET)["VersionIdsToStages"]
    cloud.clock.travel(timedelta(days=100))
    sm.delete_secret(SecretId=SECRET)
    before = len(cloud.aws.journal)
    outcome = _run(cloud, subject)
    assert outcome.done == ()
    assert REMEDY in remedies(outcome)
    assert WRITES & {call.operation for call in cloud.aws.journal[before:]} == set()
    assert cloud.admin.keys(USER) == keys
    sm.restore_secret(SecretId=SECRET)
    assert sm.describe_secret(SecretId=SECRET)["VersionIdsToStages"] == versions
    assert _run(cloud, subject).done != ()


@pytest.mark.parametrize("at", ["PutSecretValue", "GetSecretValue", "UpdateSecretVersionStage", "TagResource"])
def test_over_moto_in_the_middle_of_a_run_the_error_names_the_way_back(
    cloud: Cloud, subject: CredentialContext, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scheduled just before that call: each verb of the store tells it, and no key is made after."""
    cloud.clock.travel(timedelta(days=100))
    sm = client(cloud, "secretsmanager")
    made, answer = len(cloud.admin.keys(USER)), cloud.aws._let_moto_answer
    seen: list[str] = []

    def first(request: object, signed: object, service: str) -> object:
        target = getattr(request, "headers", {}).get("x-amz-target", "")
        if target.endswith(f".{at}") and not seen:
            seen.append(target)
            from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # an extra

            backend = secretsmanager_backends[cloud.admin.account_id]["eu-central-1"]
            backend.delete_secret(SECRET, recovery_window_in_days=30, force_delete_without_recovery=False)
        return answer(request, signed, service)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(cloud.aws, "_let_moto_answer", first)
    told = remedies(_run(cloud, subject))
    assert seen
    assert REMEDY in told
    after = [key for key, _ in cloud.admin.keys(USER)]
    cloud.clock.travel(timedelta(minutes=16))
    assert REMEDY in remedies(_run(cloud, subject))
    assert [key for key, _ in cloud.admin.keys(USER)] == after
    assert len(after) <= made + 1
    sm.restore_secret(SecretId=SECRET)
    for _ in range(4):
        cloud.clock.travel(timedelta(minutes=16))
        assert not _run(cloud, subject).errors
    current = sm.get_secret_value(SecretId=SECRET)["SecretString"]
    assert cloud.admin.keys(USER)[-1][0] in current
