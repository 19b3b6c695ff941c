"""What credentials of one configuration do to each other."""

from __future__ import annotations

from dataclasses import replace

from builders import NEW, ODD, OLD, a_key, a_secret, current, observed
from keyrota.core.model import CredentialId, Observation, PlaceId, TargetEvidence, TargetState, UserName, VariableState
from keyrota.core.neighbours import credential_of, find_served_keys, find_shared_places, neighbours_of

HERE = PlaceId(kind="forgejo", origin="https://git.example.com/api/v1", id="repository 12")


def of(user: str, place: PlaceId, name: str = "AWS_ACCESS_KEY_ID") -> Observation:
    target = TargetState(
        address=f"{place.kind} acme/{user}",
        evidence=TargetEvidence.HOLDS,
        key=NEW,
        place=place,
        variables=(VariableState(name=name, is_present=True),),
    )
    seen = observed(a_key(OLD, age_days=95), secret=a_secret(current(NEW, "v2")), targets=(target,))
    return replace(seen, user=UserName(user))


def test_one_place_of_two_users_is_found_under_either_name_of_its_provider() -> None:
    """A Forgejo that one entry names as `forgejo` and another as `gitea` is one place all the same."""
    one, other = of("one", HERE), of("other", replace(HERE, kind="gitea"))
    found = find_shared_places([one, other])
    assert set(found) == {credential_of(one), credential_of(other)}
    ((address, words),) = found[credential_of(other)]
    assert address == "gitea acme/other"
    assert "are one place (https://git.example.com/api/v1 repository 12): both would write AWS_ACCESS_KEY_ID" in words


def test_other_places_and_other_variables_are_nobody_s_matter() -> None:
    elsewhere = of("other", replace(HERE, origin="https://other.example.com/api/v1"))
    assert find_shared_places([of("one", HERE), elsewhere]) == {}
    assert find_shared_places([of("one", HERE), of("other", HERE, "DEPLOY_KEY_ID")]) == {}


def test_a_place_that_is_not_known_hides_no_other() -> None:
    one, other = of("one", HERE), of("other", replace(HERE, kind="gitea"))
    unknown = replace(one.targets[0], address="not known", place=None)
    found = find_shared_places([replace(one, targets=(unknown, *one.targets)), other])
    assert set(found) == {credential_of(one), credential_of(other)}
    assert "not known" not in str(found)


def test_the_keys_of_others_are_found_in_what_a_place_shows_and_in_what_it_holds() -> None:
    """The key that a target holds may be shown by no variable, and the other way round."""
    seen = of("one", HERE)
    other, third = CredentialId(account="123456789012", user=UserName("web")), credential_of(seen)
    holding = replace(seen.targets[0], variables=())
    showing = replace(seen.targets[0], key=None, variables=(VariableState(name="X", is_present=True, key=ODD),))
    served = {NEW: other, ODD: other, OLD: third}
    assert neighbours_of(replace(seen, targets=(holding,)), served) == ((NEW, other),)
    assert neighbours_of(replace(seen, targets=(showing,)), served) == ((ODD, other),)
    both = neighbours_of(replace(seen, targets=(holding, showing)), served)
    assert both == tuple(sorted([(NEW, other), (ODD, other)]))
    assert neighbours_of(replace(seen, targets=(holding, showing)), {NEW: third}) == ()


def test_the_key_that_each_credential_serves() -> None:
    one, without = of("one", HERE), replace(of("other", HERE), secret=None)
    assert find_served_keys([one, without]) == {NEW: credential_of(one)}
