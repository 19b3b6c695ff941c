"""
Small mistakes in a module's source, one at a time: what a tired person might have typed instead.

Not mutated, because no run can tell or only a person reads it: annotations, imports, docstrings, decorators and type
aliases; and the words for people, which are

- a sentence: a string with a blank in it, f-strings and what is put into them included;
- whatever is given to an argument named as in `WORDS`, to an exception that is raised, or to the log.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

WORDS = frozenset({"reason", "remedy", "where", "detail", "why", "when"})
"""Arguments that hold words for people."""

_COMPARE: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
_TWINS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sorted": "list",
    "startswith": "endswith",
    "endswith": "startswith",
    "partition": "rpartition",
    "rpartition": "partition",
    "fullmatch": "match",
    "upper": "lower",
}
_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Constant, ast.Subscript, ast.Tuple, ast.Set, ast.Dict, ast.List)


LEFT_OUT = "is left out"
SMALL = 24
"""A change of less than so many characters is shown with its line."""
LONG = 100
"""So many characters of it are shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """What stands instead of a node."""

    node: ast.AST
    after: str
    shown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one module."""

    file: str
    """Path under `src/keyrota`."""
    place: str
    """Qualified name of the function or class; empty at the top of the module."""
    function: str
    """Qualified name of the outermost function, whose code alone changes; empty where the module must be run anew."""
    line: int
    first: int
    last: int
    """First and last line of the statement, or of a compound statement's head."""
    start: int
    end: int
    before: str
    after: str
    shown: str
    """The change in words; with its whole line where it is a small part of one."""
    number: int = 1
    """Which of several that look alike."""

    @property
    def name(self) -> str:
        """Name the mutant by what it changes, so that a list of survivors does not depend on line numbers."""
        return f"{self.place or 'module'}: {self.shown}" + (f" (no. {self.number})" if self.number > 1 else "")

    @property
    def full_name(self) -> str:
        """Name the mutant among those of all files."""
        return f"{self.file} {self.name}"

    @property
    def lot(self) -> int:
        """Draw a number for the mutant, which nothing but its name decides: for samples."""
        return int.from_bytes(hashlib.sha256(self.full_name.encode()).digest()[:8], "big")

    def applied(self, source: bytes) -> bytes:
        """Make the change."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def _flat(text: str) -> str:
    return " ".join(text.split())


def mutants(file: str, source: bytes) -> tuple[Mutant, ...]:
    """Make all mutants of a module."""
    found = {(mutant.start, mutant.end, mutant.after): mutant for mutant in _Module(file, source).found()}
    alike: Counter[str] = Counter()
    numbered = []
    for _, mutant in sorted(found.items()):
        alike[mutant.name] += 1
        numbered.append(replace(mutant, number=alike[mutant.name]))
    return tuple(numbered)


def _short(text: str) -> str:
    flat = _flat(text)
    return flat if len(flat) <= LONG else f"{flat[:LONG].rstrip()} …"


class _Module:
    """The walk over one module's tree."""

    def __init__(self, file: str, source: bytes) -> None:
        self._file = file
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._statement: tuple[int, int] = (0, 0)
        self._starts = [sum(map(len, self._lines[:number])) for number in range(len(self._lines) + 1)]

    def found(self) -> Iterator[Mutant]:
        for statement in ast.parse(self._source).body:
            yield from self._visit(statement, (), "")

    def _visit(self, node: ast.AST, place: tuple[str, ...], function: str) -> Iterator[Mutant]:
        if _is_left_alone(node, place):
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inner = (*place, node.name)
            outermost = function or (".".join(inner) if isinstance(node, ast.FunctionDef) else "")
            if isinstance(node, ast.FunctionDef):
                for default in (*node.args.defaults, *node.args.kw_defaults):
                    if default is not None:
                        yield from self._visit(default, inner, function)
            for statement in node.body:
                yield from self._visit(statement, inner, outermost)
            return
        if isinstance(node, (ast.stmt, ast.excepthandler)):
            self._statement = _lines(node)
        elif isinstance(node, ast.match_case):
            self._statement = (node.pattern.lineno, node.body[0].lineno - 1)
        for change in self._changes(node):
            yield self._mutant(change, place, function)
        for child in _parts(node):
            yield from self._visit(child, place, function)

    def _mutant(self, change: Change, place: tuple[str, ...], function: str) -> Mutant:
        start, end = self._span(change.node)
        line = self._source[:start].count(b"\n")
        before = self._source[start:end].decode()
        whole = _flat(self._lines[line].decode().partition("  #")[0])
        shown = f"`{_short(before)}`" + (f" in `{whole}`" if len(_flat(before)) < SMALL and whole != before else "")
        return Mutant(
            file=self._file,
            place=".".join(place),
            function=function,
            line=line + 1,
            first=self._statement[0],
            last=self._statement[1],
            start=start,
            end=end,
            before=before,
            after=change.after,
            shown=f"{shown} {change.shown or f'becomes `{_flat(change.after)}`'}",
        )

    def _span(self, node: ast.AST) -> tuple[int, int]:
        if not isinstance(node, (ast.expr, ast.stmt, ast.keyword)):
            raise TypeError(node)
        if node.end_lineno is None or node.end_col_offset is None:
            raise ValueError("a node without an end")
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _operand(self, node: ast.expr) -> str:
        return self._text(node) if isinstance(node, _ATOMS) else f"({self._text(node)})"

    def _changes(self, node: ast.AST) -> Iterator[Change]:
        """Find what may stand instead of a node, or of a part of it."""
        match node:
            case ast.stmt():
                yield from self._of_statement(node)
            case ast.expr():
                yield from self._of_expression(node)
        for test in _tests(node):
            if not isinstance(test, (ast.Compare, ast.BoolOp)) and not _is_not(test):
                yield Change(test, f"(not ({self._text(test)}))", "is turned round")

    def _of_statement(self, node: ast.stmt) -> Iterator[Change]:
        match node:
            case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
                yield Change(node, "yield from ()", LEFT_OUT)
            case ast.Expr() | ast.Raise() | ast.Return(value=None):
                yield Change(node, "pass", LEFT_OUT)
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                yield Change(value, "None", "is not returned")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield Change(node, "pass", LEFT_OUT)
            case ast.AugAssign():
                name, added = self._text(node.target), self._text(node.value)
                yield Change(node, f"{name} = {added}")
                yield Change(node, f"{name} {_ARITHMETIC[type(node.op)]}= {added}")
            case ast.Break():
                yield Change(node, "continue")
            case ast.Continue():
                yield Change(node, "break")

    def _of_expression(self, node: ast.expr) -> Iterator[Change]:
        match node:
            case ast.Compare():
                yield from self._of_comparison(node)
            case ast.BoolOp():
                yield from self._of_logic(node)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                yield Change(node, self._operand(node.operand))
            case ast.BinOp():
                sign = _ARITHMETIC[type(node.op)]
                yield Change(node, f"{self._operand(node.left)} {sign} {self._operand(node.right)}")
            case ast.Constant() | ast.JoinedStr():
                yield from (Change(node, after) for after in _of_literal(node, self._text(node)))
            case ast.Tuple(ctx=ast.Load()) | ast.Set() | ast.List(ctx=ast.Load()):
                yield from self._of_elements(node)
            case ast.Dict():
                yield from self._of_entries(node)
            case ast.Call():
                yield from self._of_call(node)

    def _of_comparison(self, node: ast.Compare) -> Iterator[Change]:
        operands = [self._operand(part) for part in (node.left, *node.comparators)]
        signs = [_SIGNS[type(sign)] for sign in node.ops]
        for at, sign in enumerate(node.ops):
            for other in _COMPARE[type(sign)]:
                changed = [*signs[:at], other, *signs[at + 1 :]]
                pairs = zip(changed, operands[1:], strict=True)
                after = operands[0] + "".join(f" {sign} {operand}" for sign, operand in pairs)
                yield Change(node, after, f"has `{other}`")

    def _of_logic(self, node: ast.BoolOp) -> Iterator[Change]:
        """Exchange the word, or leave one operand out."""
        values = [self._operand(value) for value in node.values]
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        yield Change(node, f" {other} ".join(values), f"has `{other}`")
        for at, value in enumerate(values):
            yield Change(node, f" {word} ".join(values[:at] + values[at + 1 :]), _without(value))

    def _of_elements(self, node: ast.Tuple | ast.Set | ast.List) -> Iterator[Change]:
        """Leave one element out."""
        if len(node.elts) < 2:  # what is left must be of the same kind
            return
        opening, closing = {ast.Tuple: ("(", ")"), ast.Set: ("{", "}"), ast.List: ("[", "]")}[type(node)]
        texts = [self._text(element) for element in node.elts]
        for at, text in enumerate(texts):
            kept = texts[:at] + texts[at + 1 :]
            yield Change(node, f"{opening}{', '.join(kept)},{closing}", _without(text))

    def _of_entries(self, node: ast.Dict) -> Iterator[Change]:
        """Leave one entry out."""
        pairs = zip(node.keys, node.values, strict=True)
        texts = [f"{self._text(key)}: {self._text(value)}" if key else f"**{self._text(value)}" for key, value in pairs]
        for at, text in enumerate(texts):
            yield Change(node, "{" + ", ".join(texts[:at] + texts[at + 1 :]) + "}", _without(text))

    def _of_call(self, node: ast.Call) -> Iterator[Change]:
        """Leave one argument by keyword out, or call the function's twin."""
        name = self._text(node.func)
        last = name.rpartition(".")[2]
        if last in _TWINS and not (last == "sorted" and node.keywords):
            after = name.removesuffix(last) + _TWINS[last] + self._text(node)[len(name) :]
            yield Change(node, after, f"calls `{_TWINS[last]}`")
        given = [self._text(argument) for argument in node.args]
        named = [self._text(keyword) for keyword in node.keywords]
        for at, keyword in enumerate(node.keywords):
            if keyword.arg not in WORDS:
                after = f"{name}({', '.join([*given, *named[:at], *named[at + 1 :]])})"
                yield Change(node, after, _without(named[at]))


