"""What other levels of a project make of a write: each side, each half, bundles, and what AWS tools combine."""

from __future__ import annotations

import pytest

from keyrota.core.levels import Level, Side, Written, keys_shown, level_conflicts
from keyrota.core.model import ShownKey
from keyrota.core.variables import describe_variable

ID, SECRET, FILE = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE"
PAIR = (ID, SECRET)


def a_level(side: Side, *names: str, name: str = "there") -> Level:
    """Make a level; an ID is readable, everything else is not."""
    values = {ID: "AKIAEXAMPLEKEYTHERE1"}
    return Level(name=name, side=side, variables=tuple(describe_variable(each, values.get(each)) for each in names))


def written(*present: str, bundle: str | None = None, marker: str | None = None) -> Written:
    """Make what a target writes."""
    return Written(pair=None if bundle else PAIR, bundle=bundle, present=frozenset(present), marker=marker)


@pytest.mark.parametrize(
    ("side", "there", "here", "word"),
    [
        (Side.ABOVE, (), (), None),
        (Side.ABOVE, PAIR, (), None),
        (Side.BELOW, PAIR, (), None),
        (Side.BELOW, PAIR, PAIR, None),
        (Side.ABOVE, (ID,), (SECRET,), "split"),
        (Side.ABOVE, (SECRET,), (ID,), "split"),
        (Side.BELOW, (ID,), (SECRET,), "split"),
        (Side.BELOW, (SECRET,), (), "jobs there would use it"),
        (Side.BELOW, (ID,), PAIR, "jobs there would use it"),
        (Side.ABOVE, (SECRET,), (), "from elsewhere"),
        (Side.ABOVE, (SECRET,), PAIR, None),
        (Side.APART, (ID,), (SECRET,), None),
        (Side.APART, (ID,), (), None),
    ],
)
def test_half_a_pair_is_judged_by_where_it_lies(
    side: Side, there: tuple[str, ...], here: tuple[str, ...], word: str | None
) -> None:
    found = level_conflicts(written(*here), [a_level(side, *there)])
    assert [word in conflict.what for conflict in found if word] == ([True] if word else [])
    assert len(found) == (word is not None)
    assert not any(conflict.is_lasting for conflict in found)


@pytest.mark.parametrize("side", [Side.ABOVE, Side.BELOW])
@pytest.mark.parametrize("there", [PAIR, (ID,), (SECRET,)])
def test_a_plain_pair_or_half_of_it_shadows_a_bundle(side: Side, there: tuple[str, ...]) -> None:
    found = level_conflicts(written(FILE, bundle=FILE), [a_level(side, *there)])
    assert [(conflict.is_lasting, there[-1] in conflict.what) for conflict in found] == [(True, True)]


def test_what_aws_tools_combine_with_a_pair_or_replace_by_it() -> None:
    """A session token makes the key useless for good; a file is replaced by the first write only."""
    level = a_level(Side.ABOVE, "AWS_SESSION_TOKEN", FILE)
    assert [conflict.is_lasting for conflict in level_conflicts(written(), [level])] == [True, False]
    other = Written(pair=("A", "B"), bundle=None, present=frozenset())
    assert level_conflicts(other, [level]) == (), "AWS tools read neither A nor B"
    profile = a_level(Side.BELOW, "AWS_PROFILE")
    assert len(level_conflicts(written(bundle=FILE), [profile])) == 1


@pytest.mark.parametrize("side", [Side.ABOVE, Side.BELOW])
@pytest.mark.parametrize(
    ("there", "word", "is_lasting"),
    [
        ("AWS_SECURITY_TOKEN", "AWS refuses the key", True),
        ("AWS_PROFILE", "some AWS tools use that profile", False),
        ("AWS_DEFAULT_PROFILE", "some AWS tools use that profile", False),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "this pair instead of the role", False),
    ],
)
def test_what_aws_tools_use_beside_a_pair_counts_at_other_levels_too(
    side: Side, there: str, word: str, is_lasting: bool
) -> None:
    (found,) = level_conflicts(written(), [a_level(side, there)])
    assert (word in found.what, found.is_lasting) == (True, is_lasting), found
    assert level_conflicts(written(), [a_level(Side.APART, there)]) == ()


@pytest.mark.parametrize("side", [Side.ABOVE, Side.BELOW])
@pytest.mark.parametrize("there", ["AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_what_aws_tools_use_before_a_bundle_counts_at_other_levels_too(side: Side, there: str) -> None:
    (found,) = level_conflicts(written(FILE, bundle=FILE), [a_level(side, there)])
    assert there in found.what


def test_an_id_in_another_store_mixes_unless_it_is_the_marker() -> None:
    """A variable for the ID, a secret for the secret."""
    level = a_level(Side.BESIDE, ID)
    found = level_conflicts(written(SECRET), [level], remedy="set `marker:`")
    assert [conflict.remedy for conflict in found] == ["set `marker:`"]
    assert "AKIAEXAMPLEKEYTHERE1" in found[0].what
    assert level_conflicts(written(SECRET, marker=ID), [level]) == ()
    assert level_conflicts(written(bundle="B"), [level]) == ()


def test_keys_are_shown_with_their_level_and_equal_conflicts_are_told_once() -> None:
    levels = [a_level(Side.BELOW, ID), a_level(Side.BELOW, ID), a_level(Side.APART, ID, name="beyond")]
    where = [f"variable {ID} of there", f"variable {ID} of there", f"variable {ID} of beyond"]
    assert keys_shown(levels) == tuple(ShownKey(key=levels[0].variables[0].keys[0], where=each) for each in where)
    assert len(level_conflicts(written(), levels)) == 1
