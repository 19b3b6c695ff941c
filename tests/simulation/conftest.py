"""Print the figures of the proof where a person sees them, also when tests run in several processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FIGURE = "figure of the proof"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a figure, which the run's summary shows."""
    return lambda text: record_property(FIGURE, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the figures."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    told = sorted(str(text) for report in reports for name, text in report.user_properties if name == FIGURE)
    if told:
        terminalreporter.section("the proof's figures")
        for line in told:
            terminalreporter.write_line(line)
