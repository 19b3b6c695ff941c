"""What the functions are told by events and variables, and what they tell the event bus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from builders import NEW, NOW, OLD, SHOP
from keyrota.app.choice import Name, Wanted
from keyrota.app.functions.own_events import DETAIL_TYPES, SCHEMA, Announcement, Announcer
from keyrota.app.functions.scheduled import read_wanted
from keyrota.app.functions.settings import Emergency, Trigger, settings
from keyrota.core import plan as act
from keyrota.core.model import AccessKeyId
from keyrota.core.outcome import Done
from keyrota.core.plan import Hold, HoldKind, Needs, Plan
from keyrota.errors import KeyrotaError, PartialFailure, ProviderRefused, UsageError
from keyrota.report.data import CredentialReport

ACCOUNT = "123456789012"
TELLER = Announcer(stack="keyrota@eu-central-1/123456789012", run="run-1")
ABOUT = {
    "version": 1,
    "stack": "keyrota@eu-central-1/123456789012",
    "run": "run-1",
    "account": ACCOUNT,
    "user": "ci",
    "secret": "keyrota/ci",
    "at": "2026-06-01T06:00:00Z",
}


def report(**known: Any) -> CredentialReport:
    return CredentialReport(user="ci", account=ACCOUNT, secret_name="keyrota/ci", now=NOW, **known)


def told(found: Announcement) -> tuple[str, dict[str, Any]]:
    """What an event says beside whom it is about."""
    assert found.detail_type in DETAIL_TYPES
    assert found.detail.keys() <= SCHEMA["properties"].keys()
    about = {name: found.detail[name] for name in ABOUT if name != "at"}
    assert about == {name: value for name, value in ABOUT.items() if name != "at"}
    return found.detail_type, {name: value for name, value in found.detail.items() if name not in about}


def done(action: act.Action, key: AccessKeyId | None = OLD, hours: float = 1) -> Done:
    return Done(action=action, at=NOW + timedelta(hours=hours), key=key)


@pytest.mark.parametrize(
    ("kind", "detail_type"),
    [
        (HoldKind.ORDINARY, "Access Key Held"),
        (HoldKind.VALUE_REFUSED, "Secret Value Refused"),
        (HoldKind.TORN, "Access Key Pair Torn"),
        (HoldKind.UNWRITTEN, "Target Failed"),
    ],
)
def test_a_hold_is_an_event_of_its_kind(kind: HoldKind, detail_type: str) -> None:
    until = NOW + timedelta(days=2)
    hold = Hold(reason="why", remedy="do it", key=OLD, target=SHOP, until=until, needs=Needs.REPAIR, kind=kind)
    (found,) = TELLER.announcements([report(plan=Plan(holds=(hold,)))])
    shown, fields = told(found)
    assert shown == detail_type
    assert fields == {
        "at": ABOUT["at"],
        "key": OLD,
        "target": SHOP,
        "reason": "why",
        "remedy": "do it",
        "until": "2026-06-03T06:00:00Z",
        "needs": "repair",
    }


def test_a_hold_without_end_or_remedy_says_none() -> None:
    (found,) = TELLER.announcements([report(plan=Plan(holds=(Hold(reason="why", needs=Needs.NOBODY),)))])
    fields = told(found)[1]
    assert (fields["remedy"], fields["until"], fields["needs"]) == (None, None, "nobody")


@pytest.mark.parametrize(("target", "detail_type"), [(SHOP, "Target Failed"), ("", "Access Key Failed")])
def test_each_failure_is_an_event(target: str, detail_type: str) -> None:
    def failed() -> KeyrotaError:
        error = ProviderRefused("no", remedy="do it")
        error.target = target
        return error

    found = list(TELLER.announcements([report(errors=(PartialFailure("some failed", [failed(), failed()]),))]))
    assert [told(one)[0] for one in found] == [detail_type] * 2
    fields = told(found[0])[1]
    assert (fields["target"], fields["remedy"]) == (target or None, "do it")
    assert "no" in fields["reason"]


def test_what_was_done_is_told_with_its_own_time() -> None:
    actions = (
        done(act.Deactivate(key=OLD, reason="unused", due=NOW)),
        done(act.Delete(key=OLD, version=None, reason="off long enough", due=NOW)),
    )
    found = [told(one) for one in TELLER.announcements([report(done=actions)])]
    assert [(shown, fields["key"], fields["at"]) for shown, fields in found] == [
        ("Access Key Deactivated", OLD, "2026-06-01T07:00:00Z"),
        ("Access Key Deleted", OLD, "2026-06-01T07:00:00Z"),
    ]


def test_what_others_did_is_told_without_control_characters() -> None:
    found = TELLER.announce_change(report(), by="arn:\x1b[2J", call="DeleteAccessKey")
    shown, fields = told(found)
    assert shown == "Access Key Changed By Others"
    assert fields["call"] == "DeleteAccessKey"
    assert "\x1b" not in fields["by"] + fields["reason"]
    left, words = told(TELLER.announce_departure(report(), reason="gone\x1b", remedy="release\x1b"))
    assert left == "Credential Left"
    assert "\x1b" not in words["reason"] + words["remedy"]


def test_a_rotation_names_both_keys() -> None:
    shown, fields = told(TELLER.announce_rotation(report(), key=OLD, new_key=NEW, reason="leaked"))
    assert (shown, fields["key"], fields["newKey"], fields["reason"]) == ("Access Key Rotated", OLD, NEW, "leaked")


def test_an_event_as_the_bus_takes_it() -> None:
    entry = Announcement(detail_type="Access Key Held", detail={"reason": "für"}).entry("ours")
    assert entry == {
        "Source": "keyrota",
        "DetailType": "Access Key Held",
        "EventBusName": "ours",
        "Detail": '{"reason": "für"}',
    }
    assert json.loads(entry["Detail"]) == {"reason": "für"}


@pytest.mark.parametrize(
    ("event", "wanted", "is_read"),
    [
        (None, Wanted(), False),
        ([], Wanted(), False),
        ({}, Wanted(), False),
        ({"users": []}, Wanted(), False),
        ({"users": ["ci"]}, Wanted(names=(Name(user="ci"),)), False),
        ({"users": [f"{ACCOUNT}:ci"]}, Wanted(names=(Name(user="ci", account=ACCOUNT),)), False),
        ({"account": ACCOUNT, "report": True}, Wanted(account=ACCOUNT), True),
        ({"account": ""}, Wanted(account=""), False),
        ({"report": "true"}, Wanted(), False),
        ({"account": ACCOUNT, "detail-type": "Scheduled Event"}, Wanted(), False),
    ],
)
def test_whom_an_event_asks_for(event: Any, wanted: Wanted, is_read: bool) -> None:
    assert read_wanted(event) == (wanted, is_read)


@pytest.mark.parametrize(
    "event", [{"users": "ci"}, {"users": [""]}, {"users": ["ci", 7]}, {"account": 123456789012}, {"account": "12345"}]
)
def test_an_event_that_asks_for_nobody_is_refused(event: Any) -> None:
    """What is not understood must not mean everybody."""
    with pytest.raises(UsageError):
        read_wanted(event)


CONFIG = {"KEYROTA_CONFIG": "ssm:/keyrota/config"}


def test_what_a_function_assumes_without_variables() -> None:
    known = settings(CONFIG)
    assert (known.trigger, known.emergency) == (Trigger.NATIVE, Emergency.ALARM)
    assert (known.stack, known.bus, known.topic, known.config_sha256, known.roles) == ("", "", "", "", ())


def test_what_a_function_is_told_by_variables() -> None:
    known = settings(
        {
            **CONFIG,
            "KEYROTA_STACK": "stack",
            "KEYROTA_EVENT_BUS": "bus",
            "KEYROTA_ALARM_TOPIC": "topic",
            "KEYROTA_TRIGGER": "both",
            "KEYROTA_EMERGENCY": "auto",
            "KEYROTA_CONFIG_SHA256": "abc",
            "KEYROTA_ROLES": "one,,two",
        }
    )
    assert (known.config, known.stack, known.bus, known.topic) == (CONFIG["KEYROTA_CONFIG"], "stack", "bus", "topic")
    assert (known.trigger, known.emergency) == (Trigger.BOTH, Emergency.AUTO)
    assert (known.config_sha256, known.roles) == ("abc", ("one", "two"))


@pytest.mark.parametrize(
    "environment",
    [{}, {"KEYROTA_CONFIG": ""}, {**CONFIG, "KEYROTA_TRIGGER": "x"}, {**CONFIG, "KEYROTA_EMERGENCY": "x"}],
)
def test_a_function_that_is_told_wrongly_does_nothing(environment: Mapping[str, str]) -> None:
    with pytest.raises(UsageError):
        settings(environment)
