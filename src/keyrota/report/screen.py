"""How text fits a screen: columns that a text takes, cells of a table, lines broken at words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from keyrota.errors import printable

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_END = "\x1b[0m"
_WORDS = re.compile(r"`[^`]*`[^\s`]*|keyrota [a-z]+(?: --[a-z-]+| '[^']*')+\S*|\S+")
"""What stays in one piece, so that it can be copied: a word, a command in backquotes, or one with a quoted name."""
_TURNS_TEXT = frozenset({"R", "AL", "AN"})
"""Bidirectional classes of letters that a terminal may draw from right to left, with what stands beside them."""
_MAX_MARKS = 2
"""So many combining marks one letter has in any language; more of them would be drawn over other lines."""
_LEAD = re.compile(r"((?:\x1b\[[0-9;]*m)*) *")
_HEAD = re.compile(r" *[→✓✗‖!?+·@] (?:\S+ {2,})?")
"""The mark of a line, and its word, behind which the text begins."""
_MIN_TEXT = 40
"""With less room for the text than this, lines are indented by `_NARROW_INDENT` alone."""
_NARROW_INDENT = 4


def measure(text: str) -> int:
    """Count the columns of a terminal that a text takes; colours take none, and East Asian letters two."""
    return sum(map(_columns_of, _COLOUR.sub("", text)))


def _columns_of(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def make_cell(text: str) -> str:
    """
    Make a text safe beside others in one line.

    What would turn the line around (right to left) or be drawn over the lines above is written as its number.
    """
    shown, marks = [], 0
    for char in unicodedata.normalize("NFC", printable(text)):
        marks = marks + 1 if unicodedata.category(char).startswith("M") else 0
        is_odd = unicodedata.bidirectional(char) in _TURNS_TEXT or marks > _MAX_MARKS
        shown.append(f"\\u{ord(char):04x}" if is_odd else char)
    return "".join(shown)


def shorten(text: str, width: int) -> str:
    """Leave out the middle of what is too long: names often differ at their ends."""
    if measure(text) <= width:
        return text
    if width < 3:  # noqa: PLR2004  # no room for both ends
        return _first(text, width)
    last = _first(text[::-1], (width - 1) // 2)[::-1]
    return f"{_first(text, width - 1 - measure(last))}…{last}"


def cut(text: str, width: int) -> str:
    """Leave out the end of what is too long."""
    return text if measure(text) <= width else f"{_first(text, width - 1).rstrip()}…"


def _first(text: str, width: int) -> str:
    taken = 0
    for number, char in enumerate(text):
        taken += _columns_of(char)
        if taken > width:
            return text[:number]
    return text


def pad(text: str, width: int, *, is_number: bool = False) -> str:
    """Fill up with spaces: words at their end, numbers at their beginning."""
    space = " " * max(0, width - measure(text))
    return space + text if is_number else text + space


def wrap(line: str, width: int | None) -> Iterator[str]:
    """
    Break a line at its words, further lines indented like its text; None: as it is.

    A word that is longer than a line (an ARN, a command between backquotes) stays whole: the terminal breaks it, and
    it can still be copied.
    """
    if width is None or measure(line) <= width:
        yield line
        return
    lead, text = _lead(line)
    own, further = _indents(_COLOUR.sub("", line), width)
    built, colour, end, is_empty = lead + " " * own, lead, 0, True
    for word in _WORDS.finditer(text):
        gap = "" if is_empty else text[end : word.start()]
        if not is_empty and measure(built + gap + word[0]) > width:
            yield built + (_END if colour else "")
            built, gap = " " * further + colour, ""
        built, end, is_empty = built + gap + word[0], word.end(), False
        for code in _COLOUR.findall(word[0]):
            colour = "" if code == _END else colour + code
    yield built


def _lead(line: str) -> tuple[str, str]:
    """Take colours at the beginning off, and the indent behind them."""
    match = _LEAD.match(line)
    return (match[1], line[match.end() :]) if match else ("", line)


def _indents(bare: str, width: int) -> tuple[int, int]:
    """Choose the indent of the first line and of those that follow: like the text, if that leaves room for it."""
    own = len(bare) - len(bare.lstrip(" "))
    head = _HEAD.match(bare)
    wanted = len(head[0]) if head else own + 2 if own < _NARROW_INDENT else own
    if width - wanted >= _MIN_TEXT:
        return own, wanted
    return min(own, _NARROW_INDENT), _NARROW_INDENT
