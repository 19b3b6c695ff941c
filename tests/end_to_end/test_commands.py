"""The commands as typed: what they print, what they exit with, and what they do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox
from jsonschema import Draft202012Validator

from keyrota.app.cli import main
from keyrota_sandbox.demo import Demo, Moment
from keyrota_sandbox.faults import Fault


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """One for each test."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


ROTATE = ["rotate", "sync"]


def done(document: dict[str, Any]) -> list[str]:
    """Return what was done to the one credential."""
    (credential,) = document["credentials"]
    return [item["action"] for item in credential["done"]]


def test_plan_writes_nothing_and_says_what_apply_does(sandbox: Sandbox) -> None:
    before = len(sandbox.cloud.aws.journal)
    code, document = sandbox.json("plan")
    (credential,) = document["credentials"]
    assert code == 0
    assert [action["action"] for action in credential["actions"]] == ROTATE
    assert set(credential["actions"][0]) == {"action", "key", "target", "reason", "due"}
    (key,) = credential["keys"]
    assert (key["id"], key["status"], key["age_days"]) == (sandbox.old.id, "Active", 91)
    assert set(key["last_used"]) == {"evidence", "at", "service", "region"}
    reads = {call.operation.split(":")[1] for call in sandbox.cloud.aws.journal[before:]}
    assert all(name.startswith(("Get", "List", "Describe")) for name in reads)
    assert {operation.split()[0] for operation, _ in sandbox.bitbucket.journal} == {"GET"}
    assert done(sandbox.json("apply")[1]) == ROTATE


def test_the_exit_codes_of_plan(sandbox: Sandbox) -> None:
    """2: due; 0: nothing; 3: a person is needed, also while something is due."""
    assert sandbox.run("plan")[0] == 0
    assert sandbox.run("plan", "--exit-code")[0] == 2
    sandbox.run("apply")
    assert sandbox.run("plan", "--exit-code")[0] == 0
    sandbox.travel(days=12)
    sandbox.cloud.faults.add(Fault(operation="iam:GetAccessKeyLastUsed", status=400, code="Throttling", times=-1))
    sandbox.run("sync")
    assert sandbox.run("plan", "--exit-code")[0] == 3


def test_the_whole_life_in_the_calls_that_it_takes(sandbox: Sandbox) -> None:
    """Rotate, settle, deactivate, delete; pipelines pass all the way; calls to AWS are counted exactly."""
    assert done(sandbox.json("apply")[1]) == ROTATE
    sandbox.travel(days=1)
    assert done(sandbox.json("apply")[1]) == ["sync"]
    before = len(sandbox.cloud.aws.journal)
    assert done(sandbox.json("apply")[1]) == []
    quiet = [call.operation for call in sandbox.cloud.aws.journal[before:]]
    assert sorted(quiet) == [
        "iam:GetAccessKeyLastUsed",
        "iam:GetAccessKeyLastUsed",
        "iam:ListAccessKeys",
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecrets",
        "sts:GetCallerIdentity",
    ]
    sandbox.travel(days=10)
    assert done(sandbox.json("apply")[1]) == ["sync", "deactivate"]
    assert sandbox.keys()[sandbox.old.id] == "Inactive"
    assert sandbox.deploys()
    sandbox.travel(days=10)
    assert done(sandbox.json("apply")[1]) == ["delete"]
    assert list(sandbox.keys()) == [sandbox.held()["AWS_ACCESS_KEY_ID"]]
    assert sandbox.deploys()


def test_done_has_its_time_and_both_keys(sandbox: Sandbox) -> None:
    _, document = sandbox.json("apply")
    rotate, sync = document["credentials"][0]["done"]
    assert rotate["key"] == sandbox.old.id
    assert rotate["new_key"] == sync["key"] == sandbox.held()["AWS_ACCESS_KEY_ID"]
    assert sync["target"] == "bitbucket acme/shop Production"
    assert rotate["at"].startswith("2026-01-01T06:00")


