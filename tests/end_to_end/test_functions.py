"""The handlers of the functions as Lambda calls them, against the sandbox in this process."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import jsonschema
import pytest
from cli_rig import CANARY_TOKEN, SECRET, USER
from function_rig import ACCOUNT, ROLE, STACK, Context, Rig, batch, cloudtrail, native, rig

from keyrota import __version__
from keyrota.app.config import stamp_version
from keyrota.app.functions import deactivate, delete, emergency, rotate, rotation, sync, watch
from keyrota.app.functions.invocation import RunFailed
from keyrota.app.functions.own_events import DETAIL_TYPES, SCHEMA
from keyrota_sandbox.cloud import REGION
from keyrota_sandbox.faults import Fault, FaultKind

ROTATION_TOKEN = "canary-rotation-token-0123456789abcdef"
QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"
pytestmark = pytest.mark.usefixtures("rig")
__all__ = ["rig"]


def test_four_functions_carry_a_key_through_its_life(rig: Rig) -> None:
    """Rotate, sync by event, deactivate, delete: each does its part, and says so on the bus, once."""
    box = rig.box
    assert rotate.handler({}, Context())["failed"] == []  # takes the key that was there before into keeping
    made = rotate.handler({}, Context())
    new = next(key for key in (*box.keys(),) if key != box.old.id)
    assert box.held()["AWS_ACCESS_KEY_ID"] == box.old.id, "rotate writes to no target"
    assert sync.handler(batch(native()), Context())["batchItemFailures"] == []
    assert box.held()["AWS_ACCESS_KEY_ID"] == new
    assert {line["newKey"] for line in made["done"]} <= {new, None}
    for days in (1, 8, 1, 1, 8, 1, 1, 2):  # close together where something falls due: overlap and grace are ten days
        box.travel(days=days)
        for function in (rotate, sync, deactivate, delete):
            function.handler({"source": "aws.scheduler"}, Context())
        assert box.deploys()
    assert list(box.keys()) == [new]
    for detail_type in ("Access Key Rotated", "Access Key Deactivated", "Access Key Deleted"):
        (detail,) = rig.told(detail_type)
        assert (detail["user"], detail["account"], detail["stack"]) == (USER, ACCOUNT, STACK)
    assert rig.told("Access Key Rotated")[0]["newKey"] == new
    assert rig.told("Access Key Synced")


def test_each_event_fits_its_schema_and_holds_no_secret(rig: Rig) -> None:
    rig.box.bitbucket._token = "revoked"
    for function in (rotate, sync, deactivate, delete):
        try:
            function.handler({}, Context())
        except RunFailed:
            continue
    assert rig.bus
    for entry in rig.bus:
        assert entry["DetailType"] in DETAIL_TYPES
        jsonschema.validate(json.loads(entry["Detail"]), SCHEMA)
    secrets = [rig.box.old.secret.reveal(), CANARY_TOKEN]
    assert not [entry for entry in rig.bus if any(secret in entry["Detail"] for secret in secrets)]


def test_metrics_tell_ages_due_dates_and_counts(rig: Rig) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    rig.lines()
    sync.handler({}, Context())
    (metrics,) = [line for line in rig.lines() if "_aws" in line]
    assert metrics["Stack"] == STACK
    assert metrics["Function"] == "sync"
    assert metrics["Credentials"] == [1.0]
    assert metrics["KeysYoungerThan30Days"] == [1.0]
    assert metrics["KeysOlderThan90Days"] == [1.0]
    assert metrics["TargetsWritten"] == [1.0]
    assert metrics["DaysOverdue"] == [0.0]
    assert metrics["DaysToNextDue"][0] > 0


def test_an_overdue_key_shows_in_the_metrics(rig: Rig) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler({}, Context())
    rig.box.travel(days=95)
    rig.lines()
    sync.handler({}, Context())
    metrics = next(line for line in rig.lines() if "_aws" in line)
    assert 4.9 < metrics["DaysOverdue"][0] < 5.1


def test_foreign_broken_and_repeated_messages_do_no_harm(rig: Rig) -> None:
    """Only AWSCURRENT as it is read now is sent; whatever a message says, it is not believed."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    events = [
        native(),
        native(),
        native("keyrota/ci-deploy-x"),
        native("somebody/else"),
        "no json",
        "[]",
        native(label="keyrota:pending"),
        {"detail-type": "Secret Label Updated", "detail": None},
        cloudtrail("PutSecretValue", {"secretId": SECRET, "versionStages": ["keyrota:claim"]}),
        cloudtrail("DeleteSecret", {"secretId": SECRET}),
        cloudtrail("PutSecretValue", {"secretId": SECRET}, eventName=["PutSecretValue"]),
        cloudtrail("PutSecretValue", {"secretId": ["x"], "versionStages": "AWSCURRENT"}, ["x"]),
        {"detail-type": ["Secret Label Updated"], "detail": {"name": 5, "labelUpdated": {}}, "resources": [None, 5]},
    ]
    assert sync.handler(batch(*events), Context())["batchItemFailures"] == []
    assert len(rig.told("Access Key Synced")) == 1
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] != rig.box.old.id


