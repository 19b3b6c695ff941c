"""
The rights: 120 days with the built zip in Lambda's own runtime client, each function with its own role's policies.

The template is synthesized from the construct and narrowed as `keyrota deploy` does. Every call is judged by the role's
policies, actions and resources; a relay turns calls into events, matches them with the template's own patterns, and
delivers each twice, late and out of order. The run fails if any function makes a call that its policy does not allow,
and if a policy allows an action that nothing used.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import botocore.session
import pytest
from built import the_package
from cfn import ACCOUNT, REGION, Stack
from relay import Queue, Relay, cloudtrail, native, rotated
from runtime import LambdaRuntime, Result, set_clock

from aws_session import a_session
from keyrota.app.config import load_text
from keyrota.app.deploy.template import narrow_template, scope_of
from keyrota.core.model import SECRET_TAG, KeyPair
from keyrota_sandbox.aws.policy_evaluator import allows, statements_of
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.server import Request, Response

YOUNG = "ci-young"
USER, SECRET, TOKEN = "ci-deploy", "keyrota/ci-deploy/access-key", "canary-token-of-bitbucket-55"
CONFIGURATION = """\
version: 1
verify: {{times: 2, within: 0s}}
providers:
  bitbucket:
    base_url: {url}/2.0
    auth: {{token: "secretsmanager:keyrota-tokens/bitbucket"}}
credentials:
  - user: ci-deploy
    targets:
      - bitbucket: {{workspace: acme, repository: shop, environment: Production}}
  - user: ci-young
    targets:
      - bitbucket: {{workspace: acme, repository: young, environment: Production}}
"""
PARAMETERS = {
    "CodeBucket": "code",
    "CodeKey": "keyrota.zip",
    "Trigger": "both",
    "Emergency": "auto",
    "AlarmEmail": "ops@example.com",
}
QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"
DOWN = 6
"""The day on which the key of 85 days is replaced."""
DUTIES = ("rotate", "sync", "deactivate", "delete", "watch", "rotation", "emergency")


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what is in the zip as it is deployed, for this machine."""
    return the_package(tmp_path_factory).with_name("code")


