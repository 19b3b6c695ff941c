"""What reviewers found, each as the story that showed it; they stay here for good."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from rig import SECRET, SHOP, USER, Rig, a_rig, free_slot

from keyrota.core.candidates import current_key, previous_key
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import interpret
from keyrota.core.model import AccessKeyId, KeyStatus
from keyrota.core.outcome import Outcome
from keyrota.errors import LostRace, ProviderRefused, ProviderUnavailable
from keyrota_sandbox.memory import Crash, World


def held(rig: Rig) -> AccessKeyId:
    """The key that the target holds."""
    pair = rig.world.places[SHOP].pair
    assert pair is not None
    return pair.id


def revoke(rig: Rig) -> Outcome:
    """`keyrota revoke USER`, as often as it is typed: the key is looked up anew."""
    seen = rig.run().observation
    assert seen is not None
    key = current_key(interpret(seen))
    assert key is not None
    return rig.run(Revoke(key=key))


def previous(rig: Rig) -> AccessKeyId | None:
    """The key that `keyrota rollback USER` would go back to."""
    seen = rig.run().observation
    assert seen is not None
    return previous_key(interpret(seen))


def stored(rig: Rig) -> Rig:
    """One rotation later, the first key gone: the current key's secret is keyrota's."""
    for _ in range(27):
        rig.day()
    return rig


def rotated_again(rig: Rig) -> Rig:
    """Two keys of keyrota's: the new one and the one before."""
    stored(rig)
    rig.world.clock.sleep(70 * 86400)
    for _ in range(2):
        rig.day()
    assert len(rig.world.users[USER]) == 2
    return rig


def test_a_revocation_that_is_repeated_goes_on_and_not_back() -> None:
    """The sync failed; the same command again must not take the leaked key for the previous one."""
    rig = stored(a_rig())
    leaked = held(rig)
    rig.world.places[SHOP].is_down = True
    assert revoke(rig).errors
    rig.world.places[SHOP].is_down = False
    revoke(rig)
    assert held(rig) != leaked
    found = rig.world.find(leaked)
    assert found is not None
    assert found[1].status is KeyStatus.INACTIVE
    assert rig.world.deploy(SHOP)


@pytest.mark.parametrize("number", range(1, 45))
def test_a_revocation_that_dies_anywhere_goes_on(number: int) -> None:
    """Typed again without naming the key, whatever the first one had done."""
    rig = stored(a_rig())
    leaked = held(rig)
    count = 0
    watch = rig.watch

    def die(name: str, world: World) -> None:
        nonlocal count
        watch(name, world)
        count += 1
        if count == number:
            raise Crash

    rig.world.after = die
    with suppress(Crash):
        rig.run(Revoke(key=leaked))
    rig.world.after = watch
    for _ in range(2):
        rig.world.clock.sleep(16 * 60)
        if held(rig) == leaked or _status(rig, leaked) is KeyStatus.ACTIVE:
            revoke(rig)
    if held(rig) == leaked and free_slot(rig):
        revoke(rig)
    assert held(rig) != leaked
    assert _status(rig, leaked) is not KeyStatus.ACTIVE
    assert rig.watch.broken == []


def _status(rig: Rig, key: AccessKeyId) -> KeyStatus | None:
    found = rig.world.find(key)
    return found[1].status if found else None


def test_a_rollback_that_is_repeated_finishes_and_does_not_turn_round() -> None:
    """Rollback promoted the old key, the target was down; the same command again sends it."""
    rig = rotated_again(a_rig())
    new, old = held(rig), previous(rig)
    assert old is not None
    rig.world.places[SHOP].is_down = True
    assert rig.run(Rollback(to=old)).errors
    assert previous(rig) == old
    rig.world.places[SHOP].is_down = False
    rig.run(Rollback(to=old))
    assert held(rig) == old != new
    assert previous(rig) is None, "forward is not back"


def test_a_rollback_never_goes_to_a_revoked_key() -> None:
    rig = stored(a_rig())
    leaked = held(rig)
    revoke(rig)
    assert previous(rig) != leaked


def test_half_a_write_and_then_a_rollback_leaves_a_whole_pair() -> None:
    """A is served; B is promoted, its secret is written and the run dies; rollback to A."""
    rig = stored(a_rig())
    a = held(rig)
    rig.world.clock.sleep(70 * 86400)

    def die(name: str, world: World) -> None:
        rig.watch(name, world)
        if name.startswith("target:write secret"):
            raise Crash

    rig.world.after = die
    with pytest.raises(Crash):
        rig.run()
    rig.world.after = rig.watch
    assert not rig.world.deploy(SHOP), "half a pair"
    rig.run(Rollback(to=a))
    assert held(rig) == a
    assert rig.world.deploy(SHOP)


def test_a_refused_create_leaves_no_claim_on_what_a_person_makes_then() -> None:
    """hands-off: the person's key, made minutes later and not used yet, is theirs."""
    rig = a_rig()

    def refuse(name: str, _: World) -> None:
        if name == "iam:CreateAccessKey":
            raise ProviderRefused("not allowed")

    rig.world.before = refuse
    assert rig.run().errors
    rig.world.before = None
    rig.world.clock.sleep(60)
    theirs = rig.world.add_key(USER)
    for _ in range(3):
        rig.day()
    assert _status(rig, theirs.id) is KeyStatus.ACTIVE


