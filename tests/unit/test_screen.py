"""How text fits a screen, and when a pager shows it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from keyrota.app.cli.screen import show
from keyrota.report.screen import cut, make_cell, measure, pad, shorten, wrap

KEY = "AKIA0000000000000OLD"


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("", 0), ("全角", 4), ("e\u0301", 1), ("\x1b[31mred\x1b[0m", 3), ("a\u200bb", 2), ("…", 1)],
)
def test_columns_of_a_text(text: str, width: int) -> None:
    assert measure(text) == width


def test_names_are_shortened_in_their_middle_and_reasons_at_their_end() -> None:
    assert shorten("ci-deploy-production", 12) == "ci-dep…ction"
    assert shorten("short", 5) == "short"
    assert shorten("全角文字の名前", 9) == "全角…名前"
    assert shorten("abcdef", 2) == "ab"
    assert cut("a reason that is long", 10) == "a reason…"
    assert cut("short", 5) == "short"
    assert (pad("全", 4), pad("7", 3, is_number=True), pad("long", 2)) == ("全  ", "  7", "long")


def test_a_cell_shows_what_would_turn_a_line_around_as_its_number() -> None:
    assert make_cell("a\u05d0b") == "a\\u05d0b"
    assert make_cell("cafe\u0301") == "café"
    assert make_cell("o\u0335\u0335\u0335") == "o\u0335\u0335\\u0335"


def test_lines_are_broken_at_words_and_stand_below_their_text() -> None:
    line = f"  → sync       gitlab acme/platform/shop production: holds {KEY}, and AWSCURRENT is another key"
    assert list(wrap(line, 80)) == [
        f"  → sync       gitlab acme/platform/shop production: holds {KEY},",
        "               and AWSCURRENT is another key",
    ]
    assert list(wrap(line, 40))[1].startswith("    production")
    assert list(wrap("               a remedy of several words that is longer", 40)) == [
        "    a remedy of several words that is",
        "    longer",
    ]
    assert list(wrap("               then keyrota confirm 'github acme/shop production' and go on", 60)) == [
        "               then",
        "               keyrota confirm 'github acme/shop production'",
        "               and go on",
    ]
    assert list(wrap(line, None)) == [line]
    assert list(wrap("", 40)) == [""]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_word_is_broken_or_lost(width: int) -> None:
    arn = f"arn:aws:iam::123456789012:user/{'x' * 60}"
    line = f"  ‖ held       {KEY} is used by s3; {arn} run `keyrota sync --user x` now"
    lines = list(wrap(line, width))
    assert " ".join(" ".join(lines).split()) == " ".join(line.split())
    assert any(KEY in part for part in lines)
    assert any("`keyrota sync --user x`" in part for part in lines), "a command can be copied"


def test_colours_end_with_each_line_and_go_on_in_the_next() -> None:
    first, second = wrap("\x1b[2m  · rotate it on a day that is far away, when it reaches its age\x1b[0m", 50)
    assert first.startswith("\x1b[2m  ·")
    assert first.endswith("\x1b[0m")
    assert second.startswith("    \x1b[2m")
    assert second.endswith("\x1b[0m")


SIZE = os.terminal_size((40, 24))
MANY = [f"line {number}" for number in range(24)]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a pager keeps what it gets."""
    kept = tmp_path / "kept"
    code = (
        f"import os, sys; open({str(kept)!r}, 'w').write(os.environ['LESS'] + '\\n' + sys.stdin.read())\n"
        "if set(os.environ) & {'AWS_SECRET_ACCESS_KEY', 'GITHUB_TOKEN', 'LESSOPEN'}: sys.exit('a secret')\n"
        f"open({str(kept)!r} + '.clean', 'w')"
    )
    script = tmp_path / "pager"
    script.write_text(f"#!{sys.executable}\n{code}\n", "utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PAGER", f"{script} --an-option")
    monkeypatch.delenv("LESS", raising=False)
    for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "LESSOPEN"):
        monkeypatch.setenv(name, "a secret, or a command")
    return kept


def test_what_is_longer_than_the_screen_is_paged(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(MANY, is_paged=True, on=SIZE)
    assert kept.read_text("utf-8").splitlines() == ["FRX", *MANY]
    assert capsys.readouterr().out == ""
    show(MANY, is_paged=True, is_wide=True, on=SIZE)
    assert kept.read_text("utf-8").splitlines()[0] == "FRSX"


def test_the_pager_is_given_no_secret(kept: Path) -> None:
    show(MANY, is_paged=True, on=SIZE)
    assert kept.with_name("kept.clean").exists()


def test_a_pager_of_the_current_folder_is_not_started(
    kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept.parent)
    monkeypatch.setenv("PATH", ".")
    monkeypatch.setenv("PAGER", "pager")
    show(MANY, is_paged=True, on=SIZE)
    assert capsys.readouterr().out.splitlines() == MANY
    assert not kept.exists()


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager", "'unbalanced"])
def test_without_a_pager_it_is_printed(
    kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pager: str
) -> None:
    monkeypatch.setenv("PAGER", pager)
    show(MANY, is_paged=True, on=SIZE)
    assert capsys.readouterr().out.splitlines() == MANY
    assert not kept.exists()


def test_what_fits_or_goes_elsewhere_is_not_paged(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a line that is longer than the forty columns of this screen"
    show([*MANY[:20], long], is_paged=True, on=SIZE)
    show(MANY, on=SIZE)
    show([*MANY, long], is_paged=True)
    assert not kept.exists()
    assert len(capsys.readouterr().out.splitlines()) == 22 + 24 + 25
