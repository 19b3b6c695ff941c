"""
Print the figures by which we judge the shape of the code: `make numbers`.

Lengths are net: without docstring, comments and blank lines. What is counted is what the production wheel holds.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "keyrota"
SMALLEST = SOURCE / "targets" / "codespaces.py"
"""What a provider takes that is no more than a client and `PairTarget`: under 150 lines (decision 0046)."""
MAX_LENGTH = 35
_OUTSIDE = re.compile(r"\b(DESIGN|HOUSE-STYLE|REDESIGN|KEYLESS|FACTS-[A-Z]+)\.md\b")
_IRREGULAR = re.compile(
    "begun|born|bought|broken|brought|built|caught|chosen|dealt|done|drawn|driven|fallen|forgotten|found|frozen|given|"
    "gone|grown|heard|held|hidden|kept|known|laid|led|left|lost|made|meant|met|paid|proven|said|seen|sent|shown|sought|"
    "spelt|spent|spoken|stolen|struck|swept|taken|taught|thought|thrown|told|torn|understood|unread|won|worn|written"
)
_NO_PARTICIPLES = frozenset(
    {"need", "heed", "feed", "embed", "seed", "speed", "shed", "bed", "string", "bring", "ring"}
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parsed() -> Iterator[tuple[Path, ast.Module, str]]:
    """Go through the modules of the production wheel."""
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text("utf-8")
        yield path, ast.parse(text), text


def functions(tree: ast.Module) -> Iterator[Function]:
    """Go through all functions and methods."""
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def net_lines(function: Function, code: frozenset[int]) -> int:
    """Count the lines of a function that hold code, without its docstring."""
    first = function.body[0]
    is_documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    said = set(range(first.lineno, (first.end_lineno or 0) + 1)) if is_documented else set()
    return len([line for line in range(function.lineno, (function.end_lineno or 0) + 1) if line in code - said])


def lines_of(text: str) -> tuple[frozenset[int], int]:
    """Return the numbers of the lines that hold code, and how many lines hold a comment."""
    code: set[int] = set()
    comments = 0
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        comments += token.type == tokenize.COMMENT
        if token.type not in layout:
            code.update(range(token.start[0], token.end[0] + 1))
    return frozenset(code), comments


def duplicates() -> int:
    """Count functions of more than two statements whose bodies stand the same in several targets."""
    bodies: dict[str, set[str]] = defaultdict(set)
    for path, tree, _ in parsed():
        if "targets" not in path.parts:
            continue
        target = path.relative_to(SOURCE / "targets").parts[0]
        for function in functions(tree):
            body = function.body[1:] if ast.get_docstring(function) else function.body
            if len(body) > 1:
                bodies[ast.dump(ast.Module(body, []))].add(target)
    return sum(len(places) - 1 for places in bodies.values() if len(places) > 1)


def circles() -> int:
    """Count pairs of packages right below one package that import each other, in both distributions."""
    graph = grimp.build_graph("keyrota", "keyrota_sandbox")
    found = set()
    for parent in [name for name in graph.modules if graph.find_children(name)]:
        children = sorted(graph.find_children(parent))
        for one in children:
            for other in children:
                if one < other and _imports(graph, one, other) and _imports(graph, other, one):
                    found.add((one, other))
    return len(found)


def _imports(graph: grimp.ImportGraph, importer: str, imported: str) -> bool:
    within = {importer, *graph.find_descendants(importer)}
    there = {imported, *graph.find_descendants(imported)}
    return any(not there.isdisjoint(graph.find_modules_directly_imported_by(module)) for module in within)


def outside() -> int:
    """Count references to documents that are not in the repository."""
    files = [
        path for name in ("src", "sandbox", "tests", "docs", "constructs/src") for path in (ROOT / name).rglob("*")
    ]
    texts = (path.read_text("utf-8") for path in files if path.suffix in {".py", ".md", ".ts"})
    return sum(len(_OUTSIDE.findall(text)) for text in texts)


def is_participle(name: str) -> bool:
    """Return whether a function is named after what was done, not after what it does."""
    first = name.strip("_").split("_")[0]
    return bool(_IRREGULAR.fullmatch(first)) or (first.endswith(("ed", "ing")) and first not in _NO_PARTICIPLES)


def main() -> None:
    """Count, and print a line each."""
    modules = list(parsed())
    lengths: list[int] = []
    names: list[str] = []
    docs: list[str] = []
    comments = total = 0
    for _, tree, text in modules:
        code, here = lines_of(text)
        comments, total = comments + here, total + len(text.splitlines())
        for function in functions(tree):
            is_property = any("property" in ast.dump(decorator) for decorator in function.decorator_list)
            lengths.append(net_lines(function, code))
            names += [] if is_property else [function.name]
            docs.append(ast.get_docstring(function) or "")
    long = sum(length > MAX_LENGTH for length in lengths)
    naming = [path for path, _, text in modules if re.search(r"\bact\.Sync\b|\bSync\b", text)]
    for said, figure in (
        ("lines of the production wheel", total),
        ("exact duplicates between targets", duplicates()),
        ("lines of a provider on the base", len(SMALLEST.read_text("utf-8").splitlines())),
        ("import circles", circles()),
        ("files that name the action Sync", len(naming)),
        (f"functions over {MAX_LENGTH} lines", f"{long} of {len(lengths)} ({100 * long / len(lengths):.1f} %)"),
        ("docstrings that begin with Tell", sum(text.startswith("Tell ") for text in docs)),
        ("function names that are participles", sum(is_participle(name) for name in names)),
        ("references to documents outside", outside()),
        ("comment lines", f"{100 * comments / total:.1f} %"),
    ):
        print(f"{said:<38} {figure}")  # noqa: T201  # it is what the script is for


if __name__ == "__main__":
    main()
