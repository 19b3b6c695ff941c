"""
The flow: `keyrota deploy` brings the stack to an independent emulator, and nothing but the emulator moves the events.

120 days with the stack's own rules, schedules, queues and functions: rotate, sync by Secrets Manager's own event,
deactivate, delete, a target down for a day, an emergency. Then a fleet: the state machine's Distributed Map over 500
credentials in five accounts. The emulator is lax about quotas, inactive keys and policies; tests/proof/test_rights.py
is the other half.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from built import the_package
from ministack_rig import ACCOUNT, Ministack, a_ministack

from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.server import Server

USER, TOKEN = "ci-deploy", "canary-token-of-bitbucket-66"
START = datetime(2026, 1, 1, 8, tzinfo=UTC)
CONFIGURATION = """\
version: 1
verify: {{times: 1, within: 0s}}
providers:
  bitbucket:
    base_url: {url}/bitbucket/2.0
    auth: {{token: "secretsmanager:keyrota-tokens/bitbucket"}}
credentials:
  - user: ci-deploy
    targets:
      - bitbucket: {{workspace: acme, repository: shop, environment: Production}}
"""
DUE = 4
"""The day on which the key of 85 days is 90 days old."""
SCHEDULED = ("Rotate", "Sync", "Deactivate", "Delete")


@dataclass(slots=True)
class _Clock:
    """The emulator's time: that of the days."""

    instant: datetime = START

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


