"""The score, and what is written about survivors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from judge import Verdict
from mutants import Mutant
from packages import PACKAGES, Package, package_of

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many mutants of a package there are, were judged and were killed."""

    package: Package
    killed: int
    judged: int
    there: int

    @property
    def killed_of_judged(self) -> float:
        """Killed of those that were judged."""
        return self.killed / max(1, self.judged)

    @property
    def is_enough(self) -> bool:
        """Whether the package has as many killed as it must."""
        return self.killed_of_judged >= self.package.least


class Score:
    """What came of the mutants that were judged, of all that there are in these files, beside what was explained."""

    def __init__(self, verdicts: Sequence[Verdict], there: Sequence[Mutant], reasons: Mapping[str, str]) -> None:
        self._verdicts = sorted(verdicts, key=lambda verdict: (verdict.mutant.file, verdict.mutant.start))
        self._there = there
        self._reasons = reasons

    @property
    def shares(self) -> tuple[Share, ...]:
        """The score of each package that something was judged of."""
        return tuple(share for share in map(self._share, PACKAGES) if share.judged)

    def _share(self, package: Package) -> Share:
        of_it = [verdict for verdict in self._verdicts if package_of(verdict.mutant.file) is package]
        return Share(
            package=package,
            killed=sum(1 for verdict in of_it if verdict.killer is not None),
            judged=len(of_it),
            there=sum(1 for mutant in self._there if package_of(mutant.file) is package),
        )

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
        """Explanations of what is killed by now, or is not there any more, in these files."""
        files = {mutant.file for mutant in self._there}
        there = {mutant.full_name for mutant in self._there}
        killed = {verdict.mutant.full_name for verdict in self._verdicts if verdict.killer is not None}
        ours = (name for name in self._reasons if name.partition(" ")[0] in files)
        return tuple(name for name in ours if name not in there or name in killed)

    @property
    def is_as_demanded(self) -> bool:
        """Whether enough was killed, and the list of survivors is right."""
        owed = [mutant for mutant in self.unexplained if package_of(mutant.file).is_explained]
        return not owed and not self.stale and all(share.is_enough for share in self.shares)

    def lines(self) -> Iterator[str]:
        """Print what a person has to do, and the score."""
        for mutant in self.unexplained:
            yield f"survived: src/keyrota/{mutant.file}:{mutant.line}: {mutant.full_name}"
        for name in self.stale:
            yield f"explained, and not there or killed: {name}"
        for share in self.shares:
            verdict = "" if share.is_enough else f", less than {share.package.least:.0%}"
            told = f"{share.killed} of {share.judged} mutants killed: {share.killed_of_judged:.1%}{verdict}"
            yield f"{share.package.name}: {told}"

    def why(self, mutant: Mutant) -> str:
        """Explain a survivor."""
        return self._reasons.get(mutant.full_name, "**not explained**")


def page(score: Score) -> str:
    """Write the page of the documentation."""
    return "\n".join([*_page(score), ""])


def _page(score: Score) -> Iterator[str]:
    yield "# Mutants"
    yield ""
    yield "<!-- written by `make mutants` -->"
    yield ""
    yield (
        "Would the tests notice a mistake? `make mutants` makes small mistakes in the product, one at a time, and runs "
        "the tests that pass the changed line until one fails."
    )
    yield "What counts as a mistake, and what is left alone because only people read it, stands in `tests/mutation/`."
    yield "Why it is done this way: [decision 0018](../adr/0018-mutation-testing.md)."
    yield ""
    yield from _table(score)
    yield ""
    yield "## Survivors"
    yield ""
    yield (
        "In the core and the executor each was looked at; the reason says why no test tells it from the original. "
        "Elsewhere one that is not explained is a mistake that no test would notice."
    )
    file = ""
    for mutant in score.survivors:
        if mutant.file != file:
            file = mutant.file
            yield from ("", f"### {file}", "", "| mutant | why it survives |", "| --- | --- |")
        yield f"| {_cell(mutant.name)} | {score.why(mutant)} |"


def _table(score: Score) -> Iterator[str]:
    yield (
        "Not every mutant was judged. A digest of a mutant's name decides whether it is in the sample, so that the "
        "sample is the same on every machine; `make mutants SAMPLE=1` judges all."
    )
    yield "A run fails where a package has fewer killed than the last column demands."
    yield ""
    yield "| package | mutants | judged | killed | share | at least |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for share in score.shares:
        counts = f"{share.there} | {share.judged} | {share.killed}"
        yield f"| {share.package.name} | {counts} | {share.killed_of_judged:.1%} | {share.package.least:.0%} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
