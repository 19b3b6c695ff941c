"""What `keyrota check` prints of what it found."""

from __future__ import annotations

from keyrota.app.cli.findings import USUAL, Finding, Shape, format_findings
from keyrota.report.paint import plain

FILE = Finding(what="keyrota.yaml", is_good=True, detail="200 credentials")
HOST = Finding(what="host", is_good=True, detail="git.example.com receives tokens", is_always_shown=True)


def _lines(number: int, shape: Shape = USUAL) -> list[str]:
    places = [Finding(what=f"place {place}", is_good=True, detail="reachable") for place in range(number)]
    return list(format_findings([FILE, HOST, *places], (), plain, shape))


def test_few_things_in_order_are_listed() -> None:
    assert len(_lines(9)) == 11


def test_many_are_counted_and_a_host_is_shown_all_the_same() -> None:
    first, host, rest = _lines(10)
    assert "200 credentials" in first
    assert "git.example.com receives tokens" in host
    assert rest == "✓ 10 more in order (keyrota check --all lists them)"
    assert len(_lines(10, Shape(is_full=True))) == 12
