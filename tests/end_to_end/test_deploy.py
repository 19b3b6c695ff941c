"""`keyrota deploy`: what is refused before anything changes, and how the template is narrowed."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from cfn import Stack
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from aws_session import a_session
from keyrota.app.config import load_text
from keyrota.app.deploy.encryption import find_denied_services
from keyrota.app.deploy.inspect import inspect_stack
from keyrota.app.deploy.package import LAMBDA, SERVICES, build
from keyrota.app.deploy.template import FLEET_TEMPLATE, TEMPLATE, narrow_template, scope_of
from keyrota.app.session import Session
from keyrota.aws.stacks import Stacks
from keyrota_sandbox.cloud import REGION

ACCOUNT = "123456789012"


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A sandbox whose configuration refers to tokens that a function can read."""
    with a_sandbox(tmp_path, capsys) as made:
        made.configure("env:BITBUCKET_TOKEN", "secretsmanager:keyrota-tokens/bitbucket#token")
        yield made


def _statements(template: dict[str, Any], duty: str) -> list[dict[str, Any]]:
    """The statements of a duty's role, in a stack without a key."""
    (found,) = [
        one["Properties"]["PolicyDocument"]["Statement"]
        for name, one in template["Resources"].items()
        if one["Type"] == "AWS::IAM::Policy" and name.startswith(f"Rotation{duty}RoleDefaultPolicy")
    ]
    return [one for one in found if "WithKey" not in one.get("Fn::If", ())]


