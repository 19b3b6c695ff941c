"""Bad input, named: one clear message with the remedy, the right exit code, nothing lost, and the next run goes on."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota.app.cli import main
from keyrota_sandbox.faults import Fault, FaultKind


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """One for each test."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


def is_whole(sandbox: Sandbox) -> bool:
    """Nothing was lost: the pipeline passes, and the old key is as it was."""
    return sandbox.deploys() and sandbox.keys().get(sandbox.old.id) == "Active"


def test_no_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.yaml"), "plan"]) == 1
    told = capsys.readouterr().err
    assert "none.yaml: there is no configuration here" in told
    assert "hint: write one" in told


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\tx: 1", "version: 1", "version: 2\ncredentials: []"])
def test_a_broken_configuration(sandbox: Sandbox, text: str) -> None:
    sandbox.file.write_text(text, "utf-8")
    before = len(sandbox.cloud.aws.journal)
    code, out, err = sandbox.run("apply")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "keyrota.yaml" in err
    assert len(sandbox.cloud.aws.journal) == before, "AWS was not asked"


def test_no_aws_credentials(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    code, _, err = sandbox.run("plan")
    assert code == 1
    assert err.count("error:") == 1
    assert "AWS credentials" in err
    assert "AWS_PROFILE" in err


def test_a_user_that_does_not_exist(sandbox: Sandbox) -> None:
    sandbox.configure("user: ci-deploy", "user: ci-nobody")
    code, document = sandbox.json("apply")
    (error,) = document["errors"]
    assert code == 1
    assert "ci-nobody does not exist in account 123456789012" in error["message"]
    assert "correct `user`" in error["remedy"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("workspace: acme", "workspace: acne", "404"),
        ("repository: shop", "repository: shoop", "404"),
        ("environment: Production", "environment: production", "no deployment environment 'production'"),
    ],
)
def test_a_place_that_does_not_exist(sandbox: Sandbox, old: str, new: str, words: str) -> None:
    """The rotation is not begun; with the name corrected, the next run goes on."""
    sandbox.configure(old, new)
    code, document = sandbox.json("apply")
    (credential,) = document["credentials"]
    assert code == 3
    assert any(words in hold["reason"] and hold["remedy"] for hold in credential["holds"])
    assert sandbox.keys() == {sandbox.old.id: "Active"}
    sandbox.configure(new, old)
    assert sandbox.json("apply")[0] == 0
    assert sandbox.deploys()
    assert len(sandbox.keys()) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_wrong_or_lacks_the_scope(sandbox: Sandbox, status: int) -> None:
    """Seen before any key is made; named with scope and remedy."""
    sandbox.cloud.faults.add(Fault(operation="GET variables", status=status, times=-1))
    code, document = sandbox.json("apply")
    (credential,) = document["credentials"]
    hold = next(hold for hold in credential["holds"] if "not rotated" in hold["reason"])
    assert code == 3
    assert str(status) in hold["reason"]
    assert "pipeline:variable" in hold["remedy"]
    assert sandbox.keys() == {sandbox.old.id: "Active"}
    sandbox.cloud.faults.clear()
    assert sandbox.json("apply")[0] == 0


def test_a_token_that_may_read_and_not_write(sandbox: Sandbox) -> None:
    """Preflight cannot see it: the key is made, the old one goes on, and the next run brings it home."""
    sandbox.cloud.faults.add(Fault(operation="PUT variables", status=403, times=-1))
    code, document = sandbox.json("apply")
    assert code == 1
    assert "variable AWS_SECRET_ACCESS_KEY" in document["errors"][0]["where"]
    assert "pipeline:variable" in document["errors"][0]["remedy"]
    assert is_whole(sandbox)
    sandbox.cloud.faults.clear()
    code, document = sandbox.json("apply")
    assert code == 0
    assert [done["action"] for done in document["credentials"][0]["done"]] == ["sync"]
    assert sandbox.deploys()


