"""What credentials of one configuration do to each other."""

from __future__ import annotations

from dataclasses import replace

from builders import NEW, OLD, a_key, a_secret, current, observed
from keyrota.core.model import Observation, PlaceId, TargetEvidence, TargetState, UserName, VariableState
from keyrota.core.neighbours import credential_of, shared_places

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
    found = shared_places([one, other])
    assert set(found) == {credential_of(one), credential_of(other)}
    ((address, words),) = found[credential_of(other)]
    assert address == "gitea acme/other"
    assert "are one place (https://git.example.com/api/v1 repository 12): both would write AWS_ACCESS_KEY_ID" in words


def test_other_places_and_other_variables_are_nobody_s_matter() -> None:
    elsewhere = of("other", replace(HERE, origin="https://other.example.com/api/v1"))
    assert shared_places([of("one", HERE), elsewhere]) == {}
    assert shared_places([of("one", HERE), of("other", HERE, "DEPLOY_KEY_ID")]) == {}
