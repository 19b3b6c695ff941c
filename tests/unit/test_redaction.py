"""What this process works with is removed from every text, however the text writes it (promise nothing-leaks)."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

import pytest

from keyrota.core.secret import Secret
from keyrota.errors import HIDDEN, KeyrotaError, redact, without_own_secrets
from keyrota.http.own_secrets import note, without_secrets

TOKEN = "canary/+<&>\"'=12345"


@pytest.fixture
def noted() -> str:
    note(Secret(TOKEN))
    return TOKEN


@pytest.mark.parametrize(
    "written",
    [TOKEN, quote(TOKEN), quote(TOKEN, safe=""), escape(TOKEN)],
    ids=["as it is", "in a path", "in a query", "in HTML"],
)
def test_a_noted_secret_is_removed_however_it_is_written(noted: str, written: str) -> None:
    for text in (written, f"before {written} after {written}"):
        for shown in (without_secrets(text), without_own_secrets(text), redact(text)):
            assert shown == text.replace(written, HIDDEN)
            assert noted not in shown


def test_a_value_that_is_not_utf_8_is_removed_too() -> None:
    """So the environment may hold a token; no other text fails for it."""
    value = "canary-\udcff-of-another-encoding"
    note(Secret(value))
    assert without_secrets(f"before {value} after") == f"before {HIDDEN} after"
    assert without_secrets("before canary-%FF") == "before canary-%FF"


@pytest.mark.parametrize(("length", "is_hidden"), [(11, False), (12, True), (40, True)])
def test_a_short_value_is_a_word_and_stays(length: int, is_hidden: bool) -> None:
    value = ("w" + "0123456789" * 4)[:length]
    note(Secret(value))
    assert (HIDDEN in without_secrets(f"a {value} b")) is is_hidden


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"],
)
@pytest.mark.parametrize(
    ("value", "is_hidden"), [("of-environment-123", True), ("of-environm1", True), ("short", False)]
)
def test_the_credentials_of_the_environment_are_removed_without_being_noted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, is_hidden: bool
) -> None:
    monkeypatch.setenv(name, "an-older-value-of-it")
    assert without_secrets("x an-older-value-of-it y") == f"x {HIDDEN} y"
    monkeypatch.setenv(name, value)
    assert without_secrets(f"x {value} y") == (f"x {HIDDEN} y" if is_hidden else f"x {value} y")


def test_many_secrets_are_known_at_once() -> None:
    """A fleet's tokens and pairs; the same one twice takes no room."""
    names = [f"secret-number-{number:03}" for number in range(256)]
    for name in [names[0]] * 300 + names:
        note(Secret(name))
    assert without_secrets(" ".join(names)) == " ".join([HIDDEN] * 256)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer {}",
        "Proxy-Authorization: {}",
        "x-amz-security-token={}",
        "X-Amz-Signature: {}",
        "X-Amz-Credential={}",
        "PRIVATE-TOKEN: {}",
        "Job-Token: {}",
        "Circle-Token: {}",
        "X-Vault-Token: {}",
        "Set-Cookie: {}",
        'Cookie": "{}',
        "AWS4-HMAC-SHA256 Credential={}",
        "bearer {}",
        "Basic dXNlcjpwYXNzd29yZA{}",
    ],
)
def test_a_quoted_header_is_removed_by_its_look(header: str) -> None:
    """Also where the value is nobody's that this process knows."""
    shown = redact(f"refused: {header.format('unknown-canary-1')}\nthe next line")
    assert "unknown-canary-1" not in shown
    assert shown.endswith("\nthe next line")
    assert HIDDEN in shown


@pytest.mark.parametrize("text", ["Basic rights are missing", "bearers of bad news", "the authorization failed"])
def test_words_stay(text: str) -> None:
    assert redact(text) == text


def test_an_error_shows_no_control_character_and_has_an_end() -> None:
    error = KeyrotaError("what\x1b[2J" + "x" * 1000, where="where\r\n", remedy="remedy\x00")
    for text in (error.what, error.where, error.remedy, str(error)):
        assert text.isprintable()
    assert len(error.what) < 700
    assert error.what.endswith("…")
