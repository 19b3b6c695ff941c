"""`revoke --now` and the function `emergency`: keys are off within 5 s, whatever providers do (emergency-first)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox
from function_rig import ACCOUNT, Context, Rig, rig

from keyrota.app.functions import emergency
from keyrota.app.functions.invocation import RunFailed
from keyrota.core.model import KeyPair
from keyrota_sandbox.faults import Fault, FaultKind

__all__ = ["rig"]

HANGS = "hangs"
TROUBLE = {
    "503": Fault(operation="*", status=503, times=-1),
    "429": Fault(operation="*", status=429, times=-1, headers=(("Retry-After", "60"),)),
    HANGS: Fault(operation="*", kind=FaultKind.SLOW, delay_s=2.0, times=-1),
}


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """One for each test."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


def put_trouble(sandbox: Sandbox, trouble: str) -> None:
    """Let the provider answer 503 or 429 to everything, or hang."""
    fault = TROUBLE[trouble]
    for method in ("GET", "PUT", "POST"):
        sandbox.cloud.faults.add(
            Fault(
                operation=f"{method} *",
                kind=fault.kind,
                status=fault.status,
                delay_s=fault.delay_s,
                headers=fault.headers,
                times=2 if trouble == HANGS else -1,
            )
        )


@contextmanager
def noting_active(sandbox: Sandbox, leaked: dict[str, str]) -> Iterator[list[set[str]]]:
    """Note at each request to the provider which of the leaked keys (by ID, with their users) are Active."""
    seen: list[set[str]] = []
    bitbucket = type(sandbox.bitbucket)
    original = bitbucket.__call__

    def noted(self: object, request: object) -> object:
        status = {key: word for user in set(leaked.values()) for key, word in sandbox.cloud.admin.keys(user)}
        seen.append({key for key in leaked if status.get(key) == "Active"})
        return original(self, request)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitbucket, "__call__", noted)
        yield seen


def offs(sandbox: Sandbox) -> list[datetime]:
    return [call.at for call in sandbox.cloud.aws.journal if call.operation == "iam:UpdateAccessKey"]


@pytest.mark.parametrize("trouble", list(TROUBLE))
def test_the_key_is_off_before_any_provider_is_asked(sandbox: Sandbox, trouble: str) -> None:
    """By the sandbox's clock, and by the order of the calls."""
    assert sandbox.run("apply")[0] == 0
    sandbox.configure("environment: Production}", "environment: Production, wait_for_idle: 10m}")
    leaked = sandbox.held()["AWS_ACCESS_KEY_ID"]
    put_trouble(sandbox, trouble)
    began = sandbox.cloud.clock.now()
    with noting_active(sandbox, {leaked: USER}) as active:
        sandbox.run("revoke", USER, "--now", "--yes")
    assert sandbox.keys()[leaked] == "Inactive"
    assert active, "the providers are asked afterwards"
    assert not any(active)
    (off,) = offs(sandbox)
    assert off - began < timedelta(seconds=5)


