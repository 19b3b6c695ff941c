"""Secrets Manager in the world: versions, labels, quotas, deletion and what people do, one fact a test."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    AWSPREVIOUS,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    Claim,
    UserName,
    VersionId,
    placeholder_token,
)
from keyrota.core.secret import Secret
from keyrota.errors import LostRace, NotThere, ProviderRefused, SecretUnusable
from keyrota_sandbox.memory import Crash, StoredSecret, World
from keyrota_sandbox.memory.stored import MAX_LABELS, MAX_VERSIONS

NAME = "keyrota/ci-deploy"
USER = UserName("ci-deploy")
TOKEN = VersionId("version-00000000000000000000000000001")
OTHER = VersionId("version-00000000000000000000000000002")


@pytest.fixture
def world() -> World:
    """A world with a user and a secret with its placeholder."""
    made = World()
    made.add_user(USER)
    made.store.create(NAME, {})
    return made


def labels(world: World, version: VersionId) -> set[str]:
    """Return the labels of a version."""
    return world.secrets[NAME].versions[version].labels


def a_claim(world: World, version: VersionId = TOKEN, run: str = "one") -> Claim:
    """Make a claim."""
    now = world.clock.now()
    return Claim(version=version, run=run, at=now, lease_until=now + timedelta(minutes=10), keys_seen=frozenset())


def test_the_first_version_is_current_whatever_labels_it_is_given() -> None:
    world = World()
    world.make_secret(NAME)
    world.store.put_claim(NAME, a_claim(world))
    assert labels(world, TOKEN) == {AWSCURRENT, CLAIM}


def test_one_token_has_one_value_with_its_fields_in_their_order(world: World) -> None:
    pair = world.add_key(USER)
    beside = '{"a": "1", "b": "2"}'
    for _ in range(2):
        world.store.put_pending(NAME, TOKEN, pair, beside=Secret(beside))
    for other in ('{"b": "2", "a": "1"}', '{"a": "1"}'):
        with pytest.raises(LostRace):
            world.store.put_pending(NAME, TOKEN, pair, beside=Secret(other))
    with pytest.raises(LostRace):
        world.store.put_claim(NAME, a_claim(world))


def test_the_same_value_again_leaves_labels_where_they_went(world: World) -> None:
    pair = world.add_key(USER)
    world.store.put_pending(NAME, TOKEN, pair, beside=Secret("{}"))
    world.store.put_pending(NAME, OTHER, world.add_key(USER), beside=Secret("{}"))
    world.store.put_pending(NAME, TOKEN, pair, beside=Secret("{}"))
    assert PENDING in labels(world, OTHER)
    assert labels(world, TOKEN) == {pair.id}


def test_awsprevious_follows_awscurrent_and_stays_where_nothing_moved(world: World) -> None:
    first = placeholder_token(NAME)
    by_hand = world.person_puts(NAME, world.add_key(USER))
    assert labels(world, first) == {PLACEHOLDER, AWSPREVIOUS}
    world.store.move_label(NAME, AWSCURRENT, to=by_hand, remove_from=by_hand)
    assert labels(world, first) == {PLACEHOLDER, AWSPREVIOUS}
    world.person_moves_label(NAME, AWSCURRENT, first)
    assert (labels(world, first), labels(world, by_hand)) == ({PLACEHOLDER, AWSCURRENT}, {AWSPREVIOUS})


@pytest.mark.parametrize(
    ("label", "to", "remove_from"),
    [
        (AWSCURRENT, None, placeholder_token(NAME)),
        (AWSCURRENT, OTHER, placeholder_token(NAME)),
        (AWSCURRENT, TOKEN, None),
        (AWSCURRENT, TOKEN, TOKEN),
        (CLAIM, placeholder_token(NAME), None),
        ("nowhere", None, TOKEN),
    ],
)
def test_a_label_moves_only_from_where_it_is(
    world: World, label: str, to: VersionId | None, remove_from: VersionId | None
) -> None:
    """AWSCURRENT never comes off, and no version that is gone gets one; a refused move changes nothing."""
    world.store.put_claim(NAME, a_claim(world))
    before = {name: set(version.labels) for name, version in world.secrets[NAME].versions.items()}
    with pytest.raises(LostRace):
        world.store.move_label(NAME, label, to=to, remove_from=remove_from)
    assert {name: version.labels for name, version in world.secrets[NAME].versions.items()} == before


def test_a_secret_has_twenty_labels_across_all_its_versions(world: World) -> None:
    for number in range(MAX_LABELS - 4):
        world.person_puts(NAME, None, labels=(f"theirs-{number}",))
    pair = world.add_key(USER)
    world.store.put_pending(NAME, TOKEN, pair, beside=Secret("{}"))
    with pytest.raises(ProviderRefused, match="20 staging labels"):
        world.store.put_claim(NAME, a_claim(world, OTHER))
    with pytest.raises(ProviderRefused, match="20 staging labels"):
        world.store.move_label(NAME, CLAIM, to=TOKEN, remove_from=None)
    world.person_moves_label(NAME, "theirs-0", None)
    world.store.put_claim(NAME, a_claim(world, OTHER))


def test_versions_of_a_day_are_kept_and_then_only_those_with_a_label(world: World) -> None:
    made = [world.person_puts(NAME, None, labels=("theirs",)) for _ in range(MAX_VERSIONS - 1)]
    with pytest.raises(ProviderRefused, match="100 versions"):
        world.store.put_claim(NAME, a_claim(world))
    assert world.store.read(NAME, made[0]) is None
    world.clock.travel(timedelta(hours=25))
    world.store.put_claim(NAME, a_claim(world))
    assert set(world.secrets[NAME].versions) == {placeholder_token(NAME), made[-1], TOKEN}
    with pytest.raises(NotThere):
        world.store.read(NAME, made[0])


def test_a_version_without_a_value_is_not_there_until_it_has_one(world: World) -> None:
    world.begin_rotation(NAME, TOKEN)
    assert labels(world, TOKEN) == {AWSPENDING}
    for read in (world.store.read, world.store.other_fields):
        with pytest.raises(NotThere):
            read(NAME, TOKEN)
    pair = world.add_key(USER)
    world.begin_rotation(NAME, OTHER)
    with pytest.raises(LostRace):  # an earlier rotation comes late
        world.store.put_rotating(NAME, TOKEN, pair, beside=Secret("{}"), rotation_token=None)
    world.store.put_rotating(NAME, OTHER, pair, beside=Secret("{}"), rotation_token=None)
    assert world.store.read(NAME, OTHER) == pair


def test_while_it_is_scheduled_for_deletion_only_its_description_is_told(world: World) -> None:
    by_hand = world.person_puts(NAME, world.add_key(USER))
    before = _copy(world.secrets[NAME])
    world.person_deletes_secret(NAME)
    state = world.store.describe(NAME)
    assert state is not None
    assert state.deleted_at == world.clock.now() + timedelta(days=30)
    for call in (
        lambda: world.store.read(NAME, by_hand),
        lambda: world.store.current(NAME),
        lambda: world.store.claim(NAME),
        lambda: world.store.other_fields(NAME, by_hand),
        lambda: world.store.put_claim(NAME, a_claim(world)),
        lambda: world.store.move_label(NAME, "theirs", to=by_hand, remove_from=None),
        lambda: world.store.tag(NAME, {"a": "b"}),
        lambda: world.store.create(NAME, {}),
    ):
        with pytest.raises(ProviderRefused) as caught:
            call()
        assert caught.value.remedy == f"aws secretsmanager restore-secret --secret-id {NAME}"
    world.person_restores_secret(NAME)
    assert _copy(world.secrets[NAME]) == before


def _copy(stored: StoredSecret) -> tuple[object, ...]:
    versions = tuple((name, frozenset(version.labels), version.pair) for name, version in stored.versions.items())
    return versions, dict(stored.tags), stored.changed_at, stored.deleted_at


@pytest.mark.parametrize("is_forced", [True, False])
def test_a_secret_is_gone_by_force_or_after_its_window(world: World, is_forced: bool) -> None:
    """And can be made again under its name."""
    world.person_deletes_secret(NAME, days=7, is_forced=is_forced)
    world.clock.travel(timedelta(days=7))
    assert world.store.describe(NAME) is None
    with pytest.raises(NotThere):
        world.person_restores_secret(NAME)
    world.store.create(NAME, {"a": "b"})
    assert dict(world.secrets[NAME].tags) == {"a": "b"}


def test_a_birth_that_was_cut_short_is_finished() -> None:
    """CreateSecret and the label are two calls."""
    world = World()

    def die(name: str, _: World) -> None:
        if name == "secretsmanager:CreateSecret":
            raise Crash

    world.after = die
    with pytest.raises(Crash):
        world.store.create(NAME, {})
    assert labels(world, placeholder_token(NAME)) == {AWSCURRENT}
    world.after = None
    world.store.create(NAME, {})
    assert labels(world, placeholder_token(NAME)) == {AWSCURRENT, PLACEHOLDER}


def test_somebody_else_s_secret_is_not_taken_for_ours() -> None:
    world = World()
    world.add_user(USER)
    world.person_puts(NAME, world.add_key(USER))
    with pytest.raises(ProviderRefused):
        world.store.create(NAME, {})


def test_what_a_person_stored_is_told_as_it_is(world: World) -> None:
    """No JSON, or no pair: another error than a secret without AWSCURRENT, or none at all."""
    with pytest.raises(SecretUnusable):
        world.store.current(NAME)
    world.person_puts(NAME, None, is_broken=True)
    with pytest.raises(SecretUnusable):
        world.store.current(NAME)
    with pytest.raises(NotThere):
        world.store.current("another")
    assert world.store.claim("another") is None


def test_tags_are_set_and_taken_off(world: World) -> None:
    world.person_tags(NAME, {"a": "1", "b": "2"})
    world.person_untags(NAME, "a")
    world.person_untags(NAME, "a")
    assert world.secrets[NAME].tags == {"b": "2"}
    for illegal in ({"a": "x,y"}, {"a": "x" * 257}, {"x" * 129: ""}):
        with pytest.raises(ProviderRefused):
            world.store.tag(NAME, illegal)


def test_a_user_that_is_gone_has_no_keys_to_delete(world: World) -> None:
    """As IAM's NoSuchEntity reads to the adapter; everything else needs the user."""
    nobody = UserName("nobody")
    world.access_keys.delete(nobody, world.add_key(USER).id)
    assert len(world.users[USER]) == 1
    for call in (
        lambda: world.access_keys.quarantine_policies(nobody),
        lambda: world.access_keys.deny_sessions_before(nobody, world.clock.now()),
        lambda: world.access_keys.list(nobody),
    ):
        with pytest.raises(NotThere):
            call()