@dataclass(slots=True, kw_only=True)
class Days:
    """A deployed stack, and days that pass."""

    stack: Ministack
    bitbucket: BitbucketEmulator
    clock: _Clock
    folder: Path
    groups: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    pipeline_failures: list[str] = field(default_factory=list)

    def deploy_stack(self, *more: str) -> str:
        """Run `keyrota deploy`; returns what it told."""
        done = self.stack.keyrota("deploy", "--yes", "--package", "package.zip", *more, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        for function in self.stack.client("lambda").list_functions()["Functions"]:
            name = function["Handler"].split(".")[-2].capitalize()
            self.functions[name] = function["FunctionName"]
            self.groups[name] = function["LoggingConfig"]["LogGroup"]
        return done.stderr

    def has_run(self, name: str) -> bool:
        """Whether a function has run since the day began."""
        return any(line.startswith("REPORT") for line in self.stack.lines(self.groups[name], self.clock.instant))

    def day(self) -> None:
        """Let a day pass: its schedules fall due, all four at once, and events go their way."""
        self.clock.instant += timedelta(days=1)
        self.stack.travel(self.clock.instant)
        self.stack.wait_until(
            lambda: all(self.has_run(name) for name in SCHEDULED),
            f"all schedules fire on {self.clock.instant:%Y-%m-%d}",
        )
        self.settle()

    def settle(self) -> None:
        """Wait until no message is under way."""
        sqs = self.stack.client("sqs")
        (url,) = [url for url in sqs.list_queues()["QueueUrls"] if "Queue" in url.rpartition("/")[2]]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

        def is_empty() -> bool:
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            return all(found[name] == "0" for name in names)

        self.stack.wait_until(is_empty, "the queue is empty")

    def pipeline(self) -> None:
        """Run the pipeline: the key that its step sees must be Active."""
        held = self.held()["AWS_ACCESS_KEY_ID"]
        if self.keys().get(held) != "Active":
            self.pipeline_failures.append(f"{self.clock.instant}: {held} is {self.keys().get(held)}")

    def held(self) -> dict[str, str]:
        """What a pipeline step sees."""
        return self.bitbucket.values("acme", "shop", "Production")

    def keys(self) -> dict[str, str]:
        """The user's keys and their status."""
        found = self.stack.client("iam").list_access_keys(UserName=USER)["AccessKeyMetadata"]
        return {key["AccessKeyId"]: key["Status"] for key in found}


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the zip as it is deployed, for this machine."""
    return the_package(tmp_path_factory)


@pytest.fixture
def days(tmp_path: Path, package: Path) -> Iterator[Days]:
    """Start the emulator and the emulator, with a key of 85 days that a pipeline holds."""
    clock, faults = _Clock(), Faults()
    bitbucket = BitbucketEmulator(clock, faults, token=TOKEN)
    server = Server({"/bitbucket": bitbucket})
    try:
        with a_ministack(tmp_path, START - timedelta(days=85)) as stack:
            (tmp_path / "keyrota.yaml").write_text(CONFIGURATION.format(url=server.url), "utf-8")
            (tmp_path / "package.zip").symlink_to(package)
            bitbucket.add_repository("acme", "shop", ("Production",))
            iam = stack.client("iam")
            iam.create_user(UserName=USER)
            key = iam.create_access_key(UserName=USER)["AccessKey"]
            where = ("acme", "shop", "Production")
            bitbucket.set_variable(*where, "AWS_ACCESS_KEY_ID", key["AccessKeyId"])
            bitbucket.set_variable(*where, "AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"], secured=True)
            stack.client("secretsmanager").create_secret(Name="keyrota-tokens/bitbucket", SecretString=TOKEN)
            stack.travel(START)
            yield Days(stack=stack, bitbucket=bitbucket, clock=clock, folder=tmp_path)
    finally:
        server.close()


def test_120_days_of_the_stack_s_own_events(days: Days) -> None:
    """Nothing but the emulator's schedules, rules, queue and functions moves anything."""
    told = days.deploy_stack("--emergency", "auto")
    assert "the stack keyrota is deployed" in told
    first = next(iter(days.keys()))
    seen: list[tuple[int, str]] = []
    token, made_on = TOKEN, 0
    for number in range(120):
        if number == DUE:
            token, days.bitbucket._token = days.bitbucket._token, "revoked"  # just on the day on which the key is due
        days.day()
        if number == DUE:
            days.bitbucket._token = token
        if number == 60:
            _quarantine(days)
        days.pipeline()
        made_on = made_on or (number if len(days.keys()) > 1 else 0)
        held = days.held()["AWS_ACCESS_KEY_ID"]
        if not seen or seen[-1][1] != held:
            seen.append((number, held))
    assert days.pipeline_failures == []
    assert len(seen) == 3, seen  # the first, its successor, and that of the emergency
    assert made_on == DUE + 1, "with a target down, no key is made; the next day goes on"
    assert seen[1][0] in {DUE + 1, DUE + 2}, "an event may still be under way when the day is looked at"
    assert seen[2][0] == 60
    assert days.keys().get(first) is None
    assert days.keys()[seen[2][1]] == "Active"
    assert list(days.keys().values()).count("Active") == 1
    _waits_for_no_schedule(days)
    for name, group in days.groups.items():
        assert not [line for line in days.stack.lines(group) if TOKEN in line], name
    done = days.stack.keyrota("undeploy", "--yes", cwd=days.folder)
    assert "the stack keyrota is deleted" in done.stderr


def _quarantine(days: Days) -> None:
    """
    Put the event that CloudTrail would send onto the bus: the emulator records no trail.

    Everything after it is the stack's own: its rule, its function, its role's calls.
    """
    event = {
        "eventSource": "iam.amazonaws.com",
        "eventName": "AttachUserPolicy",
        "eventTime": f"{days.clock.instant:%Y-%m-%dT%H:%M:%SZ}",
        "userIdentity": {"arn": f"arn:aws:iam::{ACCOUNT}:root"},
        "recipientAccountId": ACCOUNT,
        "requestParameters": {
            "userName": USER,
            "policyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3",
        },
    }
    entry = {"Source": "aws.iam", "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(event)}
    leaked = days.held()["AWS_ACCESS_KEY_ID"]
    answer = days.stack.client("events").put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0, answer
    days.stack.wait_until(lambda: days.held()["AWS_ACCESS_KEY_ID"] != leaked, "the leaked key is replaced")
    days.stack.wait_until(lambda: days.keys().get(leaked) == "Inactive", "the leaked key is off")


def _waits_for_no_schedule(days: Days) -> None:
    """What a person puts with plain put-secret-value is in the pipeline within a minute, without any schedule."""
    manager, iam = days.stack.client("secretsmanager"), days.stack.client("iam")
    name = f"keyrota/{USER}/access-key"
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    pair = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    began = days.stack._told_time()
    manager.put_secret_value(SecretId=name, SecretString=json.dumps(pair))
    days.stack.wait_until(
        lambda: days.held()["AWS_ACCESS_KEY_ID"] == key["AccessKeyId"], "the event brings it to the pipeline"
    )
    assert days.stack._told_time() - began < timedelta(minutes=1)
    assert days.stack._told_time() < days.clock.instant + timedelta(hours=12), "the next schedule is tomorrow's"
