"""The page on several accounts, as it stands: its policies allow what its commands do, and its commands run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyrota.app.cli import main
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.quickstart import OTHER_ACCOUNT, configuration, example
from keyrota_sandbox.server import Request, Response

PAGE = (Path(__file__).parents[2] / "docs/how-to/several-accounts.md").read_text("utf-8")
_SESSION = re.compile(rb"<AccessKeyId>(\w+)</AccessKeyId>")


def _block(name: str) -> str:
    found = re.search(rf"<!-- test: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The sandbox, whose role is allowed what the page's policy allows, and no more."""
    with example() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        role = made.aws.iam_of(OTHER_ACCOUNT).get_role("keyrota")
        assert json.loads(role.assume_role_policy_document)["Statement"] == json.loads(_block("trust"))["Statement"]
        statements = json.loads(_block("policy"))["Statement"]

        def bind(operation: str, _: Request, response: Response, __: str) -> None:
            match = _SESSION.search(response.body) if operation == "sts:AssumeRole" else None
            if match:
                made.aws.rights.grant("keyrota", match[1].decode(), statements)

        made.aws.on_call = bind
        yield made


def test_the_page_works_in_the_sandbox(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page: dict[str, Any] = yaml.safe_load(_block("configuration"))
    served = yaml.safe_load(configuration(cloud))["providers"]["bitbucket"]
    file = tmp_path / "keyrota.yaml"
    file.write_text(yaml.safe_dump({"version": 1, **page, "providers": {"bitbucket": served}}), "utf-8")
    for line in _block("run").splitlines():
        given = shlex.split(line.removeprefix("$ keyrota "))
        code = main(["--config", str(file), *given])
        told = capsys.readouterr()
        assert code == 0, f"{line}\n{told.out}\n{told.err}"
        whose = OTHER_ACCOUNT if OTHER_ACCOUNT in line else cloud.aws.account_id
        assert f"{whose}:ci-deploy" in told.out + told.err, line
    for days in (10.5, 1, 10.5, 1):
        cloud.clock.travel(timedelta(days=days))
        main(["--config", str(file), "apply"])
    assert len(cloud.admin.keys("ci-deploy")) == 1, capsys.readouterr().out
    code = main(["--config", str(file), "revoke", f"{OTHER_ACCOUNT}:ci-deploy", "--now", "--yes"])
    told = capsys.readouterr()
    assert code == 0, told.out + told.err
    assert {use.action for use in cloud.aws.rights.denied} <= {"iam:SimulatePrincipalPolicy"}, told.err
    used = {use.action for use in cloud.aws.rights.uses}
    assert used >= {"iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey", "iam:ListAttachedUserPolicies"}