def test_a_permission_that_is_missing_for_days_blocks_nobody_for_good() -> None:
    rig = a_rig()

    def refuse(name: str, _: World) -> None:
        if name == "iam:CreateAccessKey":
            raise ProviderRefused("not allowed")

    rig.world.before = refuse
    for _ in range(80):
        rig.run()
        rig.world.clock.sleep(3600)
    rig.world.before = None
    rig.run()
    assert len(rig.world.users[USER]) == 2
    assert rig.world.deploy(SHOP)


def test_a_current_key_that_is_gone_is_replaced_by_revoke() -> None:
    """The hold's own remedy works."""
    rig = stored(a_rig())
    gone = held(rig)
    del rig.world.users[USER][gone]
    rig.world.clock.sleep(86400)
    outcome = rig.run()
    assert outcome.plan is not None
    assert any("keyrota revoke" in hold.remedy for hold in outcome.plan.holds)
    revoke(rig)
    assert rig.world.deploy(SHOP)


def test_a_secret_that_was_made_without_a_value_is_used() -> None:
    """As Terraform makes it, named in the configuration."""
    rig = a_rig()
    rig.is_secret_named = True
    rig.world.person_puts(SECRET, None)
    rig.world.secrets[SECRET].versions.clear()
    rig.run()
    assert rig.world.deploy(SHOP)
    assert len(rig.world.users[USER]) == 2


def test_such_a_secret_is_left_alone_where_nobody_names_it() -> None:
    rig = a_rig()
    rig.world.person_puts(SECRET, None)
    rig.world.secrets[SECRET].versions.clear()
    outcome = rig.run()
    assert outcome.plan is not None
    assert any("did not make it" in hold.reason for hold in outcome.plan.holds)
    assert rig.world.secrets[SECRET].versions == {}


def test_of_three_keys_none_is_touched() -> None:
    """Two of them switched off by a person: reported, and the run ends."""
    rig = rotated_again(a_rig())
    rig.world.add_key(USER)
    for key in list(rig.world.users[USER]):
        if key != held(rig):
            rig.world.change(key, status=KeyStatus.INACTIVE, status_word="Inactive")
    before = dict(rig.world.users[USER])
    rig.world.clock.sleep(40 * 86400)
    assert not rig.run().errors
    assert {key: value.status for key, value in rig.world.users[USER].items()} == {
        key: value.status for key, value in before.items()
    }


def test_a_label_that_never_moves_is_an_error_and_no_silence() -> None:
    """Refused every time by something permanent: told, each time."""
    rig = a_rig()

    def refuse(name: str, _: World) -> None:
        if name == "secretsmanager:UpdateSecretVersionStage":
            raise LostRace("the label is not where it was")

    rig.world.before = refuse
    assert rig.run().errors


def test_a_person_s_key_in_the_time_of_a_claim_does_not_block_a_new_user() -> None:
    """Made and used within the lease, after a lost answer that made nothing."""
    rig = a_rig()
    rig.world.users[USER].clear()
    rig.world.places[SHOP].pair = None

    def lose(name: str, _: World) -> None:
        if name == "iam:CreateAccessKey":
            raise ProviderUnavailable("no answer")

    rig.world.before = lose
    rig.run()
    rig.world.before = None
    rig.world.clock.sleep(30)
    theirs = rig.world.add_key(USER)
    rig.world.clock.sleep(30)
    assert rig.world.use(theirs)
    for _ in range(100):
        rig.run()
        rig.world.clock.travel(timedelta(days=1))
    assert rig.world.deploy(SHOP)


def test_no_key_is_made_that_could_not_be_stored() -> None:
    """Secrets Manager takes twenty labels; people may wear most of them."""
    rig = stored(a_rig())
    current = rig.world.secrets[SECRET].find_labelled("AWSCURRENT")
    for number in range(15):
        rig.world.person_moves_label(SECRET, f"theirs-{number}", current)
    rig.world.clock.travel(timedelta(days=120))
    keys = set(rig.world.users[USER])
    for _ in range(3):
        outcome = rig.run()
        rig.world.clock.travel(timedelta(days=11))
    assert outcome.plan is not None
    assert any("could not be stored" in hold.reason for hold in outcome.plan.holds)
    assert set(rig.world.users[USER]) <= keys
    for number in range(15):
        rig.world.person_moves_label(SECRET, f"theirs-{number}", None)
    assert rig.run().errors == ()
    assert len(set(rig.world.users[USER]) - keys) == 1


def test_a_key_that_was_switched_on_again_is_known_as_such_beside_another_that_was() -> None:
    """Seed 532: the note about the second key took the place of that about the first, which went off at once."""
    rig = rotated_again(a_rig())
    keys = rig.world.users[USER]
    old, new = sorted(keys, key=lambda key: keys[key].created)
    while keys[old].status is KeyStatus.ACTIVE:
        rig.day()
    rig.world.change(new, status=KeyStatus.INACTIVE, status_word="Inactive")
    rig.run(Rollback(to=new))
    assert keys[new].status is KeyStatus.ACTIVE
    rig.world.change(old, status=KeyStatus.ACTIVE, status_word="Active")
    rig.day()
    assert keys[old].status is KeyStatus.ACTIVE
