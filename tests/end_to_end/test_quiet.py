"""`-q` prints what needs somebody and nothing else, and each summary counts by who has to act."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

ID = "AWS_ACCESS_KEY_ID"
PRODUCTION = ("acme", "shop", "Production")
LOOKING = ("plan", "status", "check")


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A healthy credential, and three more that are made to need somebody one after the other."""
    with a_sandbox(tmp_path, capsys) as made:
        made.configure("credentials:\n", "policy: {drift: hold}\ncredentials:\n")
        for name, place in (("ci-held", "Test"), ("ci-broken", "Staging")):
            made.cloud.admin.add_user(name)
            made.cloud.admin.add_key(name, age=timedelta(days=91))
            target = f"{{workspace: acme, repository: shop, environment: {place}}}"
            made.file.write_text(
                made.file.read_text("utf-8") + f"  - user: {name}\n    targets: [{{bitbucket: {target}}}]\n", "utf-8"
            )
        made.pass_a_rotation("--force", "--reason", "a test")
        yield made


def test_nothing_is_printed_where_all_is_well(box: Sandbox) -> None:
    for command in (*LOOKING, "apply", "sync"):
        assert box.run(command, "-q") == (0, "", ""), command


def spoil(box: Sandbox) -> None:
    """One place is changed by somebody, another one's key is switched off."""
    box.bitbucket.set_variable("acme", "shop", "Test", ID, "AKIA6ODU5DHTQQQQQQQQ")
    ((key, _),) = box.cloud.admin.keys("ci-broken")
    box.admin("iam").update_access_key(UserName="ci-broken", AccessKeyId=key, Status="Inactive")


def test_only_what_needs_somebody_is_printed(box: Sandbox) -> None:
    """`-q` printed everything once there was one hold, and `check -q` nothing with a failing target."""
    spoil(box)
    for command in (*LOOKING, "apply"):
        code, out, _ = box.run(command, "-q")
        assert code == 1
        assert "changed outside keyrota" in out, command
        assert "it is Inactive: it was deactivated outside keyrota" in out, command
        assert f"{USER} " not in out, "the healthy one is not named"
        for noise in ("Calendar", "✓", "last used", "nothing to do", " · rotate", "reachable"):
            assert noise not in out, (command, noise)


def test_a_summary_counts_by_who_has_to_act(box: Sandbox) -> None:
    """What is broken was counted as held."""
    spoil(box)
    _, out, _ = box.run("plan")
    assert out.rstrip().endswith("3 credentials: 0 to do, 1 held, 1 broken, 0 failed")
    _, out, _ = box.run("apply")
    assert out.rstrip().endswith("3 credentials: 0 done, 1 held, 1 broken, 0 failed")
    _, out, _ = box.run("apply", "-q")
    assert out.rstrip().endswith("3 credentials: 2 to look at, 1 held, 1 broken, 0 failed")


def test_what_ends_by_itself_needs_nobody(box: Sandbox) -> None:
    """A freeze window holds what is due; nobody has to act, so `-q` is silent and the summary says that it waits."""
    box.travel(days=65)
    assert box.run("apply", "--force", "--reason", "a test")[0] == 0
    box.travel(days=12)
    box.configure("policy: {drift: hold", "policy: {freeze: [{from: 2026-01-01, to: 2026-12-31}], drift: hold")
    code, out, _ = box.run("apply")
    assert (code, "3 waiting" in out, "0 held" in out) == (0, True, True), out
    assert box.run("apply", "-q") == (0, "", "")
    assert box.run("status", "-q") == (0, "", "")
