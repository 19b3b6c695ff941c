"""What `keyrota deploy` pins: the code's version, the configuration's text, hosts, and the owner of the bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_rig import Sandbox, a_sandbox

from keyrota.app.config import fingerprint, load_from
from keyrota.app.deploy.package import pip_environment
from keyrota.aws.account import Account
from keyrota.aws.objects import read_object, write_object
from keyrota.aws.stacks import Resource, Stacks
from keyrota.errors import ConfigError, ProviderRefused
from keyrota_sandbox.cloud import REGION

ACCOUNT = "123456789012"
BUCKET = f"keyrota-{ACCOUNT}-{REGION}"


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose configuration refers to a stored token, and a CloudFormation that only listens."""
    with a_sandbox(tmp_path, capsys) as made:
        made.configure("env:BITBUCKET_TOKEN", "secretsmanager:keyrota-tokens/bitbucket")
        monkeypatch.setattr(Stacks, "outputs", lambda *_: {})
        yield made


def deploy(box: Sandbox, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[int, dict[str, str], str]:
    """Deploy; returns the exit code, the stack's parameters and what was reported."""
    heard: dict[str, str] = {}
    monkeypatch.setattr(Stacks, "change", lambda *given: heard.update(given[3]) or ())
    package = box.file.parent / "package.zip"
    package.write_bytes(b"PK")
    code, _, err = box.run("deploy", "--yes", "--package", str(package), *more)
    return code, heard, err


def foreign(name: str) -> None:
    """Let another account own a bucket of that name."""
    from moto.s3.models import s3_backends  # noqa: PLC0415  # another account of the same cloud

    s3_backends["999999999999"]["aws"].create_bucket(name, REGION)


def uploads(box: Sandbox) -> int:
    return len([call for call in box.cloud.aws.journal if call.operation.startswith(("ssm:Put", "iam:Create"))])


@pytest.mark.parametrize("more", [(), ("--bucket", "theirs")])
def test_nothing_is_uploaded_to_a_bucket_of_someone_else(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """The name of the usual bucket can be guessed, and whoever makes it first owns it."""
    foreign(more[-1] if more else BUCKET)
    code, heard, err = deploy(box, monkeypatch, *more)
    assert (code, heard) == (1, {})
    assert "belongs to another account" in err
    assert "--bucket" in err
    assert uploads(box) == 0
    from moto.s3.models import s3_backends  # noqa: PLC0415  # another account of the same cloud

    assert not s3_backends["999999999999"]["aws"].buckets[more[-1] if more else BUCKET].keys


@pytest.mark.usefixtures("box")
def test_every_call_names_the_owner() -> None:
    foreign("theirs")
    account = Account(region=REGION)
    with pytest.raises(ProviderRefused):
        write_object(account, "theirs", "x", b"canary")
    with pytest.raises(ProviderRefused):
        read_object(account, "theirs", "x", at_most=10)
    with pytest.raises(ProviderRefused):
        load_from("s3://theirs/keyrota.yaml")


def test_the_bucket_is_private_versioned_and_answers_tls_only(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    code, heard, err = deploy(box, monkeypatch)
    assert code == 0, err
    s3 = box.admin("s3")
    blocks = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert set(blocks.values()) == {True}
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"]
    assert rule["ObjectOwnership"] == "BucketOwnerEnforced"
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(statement["Resource"]) == {f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"}
    version = s3.list_object_versions(Bucket=BUCKET, Prefix=heard["CodeKey"])["Versions"][0]["VersionId"]
    assert heard["CodeVersion"] == version


def test_a_bucket_of_ones_own_keeps_its_settings_and_must_keep_versions(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = box.admin("s3")
    s3.create_bucket(Bucket="ours", CreateBucketConfiguration={"LocationConstraint": REGION})
    code, heard, err = deploy(box, monkeypatch, "--bucket", "ours")
    assert (code, heard) == (1, {})
    assert "keeps no versions" in err
    s3.put_bucket_versioning(Bucket="ours", VersioningConfiguration={"Status": "Enabled"})
    code, heard, err = deploy(box, monkeypatch, "--bucket", "ours")
    assert code == 0, err
    assert heard["CodeVersion"]
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_bucket_policy(Bucket="ours")


def test_hosts_and_the_text_are_pinned(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function takes the very text that was deployed; hosts are pinned also where the text is not."""
    host = box.cloud.aws_url.removeprefix("http://")
    _, heard, _ = deploy(box, monkeypatch)
    stored = box.admin("ssm").get_parameter(Name="/keyrota/config")["Parameter"]["Value"]
    assert heard["ConfigSha256"] == fingerprint(stored)
    assert heard["AllowedHosts"] == host
    load_from("ssm:/keyrota/config", sha256=heard["ConfigSha256"])
    changed = stored.replace("Production", "Staging")
    box.admin("ssm").put_parameter(Name="/keyrota/config", Value=changed, Type="String", Overwrite=True)
    with pytest.raises(ConfigError, match="not the one that was deployed") as caught:
        load_from("ssm:/keyrota/config", sha256=heard["ConfigSha256"])
    assert "keyrota deploy" in caught.value.remedy
    _, heard, _ = deploy(box, monkeypatch, "--config-unpinned")
    assert heard["ConfigSha256"] == ""
    assert heard["AllowedHosts"] == host


def test_a_host_that_nothing_allows_is_not_deployed(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYROTA_SANDBOX_HOST")
    code, heard, err = deploy(box, monkeypatch)
    assert (code, heard) == (1, {})
    assert "not the provider's own host" in err


@pytest.mark.parametrize("role", ["keyrota", "arn:aws:iam::210987654321:role/keyrota"])
def test_one_role_for_every_function_is_refused(box: Sandbox, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    with box.file.open("a", encoding="utf-8") as file:
        file.write(f"  - {{user: b, account: '210987654321', role: '{role}', targets: []}}\n")
    code, heard, err = deploy(box, monkeypatch)
    assert (code, heard) == (1, {})
    assert "is the same for every function" in err
    assert "{duty}" in err


def test_a_name_from_which_no_role_can_be_named_is_refused(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    code, heard, err = deploy(box, monkeypatch, "--stack", "k" * 39)
    assert (code, heard) == (1, {})
    assert "up to 38 characters" in err


# --- the package ------------------------------------------------------------------------------------------------------


def test_pip_is_given_no_secret() -> None:
    given = {
        "AWS_SECRET_ACCESS_KEY": "canary",
        "AWS_SESSION_TOKEN": "canary",
        "GITHUB_TOKEN": "canary",
        "KEYROTA_CONFIG": "canary",
        "PYTHONPATH": "canary",
        "PYTHONSTARTUP": "canary",
        "LD_PRELOAD": "canary",
        "PATH": "/bin",
        "PIP_INDEX_URL": "https://index.example/simple",
        "HTTPS_PROXY": "http://proxy:3128",
    }
    found = pip_environment("own", given)
    assert "canary" not in found.values()
    assert {"PATH", "PIP_INDEX_URL", "HTTPS_PROXY"} <= found.keys()
    assert {found[name] for name in ("TMPDIR", "TEMP", "TMP")} == {"own"}


@pytest.mark.parametrize("name", ["pip.py", "sitecustomize.py", "subprocess.py", "zipfile.py"])
def test_a_module_in_the_current_folder_is_not_run(tmp_path: Path, name: str) -> None:
    """Whoever can put a file beside keyrota.yaml runs no code with the credentials of the caller."""
    (tmp_path / name).write_text("import pathlib, os\npathlib.Path('RAN').write_text('x')\nos._exit(7)\n", "utf-8")
    program = (
        "import sys; sys.path.pop(0); from keyrota.app.cli import main; "
        "sys.exit(main(['package', '--output', 'out.zip', '--here']))"
    )
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": "canary", "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert not (tmp_path / "RAN").exists(), done.stderr
    assert done.returncode in {0, 1}, done.stderr


def test_every_subprocess_is_isolated() -> None:
    """They are pip and the pager; whoever adds another thinks of its folder and its environment."""
    import re  # noqa: PLC0415  # beside its only use

    source = Path(__file__).parents[2] / "src" / "keyrota"
    callers: list[Any] = sorted(
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        if re.search(r"subprocess\.(run|Popen|call|check)|os\.(system|exec|spawn|popen)", file.read_text("utf-8"))
    )
    assert callers == ["app/cli/screen.py", "app/deploy/package.py"]
    pager, pip = ((source / caller).read_text("utf-8") for caller in callers)
    assert '"-I"' in pip
    assert "cwd=" in pip
    assert "env=pip_environment(" in pip
    assert "| pager_environment()" in pager


# --- undeploy ---------------------------------------------------------------------------------------------------------


def test_undeploy_lists_what_stays_and_how_to_remove_it(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = (
        Resource(kind="AWS::Logs::LogGroup", id="/aws/lambda/x", is_retained=True),
        Resource(kind="AWS::KMS::Key", id="11111111-2222", is_retained=True),
        Resource(kind="AWS::SQS::Queue", id="gone", is_retained=False),
    )
    monkeypatch.setattr(Stacks, "status", lambda _, name: None if "iam" in name else "CREATE_COMPLETE")
    monkeypatch.setattr(Stacks, "parameters", lambda *_: {"CodeBucket": BUCKET, "ConfigParameter": "/keyrota/config"})
    monkeypatch.setattr(Stacks, "resources", lambda *_: resources)
    monkeypatch.setattr(Stacks, "delete", lambda *_: iter(()))
    code, out, _ = box.run("undeploy", "--yes")
    assert code == 0
    for words in (
        f"aws s3 rm --recursive s3://{BUCKET}/keyrota/",
        "aws ssm delete-parameter --name /keyrota/config",
        "aws logs delete-log-group --log-group-name /aws/lambda/x",
        "aws kms schedule-key-deletion --key-id 11111111-2222",
        "keyrota/ci-deploy",
    ):
        assert words in out
    assert "gone" not in out
    _, document = box.json("undeploy", "--yes")
    assert len(document["stays"]) == 5