def with_another_user(sandbox: Sandbox) -> KeyPair:
    """Add ci-web, whose key is at the same provider."""
    sandbox.cloud.admin.add_user("ci-web")
    sandbox.bitbucket.add_repository("acme", "web")
    pair = sandbox.cloud.admin.add_key("ci-web", age=timedelta(days=5))
    value = {"AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()}
    sandbox.admin("secretsmanager").create_secret(Name="keyrota/ci-web", SecretString=json.dumps(value))
    with sandbox.file.open("a", encoding="utf-8") as file:
        file.write(
            "  - user: ci-web\n    secret: keyrota/ci-web\n    targets:\n"
            "      - bitbucket: {workspace: acme, repository: web, environment: Production}\n"
        )
    return pair


@pytest.mark.parametrize("trouble", list(TROUBLE))
def test_all_keys_at_a_provider_are_off_before_it_is_asked(sandbox: Sandbox, trouble: str) -> None:
    """`--served-by … --now`; all keys first, then everything else."""
    web = with_another_user(sandbox)
    code, out, err = sandbox.run("apply", "--force", "--reason", "a test")
    assert code == 0, out + err
    leaked = {sandbox.held()["AWS_ACCESS_KEY_ID"]: USER, web.id: "ci-web"}
    put_trouble(sandbox, trouble)
    began = sandbox.cloud.clock.now()
    with noting_active(sandbox, leaked) as active:
        code, out, _ = sandbox.run("revoke", "--served-by", "bitbucket", "--now", "--yes")
    assert active
    assert not any(active), "the provider was asked while a key was Active"
    assert max(offs(sandbox)) - began < timedelta(seconds=5)
    if trouble == HANGS:
        return
    assert code == 1
    assert "not replaced yet" in out
    assert "pipelines" in out
    assert "fail now" in out
    sandbox.cloud.faults.clear()
    sandbox.travel(minutes=20)
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    again = out.partition("to continue: keyrota ")[2].split()
    assert "--now" in again
    code, out, _ = sandbox.run(*again, "--yes")
    assert (code, "safe again: 2 of 2" in out) == (0, True), out
    assert sandbox.deploys()


@pytest.mark.parametrize("refused", ["iam:ListAttachedUserPolicies", "secretsmanager:GetSecretValue"])
def test_what_is_only_reported_keeps_no_leaked_key_active(sandbox: Sandbox, refused: str) -> None:
    """A right that is missing, or a KMS key that is disabled: neither is needed to deactivate a key."""
    code, out, err = sandbox.run("apply", "--force", "--reason", "a test")
    assert code == 0, out + err
    leaked = sandbox.held()["AWS_ACCESS_KEY_ID"]
    claimed = {"SecretId": SECRET, "SecretString": "{}", "VersionStages": ["keyrota:claim"]}
    sandbox.admin("secretsmanager").put_secret_value(**claimed)
    sandbox.cloud.faults.add(Fault(operation=refused, status=400, code="AccessDeniedException", times=-1))
    code, out, err = sandbox.run("revoke", USER, "--now", "--yes")
    assert sandbox.keys()[leaked] == "Inactive", out + err
    assert code == 1, "what comes after it cannot be done, and is said"
    assert refused.partition(":")[2] in out + err


def test_the_new_key_at_no_target_is_no_success(sandbox: Sandbox) -> None:
    """The old key is off and the new one is made, but it could not be written: exit 1, and *fails now*."""
    web = with_another_user(sandbox)
    sandbox.configure("  - user: ci-deploy", "  - user: ci-other")
    sandbox.cloud.admin.add_user("ci-other")
    assert sandbox.run("apply", "ci-web", "--force", "--reason", "a test")[0] == 0
    sandbox.cloud.faults.add(Fault(operation="PUT *", status=403, times=-1))
    code, document = sandbox.json("revoke", "--served-by", "bitbucket:acme", "--now", "--yes")
    verdict = next(one for one in document["credentials"] if one["user"] == "ci-web")
    assert (code, verdict["safe"], verdict["replaced"]) == (1, True, False)
    assert web.id in verdict["keys"]
    assert any("pipelines" in reason and "fail now" in reason for reason in verdict["reasons"])


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=3)], ids=["on time", "clock ahead"])
def test_the_new_key_is_never_counted_as_an_old_one(sandbox: Sandbox, ahead: timedelta) -> None:
    """IAM drops the fraction of CreateDate, and this machine's clock may be ahead of it: done is said, and stays."""
    assert sandbox.run("apply", "--force", "--reason", "a test")[0] == 0
    old = sandbox.held()["AWS_ACCESS_KEY_ID"]
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    before = ("--before", f"{sandbox.cloud.clock.now() + ahead:%Y-%m-%dT%H:%M:%SZ}") if ahead else ()
    code, document = sandbox.json("revoke", "--served-by", "bitbucket", *before, "--yes")
    (verdict,) = document["credentials"]
    assert (code, verdict["safe"], verdict["replaced"], verdict["keys"]) == (0, True, True, [old]), document
    if ahead:
        return
    code, out, _ = sandbox.run(*document["resume"].split()[1:], "--yes")
    assert (code, "no key was Active" in out) == (0, True), out
    assert set(sandbox.keys()) == {old, verdict["new_key"]}


