"""Clients of AWS: whose credentials, which region and how many attempts; without a call to anyone."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest
from botocore.credentials import Credentials

from builders import NOW
from keyrota.aws.account import Account, Role, _hours, _note_credentials
from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.secret import Secret
from keyrota.errors import ClockIsOff, NoCredentials, ProviderRefused
from keyrota.http.own_secrets import without_secrets
from keyrota_sandbox.memory.clock import WorldClock

OURS, THEIRS = "123456789012", "222222222222"
FILE = """\
[default]
aws_access_key_id = AKIADEFAULT000000000
aws_secret_access_key = of-default
region = eu-west-1

[profile ops]
aws_access_key_id = AKIAOPS0000000000000
aws_secret_access_key = of-ops
region = ap-south-1

[profile temporary]
aws_access_key_id = ASIATEMPORARY0000000
aws_secret_access_key = of-temporary
aws_session_token = a-token
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let AWS's files be these, and no variable say anything else."""
    file = tmp_path / "config"
    file.write_text(FILE, "utf-8")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def signs_with(client: Any) -> str:
    key: str = client._request_signer._credentials.access_key
    return key


@pytest.mark.parametrize(
    ("profile", "key", "region"),
    [(None, "AKIADEFAULT000000000", "eu-west-1"), ("ops", "AKIAOPS0000000000000", "ap-south-1")],
)
def test_a_profiles_credentials_and_region_are_used(profile: str | None, key: str, region: str) -> None:
    """Those of another profile are those of another account."""
    account = Account(profile=profile)
    client = account.client("sts")
    assert (signs_with(client), client.meta.region_name, account.region) == (key, region, region)
    assert account.keys_behind() == {key}


@pytest.mark.parametrize(("profile", "is_session"), [(None, False), ("ops", False), ("temporary", True)])
def test_temporary_credentials_are_told_from_lasting_ones(profile: str | None, is_session: bool) -> None:
    assert Account(profile=profile).is_session() is is_session


def test_the_configured_region_comes_before_the_variable_and_that_before_the_profile(
    files: pytest.MonkeyPatch,
) -> None:
    assert Account(region="us-gov-west-1").client("sts").meta.region_name == "us-gov-west-1"
    files.setenv("AWS_REGION", "cn-north-1")
    assert Account().client("sts").meta.region_name == "cn-north-1"
    assert Account(region="us-gov-west-1").client("sts").meta.region_name == "us-gov-west-1"


def test_clients_of_two_regions_and_of_two_kinds_of_attempts_are_not_mixed_up() -> None:
    account = Account(region="eu-central-1")
    usual, there = account.client("iam"), account.client("iam", region="cn-north-1")
    single = account.client("iam", is_single_attempt=True)
    regions = [account.client("sts", region=region).meta.region_name for region in (None, "us-east-2", None)]
    assert regions == ["eu-central-1", "us-east-2", "eu-central-1"]
    assert len({id(client) for client in (usual, there, single)}) == 3
    assert account.client("iam") is usual
    assert account.client("iam", is_single_attempt=True) is single


def attempts(client: Any) -> int:
    number: int = client.meta.config.retries["total_max_attempts"]
    return number


def test_only_create_access_key_and_what_proves_a_key_are_sent_once() -> None:
    """A repeated CreateAccessKey makes a second key, and the first one's secret is lost."""
    account = Account(region="eu-central-1")
    pair = KeyPair(id=AccessKeyId("AKIANEW0000000000000"), secret=Secret("of-new"))
    proving = account.client_as("sts", pair)
    assert attempts(account.client("iam", is_single_attempt=True)) == 1
    assert attempts(account.client("iam")) == 4
    assert (attempts(proving), signs_with(proving), proving.meta.region_name) == (1, pair.id, "eu-central-1")
    assert account.client_as("sts", pair, region="us-east-2").meta.region_name == "us-east-2"


@pytest.mark.parametrize("is_single_attempt", [False, True])
def test_no_call_waits_without_end(is_single_attempt: bool) -> None:
    config = Account(region="eu-central-1").client("iam", is_single_attempt=is_single_attempt).meta.config
    assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (5, 20, 24)
    assert config.retries["mode"] == "standard"
    assert "keyrota/" in config.user_agent_extra


