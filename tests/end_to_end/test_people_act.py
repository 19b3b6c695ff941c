"""Keys that people make, deactivate and delete beside keyrota, with the real commands over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota.core.model import AccessKeyId


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user with a key of 91 days that its pipeline holds."""
    with a_sandbox(tmp_path, capsys) as started:
        yield started


def test_a_key_that_a_target_shows_is_adopted_and_the_other_one_released(sandbox: Sandbox) -> None:
    """Two keys, none stored. No report tells how to delete the used one, check fails, adopt leads out of it."""
    sandbox.cloud.admin.add_key(USER, age=timedelta(days=900), status="Inactive")
    (other,) = sandbox.keys().keys() - {sandbox.old.id}
    code, out, _ = sandbox.run("plan")
    assert "delete-access-key" not in out
    assert f"--release {sandbox.old.id}" not in out
    assert f"keyrota adopt {USER} --release {other}" in out
    assert f"keyrota adopt {USER} --key {sandbox.old.id}" in out
    code, document = sandbox.json("check")
    failed = [item for item in document["checks"] if item["ok"] is False]
    assert (code, any("cannot be rotated" in item["detail"] for item in failed)) == (1, True)
    code, _, err = sandbox.run("adopt", USER, "--release", sandbox.old.id, "--yes")
    assert code != 0
    assert sandbox.keys()[sandbox.old.id] == "Active"
    code, _, err = sandbox.run("adopt", USER, "--release", other, "--yes")
    assert (code, f"{other} (Inactive): made" in err) == (0, True)
    code, _, err = sandbox.run("adopt", USER, "--yes")
    assert (code, f"{sandbox.old.id} is chosen" in err) == (0, True)
    sandbox.json("apply")
    assert set(sandbox.keys()) == {sandbox.old.id, other}, "its grace has only begun"
    sandbox.travel(days=10, hours=1)
    code, document = sandbox.json("apply")
    actions = [action["action"] for action in document["credentials"][0]["done"]]
    assert (code, actions) == (0, ["delete-orphan", "rotate", "sync"])
    assert other not in set(sandbox.keys())
    assert sandbox.deploys()


def test_adopt_does_not_guess(sandbox: Sandbox) -> None:
    """Two Active keys, and the targets show neither: the evidence is listed, and a person names one."""
    sandbox.bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", "x", secured=True)
    second = sandbox.cloud.admin.add_key(USER, age=timedelta(days=30))
    code, _, err = sandbox.run("adopt", USER, "--yes")
    assert code == 1
    assert "which key to keep is not clear" in err
    assert f"{second.id} (Active): made" in err
    assert "--key" in err


def test_a_deactivated_only_key_is_left_to_a_person(sandbox: Sandbox) -> None:
    """Security deactivates the only key, which keyrota has not adopted: no new key goes to Production."""
    sandbox.admin("iam").update_access_key(UserName=USER, AccessKeyId=sandbox.old.id, Status="Inactive")
    code, document = sandbox.json("apply")
    assert code in {1, 3}
    assert set(sandbox.keys()) == {sandbox.old.id}
    holds = document["credentials"][0]["holds"]
    assert any("someone deactivated it" in hold["reason"] and "--new-key" in hold["remedy"] for hold in holds)
    code, out, err = sandbox.run("adopt", USER, "--new-key", "--yes")
    assert (code, "is chosen" in err) == (1, True), "it is noted, and Production fails until the key is there"
    assert "broken" in out
    sandbox.json("apply")
    assert len(sandbox.keys()) == 2
    assert sandbox.deploys()


def test_a_deleted_only_key_is_left_to_a_person(sandbox: Sandbox) -> None:
    """The key is deleted, and Production shows it still."""
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    code, document = sandbox.json("apply")
    assert code in {1, 3}
    assert sandbox.keys() == {}
    assert any("someone deleted the key" in hold["reason"] for hold in document["credentials"][0]["holds"])


def rotated(sandbox: Sandbox) -> AccessKeyId:
    """Rotate, and let the old key go; name the current one."""
    for days in (0, 1, 11, 11):
        sandbox.travel(days=days)
        sandbox.json("apply")
    (current,) = sandbox.keys()
    return AccessKeyId(current)


def test_another_key_of_the_user_at_a_target_is_no_drift(sandbox: Sandbox) -> None:
    """A key made in the console is pasted into the target; it stays there until a person has decided."""
    current = rotated(sandbox)
    theirs = sandbox.cloud.admin.add_key(USER)
    where = ("acme", "shop", "Production")
    sandbox.bitbucket.set_variable(*where, "AWS_ACCESS_KEY_ID", theirs.id)
    sandbox.bitbucket.set_variable(*where, "AWS_SECRET_ACCESS_KEY", theirs.secret.reveal(), secured=True)
    sandbox.travel(hours=1)
    for command in ("plan", "apply", "sync"):
        code, document = sandbox.json(command)
        holds = document["credentials"][0]["holds"]
        assert code == (0 if command == "plan" else 3), command
        assert any("another Active key of this user" in hold["reason"] for hold in holds)
        assert any("put-secret-value" in hold["remedy"] and "keyrota confirm" in hold["remedy"] for hold in holds)
        assert sandbox.held()["AWS_ACCESS_KEY_ID"] == theirs.id
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=current)
    assert sandbox.deploys(), "the person deletes the other key as planned"


def test_a_person_confirms_that_another_key_is_written_over(sandbox: Sandbox) -> None:
    """The way back to the current key."""
    current = rotated(sandbox)
    theirs = sandbox.cloud.admin.add_key(USER)
    sandbox.bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", theirs.id)
    sandbox.travel(hours=1)
    code, out, err = sandbox.run("confirm", "bitbucket acme/shop Production", "--yes")
    assert code == 0, (out, err)
    sandbox.json("apply")
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] == current


