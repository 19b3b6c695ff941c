"""What is mutated, which tests judge it, and how much of it must be noticed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "keyrota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A part of the product; a file belongs to the first of `PACKAGES` that it lies under."""

    name: str
    """Path under `src/keyrota`."""
    judges: tuple[str, ...]
    """Files and folders under `tests`."""
    least: float
    """Share of the mutants that must be killed."""
    is_explained: bool
    """Whether each survivor needs its line in `survivors.txt`."""
    one_of: int
    """How large a sample is judged: one mutant of so many."""
    budget_s: float
    """Processor time, as measured, that the tests of one mutant may take; what survives that is a survivor."""

    def is_in_sample(self, mutant: Mutant, one_of: int | None = None) -> bool:
        """Return whether a mutant is judged: the same ones on every machine, and in every larger sample."""
        return mutant.lot % (one_of or self.one_of) == 0


_HEART = (
    "unit",
    "simulation/test_found.py",
    "simulation/test_duties.py",
    "simulation/test_races.py",
    "simulation/test_crashes.py",
)
_ADAPTERS = (
    "unit",
    "contract/test_aws_adapters.py",
    "contract/test_keys_behind.py",
    "contract/test_parameter_store.py",
    "end_to_end/test_bus.py",
    "end_to_end/test_check_stack.py",
    "end_to_end/test_deploy.py",
)
_EXCHANGES = (
    "unit",
    "contract/test_wire.py",
    "contract/test_exchange_deadline.py",
    "contract/test_listing.py",
    "contract/test_odd_answers.py",
    "contract/test_one_fails_alone.py",
    "contract/test_provider_clocks.py",
    "contract/test_token_stays_home.py",
)
_COMMANDS = (
    "unit",
    "end_to_end/test_check_stack.py",
    "end_to_end/test_commands.py",
    "end_to_end/test_configuration.py",
    "end_to_end/test_deploy.py",
    "end_to_end/test_deploy_pins.py",
    "end_to_end/test_offline.py",
    "end_to_end/test_policy.py",
    "end_to_end/test_simulate.py",
    "end_to_end/test_trust.py",
)
_FUNCTIONS = (
    "unit",
    "end_to_end/test_bus.py",
    "end_to_end/test_functions.py",
)

PACKAGES = (
    Package(name="core", judges=_HEART, least=0.95, is_explained=True, one_of=20, budget_s=2.0),
    Package(name="executor", judges=_HEART, least=0.95, is_explained=True, one_of=10, budget_s=2.0),
    Package(name="aws", judges=_ADAPTERS, least=0.90, is_explained=False, one_of=20, budget_s=6.0),
    Package(name="http", judges=_EXCHANGES, least=0.90, is_explained=False, one_of=20, budget_s=6.0),
    Package(name="target_base", judges=_EXCHANGES, least=0.90, is_explained=False, one_of=20, budget_s=6.0),
    Package(name="report", judges=_COMMANDS, least=0.90, is_explained=False, one_of=5, budget_s=6.0),
    Package(name="app/functions", judges=_FUNCTIONS, least=0.90, is_explained=False, one_of=30, budget_s=8.0),
    Package(name="app", judges=_COMMANDS, least=0.90, is_explained=False, one_of=80, budget_s=8.0),
)


def package_of(file: str) -> Package:
    """Find the package of a file under `src/keyrota`."""
    return next(package for package in PACKAGES if file.startswith(f"{package.name}/"))


def files_of(package: Package) -> tuple[str, ...]:
    """List a package's files, without those that another package claims first."""
    found = (path.relative_to(SOURCE).as_posix() for path in sorted((SOURCE / package.name).rglob("*.py")))
    return tuple(file for file in found if package_of(file) is package)


def mutants_of(file: str) -> tuple[Mutant, ...]:
    """Make all mutants of a file."""
    return mutants(file, (SOURCE / file).read_bytes())
