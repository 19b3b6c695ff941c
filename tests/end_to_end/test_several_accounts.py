"""Promise right-credential: a command acts on exactly the credential that it names, account and user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import USER
from several_rig import OTHER, OWN, Two, two_accounts

from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.secret import Secret

BOTH = f"{OWN}:{USER}, {OTHER}:{USER}"


@pytest.fixture
def two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Two]:
    """Both accounts, adopted: nothing is due."""
    with two_accounts(tmp_path, capsys) as made:
        yield made


@pytest.fixture
def served(two: Two) -> Two:
    """Both users were rotated once, and their first keys are gone: keyrota keeps one key of each."""
    two.rotate()
    assert two.statuses() == (["Active"], ["Active"])
    return two


@pytest.mark.parametrize(
    "command",
    [
        ["plan", USER],
        ["plan", "--user", USER],
        ["apply", "--user", USER],
        ["sync", USER],
        ["status", "--user", USER],
        ["check", USER],
        ["revoke", USER, "--now", "--yes"],
        ["revoke", USER, "--yes"],
        ["rollback", USER, "--yes"],
    ],
)
def test_an_ambiguous_name_is_refused_before_anything_is_written(two: Two, command: list[str]) -> None:
    """`revoke ci-deploy --now --yes` switched off the first account's healthy key."""
    since = two.now
    code, out, err = two.box.run(*command)
    assert (code, out) == (1, "")
    assert f"{USER} is configured for 2 accounts" in err
    assert BOTH in err
    assert two.writes(since) == []
    assert two.statuses() == (["Active"], ["Active"])


@pytest.mark.parametrize("name", [[f"{OTHER}:{USER}"], [USER, "--account", OTHER]])
@pytest.mark.parametrize("command", ["plan", "status", "sync", "apply"])
def test_a_name_with_its_account_means_one_credential(two: Two, command: str, name: list[str]) -> None:
    _, document = two.box.json(command, *name)
    assert [(one["account"], one["user"]) for one in document["credentials"]] == [(OTHER, USER)]


def test_a_leaked_key_finds_its_credential(served: Two) -> None:
    """It was "ci-deploy has no access key"."""
    ((leaked, _),) = served.other.keys(USER)
    code, _, err = served.box.run("revoke", USER, "--key", leaked, "--now", "--yes")
    assert code == 0, err
    assert f"{OTHER}:{USER}" in err
    assert served.statuses()[0] == ["Active"]
    assert dict(served.other.keys(USER))[leaked] == "Inactive"


def test_a_key_alone_is_enough(served: Two) -> None:
    ((leaked, _),) = served.box.cloud.admin.keys(USER)
    code, _, err = served.box.run("revoke", "--key", leaked, "--now", "--yes")
    assert code == 0, err
    assert served.statuses() == (["Inactive", "Active"], ["Active"])
    assert dict(served.box.cloud.admin.keys(USER))[leaked] == "Inactive"


def test_a_key_of_no_configured_user_is_an_error_that_says_where_was_looked(two: Two) -> None:
    two.other.add_user("somebody")
    strange = two.other.add_key("somebody")
    since = two.now
    code, _, err = two.box.run("revoke", "--key", strange.id, "--now", "--yes")
    assert code == 1
    assert f"the user somebody in account {OTHER}" in err
    assert f"searched: {OTHER}:{USER}" in err
    code, _, err = two.box.run("revoke", "--key", "AKIAIOSFODNN7EXAMPLE", "--yes")
    assert code == 1
    assert "no configured user has the access key AKIAIOSFODNN7EXAMPLE" in err
    assert two.writes(since) == []


@pytest.mark.parametrize(
    "name", [[f"{OTHER}:{USER}"], [USER, "--account", OTHER], [f"{OTHER}:{USER}", "--account", OTHER]]
)
def test_revoke_now_switches_off_the_key_of_the_named_account(served: Two, name: list[str]) -> None:
    """The right way."""
    code, _, err = served.box.run("revoke", *name, "--now", "--yes")
    assert code == 0, err
    assert served.statuses() == (["Active"], ["Inactive", "Active"])
    assert f"{OTHER}:{USER}" in err