@pytest.mark.parametrize(
    "event",
    [
        native(),
        native(resources=[]),
        native(detail={"name": SECRET}, resources=[]),
        native(resources=[f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SECRET}"]),
        cloudtrail("PutSecretValue", {"secretId": SECRET}),
        cloudtrail("PutSecretValue", {"secretId": SECRET, "versionStages": ["AWSCURRENT"]}),
        cloudtrail("PutSecretValue", {}, {"arn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SECRET}-a1b2c3"}),
        cloudtrail("UpdateSecret", {}, {"aRN": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SECRET}-a1b2c3"}),
        cloudtrail("UpdateSecretVersionStage", {"secretId": SECRET, "versionStage": "AWSCURRENT"}),
        cloudtrail("RotationSucceeded", {}, additionalEventData={"SecretId": SECRET}),
        cloudtrail("RotationSucceeded", {}, serviceEventDetails={"secretId": SECRET}),
    ],
)
def test_each_shape_of_event_is_understood(rig: Rig, event: dict[str, Any]) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler(batch(event), Context())
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] != rig.box.old.id


@pytest.mark.parametrize(
    "event",
    [
        native(resources=[f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{SECRET}-a1b2c3"]),
        native(resources=[f"arn:aws:secretsmanager:{REGION}:999999999999:secret:{SECRET}-a1b2c3"]),
        cloudtrail("PutSecretValue", {"secretId": SECRET}, errorCode="AccessDenied"),
    ],
)
@pytest.mark.parametrize("more", ["", f'    account: "{ACCOUNT}"\n    region: {REGION}\n'])
def test_the_same_name_elsewhere_is_another_secret(rig: Rig, event: dict[str, Any], more: str) -> None:
    """Whether the credential names its account and region, or lives where the function does."""
    rig.box.configure("  - user: ci-deploy\n", f"  - user: ci-deploy\n{more}")
    rig.store()
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler(batch(event), Context())
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] == rig.box.old.id


def test_only_the_messages_that_failed_come_back(rig: Rig) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    rig.box.bitbucket._token = "revoked"
    answer = sync.handler(batch(native("somebody/else"), native(), native("keyrota/other")), Context())
    assert answer["batchItemFailures"] == [{"itemIdentifier": "m1"}]


def test_a_deleted_secret_is_said_and_not_repeated_for_ever(rig: Rig) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    rig.box.admin("secretsmanager").delete_secret(SecretId=SECRET)
    assert sync.handler(batch(native()), Context())["batchItemFailures"] == []
    rotate.handler({}, Context())
    assert any("scheduled for deletion" in detail["reason"] for detail in rig.told("Access Key Held"))
    assert rig.box.deploys()


def test_a_failed_credential_fails_the_invocation_after_all_others_went_on(rig: Rig) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    rig.box.bitbucket._token = "revoked"
    with pytest.raises(RunFailed, match=USER):
        sync.handler({}, Context())
    assert rig.told("Target Failed")[0]["target"] == "bitbucket acme/shop Production"


def test_what_a_limit_left_fails_no_invocation_and_comes_back_to_the_queue(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has to mend it: no alarm counts it, each target is still an event, and the queue brings it again."""
    more = ""
    for number in range(20):
        rig.box.github.add_repository("acme", f"r{number}")
        more += f"      - github: {{repository: acme/r{number}}}\n"
    provider = (
        f"  github: {{base_url: '{rig.box.cloud.url('github')}', max_wait: 15s, auth: {{token: 'env:GITHUB_TOKEN'}}}}\n"
    )
    rig.box.configure("credentials:\n", provider + "credentials:\n")
    rig.box.configure("    targets:\n", "    targets:\n" + more)
    rig.store()
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    rig.lines()
    answer = sync.handler({}, Context())
    assert (answer["left"], answer["failed"]) == ([{"user": USER, "account": ACCOUNT}], [])
    told = rig.told("Target Failed")
    assert 0 < len(told) < 20
    assert all("used up until" in detail["reason"] for detail in told)
    assert sum(record.message == "left to a later run by a limit" for record in caplog.records) == len(told)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert next(line for line in rig.lines() if "_aws" in line)["Failed"] == [0.0]
    assert sync.handler(batch(native()), Context())["batchItemFailures"] == [{"itemIdentifier": "m0"}]


def test_one_of_several_that_fails_is_told_once_to_whoever_asks(rig: Rig) -> None:
    """A schedule's invocation fails, for its alarm; a map gets the answer, with what went on beside what failed."""
    rig.store(rig.box.file.read_text("utf-8") + "  - {user: nobody, targets: []}\n")
    with pytest.raises(RunFailed, match="nobody") as caught:
        rotate.handler({}, Context())
    assert USER not in str(caught.value)
    answer = rotate.handler({"users": [USER, "nobody"], "report": True}, Context())
    assert (answer["credentials"], [one["user"] for one in answer["failed"]]) == (2, ["nobody"])
    with pytest.raises(RunFailed, match="nobody"):
        rotate.handler({"users": ["nobody"], "report": True}, Context())


def test_by_hand_for_one_user_or_for_a_fleet() -> None:
    """`{"users": [...]}` names users; `{"report": true}` wants the answer instead of a failure."""
    assert rotate.handler({"users": [USER], "report": True}, Context())["credentials"] == 1
    with pytest.raises(RunFailed, match="nobody is not configured"):
        rotate.handler({"users": ["nobody"]}, Context())
    with pytest.raises(RunFailed, match='"users" must be a list'):
        rotate.handler({"users": "ci-deploy"}, Context())


def test_a_shard_is_of_one_account_and_measures_what_it_saw(rig: Rig) -> None:
    """One user name may be in several accounts; a shard of a fleet works on its own, and its measures ring alarms."""
    text = rig.box.file.read_text("utf-8")
    rig.store(text + f"  - {{user: {USER}, account: '210987654321', role: 'gone-{{duty}}', targets: []}}\n")
    rig.lines()
    event = {"users": [USER], "account": ACCOUNT, "report": True}
    assert sync.handler(event, Context())["credentials"] == 1
    metrics = next(line for line in rig.lines() if "_aws" in line)
    assert metrics["Credentials"] == [1.0]
    assert sync.handler(batch(native()), Context())["batchItemFailures"] == []


def test_little_time_begins_no_credential(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run goes on; nothing is half done."""
    monkeypatch.setattr(Context, "left_ms", 80_000)
    answer = rotate.handler({}, Context())
    assert answer["left"] == [{"user": USER, "account": ACCOUNT}]
    assert list(rig.box.keys()) == [rig.box.old.id]


def test_a_message_whose_credential_was_left_comes_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there was no time for is not done: without its message only the daily run would come to it."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    monkeypatch.setattr(Context, "left_ms", 80_000)
    assert sync.handler(batch(native()), Context())["batchItemFailures"] == [{"itemIdentifier": "m0"}]
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] == rig.box.old.id
    monkeypatch.setattr(Context, "left_ms", 900_000)
    assert sync.handler(batch(native()), Context())["batchItemFailures"] == []
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] != rig.box.old.id


# --- configuration ----------------------------------------------------------------------------------------------------


def test_the_configuration_may_lie_in_s3(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = rig.box.admin("s3")
    s3.create_bucket(Bucket="keyrota-config", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="keyrota-config", Key="a/keyrota.yaml", Body=rig.stored_text().encode())
    monkeypatch.setenv("KEYROTA_CONFIG", "s3://keyrota-config/a/keyrota.yaml")
    assert rotate.handler({}, Context())["credentials"] == 1


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("", "KEYROTA_CONFIG is not set"),
        ("ssm:/keyrota/other", "/keyrota/other"),
        ("s3://no-such-bucket/keyrota.yaml", "no-such-bucket"),
        ("/no/such/file.yaml", "there is no configuration here"),
    ],
)
def test_a_configuration_that_is_not_there_is_named(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, reference: str, words: str
) -> None:
    monkeypatch.setenv("KEYROTA_CONFIG", reference)
    with pytest.raises(RunFailed, match=words):
        rotate.handler({}, Context())
    assert list(rig.box.keys()) == [rig.box.old.id]


def test_a_configuration_of_a_newer_keyrota_says_so(rig: Rig) -> None:
    text = rig.box.file.read_text("utf-8") + "surprise: 1\n"
    rig.store(stamp_version(text).replace(__version__, "99.0.0"))
    with pytest.raises(RunFailed, match=r"keyrota 99.0.0 wrote it, and this is keyrota"):
        rotate.handler({}, Context())
    rig.store(stamp_version(text))
    with pytest.raises(RunFailed, match="surprise"):
        rotate.handler({}, Context())


def test_a_kms_key_that_the_role_may_not_use_is_named(rig: Rig) -> None:
    """Secrets Manager's own words are those of a refusal without a permission's name."""
    rotate.handler({}, Context())
    message = "Access to KMS is not allowed"
    fault = Fault(
        kind=FaultKind.ERROR,
        operation="secretsmanager:GetSecretValue",
        status=400,
        code="AccessDeniedException",
        message=message,
        times=9,
    )
    rig.box.cloud.faults.add(fault)
    with pytest.raises(RunFailed, match="the secret's KMS key refused"):
        sync.handler({}, Context())
    assert rig.box.deploys()


@pytest.mark.parametrize("other", [f"other@{REGION}/{ACCOUNT}", f"keyrota@{REGION}/999999999999"])
def test_two_stacks_that_claim_one_user(rig: Rig, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """The second one leaves it alone and says who keeps it; nothing is lost."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    monkeypatch.setenv("KEYROTA_STACK", other)
    for function in (rotate, sync, deactivate, delete):
        assert function.handler({}, Context())["done"] == []
    assert {detail["reason"] for detail in rig.told("Access Key Held")} == {
        f"the stack {STACK} keeps this credential; {other} leaves it alone"
    }
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] == rig.box.old.id


def test_a_missing_trail_is_said_where_its_events_are_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYROTA_TRIGGER", "cloudtrail")
    sync.handler({}, Context())
    ((subject, text),) = rig.alarms
    assert "never come" in subject
    assert "trigger native" in text


def test_in_a_fleet_one_shard_says_that_the_trail_is_missing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not each of them, every day."""
    monkeypatch.setenv("KEYROTA_TRIGGER", "cloudtrail")
    rig.store(
        rig.box.file.read_text("utf-8")
        + f"  - {{user: {USER}, account: '210987654321', role: 'r-{{duty}}', targets: []}}\n"
    )
    for account in (ACCOUNT, "210987654321"):
        with contextlib.suppress(RunFailed):
            sync.handler({"users": [USER], "account": account, "report": True}, Context())
    assert len(rig.alarms) == 1


def test_an_unknown_word_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYROTA_TRIGGER", "sometimes")
    with pytest.raises(RunFailed, match="KEYROTA_TRIGGER is 'sometimes'"):
        sync.handler({}, Context())


# --- watch and emergency ----------------------------------------------------------------------------------------------


def iam_event(call: str, by: str = f"arn:aws:iam::{ACCOUNT}:user/mallory", **asked: Any) -> dict[str, Any]:
    """Make an event of IAM by CloudTrail."""
    return {
        "id": "e1",
        "source": "aws.iam",
        "detail-type": "AWS API Call via CloudTrail",
        "account": ACCOUNT,
        "region": "us-east-1",
        "time": "2026-01-01T06:00:30Z",
        "detail": {
            "eventName": call,
            "eventTime": "2026-01-01T06:00:30Z",
            "userIdentity": {"arn": by},
            "recipientAccountId": ACCOUNT,
            "requestParameters": {"userName": USER, **asked},
        },
    }


def test_changes_by_others_are_reported_and_ours_are_not(rig: Rig) -> None:
    ours = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/keyrota-rotate"
    watch.handler(iam_event("CreateAccessKey", by=ours), Context())
    assert rig.bus == []
    watch.handler(iam_event("UpdateAccessKey"), Context())
    (detail,) = rig.told("Access Key Changed By Others")
    assert detail["by"].endswith("user/mallory")
    assert "UpdateAccessKey by arn" in rig.alarms[0][1]
    watch.handler(iam_event("DeleteAccessKey", userName="stranger"), Context())
    assert len(rig.told("Access Key Changed By Others")) == 1


def test_quarantine_raises_the_alarm_with_the_command(rig: Rig) -> None:
    before = rig.box.keys()
    watch.handler(iam_event("AttachUserPolicy", policyArn=QUARANTINE), Context())
    ((subject, text),) = rig.alarms
    assert "is public" in subject
    assert f"keyrota revoke {ACCOUNT}:{USER}" in text
    assert emergency.handler(iam_event("AttachUserPolicy", policyArn=QUARANTINE), Context()) == {"safe": [], "open": []}
    assert rig.box.keys() == before


@pytest.mark.parametrize(
    "policy",
    [
        f"arn:aws:iam::{ACCOUNT}:policy/AWSCompromisedKeyQuarantineV3",
        "arn:aws:iam::aws:policy/NotAWSCompromisedKeyQuarantineV3",
        f"arn:aws:iam::{ACCOUNT}:policy/x:iam::aws:policy/AWSCompromisedKeyQuarantineV3",
        "AWSCompromisedKeyQuarantineV3",
    ],
)
def test_a_policy_that_is_not_aws_s_own_is_no_quarantine(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    """Whoever may attach a policy of the account would have every key of a user replaced."""
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    before = rig.box.keys()
    event = iam_event("AttachUserPolicy", policyArn=policy)
    watch.handler(event, Context())
    assert emergency.handler(event, Context()) == {"safe": [], "open": []}
    assert rig.alarms == []
    assert rig.box.keys() == before


def test_emergency_auto_revokes_once_however_often_the_event_comes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler({}, Context())
    rig.box.travel(days=30)
    for _ in range(20):
        deactivate.handler({}, Context())
        sync.handler({}, Context())
        delete.handler({}, Context())
        rig.box.deploys()
        rig.box.travel(days=1)
    leaked = rig.box.held()["AWS_ACCESS_KEY_ID"]
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    now = rig.box.cloud.clock.now()
    event = iam_event("AttachUserPolicy", policyArn=QUARANTINE)
    event["detail"]["eventTime"] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    assert emergency.handler(event, Context())["safe"] == [f"{ACCOUNT}:{USER}"]
    new = rig.box.held()["AWS_ACCESS_KEY_ID"]
    assert new != leaked
    assert rig.box.keys()[leaked] == "Inactive"
    rig.box.travel(hours=2)
    assert emergency.handler(event, Context())["safe"] == [f"{ACCOUNT}:{USER}"]
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] == new
    assert "revoked the keys" in rig.alarms[0][0]
    assert rig.box.deploys()


def test_emergency_fails_while_a_key_is_not_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off is not enough: pipelines without a key are a failed invocation, which comes again, and an alarm counts it."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler({}, Context())
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    token, rig.box.bitbucket._token = rig.box.bitbucket._token, "revoked"
    event = iam_event("AttachUserPolicy", policyArn=QUARANTINE)
    event["detail"]["eventTime"] = f"{rig.box.cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    with pytest.raises(RunFailed, match="pipelines that hold it fail now"):
        emergency.handler(event, Context())
    assert "deactivated, NOT YET replaced" in rig.alarms[0][0]
    rig.box.bitbucket._token = token
    assert set(rig.box.keys().values()) == {"Inactive"}


# --- Secrets Manager's own rotation -----------------------------------------------------------------------------------


def test_rotation_says_what_it_cannot_do() -> None:
    step = {"Step": "createSecret", "SecretId": "somebody/else", "ClientRequestToken": "x" * 32}
    with pytest.raises(RunFailed, match="no credential of the configuration has the secret somebody/else"):
        rotation.handler(step, Context())
    with pytest.raises(RunFailed, match="this is no step of a rotation"):
        rotation.handler({}, Context())


def test_secrets_manager_s_own_schedule_rotates(rig: Rig) -> None:
    """The four steps with moto's own AWSPENDING version."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    sync.handler({}, Context())
    for _ in range(25):
        for function in (sync, deactivate, delete):
            function.handler({}, Context())
        rig.box.deploys()
        rig.box.travel(days=1)
    manager = rig.box.admin("secretsmanager")
    arn = manager.describe_secret(SecretId=SECRET)["ARN"]
    token = "0f0e0d0c-0b0a-4908-8706-050403020100"
    from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # Secrets Manager's own doing

    record = secretsmanager_backends[ACCOUNT][REGION].secrets[SECRET]
    record.rotation_requested = record.rotation_enabled = True
    record.versions[token] = {
        "version_id": token,
        "version_stages": ["AWSPENDING"],
        "createdate": 0,
        "secret_string": None,
    }
    passed: list[str | None] = []

    def see(operation: str, request: Any, *_: object) -> None:
        if operation == "secretsmanager:PutSecretValue" and request.json()["ClientRequestToken"] == token:
            passed.append(request.json().get("RotationToken"))

    rig.box.cloud.aws.on_call = see
    asked = {"SecretId": arn, "ClientRequestToken": token, "RotationToken": ROTATION_TOKEN}
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        rotation.handler({"Step": step, **asked}, Context())
    assert passed == [ROTATION_TOKEN], "a rotation of another account's secret proves itself by it"
    assert ROTATION_TOKEN not in rig.box.capsys.readouterr().out
    new = json.loads(manager.get_secret_value(SecretId=SECRET)["SecretString"])["AWS_ACCESS_KEY_ID"]
    sync.handler(batch(native()), Context())
    assert rig.box.held()["AWS_ACCESS_KEY_ID"] == new
    assert len(rig.box.keys()) == 2
