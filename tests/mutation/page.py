"""The score, and what is written about survivors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from judge import Verdict
from mutants import Mutant

SURVIVORS = Path(__file__).parent / "survivors.txt"


def explained() -> dict[str, str]:
    """
    Read why survivors survive: `# file` above its mutants, a mutant's name on a line, the reason indented below it.

    One reason may stand below several mutants.
    """
    reasons: dict[str, str] = {}
    file, names = "", list[str]()
    for line in SURVIVORS.read_text().splitlines():
        if line.startswith("# "):
            file = line.removeprefix("# ")
        elif line.startswith("    "):
            reasons |= dict.fromkeys(names, line.strip())
            names = []
        elif line:
            names.append(f"{file} {line}")
    if names:
        raise ValueError(f"{SURVIVORS}: no reason below {names[-1]}")
    return reasons


class Score:
    """What came of all mutants, beside what was explained before."""

    def __init__(self, verdicts: Sequence[Verdict], reasons: Mapping[str, str]) -> None:
        self._verdicts = sorted(verdicts, key=lambda verdict: (verdict.mutant.file, verdict.mutant.start))
        self._reasons = reasons

    @property
    def killed(self) -> int:
        """How many a test noticed."""
        return sum(1 for verdict in self._verdicts if verdict.killer is not None)

    @property
    def share(self) -> float:
        """Killed of all."""
        return self.killed / max(1, len(self._verdicts))

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        """Those that no test noticed."""
        return tuple(verdict.mutant for verdict in self._verdicts if verdict.killer is None)

    @property
    def unexplained(self) -> tuple[Mutant, ...]:
        """Survivors that nobody has explained."""
        return tuple(mutant for mutant in self.survivors if mutant.full_name not in self._reasons)

    @property
    def stale(self) -> tuple[str, ...]:
        """Explanations of what is killed by now, or is not there any more, in the files that were judged."""
        judged = {verdict.mutant.file for verdict in self._verdicts}
        alive = {mutant.full_name for mutant in self.survivors}
        return tuple(name for name in self._reasons if name not in alive and name.partition(" ")[0] in judged)

    @property
    def is_as_explained(self) -> bool:
        """Whether the list of survivors is right."""
        return not self.unexplained and not self.stale

    def lines(self) -> Iterator[str]:
        """Print what a person has to do, and the score."""
        for mutant in self.unexplained:
            yield f"survived: src/keyrota/{mutant.file}:{mutant.line}: {mutant.full_name}"
        for name in self.stale:
            yield f"explained, and not there or killed: {name}"
        yield f"{self.killed} of {len(self._verdicts)} mutants killed: {self.share:.1%}"

    def files(self) -> Iterator[tuple[str, int, int]]:
        """Count by file: killed, all."""
        for file in dict.fromkeys(verdict.mutant.file for verdict in self._verdicts):
            of_it = [verdict for verdict in self._verdicts if verdict.mutant.file == file]
            yield file, sum(1 for verdict in of_it if verdict.killer is not None), len(of_it)

    def why(self, mutant: Mutant) -> str:
        """Explain a survivor."""
        return self._reasons.get(mutant.full_name, "**not explained**")


def page(score: Score) -> str:
    """Write the page of the documentation."""
    return "\n".join([*_page(score), ""])


def _page(score: Score) -> Iterator[str]:
    total = sum(count for _, _, count in score.files())
    yield "# Mutants"
    yield ""
    yield "<!-- written by `make mutants` -->"
    yield ""
    yield (
        "Would the tests notice a mistake? `make mutants` makes small mistakes in the core and the executor, one at a "
        "time, and runs the tests that pass the changed line until one fails."
    )
    yield "What counts as a mistake, and what is left alone because only people read it, stands in `tests/mutation/`."
    yield "Why it is done this way: [decision 0018](../adr/0018-mutation-testing.md)."
    yield ""
    yield f"**{score.killed} of {total} mutants are killed: {score.share:.1%}.**"
    yield ""
    yield "| file | killed | of |"
    yield "| --- | ---: | ---: |"
    yield from (f"| {file} | {killed} | {count} |" for file, killed, count in score.files())
    yield ""
    yield "## Survivors"
    yield ""
    yield "Each was looked at; here is why no test tells it from the original."
    file = ""
    for mutant in score.survivors:
        if mutant.file != file:
            file = mutant.file
            yield from ("", f"### {file}", "", "| mutant | why it survives |", "| --- | --- |")
        yield f"| {_cell(mutant.name)} | {score.why(mutant)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
