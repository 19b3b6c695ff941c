"""All words to people about what went wrong, and the exit codes. Errors go to stderr: `error:` and `hint:` lines."""

from __future__ import annotations

from collections.abc import Iterator

from keyrota.errors import ConfigError, KeyrotaError, PartialFailure

EXIT_DONE = 0
"""Every place that was asked holds a key that works, as far as it can be read (promise says-broken)."""
EXIT_FAILED = 1
"""Something does not work, failed or was refused; configuration and usage too."""
EXIT_DUE = 2
"""Changes are due (`plan --exit-code` only)."""
EXIT_HELD = 3
"""Something waits for a person, or is left to another run."""
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

EXIT_CODES = {
    EXIT_DONE: "done, or nothing was due: every place that was asked holds a key that works, as far as it can be read. "
    "A hold that ends by itself (a slot that is free later, a freeze window, another run's lease) is information",
    EXIT_FAILED: "something failed or was refused (configuration and usage too), or something does not work now: a "
    "place holds half a pair, a dead key or none, or the current key is Inactive or gone (`plan`, `apply`, `sync`, "
    "`status`; `adopt` and `confirm`, although the choice is recorded). `revoke` and `rollback`: what was asked for is "
    "not complete. `check`: something is not as it must be",
    EXIT_DUE: "changes are due (only with `plan --exit-code`)",
    EXIT_HELD: "something is held until a person has acted, or a limit left work to another run (`apply`, `sync`, "
    "`status`; `plan --exit-code`, also where changes are due as well)",
    EXIT_INTERRUPTED: "interrupted (SIGINT): what was begun is whole, the rest is left to the next run",
    EXIT_TERMINATED: "terminated (SIGTERM): the same",
}


def format_error(error: KeyrotaError) -> Iterator[str]:
    """Put an error into lines."""
    if isinstance(error, ConfigError):
        for fault in error.faults:
            yield from _lines(KeyrotaError(fault.what, where=fault.where, remedy=fault.remedy))
    elif isinstance(error, PartialFailure):
        for failure in error.failures:
            yield from format_error(failure)
    else:
        yield from _lines(error)


def _lines(error: KeyrotaError) -> Iterator[str]:
    yield f"error: {error}"
    if error.remedy:
        yield f"hint: {error.remedy}"


UNEXPECTED = (
    "error: this is a bug in keyrota: {name}",
    "hint: run it again with --debug and report what it prints; the next run recovers from any partial change",
)
DECLINED = "not confirmed: nothing more is done"
INTERRUPTED = "interrupted: what was begun is whole, and the next run continues"
DRAINING = "stopping: nothing more is begun; waiting for the calls in flight (once more ends at once)"
STOPPING = "stopping: a pair is being written; it is made whole first"
STILL_STOPPING = "still stopping: half a pair would fail every pipeline there; kill -9 ends it all the same"
