"""A secret value cannot be shown by accident (promise nothing-leaks)."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, astuple, replace

import pytest

from builders import NOW, OLD
from keyrota.core.model import CreatedKey, KeyPair
from keyrota.core.secret import Secret

CANARY = "canary/wJalrXUtnFEMI+K7MDENG"
SECRET = Secret(CANARY)
PAIR = KeyPair(id=OLD, secret=SECRET)
CREATED = CreatedKey(credential=PAIR, created=NOW)

SHOWN: list[tuple[str, Callable[[], str]]] = [
    ("repr", lambda: repr(SECRET)),
    ("str", lambda: str(SECRET)),
    ("format", lambda: format(SECRET)),
    ("format with a width", lambda: f"{SECRET:>40}"),
    ("an f-string's own =", lambda: f"{SECRET=}"),
    ("!r, !s and !a", lambda: f"{SECRET!r} {SECRET!s} {SECRET!a}"),
    ("str.format", lambda: "{} {0!r}".replace("{}", "{0}").format(SECRET)),
    ("%s and %r", lambda: "%s %r" % (SECRET, SECRET)),  # noqa: UP031  # the old way is what is tried
    ("in a tuple", lambda: str((SECRET, [SECRET], {"a": SECRET}))),
    ("in a credential", lambda: repr(PAIR)),
    ("in a new key", lambda: repr(CREATED)),
    ("in an error's arguments", lambda: repr(ValueError(SECRET)) + str(ValueError(SECRET))),
    ("json with default=str", lambda: json.dumps({"a": SECRET}, default=str)),
    ("dir", lambda: str(dir(SECRET))),
]


@pytest.mark.parametrize(("way", "show"), SHOWN, ids=[way for way, _ in SHOWN])
def test_it_is_never_shown(way: str, show: Callable[[], str]) -> None:
    assert CANARY not in show(), way


REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("pickle", lambda: pickle.dumps(SECRET)),
    ("pickle of a credential", lambda: pickle.dumps(PAIR)),
    ("copy", lambda: copy.copy(SECRET)),
    ("deepcopy", lambda: copy.deepcopy(SECRET)),
    ("deepcopy of what holds it", lambda: copy.deepcopy([PAIR])),
    ("asdict", lambda: asdict(PAIR)),
    ("astuple", lambda: astuple(CREATED)),
    ("json", lambda: json.dumps({"secret": SECRET})),
    ("hash", lambda: hash(SECRET)),
    ("vars", lambda: vars(SECRET)),
    ("joined", lambda: "".join(["a", SECRET])),  # type: ignore[list-item]  # noqa: FLY002  # what is tried
    ("added", lambda: "a" + SECRET),  # type: ignore[operator]  # what is tried
    ("%d", lambda: "%d" % SECRET),  # type: ignore[str-format]  # noqa: UP031  # what is tried
    ("bytes", lambda: bytes(SECRET)),  # type: ignore[call-overload]  # what is tried
    ("iterated", lambda: list(SECRET)),  # type: ignore[call-overload]  # what is tried
    ("indexed", lambda: SECRET[0]),  # type: ignore[index]  # what is tried
    ("a format that text does not have", lambda: f"{SECRET:d}"),
]


@pytest.mark.parametrize(("way", "attempt"), REFUSED, ids=[way for way, _ in REFUSED])
def test_it_is_refused_without_being_named(way: str, attempt: Callable[[], object]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        attempt()
    assert CANARY not in str(caught.value), way


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_protocol_pickles_it(protocol: int) -> None:
    with pytest.raises(TypeError, match="not copied, pickled"):
        pickle.dumps(SECRET, protocol=protocol)


def _fails_with(pair: KeyPair, secret: Secret) -> None:
    kept = [secret, pair]
    raise RuntimeError(f"cannot go on with {kept}")


def test_a_traceback_with_locals_does_not_show_it() -> None:
    try:
        _fails_with(PAIR, SECRET)
    except RuntimeError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "kept" in told
    assert CANARY not in told


def test_a_comparison_that_fails_does_not_show_it() -> None:
    """Text that no encoding takes (a broken environment variable) must not come back in the error."""
    broken = Secret(f"{CANARY}\udc80")
    try:
        broken == SECRET  # noqa: B015  # the comparison itself is tried
    except UnicodeEncodeError as error:
        told = "".join(traceback.format_exception(error)) + repr(error)
    else:
        told = ""
    assert CANARY not in told


def test_a_log_line_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test_secret").debug("pair %s, secret %r", PAIR, SECRET)
    assert "Secret(…)" in caplog.text
    assert CANARY not in caplog.text


def test_it_is_revealed_on_request() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert replace(PAIR, id=OLD).secret is SECRET


def test_it_compares_by_value_and_only_with_its_own_kind() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("ä") == Secret("ä")


def test_it_knows_its_length_and_whether_it_is_empty() -> None:
    assert (len(Secret("four")), bool(Secret("four")), bool(Secret(""))) == (4, True, False)


def test_a_secret_is_equal_to_nothing_but_a_secret() -> None:
    assert (Secret("a") == "a") is False
    assert (Secret("a") == Secret("a")) is True


def test_a_secret_shows_these_words() -> None:
    assert repr(Secret("a")) == "Secret(…)"
