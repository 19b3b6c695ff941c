"""A provider is breached while two keys were served there: both are replaced, and no place keeps either."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
STAGING = ("acme", "shop", "Staging")
SERVED_BY = ("revoke", "--served-by", "bitbucket", "--yes")


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A rotation three days ago: both keys are Active, and two environments hold the new one."""
    with a_sandbox(tmp_path, capsys) as made:
        entry = "      - bitbucket: {workspace: acme, repository: shop, environment: Staging}\n"
        made.configure("    targets:\n", f"    targets:\n{entry}")
        assert made.run("apply")[0] == 0
        made.travel(days=3)
        assert list(made.keys().values()) == ["Active", "Active"]
        yield made


@pytest.mark.parametrize("how", [(), ("--now",)])
@pytest.mark.parametrize("is_old_at_a_place", [False, True])
def test_both_keys_are_replaced(box: Sandbox, how: tuple[str, ...], *, is_old_at_a_place: bool) -> None:
    """IAM has two slots, so a person frees one; the command says which, and the same command goes on from there."""
    if is_old_at_a_place:
        box.bitbucket.set_variable(*STAGING, ID, box.old.id)
        box.bitbucket.set_variable(*STAGING, SECRET, box.old.secret.reveal(), secured=True)
    exposed = set(box.keys())
    code, out, err = box.run(*SERVED_BY, *how)
    assert code == 1, "one slot is not free"
    assert box.keys()[box.old.id] == "Inactive"
    if how:
        assert set(box.keys().values()) == {"Inactive"}
    said = out.split("not yet:")[1]
    assert re.search(rf"{box.old.id}.*(delete it|delete-access-key)", said), out + err
    assert "keyrota sync" not in said, "which cannot help"
    assert box.run("status")[0] in {1, 3}, "whoever looks is told as well"
    box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=box.old.id)
    again = shlex.split(next(line for line in out.splitlines() if line.startswith("to continue: "))[10:])
    code, out, err = box.run(*again[again.index("revoke") :], "--yes")
    assert (code, "safe again: 1 of 1" in out) == (0, True), out + err
    (new,) = box.keys().keys() - exposed
    for place in (("acme", "shop", "Production"), STAGING):
        assert box.bitbucket.values(*place)[ID] == new
    assert [status for key, status in box.keys().items() if key in exposed] == ["Inactive"]
    assert box.deploys()
    assert box.run("status")[0] == 0
