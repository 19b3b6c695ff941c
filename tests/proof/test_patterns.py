"""
The rules of the trigger `cloudtrail`: a call may name our secret in three ways, and no other secret starts anything.

Each template's own patterns are judged twice: by the relay, and by the independent emulator, which reads patterns as
strictly as EventBridge does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cfn import ACCOUNT, REGION, Stack
from ministack_rig import a_ministack
from relay import cloudtrail, matches, rotated

from aws_session import a_session
from keyrota.app.config import load_text
from keyrota.app.deploy.template import FLEET_TEMPLATE, TEMPLATE, narrow_template, scope_of

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
CALLS = ("PutSecretValue", "UpdateSecret", "UpdateSecretVersionStage")
LARGEST_PATTERN = 2048
NAME = "keyrota/ci-deploy/access-key"
FOREIGN = ("prod/database", "keyrota-tokens/bitbucket", "keyrot", "", "secret:keyrota/ci-deploy/access-key")


def _narrowed(count: int, prefix: str = "keyrota/") -> dict[str, Any]:
    """Narrow the template to ci-deploy and others."""
    users = ["ci-deploy", *(f"ci-other-{number}" for number in range(1, count))]
    rows = "".join(f"  - {{user: {user}, secret: {prefix}{user}/access-key, targets: []}}\n" for user in users)
    arns = [f"arn:aws:iam::{ACCOUNT}:user/{user}" for user in users]
    configuration = load_text("keyrota.yaml", f"version: 1\ncredentials:\n{rows}")
    return narrow_template(
        scope_of(configuration, arns, partition="aws", account=ACCOUNT, region=REGION), is_fleet=False
    )


def _published(file: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return made


TEMPLATES = {
    "as published": _published(TEMPLATE),
    "of a fleet": _published(FLEET_TEMPLATE),
    "narrowed to one": _narrowed(1),
    "narrowed to more than a pattern has room for": _narrowed(30),
}


def patterns(template: dict[str, Any]) -> dict[str, Any]:
    """Find the patterns of a template's rules for Secrets Manager, by their rules' names."""
    stack = Stack(template=template, parameters={"Trigger": "both"})
    return {
        name.removeprefix("RotationEvents").rstrip("0123456789ABCDEF"): rule["EventPattern"]
        for name, rule in stack.resources("AWS::Events::Rule").items()
        if rule["EventPattern"]["source"] == ["aws.secretsmanager"]
    }


def ways(name: str, *, account: str = ACCOUNT) -> tuple[str, ...]:
    """Name a secret as a caller may: by name, by ARN, by an ARN without its last six characters."""
    arn = f"arn:aws:secretsmanager:{REGION}:{account}:secret:{name}"
    return (name, f"{arn}-AbC123", arn)


def events(way: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make every event that may tell of a new AWSCURRENT, each with the rule that is to hear it."""
    for call in CALLS:
        asked = {"SecretId": way, "ClientRequestToken": "0f0e0d0c-0b0a-4908-8706-050403020100"}
        event = cloudtrail(NOW, service="secretsmanager", call=call, asked=asked, answered=None, by="")
        yield "NewValueByCloudTrail", event
    yield "RotatedByCloudTrail", rotated(NOW, {"additionalEventData": {"SecretId": way}})
    yield "RotatedByCloudTrail", rotated(NOW, {"serviceEventDetails": {"secretId": way}})


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("way", ways(NAME), ids=["name", "ARN", "ARN without its suffix"])
def test_each_way_of_naming_our_secret_is_heard(template: dict[str, Any], way: str) -> None:
    found = patterns(template)
    for rule, event in events(way):
        assert [name for name, pattern in found.items() if matches(pattern, event)] == [rule], event["detail"]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_no_other_secret_is_heard(template: dict[str, Any]) -> None:
    """Neither one of another name, nor one of our name in another account or region, nor a call that was refused."""
    found = patterns(template)
    away = ways(NAME, account="210987654321")[1:]
    region = (ways(NAME)[1].replace(REGION, "us-east-1"),)
    for way in (*(way for name in FOREIGN for way in ways(name)), *away, *region):
        for _, event in events(way):
            assert not [name for name, pattern in found.items() if matches(pattern, event)], event["detail"]
    for _, event in list(events(NAME))[: len(CALLS)]:
        event["detail"]["errorCode"] = "AccessDenied"
        assert not [name for name, pattern in found.items() if matches(pattern, event)]


def test_a_secret_of_another_s_name_and_more_is_passed_over_by_the_pattern_that_has_room() -> None:
    """Only an ARN cannot be told from one whose name goes on: that event is left to the function."""
    found = patterns(TEMPLATES["narrowed to one"])["NewValueByCloudTrail"]
    name, arn, _ = ways("keyrota/ci-deploy/access-key-of-another")
    heard = {way: [matches(found, event) for _, event in list(events(way))[: len(CALLS)]] for way in (name, arn)}
    assert heard == {name: [False] * 3, arn: [True] * 3}


def test_names_with_nothing_in_common_are_all_heard_if_there_is_no_room() -> None:
    """Then any secret is heard, and the function passes over those that are not ours."""
    rows = "".join(f"  - {{user: u{number}, secret: '{number}-{'x' * 60}', targets: []}}\n" for number in range(40))
    arns = [f"arn:aws:iam::{ACCOUNT}:user/u{number}" for number in range(40)]
    configuration = load_text("keyrota.yaml", f"version: 1\ncredentials:\n{rows}")
    scope = scope_of(configuration, arns, partition="aws", account=ACCOUNT, region=REGION)
    found = patterns(narrow_template(scope, is_fleet=False))
    for way in ways(f"7-{'x' * 60}"):
        for rule, event in events(way):
            assert matches(found[rule], event)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 9, 10, 11, 30, 50])
def test_a_pattern_ends_before_eventbridge_does(count: int) -> None:
    sizes = {name: len(json.dumps(pattern)) for name, pattern in patterns(_narrowed(count)).items()}
    assert [name for name, size in sizes.items() if size > LARGEST_PATTERN] == []


def test_the_longest_prefix_that_the_template_takes_has_room() -> None:
    template = TEMPLATES["as published"]
    longest = "x" * template["Parameters"]["SecretPrefix"]["MaxLength"]
    stack = Stack(template=template, parameters={"Trigger": "both", "SecretPrefix": longest})
    for name, rule in stack.resources("AWS::Events::Rule").items():
        assert len(json.dumps(rule["EventPattern"])) <= LARGEST_PATTERN, name


def test_the_calls_name_their_secret_in_the_field_that_is_matched() -> None:
    """CloudTrail writes the request's members with a small first letter; the model of the service knows them."""
    model = a_session().get_service_model("secretsmanager")
    for call in CALLS:
        assert "SecretId" in getattr(model.operation_model(call).input_shape, "members", ()), call


def test_the_emulator_reads_the_patterns_so_too(tmp_path: Path) -> None:
    """An independent reader of patterns takes them, and hears the same events."""
    with a_ministack(tmp_path) as stack:
        bus = stack.client("events")

        def hears(pattern: Any, event: Any) -> bool:
            answer = bus.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
            return bool(answer["Result"])

        for kind, template in TEMPLATES.items():
            found = patterns(template)
            for way in (*ways(NAME), *ways("prod/database"), *ways(NAME, account="210987654321")[1:]):
                for rule, event in events(way):
                    expected = {name: matches(pattern, event) for name, pattern in found.items()}
                    heard = {name: hears(pattern, event) for name, pattern in found.items()}
                    assert heard == expected, (kind, way, rule)