class _Assumed:
    """Writes down how a role is assumed; only then are there credentials."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.made: list[dict[str, Any]] = []
        self._endpoint = SimpleNamespace(
            http_session=SimpleNamespace(_pool_classes_by_scheme={}, send=lambda request: request)
        )

    def create_client(self, service: str, **options: Any) -> _Assumed:
        assert service == "sts"
        self.made.append(options)
        return self

    def assume_role(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        keys = {"AccessKeyId": "ASIAROLE000000000000", "SecretAccessKey": "of-role", "SessionToken": "token"}
        return {"Credentials": {**keys, "Expiration": NOW + timedelta(days=36500)}}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


@pytest.mark.parametrize(("external_id", "extra"), [("abc", {"ExternalId": "abc"}), (None, {})])
@pytest.mark.parametrize("partition", ["aws", "aws-cn"])
def test_a_role_is_assumed_in_the_accounts_region_with_its_external_id(
    files: pytest.MonkeyPatch, external_id: str | None, extra: dict[str, str], partition: str
) -> None:
    arn = f"arn:{partition}:iam::{THEIRS}:role/keyrota"
    sts = _Assumed()
    files.setattr(
        "botocore.session.Session.create_client", lambda _, service, **options: sts.create_client(service, **options)
    )
    account = Account(profile="ops", region="eu-south-2", role=Role(arn=arn, external_id=external_id))
    own = account._open().get_credentials()
    assert own is not None
    frozen = own.get_frozen_credentials()
    assert (frozen.access_key, frozen.token) == ("ASIAROLE000000000000", "token")
    assert sts.asked == [{"RoleArn": arn, "RoleSessionName": "keyrota", **extra}]
    (options,) = sts.made
    assert options["region_name"] == "eu-south-2"
    assert options["aws_access_key_id"] == "AKIAOPS0000000000000"
    assert (options["config"].connect_timeout, options["config"].read_timeout) == (5, 20)
    assert account.keys_behind() == {"AKIAOPS0000000000000"}


def test_a_role_needs_credentials_that_may_assume_it(files: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for account in (Account(region="x"), Account(region="x", role=Role(arn=f"arn:aws:iam::{OURS}:role/x"))):
        with pytest.raises(NoCredentials):
            account.keys_behind()
    with pytest.raises(NoCredentials):
        Account(region="x", role=Role(arn=f"arn:aws:iam::{OURS}:role/x")).client("sts")


class _Sts:
    def __init__(self, account: str, off_s: float, partition: str = "aws") -> None:
        date = format_datetime(NOW + timedelta(seconds=off_s), usegmt=True)
        self.answer = {
            "Account": account,
            "Arn": f"arn:{partition}:iam::{account}:user/me",
            "ResponseMetadata": {"HTTPHeaders": {"date": date}},
        }
        self.calls = 0

    def get_caller_identity(self) -> dict[str, Any]:
        self.calls += 1
        return self.answer


def entering(sts: _Sts, **known: Any) -> Account:
    account = Account(**known)
    account._clients["sts", None, False] = cast("Any", sts)
    return account


@pytest.mark.parametrize("off_s", [-46, 46, 3600, -86400])
def test_a_clock_that_is_off_ends_the_run_before_anything_is_planned(off_s: float) -> None:
    account = entering(_Sts(OURS, off_s))
    with pytest.raises(ClockIsOff):
        account.enter(WorldClock(NOW))
    with pytest.raises(RuntimeError):
        account.id()


@pytest.mark.parametrize("off_s", [-45, 0, 45])
def test_the_accounts_own_id_is_asked_for_once(off_s: float) -> None:
    sts = _Sts(OURS, off_s, "aws-cn")
    account = entering(sts, expected=OURS)
    assert [account.resolve_id(WorldClock(NOW)) for _ in range(2)] == [OURS] * 2
    assert (account.id(), account.caller(), sts.calls) == (OURS, f"arn:aws-cn:iam::{OURS}:user/me", 1)
    assert (account.ask_id(), account.partition()) == (OURS, "aws-cn")


def test_another_account_than_the_configured_one_is_never_entered() -> None:
    account = entering(_Sts(THEIRS, 0), expected=OURS)
    with pytest.raises(ProviderRefused, match=THEIRS):
        account.enter(WorldClock(NOW))
    with pytest.raises(RuntimeError):
        account.id()


@pytest.mark.parametrize("token", [None, "a-session-token-1234"])
def test_what_a_request_is_signed_with_is_in_no_text_from_then_on(token: str | None) -> None:
    """Wherever it came from: a role's session is in no variable and in no file."""
    signed = Credentials("ASIAROLE000000000000", f"of-a-role-{token}", token)
    _note_credentials(request_signer=SimpleNamespace(_credentials=signed))
    shown = without_secrets(f"refused: of-a-role-{token} {token}")
    assert f"of-a-role-{token}" not in shown
    assert token is None or token not in shown
    _note_credentials(request_signer=SimpleNamespace(_credentials=None))


@pytest.mark.parametrize("seconds", [59 * 60, 60 * 60, 61 * 60, -125 * 60])
def test_how_far_a_clock_is_off_is_told_in_hours_and_minutes(seconds: int) -> None:
    words = {3540: "59 min", 3600: "1 h 0 min", 3660: "1 h 1 min", -7500: "2 h 5 min"}
    assert words[seconds] in _hours(timedelta(seconds=seconds))
