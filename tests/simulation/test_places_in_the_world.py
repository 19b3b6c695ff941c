"""Places that are not what their names say, in the world in memory: each row of the kind, from the first plan on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from rig import SHOP, USER, Rig, a_rig

from keyrota.core.lifecycle import interpret
from keyrota.core.model import AccessKeyId, Conflict, FirstWrite, KeyPair, Observation, UserName
from keyrota.core.policy import CLASSIC
from keyrota.executor import Settings, apply_all, plan_all
from keyrota.executor.confirm import confirm, questions
from keyrota.executor.forget import forget, list_remembered
from keyrota_sandbox.memory import World, open_target

ADMIN = "arn:aws:iam::123456789012:user/admin"
WEB = "bitbucket acme/web Production"


def _of_another_account(world: World) -> None:
    pair = world.add_key(world_user(world, "somebody"))
    world.places[SHOP].pair = pair
    world.elsewhere[pair.id] = "222222222222"
    del world.values[pair.id]
    world.users.pop(UserName("somebody"))


def world_user(world: World, name: str) -> UserName:
    world.add_user(name)
    return UserName(name)


def _of_another_user(world: World) -> None:
    _of_another_user_at(world, SHOP)


def _of_another_user_at(world: World, address: str) -> None:
    world.places[address].pair = world.add_key(world_user(world, "ci-web"))


def _only_the_id(world: World) -> None:
    world.places[SHOP].half = "id"


def _only_the_secret(world: World) -> None:
    world.places[SHOP].half = "secret"


def _under_other_names(world: World) -> None:
    place = world.places[SHOP]
    assert place.pair is not None
    place.others, place.pair = {"DEPLOY_KEY_ID": place.pair.id, "DEPLOY_SECRET_KEY": "x"}, None


def _half_at_another_level(world: World) -> None:
    place = world.places[SHOP]
    place.pair = None
    place.conflicts_around = (Conflict(what="half a pair at the repository", remedy="set `names:`"),)


def _a_session_token_beside_it(world: World) -> None:
    world.places[SHOP].others = {"AWS_SESSION_TOKEN": "x"}


HARM: dict[str, tuple[Callable[[World], None], str]] = {
    "a key of another account": (_of_another_account, "a key of the account 222222222222"),
    "a key of another user": (_of_another_user, "a key of the user ci-web"),
    "only the ID is there": (_only_the_id, "half a pair"),
    "only the secret is there": (_only_the_secret, "half a pair"),
    "the pair is there under other names": (_under_other_names, "a pair under other names"),
    "the other half is at another level": (_half_at_another_level, "half a pair at the repository"),
    "a session token stands beside it": (_a_session_token_beside_it, "AWS_SESSION_TOKEN"),
}


def a_world_with(harm: Callable[[World], None], **known: object) -> Rig:
    rig = a_rig(places=(SHOP, WEB), **known)  # type: ignore[arg-type]  # the policy
    rig.remembers = True
    harm(rig.world)
    return rig


@pytest.mark.parametrize("name", HARM)
def test_a_first_write_that_is_not_harmless_is_held_before_a_key_is_made(name: str) -> None:
    harm, words = HARM[name]
    rig = a_world_with(harm)
    before = rig.world.places[SHOP].pair
    outcome = rig.run()
    assert outcome.plan is not None
    assert any(words in hold.reason and hold.target == SHOP for hold in outcome.plan.holds), outcome.plan.holds
    assert not [call for call in rig.world.journal if "CreateAccessKey" in call or "target:write" in call]
    assert rig.world.places[SHOP].pair == before


@pytest.mark.parametrize("name", HARM)
def test_a_person_confirms_it_and_the_next_run_writes(name: str) -> None:
    """Only a session token stays in the way: no key of an IAM user works beside one; a person may still insist."""
    rig = a_world_with(HARM[name][0])
    rig.run()
    confirm_all(rig)
    rig.run()
    held = rig.world.places[SHOP].pair
    assert held is not None
    assert held.id in rig.world.users[USER]
    assert interpret(seen(rig)).is_synced()


@pytest.mark.parametrize("name", [name for name in HARM if HARM[name][0] is not _half_at_another_level])
def test_what_comes_between_the_plan_and_a_first_write_is_held_too(name: str) -> None:
    """Half a minute of STS, other credentials, and pipelines that are waited for lie between the two: up to hours."""
    harm, words = HARM[name]
    rig = a_rig(places=(SHOP, WEB))
    rig.remembers = True
    asked: list[str] = []

    def while_sts_is_asked(call: str, world: World) -> None:
        if call.startswith("sts:GetCallerIdentity") and not asked:
            asked.append(call)
            harm(world)

    rig.world.before = while_sts_is_asked
    outcome = rig.run()
    assert asked
    assert outcome.plan is not None
    assert any(words in hold.reason and hold.target == SHOP for hold in outcome.plan.holds), outcome.plan.holds
    rig.world.clock.travel(timedelta(days=1))
    rig.run()
    written = {call.rpartition("bitbucket")[2] for call in rig.world.journal if call.startswith("target:write")}
    assert written == {WEB.removeprefix("bitbucket")}


def seen(rig: Rig) -> Observation:
    (preview,) = plan_all([rig.subject], Settings(clock=rig.world.clock, run="look"))
    assert preview.observation is not None
    return preview.observation


def confirm_all(rig: Rig) -> int:
    asked = questions(rig.subject, seen(rig), rig.world.clock.now())
    for question in asked:
        confirm(question, by=ADMIN, at=rig.world.clock.now())
    return len(asked)


def settled(**known: object) -> Rig:
    """A credential that keyrota has rotated once: both places hold the new key."""
    rig = a_rig(places=(SHOP, WEB), **known)  # type: ignore[arg-type]  # the policy
    rig.remembers = True
    rig.run()
    rig.world.clock.travel(timedelta(minutes=20))
    rig.run()
    return rig


def test_a_renamed_place_is_followed() -> None:
    """The configuration names the new name: no key is written anew beside it, and nothing is left behind."""
    rig = settled()
    new = "bitbucket acme/store Production"
    rig.world.person_renames(SHOP, new)
    rig.places = (new, WEB)
    outcome = rig.run()
    assert outcome.plan is not None
    assert not outcome.plan.holds
    assert not seen(rig).left_behind
    (entry,) = (entry for entry in interpret(seen(rig)).index.entries if entry.address == new)
    assert entry.written is not None


def test_a_new_place_under_an_old_name_gets_no_key_and_the_old_key_lives() -> None:
    rig = settled()
    old = rig.world.places[SHOP]
    rig.world.person_renames(SHOP, "bitbucket acme/store Production")
    rig.world.place_at(SHOP)
    for _ in range(130):
        outcome = rig.day()
    assert rig.world.places[SHOP].pair is None
    assert rig.world.use(old.pair), "the pipelines of the renamed place fail"
    assert outcome.plan is not None
    assert any("this name now means" in hold.reason for hold in outcome.plan.holds)


def test_a_place_that_was_emptied_is_held_and_written_once_a_person_says_so() -> None:
    rig = settled()
    rig.world.person_sets(SHOP, None)
    outcome = rig.run()
    assert rig.world.places[SHOP].pair is None
    assert outcome.plan is not None
    assert any("is gone" in hold.reason for hold in outcome.plan.holds)
    assert confirm_all(rig) == 1
    rig.run()
    assert rig.world.deploy(SHOP)
    rig.world.person_sets(SHOP, None)
    rig.run()
    assert rig.world.places[SHOP].pair is None, "the second time is another question"


def test_another_origin_is_a_place_left_behind_until_it_is_forgotten() -> None:
    rig = settled()
    old = rig.world.places[SHOP]
    rig.world.place_at(SHOP).origin = "https://ci.elsewhere.example"
    for _ in range(130):
        rig.day()
    assert rig.world.use(old.pair), "keyrota wrote that key there"
    left = [one for one in list_remembered(rig.subject, seen(rig)) if not one.is_configured]
    assert [one.name for one in left] == [f"{SHOP} at https://ci.example"]
    forget(left[0], deletes_variables=False)
    assert not seen(rig).left_behind


def test_a_place_added_every_week_restarts_no_overlap() -> None:
    """None of them ever held the older key: it is deactivated and deleted when it is due."""
    rig = settled()
    first = min(rig.world.users[USER].values(), key=lambda key: key.created).id
    for week in range(6):
        address = f"bitbucket acme/added-{week} Production"
        open_target(rig.world, address)
        rig.places = (*rig.places, address)
        for _ in range(4):
            rig.day()
    assert first not in rig.world.users[USER]
    assert not rig.deployments_failed


def test_a_place_that_held_the_older_key_restarts_it() -> None:
    rig = settled()
    older = min(rig.world.users[USER].values(), key=lambda key: key.created).id
    for _ in range(8):
        rig.day()
    open_target(rig.world, "late")
    rig.world.person_sets("late", pair_of(rig, older))
    rig.places = (*rig.places, "late")
    rig.day()
    began = rig.world.clock.now()
    while rig.world.users[USER][older].status.value == "Active":
        rig.day()
    assert rig.world.clock.now() - began >= timedelta(days=9)


def pair_of(rig: Rig, key: AccessKeyId) -> KeyPair:
    return KeyPair(id=key, secret=rig.world.values[key])


def test_an_archived_place_is_not_counted_and_written_once_it_runs_again() -> None:
    rig = a_rig(places=(SHOP, WEB))
    rig.remembers = True
    rig.world.places[WEB].is_archived = True
    rig.run()
    assert interpret(seen(rig)).is_synced()
    rig.world.places[WEB].is_archived = False
    rig.run()
    assert rig.world.places[WEB].pair == rig.world.places[SHOP].pair


@pytest.mark.parametrize("places", [(WEB,), (SHOP, WEB)], ids=["alone", "beside another"])
def test_an_archived_place_that_was_never_written_is_asked_about_like_any_first_write(places: tuple[str, ...]) -> None:
    """The record of a sync says that all targets were written: not those that were archived then."""
    rig = a_rig(places=places)
    rig.remembers = True
    rig.world.places[WEB].is_archived = True
    rig.run()
    assert interpret(seen(rig)).is_synced()
    _of_another_user_at(rig.world, WEB)
    rig.world.places[WEB].is_archived = False
    before = rig.world.places[WEB].pair
    outcome = rig.run()
    assert rig.world.places[WEB].pair == before
    assert outcome.plan is not None
    assert any("a key of the user ci-web" in hold.reason for hold in outcome.plan.holds), outcome.plan.holds
    assert confirm_all(rig) == 1
    rig.run()
    held = rig.world.places[WEB].pair
    assert held is not None
    assert held.id in rig.world.users[USER]


def test_an_archived_place_that_cannot_be_read_is_written_once_it_runs_again() -> None:
    rig = a_rig(places=(SHOP, WEB))
    rig.remembers = True
    rig.world.places[WEB].is_archived, rig.world.places[WEB].is_id_readable = True, False
    rig.run()
    rig.world.places[WEB].is_archived = False
    rig.run()
    assert rig.world.places[WEB].pair == rig.world.places[SHOP].pair


def test_two_credentials_that_write_one_place_are_both_refused() -> None:
    rig = a_rig()
    world = rig.world
    world.person_renames(SHOP, "bitbucket 1")
    other = rig.subject_of("ci-web", "keyrota/ci-web", ("bitbucket 1",))
    world.add_user("ci-web", 95)
    settings = Settings(clock=world.clock, run="r")
    previews = plan_all([rig.subject, other], settings)
    assert all("are one place" in str(preview.error) for preview in previews)
    outcomes = apply_all(previews)
    assert all(outcome.errors and not outcome.done for outcome in outcomes)
    assert not [call for call in world.journal if "write" in call]


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_pair_that_cannot_be_read_is_written_unless_that_is_asked_about(*, is_asked: bool) -> None:
    policy = replace(CLASSIC, first_write=FirstWrite.ASK) if is_asked else CLASSIC
    rig = a_rig(policy=policy)
    rig.world.places[SHOP].is_id_readable = False
    rig.run()
    assert (rig.world.places[SHOP].writes == 0) == is_asked