@dataclass(slots=True, kw_only=True)
class Account:
    """An account with the stack in it: everything but CloudFormation's own engine."""

    cloud: Cloud
    bitbucket: BitbucketEmulator
    stack: Stack
    clock: Path
    functions: dict[str, LambdaRuntime] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    relay: Relay = field(default_factory=Relay)
    queue: Queue = field(init=False)
    failures: list[str] = field(default_factory=list)
    deployments: int = 0
    session: botocore.session.Session = field(default_factory=a_session)
    """One for all clients: it keeps the models that it has read."""
    alarms: list[str] = field(default_factory=list)

    # --- the stack ----------------------------------------------------------------------------------------------------

    def create(self, code: Path, stack: ExitStack) -> None:
        """Make roles, functions, rules and the queue from the template."""
        topic = self.admin("sns").create_topic(Name="keyrota-Alarms04B5A0BF")["TopicArn"]
        self.stack.ids["Alarms04B5A0BF"] = topic
        own = {"AWS": f"arn:aws:iam::{self.cloud.aws.account_id}:root"}
        allowed = {"Effect": "Allow", "Principal": own, "Action": "sts:AssumeRole"}
        trust = {"Version": "2012-10-17", "Statement": [allowed]}
        for name in self.stack.resources("AWS::IAM::Role"):
            role = f"keyrota-{name}"
            self.stack.ids[name] = role
            self.admin("iam").create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
        for name, made in self.stack.resources("AWS::Lambda::Function").items():
            duty = made["Handler"].split(".")[-2]
            role = made["Role"].rpartition("/")[2]
            self.roles[duty] = role
            session = self.admin("sts").assume_role(RoleArn=made["Role"], RoleSessionName=name)["Credentials"]
            self.cloud.aws.rights.grant(duty, session["AccessKeyId"], self.policies(role))
            environment = {
                **made["Environment"]["Variables"],
                "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
                "AWS_SESSION_TOKEN": session["SessionToken"],
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ENDPOINT_URL": self.cloud.aws_url,
            }
            self.functions[duty] = stack.enter_context(LambdaRuntime(code, made["Handler"], environment, self.clock))
        (queue,) = [one for one in self.stack.resources("AWS::SQS::Queue").values() if "RedrivePolicy" in one]
        self.queue = Queue(deliver=self._batch, most=queue["RedrivePolicy"]["maxReceiveCount"])
        for name, rule in self.stack.resources("AWS::Events::Rule").items():
            for target in rule["Targets"]:
                self.relay.rules.append((rule["EventPattern"], self._target(name, target["Arn"])))

    def policies(self, role: str) -> list[Any]:
        """Join the statements of a role's policies."""
        return [
            statement
            for policy in self.stack.resources("AWS::IAM::Policy").values()
            if role in policy["Roles"]
            for statement in statements_of(policy["PolicyDocument"])
        ]

    def _target(self, rule: str, arn: str) -> Any:
        if ":sqs:" in arn:
            return self.queue.send
        made = {
            self.stack.resolve({"Fn::GetAtt": [name, "Arn"]}): one["Handler"].split(".")[-2]
            for name, one in self.stack.resources("AWS::Lambda::Function").items()
        }
        assert arn in made, f"the rule {rule} has a target that is not there: {arn}"
        return lambda event: self.invoke(made[arn], event).error is None

    def admin(self, service: str) -> Any:
        """A client of the administrator."""
        return self.session.create_client(service, region_name=REGION)

    # --- what happens -------------------------------------------------------------------------------------------------

    def invoke(self, duty: str, event: Any) -> Result:
        """Invoke a function asynchronously, as Lambda does: with retries if the template says so, then dead letters."""
        self.set_clock()
        name = self.stack.resolve({"Ref": self._function_name(duty)})
        configs = self.stack.resources("AWS::Lambda::EventInvokeConfig").values()
        (settings,) = [one for one in configs if one["FunctionName"] == name]
        for _ in range(1 + settings["MaximumRetryAttempts"]):
            result = self.functions[duty].invoke(event)
            self._as_lambda(duty, "logs:CreateLogStream", "logs:PutLogEvents")
            if result.error is None:
                return result
        self.failures.append(f"{duty}: {result.error}")
        self._as_lambda(duty, "sqs:SendMessage")
        return result

    def _function_name(self, duty: str) -> str:
        return next(
            name
            for name, one in self.stack.resources("AWS::Lambda::Function").items()
            if one["Handler"].split(".")[-2] == duty
        )

    def _as_lambda(self, duty: str, *actions: str) -> None:
        """Do what Lambda itself does with a function's role: log lines, dead letters, messages."""
        made = self.stack.resources("AWS::Lambda::Function")[self._function_name(duty)]
        group = made["LoggingConfig"]["LogGroup"]
        for action in actions:
            resource = {
                "logs": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*",
                "sqs": made["DeadLetterConfig"]["TargetArn"] if "DeadLetter" not in action else "",
            }[action.partition(":")[0]]
            assert self.cloud.aws.rights.judge(duty, action, resource), f"{duty} may not {action} {resource}"

    def _batch(self, event: dict[str, Any]) -> Any:
        """Poll the queue as Lambda does, with the function's own role, and invoke it."""
        (queue,) = [name for name, one in self.stack.resources("AWS::SQS::Queue").items() if "RedrivePolicy" in one]
        arn = self.stack.resolve({"Fn::GetAtt": [queue, "Arn"]})
        for action in (
            "sqs:ReceiveMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueUrl",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
        ):
            assert self.cloud.aws.rights.judge("sync", action, arn)
        self.set_clock()
        result = self.functions["sync"].invoke(event)
        if result.error:
            self.failures.append(f"sync: {result.error}")
        return result.payload

    def set_clock(self) -> None:
        """Let the functions live in the sandbox's time: each looks as an invocation begins."""
        set_clock(self.clock, self.cloud.clock.now().timestamp(), self.cloud.clock.real_now().timestamp())

    def see(self, operation: str, request: Request, response: Response, key: str) -> None:
        """Turn a call into the events that AWS makes of it."""
        service, _, call = operation.partition(":")
        if response.status >= 300 or service not in {"iam", "secretsmanager"}:
            return
        asked = request.json() if service == "secretsmanager" else dict(parse_qsl(request.body.decode()))
        duty = self.cloud.aws.rights.principals.get(key)
        by = (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/{self.roles[duty]}/x"
            if duty
            else f"arn:aws:iam::{ACCOUNT}:user/admin"
        )
        now = self.cloud.clock.now()
        answered = json.loads(response.body) if service == "secretsmanager" else {}
        if service == "secretsmanager":
            self._labels_of(call, asked, answered)
        if call in {
            "PutSecretValue",
            "UpdateSecret",
            "UpdateSecretVersionStage",
            "CreateAccessKey",
            "UpdateAccessKey",
            "DeleteAccessKey",
            "AttachUserPolicy",
        }:
            told = {"arn": answered["ARN"]} if "ARN" in answered else None
            self.relay.put(cloudtrail(now, service=service, call=call, asked=asked, answered=told, by=by))

    def _labels_of(self, call: str, asked: dict[str, Any], answered: dict[str, Any]) -> None:
        labels = {
            "CreateSecret": ["AWSCURRENT"],
            "PutSecretValue": asked.get("VersionStages", ["AWSCURRENT"]),
            "UpdateSecretVersionStage": [asked.get("VersionStage")] if asked.get("MoveToVersionId") else [],
        }.get(call, [])
        for label in labels:
            if label not in {"AWSPENDING", "AWSPREVIOUS"}:
                version = answered.get("VersionId") or asked.get("MoveToVersionId", "")
                self.relay.put(native(self.cloud.clock.now(), answered["ARN"], answered["Name"], str(label), version))

    # --- the days -----------------------------------------------------------------------------------------------------

    def day(self, *, has_events: bool = True, is_down: bool = False) -> None:
        """
        Let a day pass: schedules in the order of their times, events between them, a deployment at the end.

        Args:
            has_events: Without them only the schedules bring new values to the targets.
            is_down: From the new key on, the provider refuses keyrota's token until the day ends.
        """
        kept = self.bitbucket._token
        schedules = self.stack.resources("AWS::Scheduler::Schedule")
        ordered = sorted(schedules.values(), key=lambda one: one["ScheduleExpression"].split()[1::-1] and _minutes(one))
        for one in ordered:
            duty = next(
                duty
                for duty in DUTIES
                if self.stack.resolve({"Fn::GetAtt": [self._function_name(duty), "Arn"]}) == one["Target"]["Arn"]
            )
            self.invoke(duty, json.loads(one["Target"]["Input"]))
            if is_down:
                self.bitbucket._token = "revoked"
            if has_events:
                self.relay.drain()
                self.queue.drain()
            self.cloud.clock.travel(timedelta(minutes=25))
        self.deploy()
        self.bitbucket._token = kept
        self.cloud.clock.move_to((self.cloud.clock.now() + timedelta(days=1)).replace(hour=5, minute=0))

    def deploy(self) -> None:
        """Run the pipeline with what its step sees."""
        from keyrota.core.model import AccessKeyId  # noqa: PLC0415  # beside its only use
        from keyrota.core.secret import Secret  # noqa: PLC0415

        held = self.held()
        pair = KeyPair(id=AccessKeyId(held["AWS_ACCESS_KEY_ID"]), secret=Secret(held["AWS_SECRET_ACCESS_KEY"]))
        client: Any = self.session.create_client(
            "sts", region_name=REGION, aws_access_key_id=pair.id, aws_secret_access_key=pair.secret.reveal()
        )
        client.get_caller_identity()
        self.deployments += 1

    def held(self, user: str = USER) -> dict[str, str]:
        """What a pipeline step of a user sees."""
        return self.bitbucket.values("acme", "shop" if user == USER else "young", "Production")

    def keys(self) -> dict[str, str]:
        """The user's keys and their status."""
        return dict(self.cloud.admin.keys(USER))


