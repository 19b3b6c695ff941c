"""The metrics of the functions: which of several credentials they are about."""

from __future__ import annotations

from dataclasses import replace

from builders import NEW, NOW, OLD, a_key, a_secret, a_version, current, holds, observed, synced
from keyrota.app.functions.metrics import Measure, counts, gauges, overdue
from keyrota.core.model import Observation
from keyrota.core.plan import Hold, HoldKind, Plan
from keyrota.core.policy import CLASSIC
from keyrota.report.data import CredentialReport


def served(age_days: float) -> Observation:
    return observed(a_key(OLD, age_days=age_days), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))


def report(user: str, seen: Observation | None, *holds: Hold) -> CredentialReport:
    return CredentialReport(
        user=user,
        account="123456789012",
        secret_name=user,
        now=NOW,
        observation=seen,
        plan=Plan(holds=holds),
        policy=CLASSIC,
    )


def days(measures: tuple[Measure, ...]) -> list[float]:
    whole = (measure for measure in measures if measure.credential is None)
    return [round(measure.value, 3) for measure in whole if measure.name == "DaysOverdue"]


def test_each_overdue_credential_is_measured_with_its_account() -> None:
    """Two users of one name were one, with one policy."""
    here, there = report("ci", served(91)), replace(report("ci", served(97)), account="222222222222")
    made = overdue((here, there, report("ci-web", served(3))))
    each = {(str(one.credential), round(one.value, 3)) for one in made if one.credential is not None}
    assert each == {("123456789012:ci", 1.0), ("222222222222:ci", 7.0)}


def test_the_most_overdue_key_is_measured_in_whatever_order() -> None:
    """An alarm on the least overdue one would stay silent."""
    few, many, none = (report(f"ci-{age}", served(age)) for age in (91, 97, 3))
    for order in ((few, many, none), (many, none, few), (none, few, many)):
        assert days(overdue(order)) == [7.0]
        assert days(gauges(order)) == [7.0]
    assert days(overdue((none,))) == [0.0]


def test_what_was_not_seen_measures_nothing() -> None:
    """No data, so that an alarm may take its absence for what it is."""
    assert days(overdue((report("ci-gone", None),))) == []


def test_a_value_that_is_not_labelled_yet_counts_by_its_oldest_key() -> None:
    seen = observed(
        a_key(OLD, age_days=100),
        a_key(NEW, age_days=1),
        secret=a_secret(a_version("v0", OLD), a_version("by-hand", "AWSCURRENT"), tags=[synced()]),
    )
    assert days(overdue((report("ci-deploy", seen),))) == [10.0]


def test_a_refused_value_is_counted_apart() -> None:
    refused = Hold(reason="not a pair", kind=HoldKind.VALUE_REFUSED)
    found = counts((report("ci-a", served(1), refused), report("ci-b", served(1), Hold(reason="held"))))
    assert {measure.name: measure.value for measure in found if measure.value} == {
        "Held": 2,
        "HeldWithoutEnd": 2,
        "ValuesRefused": 1,
    }
