"""Telling AWS keys among variables, by value and by name."""

from __future__ import annotations

import pytest

from keyrota.core.detect import Seen, find_keys, look_at, looks_like_id, looks_like_secret, secret_beside
from keyrota.core.model import AccessKeyId, FoundKey

KEY = AccessKeyId("AKIAIOSFODNN7EXAMPLE")
HERE = {"repository": "acme/shop"}

VALUES: list[tuple[str, object, bool, AccessKeyId | None]] = [
    ("a key ID", KEY, True, KEY),
    ("with blanks around it", f" {KEY}\n", True, KEY),
    ("not readable", None, False, None),
    ("something else", "eu-central-1", True, None),
    ("a key ID and more", f"{KEY}-old", True, None),
    ("a temporary key's ID", "ASIAIOSFODNN7EXAMPLE", True, None),
    ("no text", 7, True, None),
]


@pytest.mark.parametrize(("case", "value", "is_readable", "key"), VALUES, ids=[row[0] for row in VALUES])
def test_of_a_value_only_a_key_id_is_kept(case: str, value: object, is_readable: bool, key: str | None) -> None:
    assert look_at("NAME", value) == Seen(name="NAME", is_readable=is_readable, key=key), case  # type: ignore[arg-type]  # NewType


@pytest.mark.parametrize(
    ("name", "is_id", "is_secret"),
    [
        ("AWS_ACCESS_KEY_ID", True, False),
        ("aws_access_key_id", True, False),
        ("PROD_ACCESS_KEY_ID_2", True, False),
        ("MY_AWS_ACCESS_KEY", True, False),
        ("AWS_KEY_ID", True, False),
        ("AWS_KEY", True, False),
        ("AWS_KEY_FILE", False, False),
        ("aws_secret_access_key", False, True),
        ("SECRET_ACCESS_KEY_2", False, True),
        ("AWS_SECRET_KEY", False, True),
        ("MY_AWS_SECRET", False, True),
        ("AWS_SECRET_NAME", False, False),
        ("AWS_REGION", False, False),
    ],
)
def test_what_a_name_says(name: str, is_id: bool, is_secret: bool) -> None:
    assert (looks_like_id(name), looks_like_secret(name)) == (is_id, is_secret)


BESIDE = [
    ("the usual pair", "AWS_ACCESS_KEY_ID", {"AWS_SECRET_ACCESS_KEY"}, "AWS_SECRET_ACCESS_KEY"),
    ("the twin of several", "B_ACCESS_KEY_ID", {"A_SECRET_ACCESS_KEY", "B_SECRET_ACCESS_KEY"}, "B_SECRET_ACCESS_KEY"),
    ("in other letters", "aws_access_key_id", {"aws_secret_access_key", "AWS_SECRET"}, "aws_secret_access_key"),
    ("KEY_ID and SECRET_KEY", "AWS_KEY_ID", {"AWS_SECRET_KEY", "MY_AWS_SECRET"}, "AWS_SECRET_KEY"),
    ("ACCESS_KEY and SECRET_KEY", "AWS_ACCESS_KEY", {"AWS_SECRET_KEY", "MY_AWS_SECRET"}, "AWS_SECRET_KEY"),
    ("the only secret there is", "DEPLOY_AWS_KEY", {"THE_AWS_SECRET", "AWS_REGION"}, "THE_AWS_SECRET"),
    ("none of two", "DEPLOY_AWS_KEY", {"ONE_AWS_SECRET", "TWO_AWS_SECRET"}, None),
    ("none at all", "AWS_ACCESS_KEY_ID", {"AWS_REGION"}, None),
    ("not itself", "AWS_KEY", set[str](), None),
]


@pytest.mark.parametrize(("case", "id_name", "names", "found"), BESIDE, ids=[row[0] for row in BESIDE])
def test_the_secret_beside_an_id(case: str, id_name: str, names: set[str], found: str | None) -> None:
    assert secret_beside(id_name, frozenset({id_name, *names})) == found, case


def found(*variables: Seen, settings: dict[str, object] | None = None) -> list[FoundKey]:
    return list(find_keys("here", settings, iter(variables)))


def test_the_usual_pair_needs_no_names() -> None:
    (one,) = found(look_at("AWS_ACCESS_KEY_ID", KEY), look_at("AWS_SECRET_ACCESS_KEY", None), settings=dict(HERE))
    assert one == FoundKey(place="here", settings=HERE, variable="AWS_ACCESS_KEY_ID", key=KEY)


def test_another_pair_is_named_in_the_proposal() -> None:
    (one,) = found(look_at("B_ACCESS_KEY_ID", None), look_at("B_SECRET_ACCESS_KEY", None), settings=dict(HERE))
    assert one.settings == {**HERE, "names": {"id": "B_ACCESS_KEY_ID", "secret": "B_SECRET_ACCESS_KEY"}}
    assert (one.key, one.remark) == (None, "")


def test_half_a_pair_is_remarked_upon() -> None:
    (one,) = found(look_at("AWS_ACCESS_KEY_ID", KEY), settings=dict(HERE))
    assert (one.settings, bool(one.remark)) == (HERE, True)


def test_a_place_that_the_configuration_cannot_name_has_no_proposal() -> None:
    (one,) = found(look_at("B_ACCESS_KEY_ID", KEY), look_at("B_SECRET_ACCESS_KEY", None))
    assert one.settings is None


def test_what_is_no_key_hides_none_behind_it() -> None:
    assert len(found(look_at("AWS_REGION", "eu"), look_at("AWS_ACCESS_KEY_ID", KEY), look_at("X", KEY))) == 2


def test_what_is_readable_and_no_key_is_none_whatever_its_name_says() -> None:
    assert found(look_at("AWS_ACCESS_KEY_ID", "to be done"), look_at("AWS_REGION", None)) == []
