"""Each error says what, where and what to do, keeps its promise in its docstring, and shows nothing dangerous."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrota import errors
from keyrota.errors import (
    ConfigError,
    Fault,
    KeyrotaError,
    PartialFailure,
    ProviderRefused,
    ProviderUnavailable,
    TornPair,
    printable,
)

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, KeyrotaError) and kind is not KeyrotaError
]


def an_error(
    kind: type[KeyrotaError], what: str = "it broke", where: str = "here", remedy: str = "mend it"
) -> KeyrotaError:
    if issubclass(kind, ConfigError):
        return kind([Fault(what=what, where=where, remedy=remedy)])
    if issubclass(kind, PartialFailure):
        return kind(what, [KeyrotaError("cause", where=where, remedy=remedy)])
    if issubclass(kind, TornPair):
        return kind(KeyrotaError(what, where=where, remedy=remedy), written=frozenset())
    return kind(what, where=where, remedy=remedy)


@pytest.mark.parametrize("kind", CLASSES)
def test_each_says_what_where_and_what_to_do(kind: type[KeyrotaError]) -> None:
    error = an_error(kind)
    assert (error.what, error.where, error.remedy) == ("it broke", "here", "mend it")
    assert str(error) == "here: it broke"


@pytest.mark.parametrize("kind", [KeyrotaError, *CLASSES])
def test_each_promises_what_still_holds(kind: type[KeyrotaError]) -> None:
    assert "What still holds:" in (kind.__doc__ or "")


@pytest.mark.parametrize("kind", CLASSES)
def test_control_characters_of_others_are_made_visible(kind: type[KeyrotaError]) -> None:
    error = an_error(kind, what="a\x1b[2Jb\nc", where="x\r", remedy="\u202ey")
    assert str(error).isprintable()
    assert error.remedy == "\\x202ey"


def test_without_a_place_the_sentence_stands_alone() -> None:
    assert str(KeyrotaError("it broke")) == "it broke"


def test_all_faults_of_a_configuration_come_at_once() -> None:
    faults = [Fault(where="a:1:1", what="one"), Fault(where="a:2:1", what="two", remedy="write it")]
    error = ConfigError(iter(faults))
    assert error.faults == tuple(faults)
    assert str(error) == "a:1:1: one"


def test_a_bundle_keeps_each_failure_and_shows_the_first_ones_remedy() -> None:
    one = ProviderRefused("no", where="bitbucket", remedy="scope")
    two = ProviderUnavailable("later", retry_after_s=3)
    bundle = PartialFailure("2 of 9 targets failed", [one, two])
    assert bundle.failures == (one, two)
    assert (bundle.where, bundle.remedy) == ("bitbucket", "scope")


def test_a_service_that_asked_to_wait_says_how_long() -> None:
    assert ProviderUnavailable("busy", retry_after_s=30).retry_after_s == 30
    assert ProviderUnavailable("busy").retry_after_s is None


@given(st.text(max_size=2000))
def test_printable_is_printable_and_has_an_end(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= 600 * 8 + 1


@given(st.text("abc äöü/:-", max_size=600))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
