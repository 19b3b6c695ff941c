"""What the tests of the Lambda functions share: a sandbox with a stored configuration, a bus, a topic, and events."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli_rig import SECRET, Sandbox, a_sandbox

from keyrota_sandbox.cloud import REGION

ACCOUNT = "123456789012"
STACK = f"keyrota@{REGION}/{ACCOUNT}"
ROLE = "keyrota-RotateRole"


class Context:
    """What Lambda passes beside the event."""

    aws_request_id = "request-1"
    left_ms = 900_000

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the function may still run."""
        return self.left_ms


@dataclass(slots=True, kw_only=True)
class Rig:
    """A sandbox with a stored configuration, a bus and a topic."""

    box: Sandbox
    bus: list[dict[str, Any]] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)

    def store(self, text: str | None = None) -> None:
        """Put the configuration into the parameter."""
        value = self.stored_text(text)
        self.box.admin("ssm").put_parameter(Name="/keyrota/config", Value=value, Type="String", Overwrite=True)

    def stored_text(self, text: str | None = None) -> str:
        """The configuration with references that a function can read."""
        return re.sub(r"env:([A-Z]+_TOKEN)", self._stored, text or self.box.file.read_text("utf-8"))

    def _stored(self, reference: re.Match[str]) -> str:
        """Store a token as functions need it; what the tests' own commands use stays in the environment."""
        name, manager = f"keyrota-tokens/{reference[1]}", self.box.admin("secretsmanager")
        with contextlib.suppress(manager.exceptions.ResourceExistsException):
            manager.create_secret(Name=name, SecretString=os.environ[reference[1]])
        return f"secretsmanager:{name}"

    def labels(self) -> dict[str, list[str]]:
        """The secret's versions and their staging labels."""
        found = self.box.admin("secretsmanager").describe_secret(SecretId=SECRET)["VersionIdsToStages"]
        return {version: sorted(labels) for version, labels in found.items()}

    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines that were printed since the last time."""
        return [json.loads(line) for line in self.box.capsys.readouterr().out.splitlines() if line.startswith("{")]

    def told(self, detail_type: str) -> list[dict[str, Any]]:
        """The details of our own events of a type."""
        return [json.loads(entry["Detail"]) for entry in self.bus if entry["DetailType"] == detail_type]


@pytest.fixture
def rig(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Start the sandbox and set a function's environment."""
    with a_sandbox(tmp_path, capsys) as box:
        made = Rig(box=box)
        made.store()
        topic = box.admin("sns").create_topic(Name="alarms")["TopicArn"]
        for name, value in {
            "KEYROTA_CONFIG": "ssm:/keyrota/config",
            "KEYROTA_STACK": STACK,
            "KEYROTA_EVENT_BUS": "default",
            "KEYROTA_ALARM_TOPIC": topic,
            "KEYROTA_ROLES": ROLE,
        }.items():
            monkeypatch.setenv(name, value)

        def put(_: Any, entries: list[dict[str, Any]]) -> tuple[tuple[dict[str, Any], str], ...]:
            made.bus += entries
            return ()

        def publish(_: Any, __: str, subject: str, text: str) -> None:
            made.alarms.append((subject, text))

        monkeypatch.setattr("keyrota.aws.notices.put_events", put)
        monkeypatch.setattr("keyrota.aws.notices.publish", publish)
        yield made


def native(name: str = SECRET, label: str = "AWSCURRENT", **more: Any) -> dict[str, Any]:
    """Make Secrets Manager's own event."""
    return {
        "version": "0",
        "id": "6a7e8feb",
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "account": ACCOUNT,
        "time": "2026-01-01T06:00:00Z",
        "region": REGION,
        "resources": [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-a1b2c3"],
        "detail": {"name": name, "labelUpdated": label, "versionId": "a1b2c3d4"},
        **more,
    }


def cloudtrail(name: str, asked: dict[str, Any], answered: Any = None, **more: Any) -> dict[str, Any]:
    """Make an event by CloudTrail."""
    detail = {
        "eventName": name,
        "requestParameters": asked,
        "responseElements": answered,
        "eventTime": "2026-01-01T06:00:00Z",
    }
    return {
        "id": "79f04f06",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.secretsmanager",
        "account": ACCOUNT,
        "region": REGION,
        "time": "2026-01-01T06:00:00Z",
        "resources": [],
        "detail": {**detail, **more},
    }


def batch(*events: Any) -> dict[str, Any]:
    """Make a batch of the queue."""
    bodies = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}
