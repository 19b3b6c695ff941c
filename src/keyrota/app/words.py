"""All words to people about what went wrong, and the exit codes. Errors go to stderr: `error:` and `hint:` lines."""

from __future__ import annotations

from collections.abc import Iterator

from keyrota.errors import ConfigError, KeyrotaError, PartialFailure

EXIT_DONE = 0
"""Done, or nothing was due."""
EXIT_FAILED = 1
"""Something failed or was refused; configuration and usage too."""
EXIT_DUE = 2
"""Changes are due (`plan --exit-code` only)."""
EXIT_HELD = 3
"""Something is held, or a limit left it to a later run: nobody has to mend it, and it is not done."""
EXIT_INTERRUPTED = 130

EXIT_CODES = {
    EXIT_DONE: "done, or nothing was due",
    EXIT_FAILED: "something failed or was refused; configuration and usage too",
    EXIT_DUE: "changes are due (only with `plan --exit-code`)",
    EXIT_HELD: "something is held, or left to a later run by a limit (`apply`; `plan --exit-code`)",
    EXIT_INTERRUPTED: "interrupted",
}


def told(error: KeyrotaError) -> Iterator[str]:
    """Put an error into lines."""
    if isinstance(error, ConfigError):
        for fault in error.faults:
            yield from _lines(KeyrotaError(fault.what, where=fault.where, remedy=fault.remedy))
    elif isinstance(error, PartialFailure):
        for failure in error.failures:
            yield from told(failure)
    else:
        yield from _lines(error)


def _lines(error: KeyrotaError) -> Iterator[str]:
    yield f"error: {error}"
    if error.remedy:
        yield f"hint: {error.remedy}"


UNEXPECTED = (
    "error: this is a bug in keyrota: {name}",
    "hint: run it again with --debug and report what it prints; nothing is half-done that the next run does not mend",
)
INTERRUPTED = "interrupted: what was done is complete, and the next run goes on"