def test_status_tells_where_a_key_is_served_and_since_when(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    code, out, _ = sandbox.run("status")
    new = sandbox.held()["AWS_ACCESS_KEY_ID"]
    assert code == 0
    assert f"bitbucket acme/shop Production: holds {new}, since 2026-01-01 06:00 UTC" in out
    assert f"deactivate {sandbox.old.id} on 2026-01-11 (in 10 days)" in out
    assert "never used" in out


def test_sync_mends_what_a_person_changed_and_makes_no_key(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    new = sandbox.held()
    sandbox.bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", sandbox.old.id)
    _, plan, _ = sandbox.run("plan")
    assert f"→ sync       bitbucket acme/shop Production: holds {sandbox.old.id}" in plan
    code, document = sandbox.json("sync")
    assert (code, done(document)) == (0, ["sync"])
    assert sandbox.held() == new
    sandbox.bitbucket.remove_variable("acme", "shop", "Production", "AWS_SECRET_ACCESS_KEY")
    assert not sandbox.held().get("AWS_SECRET_ACCESS_KEY")
    assert sandbox.run("sync")[0] == 0
    assert sandbox.deploys()
    assert len(sandbox.keys()) == 2


def test_check_tells_targets_permissions_and_dates(sandbox: Sandbox) -> None:
    code, out, _ = sandbox.run("check")
    assert code == 0
    assert "✓ bitbucket acme/shop Production: reachable" in out
    assert re.search(r"^  2026-01( +[0-9-]+){4}$", out, re.MULTILINE), out
    code, out, _ = sandbox.run("check", "--all", "--calendar")
    assert "✓ bitbucket acme/shop Production: reachable" in out
    assert "iam:CreateAccessKey" in out
    assert "2026-01-11  ci-deploy" in out
    assert "fails AWS Config access-keys-rotated" in out
    code, document = sandbox.json("check")
    assert {entry["what"] for entry in document["calendar"]} == {"rotate", "deactivate", "delete", "audit"}
    sandbox.configure("credentials:", "policy: {preset: strict}\ncredentials:")
    _, document = sandbox.json("check")
    reds = [entry for entry in document["calendar"] if entry["what"] == "audit" and entry["key"] > 1]
    assert reds == []


def test_check_fails_where_a_target_does(sandbox: Sandbox) -> None:
    sandbox.cloud.faults.add(Fault(operation="GET variables", status=403, times=-1))
    code, out, _ = sandbox.run("check")
    assert code == 1
    assert "✗ bitbucket acme/shop Production" in out
    assert "pipeline:variable" in out


def test_revoke_brings_a_new_key_first_and_pipelines_go_on(sandbox: Sandbox) -> None:
    code, out, err = sandbox.run("revoke", USER, "--yes", "--sessions")
    assert code == 0
    assert f"then {sandbox.old.id} is deactivated at once" in err
    assert sandbox.keys()[sandbox.old.id] == "Inactive"
    assert sandbox.deploys()
    assert "deny-sessions" in out
    policies = sandbox.admin("iam").list_user_policies(UserName=USER)["PolicyNames"]
    assert policies == ["keyrota-deny-sessions"]


def test_revoke_now_says_what_it_breaks_before_it_does(sandbox: Sandbox) -> None:
    code, _, err = sandbox.run("revoke", USER, "--yes", "--now")
    assert code == 0
    assert err.index("is deactivated first") < err.index("is Inactive")
    assert sandbox.keys()[sandbox.old.id] == "Inactive"
    assert sandbox.deploys()


def test_revoke_with_a_target_that_is_down_keeps_the_old_key_and_says_so(sandbox: Sandbox) -> None:
    """served-key-lives outranks speed; --now is there for the other wish."""
    sandbox.cloud.faults.add(Fault(operation="PUT variables", status=403, times=-1))
    code, out, _ = sandbox.run("revoke", USER, "--yes")
    assert code == 1
    assert "--now" in out
    assert sandbox.keys()[sandbox.old.id] == "Active"
    assert sandbox.deploys()
    sandbox.cloud.faults.clear()
    assert sandbox.run("revoke", USER, "--yes", "--key", sandbox.old.id)[0] == 0
    assert sandbox.keys()[sandbox.old.id] == "Inactive"


def test_rollback_brings_the_previous_key_back_secret_and_all(sandbox: Sandbox) -> None:
    """Even after it went off: off-before-gone."""
    sandbox.admin("secretsmanager").create_secret(
        Name=SECRET,
        SecretString=json.dumps(
            {"AWS_ACCESS_KEY_ID": sandbox.old.id, "AWS_SECRET_ACCESS_KEY": sandbox.old.secret.reveal(), "other": "kept"}
        ),
    )
    assert sandbox.json("apply")[0] == 3, "adopted and served; the rest is left to the next run"
    assert sandbox.json("apply")[0] == 0
    sandbox.travel(days=12)
    assert "deactivate" in done(sandbox.json("apply")[1])
    new = sandbox.held()["AWS_ACCESS_KEY_ID"]
    code, document = sandbox.json("rollback", USER, "--yes")
    assert (code, done(document)) == (0, ["reactivate", "rollback", "sync"])
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] == sandbox.old.id
    assert sandbox.deploys()
    assert sandbox.keys() == {sandbox.old.id: "Active", new: "Active"}
    value = json.loads(sandbox.admin("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"])
    assert value["AWS_ACCESS_KEY_ID"] == sandbox.old.id
    assert value["other"] == "kept"


def test_rotate_replaces_a_young_key_once_with_the_usual_overlap(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    sandbox.travel(days=20)
    sandbox.run("apply")
    first = sandbox.held()["AWS_ACCESS_KEY_ID"]
    code, out, err = sandbox.run("rotate", USER)
    assert (code, "this needs a yes" in err) == (1, True)
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] == first
    sandbox.travel(days=40)
    sandbox.run("apply")
    code, out, _ = sandbox.run("rotate", USER, "--yes")
    second = sandbox.held()["AWS_ACCESS_KEY_ID"]
    assert code == 0, out
    assert second != first
    assert (sandbox.keys()[first], sandbox.keys()[second]) == ("Active", "Active")
    assert sandbox.deploys()
    code, out, _ = sandbox.run("rotate", USER, "--yes")
    assert code == 1, out  # both slots are taken: nothing is made, and the second key stays
    assert set(sandbox.keys()) == {first, second}


def test_rollback_without_a_previous_key_says_why(sandbox: Sandbox) -> None:
    code, _, err = sandbox.run("rollback", USER, "--yes")
    assert code == 1
    assert "no previous key" in err


def test_a_still_used_key_is_held_by_name(sandbox: Sandbox) -> None:
    """By which service, in which region, when."""
    sandbox.run("apply")
    sandbox.travel(days=10, hours=20)
    from aws_session import a_session  # noqa: PLC0415  # beside its only use

    forgotten: Any = a_session().create_client(
        "sts",
        region_name="eu-west-1",
        aws_access_key_id=sandbox.old.id,
        aws_secret_access_key=sandbox.old.secret.reveal(),
    )
    forgotten.get_caller_identity()
    sandbox.travel(hours=1)
    code, document = sandbox.json("apply")
    (hold,) = document["credentials"][0]["holds"]
    assert code == 3
    assert "still used: last used 2026-01-12 02:00 UTC by sts in eu-west-1" in hold["reason"]
    assert sandbox.keys()[sandbox.old.id] == "Active"


def test_quiet_and_no_colour_and_options_anywhere(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in sandbox.run("plan")[1]
    assert sandbox.run("apply", "--quiet") == (0, "", "")
    assert main(["--json", "--config", str(sandbox.file), "status"]) == 0
    assert json.loads(sandbox.capsys.readouterr().out)["version"] == 1
    monkeypatch.setenv("KEYROTA_CONFIG", "/nowhere.yaml")
    assert main(["--config", str(sandbox.file), "status"]) == 0


def test_the_schema_is_a_schema_and_takes_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    target = {"bitbucket": {"workspace": "acme", "repository": "shop", "environment": "Production"}}
    example = {
        "version": 1,
        "policy": {"rotate_after": "90d", "deactivate_after": "100d", "delete_after": "110d"},
        "providers": {"bitbucket": {"auth": {"token": "env:BITBUCKET_TOKEN"}}},
        "credentials": [{"user": "ci-deploy", "secret": "keyrota/ci-deploy", "targets": [target]}],
    }
    assert list(Draft202012Validator(schema).iter_errors(example)) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert "_KEYROTA_COMPLETE" in capsys.readouterr().out


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    names = "plan apply status sync check revoke rollback sandbox demo schema completion"
    for name in names.split():
        assert main([name, "--help"]) == 0
        assert f"keyrota {name}" in capsys.readouterr().out
    assert main([]) == 0
    assert "Examples:" in capsys.readouterr().out


def test_two_applies_at_once_make_one_new_key(sandbox: Sandbox) -> None:
    """Two processes, started together; whoever loses is held or finds nothing to do, and the pair is whole."""
    command = [sys.executable, "-m", "keyrota", "--config", str(sandbox.file), "apply", "--json"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    told = [run.communicate(timeout=300)[0] for run in runs]
    assert sorted(run.returncode for run in runs) in ([0, 0], [0, 3]), "\n".join(told)
    assert len(sandbox.keys()) == 2
    assert sandbox.json("apply")[0] in {0, 3}
    assert len(sandbox.keys()) == 2
    assert sandbox.deploys()


def test_the_demo_plays_and_breaks_nothing() -> None:
    """75 days here, all troubles of the first two months included; CI plays 400."""
    done_ = subprocess.run(
        [sys.executable, "-m", "keyrota", "demo", "--days", "75", "--json"], capture_output=True, text=True, check=False
    )
    numbers = json.loads(done_.stdout)
    assert done_.returncode == 0, done_.stderr
    assert list(numbers) == [
        "version",
        "days",
        "rotations",
        "syncs",
        "deactivations",
        "deletions",
        "held",
        "orphans_healed",
        "pipeline_runs",
        "pipeline_failures",
        "broken_promises",
    ]
    assert (numbers["pipeline_failures"], numbers["broken_promises"], numbers["orphans_healed"]) == (0, 0, 1)
    assert numbers["held"] > 0


def test_the_demo_finds_a_pair_under_other_names_before_it_does_harm() -> None:
    moments: list[Moment] = []
    numbers = Demo(days=10, seed=1, emit=moments.append).play()
    told = [(moment.day, moment.text) for moment in moments if moment.user == "ci-app"]
    assert told[0][0] == 1
    assert "DEPLOY_KEY_ID and DEPLOY_SECRET_KEY" in told[0][1]
    assert "look like a pair under other names" in told[0][1]
    rotated = [day for day, text in told if text.startswith("rotated")]
    assert rotated == [9]  # due on day 3, and held until a person gave the names
    assert (numbers.pipeline_failures, numbers.broken_promises) == (0, 0)


def test_ctrl_c_ends_with_130(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a run; the next one goes on."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("keyrota.aws.iam.IamAccessKeys.create", interrupted)
    code, _, err = sandbox.run("apply")
    assert code == 130
    assert "the next run continues" in err
    monkeypatch.undo()
