"""Which access keys stand behind the credentials that keyrota runs with (promise right-credential)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyrota.aws.account import Account, Role
from keyrota.errors import NoCredentials

KEY, SECOND, THIRD = "AKIAIOSFODNN7EXAMPL1", "AKIAIOSFODNN7EXAMPL2", "AKIAIOSFODNN7EXAMPL3"
CREDENTIALS = f"""\
[plain]
aws_access_key_id = {KEY}
aws_secret_access_key = s
[base]
aws_access_key_id = {SECOND}
aws_secret_access_key = s
"""
CONFIG = """\
[profile role]
role_arn = arn:aws:iam::222222222222:role/keyrota
source_profile = base
[profile chain]
role_arn = arn:aws:iam::333333333333:role/keyrota
source_profile = role
[profile environment]
role_arn = arn:aws:iam::222222222222:role/keyrota
credential_source = Environment
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles in files, and no credentials in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, text in {"AWS_SHARED_CREDENTIALS_FILE": CREDENTIALS, "AWS_CONFIG_FILE": CONFIG}.items():
        (tmp_path / name).write_text(text, "utf-8")
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return tmp_path


def test_the_key_of_a_profile() -> None:
    assert Account(profile="plain").keys_behind() == {KEY}
    assert not Account(profile="plain").is_session()


def test_the_key_that_a_role_of_the_configuration_is_assumed_with() -> None:
    role = Role(arn="arn:aws:iam::222222222222:role/keyrota")
    assert Account(profile="plain", role=role).keys_behind() == {KEY}


def test_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", THIRD)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert Account().keys_behind() == {THIRD}
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    assert Account().is_session()


@pytest.mark.parametrize("profile", ["role", "chain"])
def test_the_key_that_a_profile_s_role_is_assumed_with(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session has a key ID of its own; the key that renews it is the profile's source, however far."""
    monkeypatch.setattr(
        "botocore.credentials.AssumeRoleCredentialFetcher.fetch_credentials",
        lambda _: {"access_key": "ASIA1", "secret_key": "s", "token": "t", "expiry_time": "2099-01-01T00:00:00Z"},
    )
    account = Account(profile=profile)
    assert account.keys_behind() == {"ASIA1", SECOND}
    assert account.is_session()


def test_no_credentials_is_an_error() -> None:
    with pytest.raises(NoCredentials):
        Account().keys_behind()