def test_print_names_the_very_users_secrets_and_tokens(box: Sandbox) -> None:
    """And changes nothing."""
    before = len(box.cloud.aws.journal)
    code, out, _ = box.run("deploy", "--print")
    assert code == 0
    calls = {call.operation for call in box.cloud.aws.journal[before:]}
    assert calls == {"sts:GetCallerIdentity", "iam:GetUser", "secretsmanager:DescribeSecret"}
    template = json.loads(out)
    resources = [one["Resource"] for one in _statements(template, "Rotate")]
    assert [f"arn:aws:iam::{ACCOUNT}:user/{USER}"] in resources
    assert [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SECRET}-??????"] in resources
    assert [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:keyrota-tokens/bitbucket-??????"] in resources
    assert "UserPattern" not in out
    assert "MemberRoleName" not in out


@pytest.mark.parametrize("reference", ["env:BITBUCKET_TOKEN", "file:/tmp/token"])
def test_a_token_on_this_machine_is_refused(box: Sandbox, reference: str) -> None:
    box.configure("secretsmanager:keyrota-tokens/bitbucket#token", reference)
    code, _, err = box.run("deploy", "--print")
    assert code == 1
    assert f"references are not available to Lambda functions: {reference}" in err
    assert "secretsmanager:NAME" in err


def test_a_user_that_is_not_there_is_named(box: Sandbox) -> None:
    box.configure("user: ci-deploy", "user: nobody")
    code, _, err = box.run("deploy", "--yes")
    assert code == 1
    assert "nobody" in err
    assert "s3:" not in {call.operation for call in box.cloud.aws.journal}


@pytest.mark.parametrize("other", [f"other@{REGION}/{ACCOUNT}", f"keyrota@{REGION}/999999999999"])
def test_a_user_of_another_stack_is_refused(box: Sandbox, other: str) -> None:
    """Of another name; or of the usual name, in the account of those who reach this one by a role."""
    manager = box.admin("secretsmanager")
    manager.create_secret(Name=SECRET, SecretString="{}", Tags=[{"Key": "keyrota:stack", "Value": other}])
    code, _, err = box.run("deploy", "--yes")
    assert code == 1
    assert f"the stack {other} keeps ci-deploy already" in err


def test_a_user_of_this_very_stack_is_taken(box: Sandbox) -> None:
    """The name that `deploy` compares is the one that the template gives to its functions."""
    template = json.loads(box.run("deploy", "--print")[1])
    (first, *_) = [one for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    resolved = Stack(template=template, parameters={}).resolve(first["Properties"]["Environment"]["Variables"])
    assert resolved["KEYROTA_STACK"] == f"keyrota@{REGION}/{ACCOUNT}"
    tags = [{"Key": "keyrota:stack", "Value": resolved["KEYROTA_STACK"]}]
    box.admin("secretsmanager").create_secret(Name=SECRET, SecretString="{}", Tags=tags)
    assert box.run("deploy", "--print")[0] == 0


def test_a_configuration_elsewhere_is_refused(box: Sandbox) -> None:
    code, _, err = box.run("--config", "ssm:/keyrota/config", "deploy")
    assert code == 1
    assert "is to be a file here" in err


def _many(count: int, role: bool = False) -> str:
    where = ", account: '210987654321', role: 'keyrota-{duty}'" if role else ""
    rows = "\n".join(f"  - {{user: ci-user-with-a-long-name-{number}{where}, targets: []}}" for number in range(count))
    return f"version: 1\ncredentials:\n{rows}\n"


def test_too_many_users_to_name_need_a_pattern(box: Sandbox) -> None:
    """IAM takes 10,240 characters for the policies of a role."""
    for number in range(80):
        box.cloud.admin.add_user(f"ci-user-with-a-long-name-{number}")
    box.file.write_text(_many(80), "utf-8")
    code, _, err = box.run("deploy", "--print")
    assert code == 1
    assert "--user-pattern" in err
    code, out, _ = box.run("deploy", "--print", "--user-pattern", "ci-*")
    assert code == 0
    assert "UserPattern" in json.loads(out)["Parameters"]


def test_members_are_entered_by_the_roles_of_their_duties() -> None:
    configuration = load_text("x", _many(3, role=True))
    scope = scope_of(configuration, [], partition="aws", account=ACCOUNT, region=REGION)
    template = narrow_template(scope, is_fleet=True, config="s3://bucket/keyrota/x.yaml")
    (assume,) = [one for one in _statements(template, "Delete") if one["Action"] == "sts:AssumeRole"]
    assert assume["Resource"] == ["arn:aws:iam::210987654321:role/keyrota-delete"]
    assert not [one for one in _statements(template, "Delete") if "iam:DeleteAccessKey" in str(one["Action"])]
    read = next(one for one in _statements(template, "Delete") if one["Action"] == "s3:GetObject")
    assert read["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:s3:::bucket/keyrota/x.yaml"}
    assert "ConfigParameter" not in json.dumps(template)


def test_keys_and_parameters_of_a_configuration_are_allowed_to_those_who_use_them() -> None:
    """KMS only to who reads the secret; writing a parameter only to who syncs."""
    text = "version: 1\nproviders: {ssm: {}}\ncredentials:\n  - {user: a, targets: [{ssm: {parameter: /ci/a}}]}\n"
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    users = [f"arn:aws:iam::{ACCOUNT}:user/a"]
    scope = scope_of(load_text("x", text), users, partition="aws", account=ACCOUNT, region=REGION, kms_keys=[key])
    template = narrow_template(scope, is_fleet=False)
    use = {
        duty: {action for one in _statements(template, duty) for action in one["Action"] if one["Resource"] == [key]}
        for duty in ("Rotate", "Sync", "Deactivate", "Delete", "Watch")
    }
    both = {"kms:Decrypt", "kms:GenerateDataKey"}
    assert use == {"Rotate": both, "Sync": {"kms:Decrypt"}, "Deactivate": set(), "Delete": set(), "Watch": set()}
    writers = [duty for duty in use if "ssm:PutParameter" in json.dumps(_statements(template, duty))]
    assert writers == ["Sync"]


# --- a key of one's own -----------------------------------------------------------------------------------------------

SERVICES_IN = ("cloudwatch.amazonaws.com", "events.amazonaws.com", f"logs.{REGION}.amazonaws.com")


def _key(box: Sandbox, *services: str) -> str:
    """Make a key whose policy names services; returns its ARN."""
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "kms:Decrypt", "Resource": "*"},
        ],
    }
    kms = box.admin("kms")
    made: str = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/keyrota", TargetKeyId=made)
    return made


