"""Reading YAML so that every value still knows its line and column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from keyrota.app.files import Unreadable, read_bounded
from keyrota.errors import ConfigError, Fault

_MAX_SIZE = 16 * 1024 * 1024
_DEEPEST = 40
_MAX_NODES = 250_000
"""About 10,000 credentials with two targets each."""
_MAX_TEXT_LENGTH = 4096
"""Characters: a role's ARN has 2,048 at most, and no text of this file is longer (IAM and STS quotas)."""
_TEXTS = {"account", "accounts", "user", "users", "id", "external_id", "from", "to"}
"""Fields whose text counts as it is written: an account like 012345678901 is no number, a date no date object."""

_MAX_NUMBER = 1e15
"""No number of this file is larger; not-a-number compares false and is a text as well."""
_NULL = "tag:yaml.org,2002:null"
_NUMBERS_AND_TRUTH = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool")}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path_ = tuple[str | int, ...]


class Document:
    """A YAML document as plain values, with the place of each."""

    def __init__(self, path: Path | str, text: str) -> None:
        self.path = path
        self.faults: list[Fault] = []
        self._marks: dict[Path_, yaml.Mark] = {}
        self._count = 0
        self._constructor = yaml.SafeLoader("")
        self.value: Any = None
        node = self._compose(text)
        if node is not None:
            self.value = self._plain(node, (), ())

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            self._measure(text)
            return yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)
            raise ConfigError(
                [Fault(where=where, what=f"this is not YAML: {_problem(error)}", remedy=_TAB_HINT)]
            ) from None
        except (yaml.YAMLError, UnicodeError):
            raise ConfigError(
                [Fault(where=str(self.path), what="this is not YAML: it holds characters that YAML does not allow")]
            ) from None

    def _measure(self, text: str) -> None:
        """
        Refuse what is too deep or too much before it is composed.

        LibYAML's composer calls itself for each level, and the process dies where the stack ends: no exception.
        """
        depth = count = 0
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            count += isinstance(event, yaml.NodeEvent)
            if depth > _DEEPEST or count > 2 * _MAX_NODES:  # keys are counted here as well
                raise ConfigError([Fault(where=self._place(event), what=_TOO_DEEP)])

    def where(self, path: Iterable[str | int]) -> str:
        """Return the file, line and column of a value; of its nearest parent if it is not there itself."""
        steps = tuple(path)
        while steps and steps not in self._marks:
            steps = steps[:-1]
        mark = self._marks.get(steps)
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)

    def key_where(self, path: Path_, key: str) -> str:
        """Return the place of a mapping's key."""
        mark = self._marks.get((*path, f"{key}\0key"))
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else self.where((*path, key))

    def _plain(self, node: yaml.Node, path: Path_, above: tuple[int, ...]) -> Any:
        self._count += 1
        # An alias is the same node once more: one that contains itself would be followed for ever, and a few of them
        # that contain each other unfold to billions.
        if self._count > _MAX_NODES or len(above) > _DEEPEST or id(node) in above:
            raise ConfigError([Fault(where=self._place(node), what=_TOO_DEEP)])
        # The first place, where a key is given twice: that is where a person looks first.
        self._marks.setdefault(path, node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._build_mapping(node, path, (*above, id(node)))
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*path, index), (*above, id(node))) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _build_mapping(self, node: yaml.MappingNode, path: Path_, above: tuple[int, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in made:
                self.faults.append(
                    Fault(where=self._place(key_node), what=f"{key!r} is given twice", remedy="keep one of the two")
                )
            self._marks[(*path, f"{key}\0key")] = key_node.start_mark
            made[key] = self._plain(value_node, (*path, key), above)
        return made

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            return "?"
        return str(node.value) if self._is_short(node) else "…"

    def _is_short(self, node: yaml.Node) -> bool:
        is_short = len(node.value) <= _MAX_TEXT_LENGTH
        if not is_short:
            self.faults.append(
                Fault(where=self._place(node), what=f"the text is longer than {_MAX_TEXT_LENGTH} characters")
            )
        return is_short

    def _scalar(self, node: yaml.Node, path: Path_) -> Any:
        if not self._is_short(node):
            return ""
        text = str(node.value)
        if not text.isprintable():
            what = "the text holds a line break or another control character"
            self.faults.append(Fault(where=self._place(node), what=what, remedy="write it on one line"))
            return ""
        if node.tag == _NULL:
            return None
        if node.tag not in _NUMBERS_AND_TRUTH or not _TEXTS.isdisjoint(path[-2:] if _is_item(path) else path[-1:]):
            return text
        return self._number_or_truth(node, text)

    def _number_or_truth(self, node: yaml.Node, text: str) -> Any:
        """YAML 1.1 takes on, off, yes and no for truth; here they are texts, as in YAML 1.2."""
        if node.tag.endswith(":bool") and text.lower() not in {"true", "false"}:
            return text
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, IndexError, OverflowError, yaml.YAMLError):
            return text  # PyYAML looks into an empty `!!int` without asking, and 1:1:…:1.5 outgrows a float
        is_usable = isinstance(value, bool) or (isinstance(value, (int, float)) and abs(value) < _MAX_NUMBER)
        return value if is_usable else text

    def _place(self, node: yaml.Node | yaml.Event) -> str:
        mark = node.start_mark
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)


def _is_item(path: Path_) -> bool:
    return bool(path) and isinstance(path[-1], int)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return YAML's problem without the text that it quotes, which may be a token; YAML's own signs are kept."""
    told = re.sub(
        r"'[^']*'|\"[^\"]*\"",
        lambda quoted: quoted[0] if quoted[0][1:-1] in _SIGNS else "…",
        error.problem or "it cannot be read",
    )
    begun = error.context_mark
    if begun and error.problem_mark and begun.line != error.problem_mark.line:
        told += f" (for what begins at {begun.line + 1}:{begun.column + 1})"
    return told


_SIGNS = frozenset(",]}-:?")
"""What YAML may miss: `did not find expected ',' or '}'`."""

_TOO_DEEP = "the file is nested too deeply, holds too much, or refers to itself"
_TAB_HINT = "indent with spaces, not with tabs; quote texts that hold `: `, `#` or `{`"


def read_text(path: Path) -> str:
    """
    Read the text of a file.

    Raises:
        ConfigError: There is no such file, it is not a regular one, it is too large, or it is not UTF-8.
    """
    try:
        data = read_bounded(path, _MAX_SIZE)
    except FileNotFoundError:
        raise ConfigError(
            [
                Fault(
                    where=str(path),
                    what="there is no configuration here",
                    remedy="write one (docs/tutorial.md), or name another with --config or KEYROTA_CONFIG",
                )
            ]
        ) from None
    except Unreadable as error:
        raise ConfigError([Fault(where=str(path), what=error.what, remedy="name a file with --config")]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([Fault(where=str(path), what="it is not UTF-8", remedy="save it as UTF-8")]) from None