def test_rollback_takes_the_account_too(served: Two) -> None:
    served.box.travel(days=91)
    before = served.box.bitbucket.values("acme", "web", None)["AWS_ACCESS_KEY_ID"]
    assert served.box.run("apply", "--force", "--reason", "a test")[0] == 0
    own = served.held["AWS_ACCESS_KEY_ID"]
    code, _, err = served.box.run("rollback", f"{OTHER}:{USER}", "--yes")
    assert code == 0, err
    assert served.box.bitbucket.values("acme", "web", None)["AWS_ACCESS_KEY_ID"] == before
    assert served.held["AWS_ACCESS_KEY_ID"] == own


def test_two_accounts_for_one_name_are_refused(two: Two) -> None:
    code, _, err = two.box.run("plan", f"{OTHER}:{USER}", "--account", OWN)
    assert code == 1
    assert "name the account once" in err


# --- twice, once real account IDs are known --------------------------------------------------------------------------

TWICE = {
    "with and without account": f'  - {{user: {USER}}}\n  - {{user: {USER}, account: "{OWN}"}}\n',
    "through a role of the same account": f'  - {{user: {USER}}}\n  - {{user: {USER}, account: "{OWN}", role: mine}}\n',
    "through two roles": f'  - {{user: {USER}, account: "{OWN}", role: mine}}\n'
    f'  - {{user: {USER}, role: "arn:aws:iam::{OWN}:role/deploy"}}\n',
    "in another case": f'  - {{user: {USER}}}\n  - {{user: {USER.upper()}, account: "{OWN}"}}\n',
    "one secret of two users": f'  - {{user: {USER}, secret: s}}\n  - {{user: ci-web, account: "{OWN}", secret: s}}\n',
    "one secret, its region named": f"  - {{user: {USER}, secret: s}}\n"
    "  - {user: ci-web, region: eu-central-1, secret: s}\n",
}


@pytest.mark.parametrize("entries", TWICE.values(), ids=TWICE)
@pytest.mark.parametrize(
    "command",
    [["plan"], ["apply"], ["sync"], ["status"], ["check"], ["revoke", f"{OWN}:{USER}", "--yes"], ["deploy", "--print"]],
)
def test_the_same_twice_is_refused_before_anything_is_written(two: Two, entries: str, command: list[str]) -> None:
    """Each entry reported the other's targets as left behind, and the old key never left."""
    text = two.box.file.read_text("utf-8")
    two.box.file.write_text(text.partition("credentials:\n")[0] + "credentials:\n" + entries, "utf-8")
    two.box.cloud.admin.add_role("mine", trusts=f"arn:aws:iam::{OWN}:root")
    since = two.now
    code, out, err = two.box.run(*command)
    assert code == 1
    assert "twice" in out + err
    assert "keyrota.yaml:" in out + err
    assert two.writes(since) == []


def test_a_role_of_another_account_than_the_configured_one_is_refused(two: Two) -> None:
    two.box.configure("role: keyrota", "role: 'arn:aws:iam::333333333333:role/keyrota'")
    code, _, err = two.box.run("plan")
    assert code == 1
    assert "another account than `account`" in err


# --- the key that keyrota runs with ----------------------------------------------------------------------------------


@pytest.fixture
def as_user(served: Two, monkeypatch: pytest.MonkeyPatch) -> KeyPair:
    """Keyrota runs with the key of the user that it rotates; returns that key."""
    values = served.held
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", values["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", values["AWS_SECRET_ACCESS_KEY"])
    return KeyPair(id=AccessKeyId(values["AWS_ACCESS_KEY_ID"]), secret=Secret(values["AWS_SECRET_ACCESS_KEY"]))