def _without(text: str) -> str:
    return f"without `{_short(text)}`"


def _of_literal(node: ast.Constant | ast.JoinedStr, text: str) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        quote = text.index('"')
        yield f"{text[: quote + 1]}XX{text[quote + 1 :]}"
        return
    match node.value:
        case bool():
            yield str(not node.value)
        case int() | float():
            yield repr(node.value + 1)
        case str():
            yield repr(f"XX{node.value}XX")


def _is_left_alone(node: ast.AST, place: tuple[str, ...]) -> bool:
    """Return whether a node, with all that is in it, is never changed."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True  # the constant is a docstring, or that of a field
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="_log")))):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) if not place:
            return name == "__all__" or _is_type(node.value)
    return _is_for_people(node)


def _is_for_people(node: ast.AST) -> bool:
    match node:
        case ast.keyword(arg=str() as name):
            return name in WORDS
        case ast.Constant(value=str() as text):
            return " " in text
        case ast.JoinedStr():
            return any(isinstance(part, ast.Constant) and " " in str(part.value) for part in node.values)
    return False


def _is_type(node: ast.expr) -> bool:
    """Return whether a value is a type alias, or a type variable."""
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return True
        case ast.Subscript(value=ast.Name(id="Callable" | "Mapping")):
            return True
        case ast.Call(func=ast.Name(id="NewType" | "TypeVar")):
            return True
    return False


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Find the parts of a node that may change."""
    match node:
        case ast.AnnAssign():
            if node.value is not None:
                yield node.value
        case ast.Raise(exc=ast.Call() as call):
            yield from call.keywords
        case ast.JoinedStr() | ast.Constant():
            return
        case ast.MatchValue() | ast.MatchClass():
            return
        case _:
            yield from ast.iter_child_nodes(node)


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    """Find the conditions that a node decides by."""
    match node:
        case ast.If() | ast.While() | ast.IfExp():
            yield node.test
        case ast.comprehension():
            yield from node.ifs
        case ast.match_case(guard=ast.expr() as guard):
            yield guard


def _lines(node: ast.stmt | ast.excepthandler) -> tuple[int, int]:
    """Find a statement's lines; of a compound one its head's."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return node.lineno, node.end_lineno or node.lineno
    first = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
    return node.lineno, max(node.lineno, first.lineno - 1)


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
