"""A bus that refuses some of ten events: those are sent again, and what it never takes is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest
from function_rig import Context, Rig, rig

from keyrota.app.functions import rotate, sync
from keyrota.aws import notices
from keyrota.aws.account import Account

pytestmark = pytest.mark.usefixtures("rig")
__all__ = ["rig"]

PUT_EVENTS = notices.put_events
"""As it is, before the rig replaces it."""


class Bus:
    """EventBridge's answers: 200, with a result for each entry."""

    def __init__(self, refusals: list[set[int]], *, names_them: bool = True) -> None:
        self.refusals, self.names_them = refusals, names_them
        self.calls: list[list[str]] = []
        self.taken: list[str] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803  # AWS's name
        """Refuse the entries of this call that were named."""
        assert len(Entries) <= 10
        refused = self.refusals.pop(0) if self.refusals else set()
        self.calls.append([entry["Detail"] for entry in Entries])
        results: list[dict[str, str]] = []
        for number, entry in enumerate(Entries):
            if number in refused:
                results.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"})
            else:
                self.taken.append(entry["Detail"])
                results.append({"EventId": "1"})
        return {"FailedEntryCount": len(refused), **({"Entries": results} if self.names_them else {})}


class Named:
    """An account with this bus alone."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def client(self, _: str) -> Bus:
        """The bus."""
        return self._bus


def entries(count: int) -> list[dict[str, Any]]:
    return [{"DetailType": "Access Key Held", "Detail": str(number)} for number in range(count)]


@pytest.mark.parametrize(("refused", "names_them"), [({1, 7}, True), ({1, 7}, False), (set(), True)])
def test_what_was_refused_is_named(refused: set[int], names_them: bool) -> None:
    """Where the answer does not say which, all are taken for refused."""
    account: Any = Named(Bus([refused], names_them=names_them))
    found = [entry["Detail"] for entry, code in PUT_EVENTS(account, entries(10)) if code]
    assert found == (["1", "7"] if refused and names_them else [str(one) for one in range(10)] if refused else [])


def with_bus(rig: Rig, monkeypatch: pytest.MonkeyPatch, bus: Bus) -> None:
    """Let the functions send to it."""
    monkeypatch.setattr("keyrota.aws.notices.put_events", PUT_EVENTS)
    client = Account.client

    def chosen(self: Account, service: str, **more: Any) -> Any:
        return bus if service == "events" else client(self, service, **more)

    monkeypatch.setattr(Account, "client", chosen)
    rig.lines()


def test_refused_events_are_sent_again_and_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus([{0}, {0}])
    with_bus(rig, monkeypatch, bus)
    rotate.handler({}, Context())
    assert len(bus.calls) == 3
    assert len(bus.calls[1]) == len(bus.calls[2]) == 1
    assert sorted(bus.taken) == sorted(bus.calls[0]), "each of them once"
    assert [line["EventsLost"] for line in rig.lines() if "EventsLost" in line] == [[0.0]]


def test_what_the_bus_never_takes_is_reported_and_holds_nothing_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Bus([{0}] * 9)
    with_bus(rig, monkeypatch, bus)
    rotate.handler({}, Context())
    (lost,) = [record for record in caplog.records if record.message == "an event was not taken by the bus"]
    told = vars(lost)
    assert (lost.levelname, told["error"]) == ("ERROR", "ThrottlingException")
    assert json.loads(told["detail"])["user"] == "ci-deploy"
    assert [line["EventsLost"] for line in rig.lines() if "EventsLost" in line] == [[1.0]]
    sync.handler({}, Context())
    assert rig.box.deploys()