def _deploy(box: Sandbox, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[dict[str, str], str]:
    """Deploy with a CloudFormation that only listens; returns the parameters that it heard, and what was told."""
    heard: dict[str, str] = {}
    monkeypatch.setattr(Stacks, "change", lambda *given: heard.update(given[3]) or ())
    monkeypatch.setattr(Stacks, "outputs", lambda *_: {})
    (box.file.parent / "package.zip").write_bytes(b"PK")
    code, _, err = box.run("deploy", "--yes", "--package", str(box.file.parent / "package.zip"), *more)
    assert code == 0, err
    return heard, err


@pytest.mark.parametrize("name", ["alias/keyrota", "ARN"])
def test_a_key_is_found_by_whatever_names_it(box: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The template takes an ARN, because its roles are allowed that key alone."""
    arn = _key(box, *SERVICES_IN)
    heard, told = _deploy(box, monkeypatch, "--encryption-key", arn if name == "ARN" else name)
    assert heard["EncryptionKey"] == arn
    assert "policy of" not in told


@pytest.mark.parametrize("wish", ["", "create"])
def test_no_key_and_one_that_is_made_are_the_template_s_business(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    heard, _ = _deploy(box, monkeypatch, "--encryption-key", wish)
    assert heard["EncryptionKey"] == wish
    assert not [call for call in box.cloud.aws.journal if call.operation.startswith("kms:")]


@pytest.mark.parametrize("missing", SERVICES_IN)
def test_who_is_kept_out_by_a_key_is_said(box: Sandbox, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """An alarm that may not use its topic's key fails in silence."""
    arn = _key(box, *(service for service in SERVICES_IN if service != missing))
    _, told = _deploy(box, monkeypatch, "--encryption-key", arn)
    assert f"the policy of {arn} does not name {missing}: " in told


def test_a_key_that_is_not_there_is_named_before_anything_changes(box: Sandbox) -> None:
    code, _, err = box.run("deploy", "--yes", "--encryption-key", "alias/none")
    assert code == 1
    assert "KMS key alias/none" in err
    assert not [call for call in box.cloud.aws.journal if call.operation.startswith(("s3:", "ssm:Put"))]


@pytest.mark.parametrize(
    "policy",
    ["{", "[]", "7", '{"Statement": [7]}', '{"Statement": {"Effect": "Allow", "Principal": {"Service": [1]}}}'],
)
def test_a_key_policy_that_cannot_be_read_is_no_reason_to_stop(policy: str) -> None:
    account: Any = SimpleNamespace(
        region=REGION, client=lambda _: SimpleNamespace(get_key_policy=lambda **_: {"Policy": policy})
    )
    assert find_denied_services(account, "arn") in (None, SERVICES_IN)


def test_a_key_made_by_the_stack_encrypts_all_of_it() -> None:
    """And without one, nothing of it is there."""
    template = json.loads(TEMPLATE.read_text("utf-8"))
    made, given, none = (
        Stack(template=template, parameters={"EncryptionKey": wish}) for wish in ("create", "arn:aws:kms:x:1:key/1", "")
    )
    ((name, _),) = made.resources("AWS::KMS::Key").items()
    assert not given.resources("AWS::KMS::Key")
    arns = (made.resolve({"Fn::GetAtt": [name, "Arn"]}), "arn:aws:kms:x:1:key/1", None)
    for stack, arn in zip((made, given, none), arns, strict=True):
        for kind, field in (
            ("AWS::SNS::Topic", "KmsMasterKeyId"),
            ("AWS::SQS::Queue", "KmsMasterKeyId"),
            ("AWS::Logs::LogGroup", "KmsKeyId"),
            ("AWS::Lambda::Function", "KmsKeyArn"),
        ):
            assert {one.get(field) for one in stack.resources(kind).values()} == {arn}, kind
        policies = json.dumps([one["PolicyDocument"] for one in stack.resources("AWS::IAM::Policy").values()])
        assert ("kms:" in policies) is (arn is not None)


# --- check --stack ----------------------------------------------------------------------------------------------------


def _stack(monkeypatch: pytest.MonkeyPatch, status: str | None, **parameters: str) -> None:
    monkeypatch.setattr(Stacks, "status", lambda *_: status)
    monkeypatch.setattr(Stacks, "parameters", lambda *_: parameters)
    monkeypatch.setattr(Stacks, "read_time", lambda *_: None)
    monkeypatch.setattr("keyrota.app.deploy.inspect.resources_of", lambda *_: ())
    monkeypatch.setattr("keyrota.app.deploy.inspect.alive", lambda _: ())  # test_check_stack.py


def test_check_says_what_a_deployed_stack_lacks(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack, no trail for its trigger, another configuration than this one."""
    file = str(box.file)
    _stack(monkeypatch, None)
    assert [seen.is_good for seen in inspect_stack(Session(file), "keyrota", file)] == [False]
    _stack(monkeypatch, "CREATE_COMPLETE", Trigger="cloudtrail", ConfigParameter="/keyrota/config")
    found = list(inspect_stack(Session(file), "keyrota", file))
    assert [seen.is_good for seen in found] == [True, False, False]
    assert "no trail is logging" in found[1].detail
    text = f"# written by keyrota 0.0.1\n{box.file.read_text('utf-8')}"
    box.admin("ssm").put_parameter(Name="/keyrota/config", Value=text, Type="String")
    assert next(reversed(list(inspect_stack(Session(file), "keyrota", file)))).is_good
    box.configure("Production", "Staging")
    assert "differs from this file" in next(reversed(list(inspect_stack(Session(file), "keyrota", file)))).detail
    code, out, _ = box.run("check", "--stack", "keyrota")
    assert code == 1
    assert "keyrota deploy brings it there" in out


def test_check_says_from_where_no_event_comes(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets Manager announces a value in the region and the account of the secret; IAM, in a trail of us-east-1."""
    box.configure(f"user: {USER}\n", f"user: {USER}\n    region: us-east-1\n")
    file = str(box.file)
    box.file.write_text(
        box.file.read_text("utf-8") + "  - {user: b, account: '210987654321', role: r, targets: []}\n", "utf-8"
    )
    _stack(monkeypatch, "CREATE_COMPLETE", Emergency="auto")
    seen, trail, configuration = list(inspect_stack(Session(file), "keyrota", file))[1:]
    assert configuration.is_good is None, "what was not compared is not good"
    assert seen.is_good is None
    assert "no event of a secret comes from region us-east-1, account 210987654321" in seen.detail
    assert trail.is_good is False
    assert "`--emergency auto` never begins" in trail.detail
    box.admin("s3").create_bucket(Bucket="trail", CreateBucketConfiguration={"LocationConstraint": REGION})
    there: Any = a_session().create_client("cloudtrail", region_name="us-east-1")
    there.create_trail(Name="all", S3BucketName="trail")
    there.start_logging(Name="all")
    assert list(inspect_stack(Session(file), "keyrota", file))[2].is_good


def test_a_configuration_is_measured_in_bytes(box: Sandbox) -> None:
    """As SSM does: a comment in another alphabet is longer than it looks."""
    text = box.file.read_text("utf-8")
    box.file.write_text(f"# {'ü' * (8192 - len(text) - 60)}\n{text}", "utf-8")
    code, out, _ = box.run("deploy", "--print")
    assert code == 0
    assert "ConfigParameter" not in json.loads(out)["Parameters"]


# --- the package ------------------------------------------------------------------------------------------------------


def test_the_package_is_for_lambda_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    """No wheel of another platform, nothing of the sandbox, no model of a service that nobody calls."""
    first, second = build(tmp_path / "a.zip", LAMBDA), build(tmp_path / "b.zip", LAMBDA)
    assert first == second
    names = zipfile.ZipFile(tmp_path / "a.zip").namelist()
    compiled = [name for name in names if name.endswith(".so")]
    assert compiled
    assert all("aarch64" in name or "abi3" in name for name in compiled)
    for name in compiled:
        data = zipfile.ZipFile(tmp_path / "a.zip").read(name)
        assert data[:4] == b"\x7fELF"
        assert int.from_bytes(data[18:20], "little") == 183, f"{name} is not for aarch64"  # EM_AARCH64
    models = {name.split("/")[2] for name in names if name.startswith("botocore/data/") and name.count("/") > 3}
    assert models == set(SERVICES)
    assert not [name for name in names if name.startswith(("keyrota_sandbox", "moto", "boto3"))]
    assert (tmp_path / "a.zip").stat().st_size < 12 * 2**20


def test_each_alarm_has_its_line_in_the_reference() -> None:
    """What it means, and what to do."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "alarms.md").read_text("utf-8")
    for file in (TEMPLATE, FLEET_TEMPLATE):
        resources = json.loads(file.read_text("utf-8"))["Resources"]
        alarms = [name for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"]
        names = {re.sub(r"^RotationAlarms(\w+?)[0-9A-F]{8}$", r"\1", name) for name in alarms}
        assert len(names) >= 18
        assert [name for name in sorted(names) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("ending", ["", "# a comment of somebody else\n"])
def test_a_configuration_in_s3_is_compared_too(box: Sandbox, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """One above 8,192 characters does not fit a parameter; the functions know where it is."""
    file = str(box.file)
    _stack(monkeypatch, "CREATE_COMPLETE")
    monkeypatch.setattr("keyrota.app.deploy.inspect._reference", lambda *_: "s3://keyrota-config/keyrota/keyrota.yaml")
    s3 = box.admin("s3")
    s3.create_bucket(Bucket="keyrota-config", CreateBucketConfiguration={"LocationConstraint": REGION})
    text = f"# written by keyrota 0.0.1\n{box.file.read_text('utf-8')}{ending}"
    s3.put_object(Bucket="keyrota-config", Key="keyrota/keyrota.yaml", Body=text.encode())
    (seen,) = [seen for seen in inspect_stack(Session(file), "keyrota", file) if "s3://keyrota-config" in seen.detail]
    assert seen.is_good is (not ending)


@pytest.mark.parametrize(
    "status",
    ["UPDATE_ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED", "DELETE_COMPLETE"],
)
def test_a_stack_that_went_back_is_not_deployed(box: Sandbox, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """What CloudFormation rolled back runs the older code: an error, the status, and exit code 1."""
    states = iter(["CREATE_COMPLETE", "UPDATE_IN_PROGRESS", status])
    monkeypatch.setattr(Stacks, "status", lambda *_: next(states))
    monkeypatch.setattr(Stacks, "_propose", lambda *_: True)
    monkeypatch.setattr(Stacks, "_events", lambda *_: [])
    monkeypatch.setattr("keyrota.app.deploy.stack.Deployer._upload_package", lambda *_: ("keyrota.zip", "v1"))
    code, out, err = box.run("deploy", "--yes")
    assert code == 1
    assert f"the stack is {status}" in err
    assert "is deployed" not in out + err


@pytest.mark.parametrize(
    "status", ["UPDATE_ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE", "UPDATE_FAILED", "REVIEW_IN_PROGRESS"]
)
def test_check_calls_a_stack_that_went_back_no_good_one(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    file = str(box.file)
    _stack(monkeypatch, status)
    first = next(iter(inspect_stack(Session(file), "keyrota", file)))
    assert (first.is_good, first.detail) == (False, status)
    assert first.remedy


def test_the_commands_for_dead_letters_are_aws_s_own() -> None:
    """Each command and option of the page, held against botocore's model; its queues are the template's."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "dead-letters.md").read_text("utf-8")
    session = botocore.session.get_session()
    commands = re.findall(r"aws (sqs|cloudformation) ([a-z-]+)((?: --[a-z-]+ (?:\"[^\"]*\"|\S+))*)", page)
    assert {command for _, command, _ in commands} >= {"start-message-move-task", "list-message-move-tasks"}
    for service, command, options in commands:
        model = session.get_service_model(service)
        (operation,) = [name for name in model.operation_names if xform_name(name, "-") == command]
        shape = model.operation_model(operation).input_shape
        assert shape is not None
        known = {xform_name(name, "-") for name in shape.members} | {"query", "output"}
        assert set(re.findall(r"--([a-z-]+)", re.sub(r"\"[^\"]*\"", "", options))) <= known, command
    resources = json.loads(TEMPLATE.read_text("utf-8"))["Resources"]
    queues = [name for name, one in resources.items() if one["Type"] == "AWS::SQS::Queue"]
    for begin in ("RotationDeadLetters", "RotationEventsQueue"):
        assert f"arn {begin}" in page
        assert len([name for name in queues if name.startswith(begin)]) == 1
