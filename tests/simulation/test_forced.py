"""Who lets nothing wait leaves a record of it, in the report and at the secret; and only where something waited."""

from __future__ import annotations

from builders import NOW
from keyrota.core.model import FORCED_TAG, UserName
from keyrota.core.policy import CLASSIC, Rollout
from keyrota.core.records import format_forced
from keyrota.executor import CredentialContext, Settings, apply_all, plan_all
from keyrota.executor.waves import Waves, plan_in_turns
from keyrota_sandbox.memory import ACCOUNT, World

ALICE = "arn:aws:iam::123456789012:user/alice"


def test_what_was_out_of_turn_says_who_wanted_it_and_why() -> None:
    world = World()
    subjects = []
    for number in range(3):
        user = UserName(f"ci-{number}")
        world.add_user(user)
        world.add_key(user, age_days=200 - number)
        subjects.append(
            CredentialContext(
                user=user,
                account=ACCOUNT,
                secret_name=f"s-{number}",
                policy=CLASSIC,
                access_keys=world.access_keys,
                identity=world.identity,
                store=world.store,
                targets=(),
                caller=ALICE,
            )
        )
    settings = Settings(clock=world.clock, run="run-1")
    waves = Waves(rollout=Rollout(per_run=1), force_reason="audit on Monday; really")
    previews = plan_in_turns(plan_all(subjects, settings), waves, world.clock.now())
    reasons = [[notice.reason for notice in one.plan.notices] for one in previews if one.plan is not None]
    told = [f"made out of turn (--force) by {ALICE}: audit on Monday; really"]
    assert [[reason for reason in some if "--force" in reason] for some in reasons] == [[], told, told]
    began = world.clock.now()
    apply_all(previews)
    assert all(len(keys) == 2 for keys in world.users.values())
    records = [world.secrets[f"s-{number}"].tags.get(FORCED_TAG, "") for number in range(3)]
    record = f"{began:%Y-%m-%dT%H:%M:%SZ} {ALICE}: audit on Monday really"
    assert records == ["", record, record]


def test_a_record_fits_into_a_tag() -> None:
    record = format_forced(ALICE, "why <not>?\n" * 100, NOW)
    assert len(record) <= 256
    assert record.startswith(f"2026-06-01T06:00:00Z {ALICE}: why not why not")