def _minutes(schedule: dict[str, Any]) -> int:
    minute, hour = schedule["ScheduleExpression"].removeprefix("cron(").split()[:2]
    return int(hour) * 60 + int(minute)


@contextmanager
def an_account(code: Path, folder: Path, *, is_fleet: bool = False, trigger: str = "both") -> Iterator[Account]:
    """Make an account with a user of 60 days' age, its pipeline, the stored token and configuration, and the stack."""
    cloud = Cloud()
    bitbucket = BitbucketEmulator(cloud.clock, cloud.faults, token=TOKEN)
    cloud.standins["bitbucket"] = bitbucket
    cloud.aws.propagation = timedelta(0)
    with cloud, ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "KEYROTA_"))]:
            patch.delenv(name)
        for name, value in cloud.environment().items():
            patch.setenv(name, value)
        patch.delenv("KEYROTA_SANDBOX")
        bitbucket.add_repository("acme", "shop", ("Production",))
        bitbucket.add_repository("acme", "young", ("Production",))
        cloud.admin.add_user(USER)
        cloud.admin.add_user(YOUNG)
        cloud.admin.add_key(YOUNG)
        pair = cloud.admin.add_key(USER, age=timedelta(days=85))
        bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", pair.id)
        bitbucket.set_variable(
            "acme", "shop", "Production", "AWS_SECRET_ACCESS_KEY", pair.secret.reveal(), secured=True
        )
        text = CONFIGURATION.format(url=cloud.url("bitbucket"))
        configuration = load_text("keyrota.yaml", text)
        scope = scope_of(
            configuration,
            [f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in (USER, YOUNG)],
            partition="aws",
            account=ACCOUNT,
            region=REGION,
        )
        made = Account(
            cloud=cloud,
            bitbucket=bitbucket,
            stack=Stack(
                template=narrow_template(scope, is_fleet=is_fleet),
                parameters={**PARAMETERS, "Trigger": trigger, "AllowedHosts": cloud.aws_url.removeprefix("http://")},
            ),
            clock=folder / "clock-now",
        )
        made.admin("ssm").put_parameter(Name="/keyrota/config", Value=text, Type="String")
        made.admin("secretsmanager").create_secret(Name="keyrota-tokens/bitbucket", SecretString=TOKEN)
        made.admin("s3").create_bucket(Bucket="trail", CreateBucketConfiguration={"LocationConstraint": REGION})
        for bucket in made.stack.resources("AWS::S3::Bucket"):
            made.stack.ids[bucket] = bucket.lower()
            made.admin("s3").create_bucket(
                Bucket=bucket.lower(), CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        made.create(code, stack)
        cloud.aws.on_call = made.see
        yield made


@pytest.fixture
def account(code: Path, tmp_path: Path) -> Iterator[Account]:
    """Make an account, as it is below 200 credentials."""
    with an_account(code, tmp_path) as made:
        yield made


def test_120_days_each_with_its_own_rights(account: Account, tmp_path: Path) -> None:
    """Rotate, sync by events, deactivate, delete, a target down for a day, an emergency, Secrets Manager's schedule."""
    account.cloud.clock.move_to(account.cloud.clock.now().replace(hour=5, minute=0))
    first = next(iter(account.keys()))
    for number in range(120):
        account.day(has_events=number % 3 != 2, is_down=number == DOWN)
        if number == DOWN:
            assert any("401" in failure for failure in account.failures), "nobody said that a target was down"
            assert account.queue.messages, "what failed does not wait in the queue"
            account.failures.clear()
        if number == 60:
            _store_again(account)
        if number == 70:
            account.admin("iam").untag_user(UserName=USER, TagKeys=[SECRET_TAG])
            _rotate_natively(account)
        if number == 1:
            account.admin("cloudtrail").create_trail(Name="all", S3BucketName="trail")
            account.admin("cloudtrail").start_logging(Name="all")
        if number in {2, 35}:
            _quarantine(account, YOUNG if number == 2 else USER)
        if number == 110:
            _lose_the_configuration(account)
        account.relay.drain(all_of_it=True)
        account.queue.drain()
        assert account.failures == [], f"day {number}"
    account.queue.drain()
    assert account.cloud.aws.rights.denied == []
    assert account.failures == []
    assert account.queue.dead == []
    assert account.deployments == 120
    assert account.keys().get(first) is None
    held = account.held()["AWS_ACCESS_KEY_ID"]
    assert account.keys()[held] == "Active"
    _is_minimal(account, account.roles)
    _leaks_nothing(account, tmp_path)


def test_the_function_that_cuts_a_fleet_has_its_own_rights(code: Path, tmp_path: Path) -> None:
    """It reads the configuration and writes the manifest; what it cannot do lies among the dead letters."""
    with an_account(code, tmp_path, is_fleet=True) as account:
        result = account.invoke("shard", {"duty": "rotate", "execution": "daily-1"})
        assert result.payload["items"] == 1, result.error
        place = {"Bucket": result.payload["bucket"], "Key": result.payload["key"]}
        (item,) = json.loads(account.admin("s3").get_object(**place)["Body"].read())
        assert item == {"account": "", "users": [USER, YOUNG]}
        assert account.invoke("shard", {"duty": "everything", "execution": "daily-1"}).error
        assert account.cloud.aws.rights.denied == []
        _is_minimal(account, ["shard"])


def test_a_call_starts_sync_if_it_names_our_secret_in_whatever_way(code: Path, tmp_path: Path) -> None:
    """By CloudTrail alone: by name, by ARN, by an ARN without its suffix; what others store starts nothing."""
    with an_account(code, tmp_path, trigger="cloudtrail") as account:
        manager = account.admin("secretsmanager")
        arns = {
            name: manager.create_secret(Name=name, SecretString="{}")["ARN"]
            for name in (SECRET, "prod/database", "keyrota-tokens/other")
        }
        for name, arn in arns.items():
            for way in (name, arn, arn.rpartition("-")[0]):
                before = account.relay.matched
                version = manager.put_secret_value(SecretId=way, SecretString="{}", VersionStages=["x"])["VersionId"]
                current = manager.get_secret_value(SecretId=way)["VersionId"]
                manager.update_secret_version_stage(
                    SecretId=way, VersionStage="AWSCURRENT", MoveToVersionId=version, RemoveFromVersionId=current
                )
                manager.update_secret(SecretId=way, SecretString="{}")
                assert account.relay.matched - before == (3 if name == SECRET else 0), way
        account.relay.drain(all_of_it=True)
        assert len(account.queue.messages) == 2 * 3 * 3


def _rotate_natively(account: Account) -> None:
    """Let Secrets Manager call the rotation function, as RotateSecret makes it do."""
    from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # Secrets Manager's own doing

    token = "0f0e0d0c-0b0a-4908-8706-050403020100"
    record = secretsmanager_backends[ACCOUNT][REGION].secrets[SECRET]
    record.rotation_requested = record.rotation_enabled = True
    record.versions[token] = {"version_id": token, "version_stages": ["AWSPENDING"], "createdate": 0}
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        result = account.invoke("rotation", {"Step": step, "SecretId": record.arn, "ClientRequestToken": token})
        assert result.error is None
    record.rotation_requested = record.rotation_enabled = False
    account.relay.put(rotated(account.cloud.clock.now(), {"additionalEventData": {"SecretId": record.arn}}))


def _store_again(account: Account) -> None:
    """Let a person save the secret's value as it is: the sync function asks whose key it is, and whose the user."""
    manager = account.admin("secretsmanager")
    manager.put_secret_value(SecretId=SECRET, SecretString=manager.get_secret_value(SecretId=SECRET)["SecretString"])


def _quarantine(account: Account, user: str) -> None:
    """Let AWS find the user's key in public: the policy is attached, and everything else follows from the event."""
    leaked, _ = account.cloud.admin.keys(user)[0]
    assert account.cloud.admin.quarantine(user) == QUARANTINE
    now, asked = account.cloud.clock.now(), {"userName": user, "policyArn": QUARANTINE}
    account.relay.put(cloudtrail(now, service="iam", call="AttachUserPolicy", asked=asked, answered=None, by="aws"))
    account.relay.drain(all_of_it=True)
    account.queue.drain()
    assert account.held(user)["AWS_ACCESS_KEY_ID"] != leaked
    assert dict(account.cloud.admin.keys(user))[leaked] == "Inactive"
    account.admin("iam").detach_user_policy(UserName=user, PolicyArn=QUARANTINE)


def _lose_the_configuration(account: Account) -> None:
    """Somebody deletes the parameter: every function says so, its event is kept, and no key is touched."""
    manager, keys = account.admin("ssm"), account.keys()
    text = manager.get_parameter(Name="/keyrota/config")["Parameter"]["Value"]
    manager.delete_parameter(Name="/keyrota/config")
    for duty in account.roles:
        result = account.invoke(duty, {"source": "test"})
        assert result.error is not None
        assert "/keyrota/config" in result.error
    manager.put_parameter(Name="/keyrota/config", Value=text, Type="String")
    assert account.keys() == keys
    account.failures.clear()


_AT_A_DOUBT = {"sts:GetAccessKeyInfo"}
"""Asked where a place shows someone else's key, which no place here does: test_rights_in_use has both sides of it."""


_OF_MANY = {"iam:GenerateCredentialReport", "iam:GetCredentialReport", "secretsmanager:ListSecrets"}
"""What lists of a whole account need, which are asked only for fifty credentials and more (`keyrota.app.lists`)."""
_NOT_HERE = _AT_A_DOUBT | _OF_MANY


def _is_minimal(account: Account, duties: Iterable[str]) -> None:
    """Every action that a role allows was used; so taking one away would have denied a call of this very run."""
    rights = account.cloud.aws.rights
    unused = {duty: _allowed(account, duty) - _used(account, duty) - _NOT_HERE for duty in duties}
    assert unused == {duty: set() for duty in duties}
    for duty in duties:
        for action in sorted(_allowed(account, duty) - _NOT_HERE):
            without = [
                {**one, "Action": [kept for kept in _actions(one) if kept != action]} for one in rights.statements[duty]
            ]
            calls = [use for use in rights.uses if use.principal == duty and use.action == action]
            assert any(not allows(without, use.action, use.resource) for use in calls), f"{duty} does not need {action}"


def _allowed(account: Account, duty: str) -> set[str]:
    return {action for one in account.cloud.aws.rights.statements[duty] for action in _actions(one)}


def _used(account: Account, duty: str) -> set[str]:
    return {use.action for use in account.cloud.aws.rights.uses if use.principal == duty}


def _actions(statement: Any) -> list[str]:
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)


def _leaks_nothing(account: Account, folder: Path) -> None:
    """No log of a function holds the token, or what could be a secret access key."""
    for file in folder.glob("*.log"):
        text = file.read_text("utf-8")
        assert TOKEN not in text
        assert not re.search(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])", text)
    assert account.failures == []