def test_rollback_keeps_today_s_other_fields(sandbox: Sandbox) -> None:
    """DB_PASSWORD was changed after the rotation; the older pair comes back, the older password does not."""
    rotated(sandbox)
    sandbox.travel(days=91)
    sandbox.json("apply")
    store = sandbox.admin("secretsmanager")
    (name,) = [secret["Name"] for secret in store.list_secrets()["SecretList"]]
    value = json.loads(store.get_secret_value(SecretId=name)["SecretString"])
    label = store.describe_secret(SecretId=name)["VersionIdsToStages"]
    newest = value["AWS_ACCESS_KEY_ID"]
    store.put_secret_value(SecretId=name, SecretString=json.dumps(value | {"DB_PASSWORD": "today"}))
    sandbox.json("apply")
    code, document = sandbox.json("rollback", USER, "--yes")
    assert code == 0, document
    after = json.loads(store.get_secret_value(SecretId=name)["SecretString"])
    assert after["AWS_ACCESS_KEY_ID"] != newest, label
    assert after["DB_PASSWORD"] == "today"
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] == after["AWS_ACCESS_KEY_ID"]
    assert sandbox.deploys()


def _move_back(sandbox: Sandbox) -> None:
    """Do what AWS's documentation says for going back: AWSCURRENT to the version that is AWSPREVIOUS."""
    manager = sandbox.admin("secretsmanager")
    stages = manager.describe_secret(SecretId=SECRET)["VersionIdsToStages"]
    versions = {label: version for version, labels in stages.items() for label in labels}
    manager.update_secret_version_stage(
        SecretId=SECRET,
        VersionStage="AWSCURRENT",
        MoveToVersionId=versions["AWSPREVIOUS"],
        RemoveFromVersionId=versions["AWSCURRENT"],
    )


def test_awscurrent_moved_back_to_a_leaked_key(sandbox: Sandbox) -> None:
    """The report proposed `rollback`, which reactivated the leaked key and brought it to every target, exit 0."""
    leaked = rotated(sandbox)
    assert sandbox.run("revoke", USER, "--yes")[0] == 0
    good = sandbox.held()["AWS_ACCESS_KEY_ID"]
    _move_back(sandbox)
    for command, code in (("plan", 3), ("check", 1), ("sync", 3), ("apply", 3)):
        found, out, _ = sandbox.run(command, *(["--exit-code"] if command == "plan" else []))
        assert (found, f"moved AWSCURRENT to the version of {leaked}, which is revoked" in out) == (code, True), out
    assert sandbox.run("rollback", USER, "--yes")[0] == 0
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] == good
    assert sandbox.keys() == {leaked: "Inactive", good: "Active"}
    assert sandbox.run("apply")[0] == 0


def test_awscurrent_moved_back_after_the_first_rotation(sandbox: Sandbox) -> None:
    """AWSPREVIOUS holds no secret access key then: no rotation was due for ever, and `rollback` did nothing, exit 0."""
    assert sandbox.run("apply")[0] == 0
    good = sandbox.held()["AWS_ACCESS_KEY_ID"]
    _move_back(sandbox)
    code, out, _ = sandbox.run("apply")
    assert code == 3
    assert "without a secret access key" in out
    assert f"{good} must be deleted first" not in out, "pipelines hold it"
    assert sandbox.run("rollback", USER, "--yes")[0] == 0
    sandbox.travel(days=30)
    assert sandbox.run("apply")[0] == 0
    assert sandbox.keys() == {sandbox.old.id: "Inactive", good: "Active"}
    assert sandbox.deploys()


def test_check_fails_where_pipelines_fail(sandbox: Sandbox) -> None:
    """It said ✓ of a place that lacks half of its pair, exit 0, while `status` reported it as broken."""
    rotated(sandbox)
    assert sandbox.run("check")[0] == 0
    sandbox.bitbucket.remove_variable("acme", "shop", "Production", "AWS_SECRET_ACCESS_KEY")
    code, out, _ = sandbox.run("check")
    assert code == 1
    assert out.count("✗ bitbucket acme/shop Production: pipelines fail at bitbucket acme/shop Production now") == 1


def test_check_fails_for_a_user_that_does_not_exist(sandbox: Sandbox) -> None:
    """What could not be planned was left out, exit 0."""
    iam = sandbox.admin("iam")
    iam.delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    iam.delete_user(UserName=USER)
    code, out, _ = sandbox.run("check")
    assert code == 1
    assert f"the IAM user {USER} does not exist" in out


@pytest.mark.parametrize("form", ["{}\n", " {}", "{}\r\n"])
def test_a_key_id_with_white_space_around_it_is_no_key_id(sandbox: Sandbox, form: str) -> None:
    """AWS tools send it as it is, and AWS refuses it: `status` said that the place holds the key."""
    key = rotated(sandbox)
    sandbox.bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", form.format(key))
    _, out, _ = sandbox.run("status")
    assert "something that is not a key ID" in out
    assert sandbox.run("apply")[0] == 0
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] == key


def test_revoke_now_needs_no_valid_value_in_the_secret(sandbox: Sandbox) -> None:
    """Someone put something else into the secret: `revoke --now` said that there is no key, and it stayed Active."""
    key = rotated(sandbox)
    sandbox.admin("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="hello")
    code, out, err = sandbox.run("revoke", USER, "--now", "--yes")
    assert code == 0, out + err
    (new,) = sandbox.keys().keys() - {key}
    assert sandbox.keys() == {key: "Inactive", new: "Active"}
    assert sandbox.deploys()
    assert "What someone else put into the secret takes its place, if it is a valid key of this user;" in err
