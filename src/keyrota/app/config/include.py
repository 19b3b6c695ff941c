"""
The files of a configuration: one that people name, and those that it includes.

Included files are found by patterns, relative to the folder of the including file, and never outside of it, also not
through a link. They include nothing themselves, and nothing is fetched. Where a configuration is stored as one text
(`keyrota deploy`), its files stand one after the other, each behind a line with its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from keyrota.app.config.nodes import Document, read_text
from keyrota.errors import ConfigError, Fault

MAX_FILES = 500
_MAX_TOGETHER = 16 * 1024 * 1024
_HEAD = "# keyrota: the included file "
_LINE = re.compile(rf"^{re.escape(_HEAD)}(?P<name>[^\r\n]+)\r?\n", re.MULTILINE)


def read(path: Path) -> tuple[Document, ...]:
    """
    Read a file and what it includes.

    Raises:
        ConfigError: A file cannot be read, is not YAML, or is not in the folder of the first one.
    """
    return tuple(Document(name, text) for name, text in _files(path))


def bundle(path: Path) -> str:
    """
    Read a file and what it includes, as one text.

    Raises:
        ConfigError: As for `read`.
    """
    (_, first), *others = _files(path)
    return "".join([first, *(_part(path, name, text) for name, text in others)])


def _part(path: Path, name: str, text: str) -> str:
    return f"\n{_HEAD}{Path(name).relative_to(path.parent).as_posix()}\n{text}"


def split_text(name: str, text: str) -> tuple[Document, ...]:
    """
    Take a text of several files apart.

    Args:
        name: What errors call the first one.
        text: YAML, perhaps of several files.

    Raises:
        ConfigError: It is not YAML, or it includes files that are not in it.
    """
    heads = list(_LINE.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    main = Document(name, text[: heads[0].start()] if heads else text)
    others = [Document(head["name"], text[head.end() : end]) for head, end in zip(heads, ends, strict=False)]
    if _patterns(main) and not others:
        what = "a configuration that is not a file includes no other"
        raise ConfigError(
            [Fault(where=main.where(("include",)), what=what, remedy="`keyrota deploy` stores all files")]
        )
    return (main, *others)


def _files(path: Path) -> list[tuple[str, str]]:
    """Read all files: their names as they are shown, and their texts."""
    text = read_text(path)
    main = Document(path, text)
    found = [(str(path), text)]
    room = _MAX_TOGETHER - len(text)
    for name, where in _find_included(main, path):
        inner = _read(name.resolve(), where)
        room -= len(inner)
        if room < 0:
            raise ConfigError([Fault(where=where, what=f"the files are larger than {_MAX_TOGETHER // 2**20} MiB")])
        found.append((str(name), inner))
    return found


def _read(name: Path, where: str) -> str:
    text = read_text(name)
    if _LINE.search(text):
        what = f"{name} has a line that begins with {_HEAD.strip()!r}"
        raise ConfigError([Fault(where=where, what=what, remedy="remove the line")])
    return text


def _find_included(main: Document, path: Path) -> Iterator[tuple[Path, str]]:
    """Find the included files in the order of the patterns, and of their names; each once."""
    seen = {path.resolve()}
    for number, pattern in enumerate(_patterns(main)):
        where = main.where(("include", number))
        matches = _matches(path, pattern, where)
        for name in matches:
            _refuse_outside(name, path, where)
            if name.resolve() in seen:
                continue
            seen.add(name.resolve())
            if len(seen) > MAX_FILES:
                raise ConfigError([Fault(where=where, what=f"more than {MAX_FILES} files are included")])
            yield name, where


def _patterns(main: Document) -> Sequence[str]:
    value = main.value.get("include") if isinstance(main.value, dict) else None
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else ()


def _matches(path: Path, pattern: str, where: str) -> list[Path]:
    parts = PurePosixPath(pattern)
    if parts.is_absolute() or ".." in parts.parts or "\\" in pattern or "://" in pattern or "**" in pattern:
        what = f"{pattern!r} is not a pattern within the folder of this file"
        remedy = "write it relative to this file, without `..` and `**`: teams/*.yaml"
        raise ConfigError([Fault(where=where, what=what, remedy=remedy)])
    found = sorted(name for name in path.parent.glob(pattern) if name.is_file() or name.is_symlink())
    if not found:
        raise ConfigError([Fault(where=where, what=f"no file matches {pattern!r}", remedy="correct the pattern")])
    return found


def _refuse_outside(name: Path, path: Path, where: str) -> None:
    folder = path.parent.resolve()
    if not name.resolve().is_relative_to(folder):
        what = f"{name} leads out of the folder {folder}"
        raise ConfigError([Fault(where=where, what=what, remedy="replace the link by the file itself")])
