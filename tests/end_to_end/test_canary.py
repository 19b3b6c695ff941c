"""Nothing leaks: planted secrets are looked for in everything that keyrota says, at every verbosity."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_rig import CANARY_TOKEN, SECRET, USER, Sandbox, a_sandbox

import keyrota.core.model as words
import keyrota.core.plan as actions
from keyrota.core.model import AccessKeyId, CreatedKey, KeyPair
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError
from keyrota_sandbox.faults import Fault, FaultKind

CANARY = "canary-secret-value-1b7d"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """One for each test, with targets at all three providers."""
    with a_sandbox(tmp_path, capsys) as made:
        made.github.add_organization("acme")
        made.github.add_repository("acme", "shop")
        made.gitlab.add_project("acme/shop")
        made.gitlab.set_variable(("project", "acme/shop"), "OF_A_STRANGER", f"{CANARY}-of-a-stranger-0123456789")
        providers = (
            f"  github:\n    base_url: {made.cloud.url('github')}\n    auth: {{token: 'env:GITHUB_TOKEN'}}\n"
            f"  gitlab:\n    base_url: {made.cloud.url('gitlab')}/api/v4\n    auth: {{token: 'env:GITLAB_TOKEN'}}\n"
        )
        made.configure("credentials:\n", providers + "credentials:\n")
        with made.file.open("a", encoding="utf-8") as file:
            file.write("      - github: {repository: acme/shop}\n      - gitlab: {project: acme/shop}\n")
        yield made


def secrets_of(sandbox: Sandbox) -> set[str]:
    """Every secret that there is: the tokens, the keys in IAM, what the providers hold."""
    keys = {record.secret_access_key for record in sandbox.cloud.aws.iam.access_keys.values()}
    standins = (sandbox.bitbucket, sandbox.github, sandbox.gitlab)
    held = {value for standin in standins for value in standin.every_value() if len(value) > 30}
    return {CANARY_TOKEN, *keys, *held}


COMMANDS = (
    ("plan",),
    ("check",),
    ("apply",),
    ("status",),
    ("sync",),
    ("revoke", USER, "--yes", "--sessions"),
    ("rollback", USER, "--yes"),
    ("revoke", "--served-by", "gitlab", "--yes"),
    ("discover", "--provider", "github", "--org", "acme", "--output", "/dev/null"),
    ("forget", "gitlab acme/shop", "--delete-variables", "--yes"),
)


@pytest.mark.parametrize(
    "trouble",
    ["none", "PUT variables", "PUT secrets", "GET *", "secretsmanager:PutSecretValue", "iam:CreateAccessKey"],
)
def test_no_command_says_a_secret(sandbox: Sandbox, trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    """As text, as JSON, at --debug, in success and in trouble."""
    if trouble != "none":
        sandbox.cloud.faults.add(
            Fault(operation=trouble, kind=FaultKind.ERROR_AFTER, status=500, code="InternalFailure", times=2)
        )
    said: list[str] = []
    for command in COMMANDS:
        for more in (("--debug",), ("--debug", "--json")):
            _, out, err = sandbox.run(*command, *more)
            said += [out, err]
            sandbox.travel(minutes=12)
    told = "\n".join(said) + caplog.text
    assert len(told) > 3000
    for secret in secrets_of(sandbox):
        assert secret not in told


SESSION = "IQoJb3JpZ2luX2VjEJr//////////wEaDGV1LWNlbnRyYWwtMSJHMEUCIQCanary=="
QUOTES = (
    "x-amz-security-token: {session}",
    "The Canonical String was 'POST\\n/\\nx-amz-security-token:{session}\\nhost:iam'",
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIAX/20260101/eu-central-1/iam, Signature=c0ffee5167",
    "blocked: GET /?X-Amz-Security-Token={quoted}&X-Amz-Signature=c0ffee5167",
    "the gateway saw {session} and {secret}",
    "<header name='x-amz-security-token'>{session}</header>",
)


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize(
    "operation", ["iam:ListAccessKeys", "secretsmanager:DescribeSecret", "sts:GetCallerIdentity", "iam:CreateAccessKey"]
)
def test_the_process_s_own_credentials_are_in_no_text(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, quote: str, operation: str
) -> None:
    """AWS or a proxy quotes the request in its refusal: lines, JSON, --debug and logs show none of it."""
    from urllib.parse import quote as quoted  # noqa: PLC0415  # beside its only use

    from keyrota_sandbox.aws.strict import ADMIN_SECRET  # noqa: PLC0415  # what this process signs with

    monkeypatch.setenv("AWS_SECURITY_TOKEN", SESSION)
    message = quote.format(session=SESSION, quoted=quoted(SESSION, safe=""), secret=ADMIN_SECRET)
    fault = Fault(operation=operation, kind=FaultKind.ERROR, status=400, code="Teapot", message=message, times=-1)
    sandbox.cloud.faults.add(fault)
    said = [text for more in ((), ("--debug", "--json")) for text in sandbox.run("apply", *more)[1:]]
    told = "\n".join(said) + caplog.text
    assert "Teapot" in told
    for secret in (SESSION, ADMIN_SECRET, "c0ffee5167", quoted(SESSION, safe="")):
        assert secret not in told
        assert secret[:20] not in told


def test_a_token_that_a_provider_quotes_is_in_no_text(sandbox: Sandbox) -> None:
    sandbox.cloud.faults.add(
        Fault(operation="GET *", kind=FaultKind.BODY, status=403, body=f'{{"error": "{CANARY_TOKEN}"}}', times=-1)
    )
    for more in ((), ("--debug", "--json")):
        _, out, err = sandbox.run("plan", *more)
        assert CANARY_TOKEN not in out + err


def test_a_value_that_somebody_broke_is_not_repeated(sandbox: Sandbox) -> None:
    """A secret in the wrong place of the JSON."""
    sm = sandbox.admin("secretsmanager")
    sm.create_secret(Name=SECRET, SecretString=f'{{"AWS_ACCESS_KEY_ID": "{CANARY}", "AWS_SECRET_ACCESS_KEY": "x"}}')
    for command in COMMANDS:
        code, out, err = sandbox.run(*command, "--debug")
        assert CANARY not in out + err, command
        assert code in {0, 1, 3}


def test_tags_labels_and_tokens_hold_no_secret(sandbox: Sandbox) -> None:
    """What is written beside the value can be read by many."""
    sandbox.run("apply")
    described = str(sandbox.admin("secretsmanager").describe_secret(SecretId=SECRET))
    for secret in secrets_of(sandbox):
        assert secret not in described


def test_the_demo_says_no_secret() -> None:
    """Its keys are of the sandbox; their secrets have 40 characters, and nothing of that shape is printed."""
    done = subprocess.run(
        [sys.executable, "-m", "keyrota", "demo", "--days", "12", "--debug"], capture_output=True, text=True, check=True
    )
    import re  # noqa: PLC0415  # beside its only use

    assert not re.findall(r"\b[A-Za-z0-9]{40}\b", done.stdout + done.stderr)
    assert "sandbox-bitbucket-token" not in done.stdout + done.stderr


def _values() -> dict[str, Any]:
    pair = KeyPair(id=AccessKeyId("AKIA0000000000000001"), secret=Secret(CANARY))
    return {"credential": pair, "secret": Secret(CANARY)}


def test_no_core_type_shows_a_secret() -> None:
    """The repr, str and format of every dataclass of the core that can hold one."""
    holders = {
        name
        for module in (words, actions)
        for name, kind in inspect.getmembers(module, dataclasses.is_dataclass)
        if any(str(field.type) in {"Secret", "KeyPair"} for field in dataclasses.fields(kind))
    }
    assert holders == {"KeyPair", "CreatedKey"}
    pair = _values()["credential"]
    created = CreatedKey(credential=pair, created=words.datetime.now())  # type: ignore[attr-defined]
    for thing in (pair, created, [pair], {"pair": pair}):
        for text in (repr(thing), str(thing), f"{thing}", f"{thing!r}", "%s" % (thing,)):  # noqa: UP031  # what is tried
            assert CANARY not in text


def test_a_traceback_with_locals_shows_none() -> None:
    """As rich, Sentry or pytest's --showlocals print it."""

    def fails(pair: KeyPair) -> None:
        raise KeyrotaError(f"no use for {pair}", where=str(pair.secret))

    try:
        fails(_values()["credential"])
    except KeyrotaError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert CANARY not in "".join(frames.format())


def test_logging_a_secret_shows_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test_canary").debug("%s %r", _values()["secret"], _values())
    assert CANARY not in caplog.text


@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)], ids=["plain", "json", "debug"])
def test_an_unexpected_error_s_own_text_is_not_printed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """It may hold anything: what was parsed, sent, or received."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY) from ValueError(CANARY)

    monkeypatch.setattr("keyrota.app.session.Session.plan", fail)
    code, out, err = sandbox.run("plan", *more)
    assert code == 1
    assert "RuntimeError" in err
    assert CANARY not in out + err
