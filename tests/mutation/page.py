"""The score, and what is written about survivors."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from judge import Verdict
from mutants import Mutant
from packages import PACKAGES, Package, package_of

SURVIVORS = Path(__file__).parent / "survivors.txt"
SIGMAS = 1.96
"""So many standard deviations to either side hold 95 % of a normal distribution."""


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
    """How many mutants of a package there are, are in the sample, were judged and were killed."""

    package: Package
    killed: int
    judged: int
    sample: int
    there: int

    @property
    def killed_of_judged(self) -> float:
        """Killed of those that were judged."""
        return self.killed / max(1, self.judged)

    @property
    def likely(self) -> tuple[float, float]:
        """Where the share of all mutants lies, in 95 of 100 samples of this size (Wilson's interval)."""
        if not self.judged:
            return 0.0, 1.0
        spread = SIGMAS**2 / self.judged
        middle = (self.killed_of_judged + spread / 2) / (1 + spread)
        share = self.killed_of_judged
        width = math.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
        return max(0.0, middle - width), min(1.0, middle + width)

    @property
    def is_enough(self) -> bool:
        """Whether the package has as many killed as it must; of none judged, none is."""
        return self.judged > 0 and self.killed_of_judged >= self.package.least


class Score:
    """What came of the mutants that were judged, of a sample of all in these files, beside what was explained."""

    def __init__(
        self,
        verdicts: Sequence[Verdict],
        sample: Sequence[Mutant],
        there: Sequence[Mutant],
        reasons: Mapping[str, str],
        unsound: Collection[str] = (),
    ) -> None:
        self._verdicts = sorted(verdicts, key=lambda verdict: (verdict.mutant.file, verdict.mutant.start))
        self._sample = sample
        self._there = there
        self.unsound = unsound
        """Tests that failed where nothing was changed."""
        self._reasons = reasons

    @property
    def shares(self) -> tuple[Share, ...]:
        """The score of each package that something of is in the sample."""
        return tuple(share for share in map(self._share, PACKAGES) if share.sample)

    @property
    def is_complete(self) -> bool:
        """Whether all of the sample was judged."""
        return len(self._verdicts) == len(self._sample)

    def _share(self, package: Package) -> Share:
        of_it = [verdict for verdict in self._verdicts if package_of(verdict.mutant.file) is package]
        return Share(
            package=package,
            killed=sum(1 for verdict in of_it if verdict.killer is not None),
            judged=len(of_it),
            sample=_count(self._sample, package),
            there=_count(self._there, package),
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
            judged = f"{share.judged} of {share.sample} judged, {share.killed} killed"
            yield f"{share.package.name}: {judged}: {share.killed_of_judged:.1%}{verdict}"

    def why(self, mutant: Mutant) -> str:
        """Explain a survivor."""
        return self._reasons.get(mutant.full_name, "**not explained**")


def _count(mutants: Sequence[Mutant], package: Package) -> int:
    return sum(1 for mutant in mutants if package_of(mutant.file) is package)


def page(score: Score, day: str) -> str:
    """Write the page of the documentation, after a run on that day."""
    return "\n".join([*_page(score, day), ""])


def _page(score: Score, day: str) -> Iterator[str]:
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
    yield from _table(score, day)
    if score.unsound:
        yield ""
        yield "These tests failed where nothing was changed, and judged nothing after that:"
        yield ""
        yield from (f"- `{test}`" for test in score.unsound)
    yield ""
    yield "## Survivors"
    yield ""
    yield (
        f"{len(score.survivors)} of the judged mutants survived, {len(score.unexplained)} of them without an "
        "explanation: each may be a mistake that no test would notice."
    )
    file = ""
    for mutant in score.survivors:
        if mutant.file != file:
            file = mutant.file
            yield from ("", f"### {file}", "", "| mutant | why it survives |", "| --- | --- |")
        yield f"| {_cell(mutant.name)} | {score.why(mutant)} |"


def _table(score: Score, day: str) -> Iterator[str]:
    yield (
        "Not every mutant is in the sample. A digest of a mutant's name decides that, so that the sample is the same "
        "on every machine, and also the order, so that a run that is stopped has judged a sample of the sample."
    )
    yield (
        "A kill counts only if the test that failed fails again, alone in a new process, and passes in one where "
        "nothing is changed."
    )
    yield "A run fails where a package has fewer killed than the last column demands."
    yield "*Likely* is where the share of all mutants lies, as far as a sample of this size can say (95 % confidence)."
    yield ""
    yield f"The run of {day} judged {'all' if score.is_complete else 'a part'} of its sample:"
    yield ""
    yield "| package | mutants | in the sample | judged | killed | share | likely | at least |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for share in score.shares:
        counts = f"{share.there} | {share.sample} | {share.judged} | {share.killed}"
        killed = f"{share.killed_of_judged:.1%}" if share.judged else "not known"
        low, high = share.likely
        yield f"| {share.package.name} | {counts} | {killed} | {low:.0%} to {high:.0%} | {share.package.least:.0%} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