@pytest.mark.parametrize("trouble", list(TROUBLE))
@pytest.mark.parametrize("is_stored", [False, True])
def test_a_key_that_is_not_adopted_yet_is_off_before_any_provider_is_asked(
    sandbox: Sandbox, trouble: str, is_stored: bool
) -> None:
    """It is adopted on the way, which asks no provider; STS is asked once, not for half a minute."""
    pair = sandbox.old
    if is_stored:
        value = {"AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()}
        sandbox.admin("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps(value))
    sandbox.run("status", USER)  # imports what takes a second once
    put_trouble(sandbox, trouble)
    began = sandbox.cloud.clock.now()
    with noting_active(sandbox, {pair.id: USER}) as active:
        sandbox.run("revoke", USER, "--now", "--yes")
    assert sandbox.keys()[pair.id] == "Inactive"
    assert active
    assert not any(active)
    (off,) = offs(sandbox)
    assert off - began < timedelta(seconds=5)


def quarantined(box: Sandbox) -> dict[str, object]:
    """AWS's quarantine, now."""
    policy = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"
    detail = {
        "eventName": "AttachUserPolicy",
        "eventTime": f"{box.cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "recipientAccountId": ACCOUNT,
        "requestParameters": {"userName": USER, "policyArn": policy},
        "userIdentity": {"arn": f"arn:aws:iam::{ACCOUNT}:root"},
    }
    return {"id": "1", "source": "aws.iam", "detail-type": "AWS API Call via CloudTrail", "detail": detail}


@pytest.mark.parametrize("trouble", list(TROUBLE))
def test_the_emergency_function_deactivates_before_any_provider_is_asked(
    rig: Rig, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Lambda: within 5 s of the invocation; the alarm says that pipelines fail until the key is replaced."""
    box = rig.box
    assert box.run("apply")[0] == 0
    box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=box.old.id)
    leaked = box.held()["AWS_ACCESS_KEY_ID"]
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    put_trouble(box, trouble)
    event, began = quarantined(box), box.cloud.clock.now()
    with noting_active(box, {leaked: USER}) as active:
        if trouble == HANGS:
            emergency.handler(event, Context())
        else:
            with pytest.raises(RunFailed, match="fail now"):
                emergency.handler(event, Context())
    assert active
    assert not any(active)
    assert offs(box)[0] - began < timedelta(seconds=5)
    if trouble == HANGS:
        return
    assert "deactivated, NOT YET replaced" in rig.alarms[0][0]
    box.cloud.faults.clear()
    box.travel(minutes=20)
    assert emergency.handler(event, Context())["safe"] == [f"{ACCOUNT}:{USER}"]
    assert box.deploys()
    assert leaked != box.held()["AWS_ACCESS_KEY_ID"]


def _no_secret(sandbox: Sandbox, *, skip: int = 0) -> None:
    """Secrets Manager refuses to describe the secret."""
    fault = Fault(
        operation="secretsmanager:DescribeSecret", skip=skip, status=400, code="AccessDeniedException", times=-1
    )
    sandbox.cloud.faults.add(fault)


@pytest.mark.parametrize("trouble", ["refused", HANGS])
def test_the_key_is_off_although_its_secret_cannot_be_read(
    sandbox: Sandbox, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IAM alone deactivates it, and the answer says that it is not replaced, with the command that does it."""
    assert sandbox.run("apply")[0] == 0
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    leaked = sandbox.held()["AWS_ACCESS_KEY_ID"]
    if trouble == HANGS:
        monkeypatch.setattr("keyrota.executor.observe.URGENT_S", 0.0)
    else:
        _no_secret(sandbox)
    code, out, err = sandbox.run("revoke", USER, "--now", "--yes")
    assert sandbox.keys() == {leaked: "Inactive"}, out + err
    assert code == 1
    assert "NOT replaced" in err
    sandbox.cloud.faults.clear()
    again = err.partition("keyrota revoke ")[2].split()
    code, out, err = sandbox.run("revoke", *again, "--yes")
    assert code == 0, out + err
    assert sandbox.deploys()
    assert sandbox.keys()[leaked] == "Inactive"


def _break_secrets(box: Sandbox, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if trouble == HANGS:
        monkeypatch.setattr("keyrota.executor.observe.URGENT_S", 0.0)
    _no_secret(box)


@pytest.mark.parametrize("trouble", ["refused", HANGS])
def test_all_keys_at_a_provider_are_off_although_their_secrets_cannot_be_read(
    sandbox: Sandbox, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--served-by … --now` needs IAM alone for that; it is not called replaced, and the same command goes on later."""
    assert sandbox.run("apply")[0] == 0
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    leaked = sandbox.held()["AWS_ACCESS_KEY_ID"]
    _break_secrets(sandbox, trouble, monkeypatch)
    with noting_active(sandbox, {leaked: USER}) as active:
        code, document = sandbox.json("revoke", "--served-by", "bitbucket", "--now", "--yes")
    assert sandbox.keys() == {leaked: "Inactive"}, document
    assert not any(active)
    (verdict,) = document["credentials"]
    assert (code, verdict["safe"], verdict["replaced"], verdict["keys"]) == (1, True, False, [leaked])
    assert any("whether another key took its place is not known" in reason for reason in verdict["reasons"])
    sandbox.cloud.faults.clear()
    code, out, err = sandbox.run(*document["resume"].split()[1:], "--yes")
    assert code == 0, out + err
    assert sandbox.deploys()


def test_several_active_keys_and_no_secret_are_left_to_a_person(sandbox: Sandbox) -> None:
    """Nothing but the secret says which of them the provider was given."""
    assert sandbox.run("apply")[0] == 0
    _no_secret(sandbox)
    code, document = sandbox.json("revoke", "--served-by", "bitbucket", "--now", "--yes")
    assert (code, document["credentials"]) == (1, [])
    assert any("DescribeSecret" in error["message"] for error in document["errors"])
    assert set(sandbox.keys().values()) == {"Active"}


def test_a_credential_that_was_never_at_a_provider_keeps_its_key(sandbox: Sandbox) -> None:
    """Its secret cannot be read, and the configuration names no target there: nothing says that it was."""
    assert sandbox.run("apply")[0] == 0
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    _no_secret(sandbox)
    code, document = sandbox.json("revoke", "--served-by", "gitlab", "--now", "--yes")
    assert (code, document["credentials"]) == (1, [])
    assert set(sandbox.keys().values()) == {"Active"}


def test_the_emergency_function_needs_iam_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets Manager refuses: the key is off, people are told, and the invocation fails, so that it comes again."""
    box = rig.box
    assert box.run("apply")[0] == 0
    box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=box.old.id)
    leaked = box.held()["AWS_ACCESS_KEY_ID"]
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    event = quarantined(box)
    _no_secret(box)
    with pytest.raises(RunFailed, match="whether another key took its place is not known"):
        emergency.handler(event, Context())
    assert box.keys() == {leaked: "Inactive"}
    assert "deactivated, NOT YET replaced" in rig.alarms[0][0]
    box.cloud.faults.clear()
    assert emergency.handler(event, Context())["safe"] == [f"{ACCOUNT}:{USER}"]
    assert box.deploys()


def test_where_its_secret_cannot_be_read_the_key_has_to_be_named(sandbox: Sandbox) -> None:
    """Two are Active, and nothing but the secret says which of them targets hold."""
    assert sandbox.run("apply")[0] == 0
    _no_secret(sandbox)
    code, _, err = sandbox.run("revoke", USER, "--now", "--yes")
    assert code == 1
    assert "DescribeSecret" in err
    assert set(sandbox.keys().values()) == {"Active"}
    assert sandbox.run("revoke", USER, "--key", sandbox.old.id, "--now", "--yes")[0] == 1
    assert sandbox.keys()[sandbox.old.id] == "Inactive"


@pytest.mark.parametrize("is_adopted", [True, False])
def test_the_key_is_off_although_its_secret_cannot_be_read_any_more(sandbox: Sandbox, is_adopted: bool) -> None:
    """The plan was made and confirmed; then Secrets Manager fails."""
    if is_adopted:
        assert sandbox.run("apply")[0] == 0
    leaked = sandbox.held()["AWS_ACCESS_KEY_ID"]
    _no_secret(sandbox, skip=2)
    sandbox.run("revoke", USER, "--key", leaked, "--now", "--yes")
    assert sandbox.keys()[leaked] == "Inactive"