@pytest.mark.parametrize("more", [["--now"], [], ["--sessions"]])
def test_keyrota_does_not_revoke_its_own_key(served: Two, as_user: KeyPair, more: list[str]) -> None:
    """It deactivated its own key, then failed, and there was no new key."""
    since = served.now
    code, _, err = served.box.run("revoke", f"{OWN}:{USER}", *more, "--yes")
    assert code == 1
    assert f"{as_user.id} is keyrota's own key" in err
    assert "run keyrota as another identity" in err
    assert served.writes(since) == []


def test_the_key_that_a_role_is_assumed_with_is_its_own_as_well(served: Two, as_user: KeyPair) -> None:
    """The own account entered through a role: the session would end, and could not be renewed."""
    served.box.cloud.admin.add_role("mine", trusts=f"arn:aws:iam::{OWN}:root")
    served.box.configure(
        f"  - user: {USER}\n    targets", f"  - user: {USER}\n    account: '{OWN}'\n    role: mine\n    targets"
    )
    since = served.now
    code, _, err = served.box.run("revoke", f"{OWN}:{USER}", "--now", "--yes")
    assert code == 1
    assert f"{as_user.id} is keyrota's own key" in err
    assert served.writes(since) == []


@pytest.mark.usefixtures("as_user")
def test_a_session_of_the_user_is_its_own_as_well(served: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS does not tell which key made a session, and `--sessions` would deny keyrota's own."""
    session = served.box.admin("sts").get_session_token()["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
    since = served.now
    code, _, err = served.box.run("revoke", f"{OWN}:{USER}", "--now", "--sessions", "--yes")
    assert code == 1
    assert "temporary credentials" in err
    assert served.writes(since) == []


def test_check_warns_of_the_own_key(served: Two, as_user: KeyPair) -> None:
    _, out, _ = served.box.run("check")
    assert f"! keyrota's own identity: keyrota runs as {OWN}:{USER}" in out
    assert as_user.id


def test_the_routine_replaces_the_own_key_and_holds_the_rest(served: Two, as_user: KeyPair) -> None:
    served.box.travel(days=91)
    code, out, _ = served.box.run("apply", "--force", "--reason", "a test")
    assert "keyrota's own key" not in out, "its successor is made and served all the same"
    codes = []
    for days in (10.5, 1, 1):
        served.box.travel(days=days)
        code, out, _ = served.box.run("apply", "--force", "--reason", "a test")
        codes.append(code)
    assert codes[-1] == 3
    assert f"{as_user.id} is keyrota's own key" in out
    assert dict(served.box.cloud.admin.keys(USER))[as_user.id] == "Active"
    assert "Inactive" in served.statuses()[1]


# --- questions and reports -------------------------------------------------------------------------------------------


def test_every_line_about_a_credential_names_its_account(served: Two) -> None:
    """The calendar mixed the two."""
    _, out, _ = served.box.run("check", "--calendar")
    dates = out.partition("Calendar")[2].splitlines()[1:]
    assert dates
    assert all(line.split()[1] in {f"{OWN}:{USER}", f"{OTHER}:{USER}"} for line in dates)
    assert {line.split()[1] for line in dates} == {f"{OWN}:{USER}", f"{OTHER}:{USER}"}
    _, document = served.box.json("check")
    assert {entry["account"] for entry in document["calendar"]} == {OWN, OTHER}


@pytest.mark.parametrize("command", [("plan",), ("status", "--details"), ("apply",)])
def test_reports_name_the_account(served: Two, command: tuple[str, ...]) -> None:
    served.box.travel(days=91)
    _, out, err = served.box.run(*command)
    heads = [line for line in out.splitlines() if "secret keyrota/" in line]
    assert {line.split()[0] for line in heads} == {f"{OWN}:{USER}", f"{OTHER}:{USER}"}
    assert f" {USER}:" not in err