def test_a_token_that_is_not_set(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITBUCKET_TOKEN")
    code, out, _ = sandbox.run("apply")
    assert code == 3
    assert "export BITBUCKET_TOKEN=" in out
    assert sandbox.keys() == {sandbox.old.id: "Active"}


@pytest.mark.parametrize(
    "content", [{"SecretString": "no json"}, {"SecretBinary": b"\x00"}, {"SecretString": '{"AWS_ACCESS_KEY_ID": "x"}'}]
)
def test_a_secret_whose_value_is_broken(sandbox: Sandbox, content: dict[str, object]) -> None:
    """A person has to correct it: a hold, and nothing is written; corrected, the next run continues."""
    sm = sandbox.admin("secretsmanager")
    sm.create_secret(Name=SECRET, **content)
    code, document = sandbox.json("apply")
    assert code == 3
    (credential,) = document["credentials"]
    assert any(
        "was put into the secret is not served" in hold["reason"] and hold["remedy"] for hold in credential["holds"]
    )
    assert sandbox.keys() == {sandbox.old.id: "Active"}
    sm.put_secret_value(SecretId=SECRET, SecretString="{}")
    sandbox.json("apply")
    assert sandbox.json("apply")[0] == 0
    assert len(sandbox.keys()) == 2


def test_a_secret_that_is_scheduled_for_deletion(sandbox: Sandbox) -> None:
    assert sandbox.json("apply")[0] == 0
    sm = sandbox.admin("secretsmanager")
    sm.delete_secret(SecretId=SECRET)
    code, document = sandbox.json("apply")
    (hold,) = document["credentials"][0]["holds"]
    assert code == 3
    assert "scheduled for deletion" in hold["reason"]
    assert hold["remedy"] == f"aws secretsmanager restore-secret --secret-id {SECRET}"
    sm.restore_secret(SecretId=SECRET)
    assert sandbox.json("apply")[0] == 0


def test_a_user_with_three_keys(sandbox: Sandbox) -> None:
    """Named and untouched."""
    user = sandbox.cloud.aws.iam.users[USER]
    for _ in range(2):
        record = user.create_access_key(prefix="AKIA")
        sandbox.cloud.aws.iam.access_keys[record.access_key_id] = record
    before = sandbox.keys()
    code, document = sandbox.json("apply")
    reasons = " ".join(hold["reason"] for hold in document["credentials"][0]["holds"])
    assert code == 3
    assert "3 access keys" in reasons
    assert all(key in reasons for key in before)
    assert sandbox.keys() == before


def done(sandbox: Sandbox) -> list[str]:
    """Run `apply`, and name what it did."""
    code, document = sandbox.json("apply")
    assert code == 0, document["errors"]
    return [action["action"] for action in document["credentials"][0]["done"]]


def test_a_key_that_a_person_made_meanwhile_lives(sandbox: Sandbox) -> None:
    """CreateAccessKey made nothing; a person makes a key, a pipeline uses it, and IAM shows that late."""
    sandbox.cloud.faults.add(Fault(operation="iam:CreateAccessKey", kind=FaultKind.ERROR, status=503))
    sandbox.json("apply")
    sandbox.travel(minutes=5)
    theirs = sandbox.cloud.admin.add_key(USER)
    sandbox.travel(minutes=10)
    assert done(sandbox) == []
    assert sandbox.keys()[theirs.id] == "Active"
    assert sandbox.uses(theirs)
    sandbox.travel(hours=30)
    code, document = sandbox.json("apply")
    (held,) = [hold for hold in document["credentials"][0]["holds"] if hold["key"] == theirs.id]
    assert (code, "was not made by keyrota" in held["reason"]) == (3, True)
    assert sandbox.keys()[theirs.id] == "Active"


def test_no_key_is_made_where_tags_cannot_be_written(sandbox: Sandbox) -> None:
    """The key would be made and promoted, and where it is served could never be noted."""
    sandbox.run("apply", "--only", "sync")
    sandbox.admin("secretsmanager").create_secret(Name=SECRET, SecretString="{}")
    sandbox.admin("secretsmanager").tag_resource(SecretId=SECRET, Tags=[{"Key": "keyrota:user", "Value": USER}])
    denied = Fault(operation="secretsmanager:TagResource", status=400, code="AccessDeniedException", times=-1)
    sandbox.cloud.faults.add(denied)
    code, document = sandbox.json("apply")
    assert (code, len(sandbox.keys())) == (1, 1)
    assert any("secretsmanager:TagResource is not allowed" in error["message"] for error in document["errors"])
    sandbox.cloud.faults.clear()
    assert sandbox.run("apply")[0] == 0
    assert len(sandbox.keys()) == 2


def test_no_key_is_made_where_there_is_no_room_for_tags(sandbox: Sandbox) -> None:
    """47 tags of the user's own on an adopted secret; the quota is 50."""
    secrets = sandbox.admin("secretsmanager")
    tags = [{"Key": f"team-{number}", "Value": "x"} for number in range(47)]
    secrets.create_secret(Name=SECRET, SecretString="{}", Tags=tags)
    for _ in range(2):
        code, document = sandbox.json("apply")
    assert (code, len(sandbox.keys())) == (3, 1)
    assert "the secret has 48 tags" in str(document["credentials"][0]["holds"])
    secrets.untag_resource(SecretId=SECRET, TagKeys=[f"team-{number}" for number in range(10)])
    assert sandbox.run("apply")[0] == 0
    assert len(sandbox.keys()) == 2


def test_a_throttled_createaccesskey_is_tried_again_under_the_same_claim(sandbox: Sandbox) -> None:
    """A refusal before any effect makes nothing and locks out nobody."""
    sandbox.cloud.faults.add(Fault(operation="iam:CreateAccessKey", status=400, code="Throttling", times=3))
    assert sandbox.run("apply")[0] == 0
    assert len(sandbox.keys()) == 2
    assert is_whole(sandbox)


def test_a_createaccesskey_that_stays_throttled_ends_its_claim(sandbox: Sandbox) -> None:
    """The next run, at once, makes the key."""
    sandbox.cloud.faults.add(Fault(operation="iam:CreateAccessKey", status=400, code="Throttling", times=-1))
    code, document = sandbox.json("apply")
    assert (code, len(sandbox.keys())) == (1, 1)
    assert "may have been made" not in document["errors"][0]["message"]
    sandbox.cloud.faults.clear()
    assert sandbox.run("apply")[0] == 0
    assert len(sandbox.keys()) == 2


@pytest.mark.parametrize("kind", [FaultKind.LOST_AFTER, FaultKind.ERROR_AFTER])
def test_a_createaccesskey_that_worked_although_it_failed(sandbox: Sandbox, kind: FaultKind) -> None:
    """Reported at once; held within the lease; a day and a grace later the orphan goes, and the rotation comes."""
    sandbox.cloud.faults.add(Fault(operation="iam:CreateAccessKey", kind=kind, status=500))
    code, document = sandbox.json("apply")
    assert code == 1
    assert "a key may have been made" in document["errors"][0]["message"]
    (orphan,) = sandbox.keys().keys() - {sandbox.old.id}
    assert is_whole(sandbox)
    code, document = sandbox.json("apply")
    assert code == 0  # it ends by itself
    assert any(hold["until"] for hold in document["credentials"][0]["holds"])
    sandbox.travel(minutes=11)
    assert done(sandbox) == []
    sandbox.travel(hours=24)
    assert done(sandbox) == ["deactivate"]
    assert sandbox.keys()[orphan] == "Inactive"
    sandbox.travel(days=9)
    assert done(sandbox) == []
    sandbox.travel(days=1, hours=1)
    assert done(sandbox) == ["delete-orphan", "rotate", "sync"]
    assert orphan not in set(sandbox.keys())
    assert is_whole(sandbox)


def test_a_clock_that_is_hours_off(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is planned by a wrong clock."""
    from datetime import timedelta  # noqa: PLC0415  # beside its only use

    from keyrota_sandbox.clock import RemoteClock  # noqa: PLC0415

    right = RemoteClock.now
    monkeypatch.setattr(RemoteClock, "now", lambda self: right(self) + timedelta(hours=7))
    code, document = sandbox.json("apply")
    assert code == 1
    assert "clock is off by 7 h" in document["errors"][0]["message"]
    assert "NTP" in document["errors"][0]["remedy"]
    assert sandbox.keys() == {sandbox.old.id: "Active"}


def test_iam_that_is_down_freezes_everything(sandbox: Sandbox) -> None:
    """The control plane can be down while keys go on working: nothing advances."""
    assert sandbox.json("apply")[0] == 0
    sandbox.travel(days=12)
    sandbox.json("apply")
    sandbox.travel(days=12)
    before = sandbox.keys()
    sandbox.cloud.faults.add(Fault(operation="iam:*", status=503, code="ServiceUnavailable", times=-1))
    code, document = sandbox.json("apply")
    assert code == 1
    assert document["errors"][0]["remedy"]
    assert sandbox.keys() == before
    assert sandbox.deploys()


def test_an_unreadable_last_use_holds_the_old_key(sandbox: Sandbox) -> None:
    """Throttled is not never used."""
    assert sandbox.json("apply")[0] == 0
    sandbox.travel(days=12)
    sandbox.cloud.faults.add(Fault(operation="iam:GetAccessKeyLastUsed", status=400, code="AccessDenied", times=-1))
    code, document = sandbox.json("apply")
    assert code == 3
    assert any("could not be read" in hold["reason"] for hold in document["credentials"][0]["holds"])
    assert sandbox.keys()[sandbox.old.id] == "Active"


@pytest.mark.parametrize(
    "arguments",
    [("plann",), ("plan", "--usr", "x"), ("revoke",), ("plan", "--user", "nobody"), ("revoke", "nobody", "--yes")],
)
def test_a_command_line_that_does_not_fit(sandbox: Sandbox, arguments: tuple[str, ...]) -> None:
    code, out, err = sandbox.run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "hint: " in err
    code, document = sandbox.json(*arguments)
    assert code == 1
    assert document["errors"][0]["message"]


def test_nothing_is_asked_without_a_terminal(sandbox: Sandbox) -> None:
    code, _, err = sandbox.run("revoke", USER)
    assert code == 1
    assert "add --yes" in err
    assert sandbox.keys() == {sandbox.old.id: "Active"}


def test_a_sandbox_clock_is_not_taken_for_another_aws(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With real keys, ages by a sandbox's clock would break promises."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, _, err = sandbox.run("plan")
    assert code == 1
    assert "KEYROTA_SANDBOX" in err


def test_faults_are_told_all_at_once_with_their_places(sandbox: Sandbox) -> None:
    sandbox.configure("    secret: keyrota/ci-deploy\n", "    secrte: x\n    account: 12\n")
    _, _, err = sandbox.run("plan")
    assert f"{sandbox.file}:8:5: 'secrte' is not known here" in err
    assert "did you mean 'secret'?" in err
    assert f"{sandbox.file}:9:14: " in err


def test_a_literal_token_is_refused_and_not_repeated(sandbox: Sandbox) -> None:
    sandbox.configure('"env:BITBUCKET_TOKEN"', '"ATCTT3xFfGN0-a-real-token"')
    code, _, err = sandbox.run("plan")
    assert code == 1
    assert "providers.bitbucket.auth.token must not be written into this file" in err
    assert "ATCTT3" not in err
    assert json.loads(sandbox.run("plan", "--json")[1])["errors"]


class Deaf(io.StringIO):
    """A stream whose other end is gone, or whose disk is full."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, text: str) -> int:
        """Take nothing."""
        raise OSError(self._number, f"{len(text)} characters are lost")


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_progress_that_nobody_can_read_stops_no_run(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """`apply 2>&1 | head -1` once ended between claim and key, and called it a bug in keyrota."""
    monkeypatch.setattr(sys, "stderr", Deaf(number))
    code, out, _ = sandbox.run("apply")
    assert code == 0
    assert "1 credential: 2 done, 0 held, 0 failed" in out
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] != sandbox.old.id
    assert sandbox.deploys()


def test_an_emergency_goes_on_without_a_reader(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.run("apply")
    served = sandbox.held()["AWS_ACCESS_KEY_ID"]
    sandbox.travel(days=25)
    sandbox.run("apply")
    sandbox.travel(days=25)
    sandbox.run("apply")
    monkeypatch.setattr(sys, "stderr", Deaf(errno.EPIPE))
    code, _, _ = sandbox.run("revoke", USER, "--yes")
    assert (code, sandbox.keys()[served]) == (0, "Inactive")
    assert sandbox.deploys()


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_who_reads_only_the_beginning_changes_no_exit_code(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """`plan --exit-code | head -3`, with pipefail."""
    monkeypatch.setattr(sys, "stdout", Deaf(errno.EPIPE))
    code, _, err = sandbox.run("plan", "--exit-code", *more)
    assert (code, err) == (2, "")


def test_an_option_without_its_value_points_to_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--encryption-key"]) == 1
    assert "hint: keyrota deploy --help" in capsys.readouterr().err


def test_one_credential_is_counted_as_one(sandbox: Sandbox) -> None:
    _, out, _ = sandbox.run("check")
    assert "keyrota.yaml: 1 credential;" in out or "keyrota.yaml: 1 credential\n" in out


@pytest.mark.parametrize(
    ("typed", "hint"), [("aply", "did you mean `keyrota apply`?"), ("frobnicate", "keyrota --help")]
)
def test_a_command_that_does_not_exist(capsys: pytest.CaptureFixture[str], typed: str, hint: str) -> None:
    assert main([typed]) == 1
    assert f"hint: {hint}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--force",), "--force needs a reason"),
        (("--force", "--reason", " "), "--force needs a reason"),
        (("--reason", "audit"), "--reason is given for --force"),
        (("--force", "--reason", "audit", "--max", "3"), "--force and --max contradict each other"),
    ],
)
def test_nothing_is_forced_without_a_reason(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], what: str
) -> None:
    assert main(["apply", *arguments]) == 1
    assert f"error: {what}\n" in capsys.readouterr().err


@pytest.mark.parametrize(("ends", "code"), [(None, 1), (0, 1), ("some words", 1), (7, 7)])
def test_a_command_that_ends_the_process_has_not_succeeded(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, ends: int | str | None, code: int
) -> None:
    """SystemExit within a command, as libraries raise it, ended with 0."""

    def stop(*_: object, **__: object) -> None:
        raise SystemExit(ends)

    monkeypatch.setattr("keyrota.app.session.Session.plan", stop)
    assert sandbox.run("plan")[0] == code
