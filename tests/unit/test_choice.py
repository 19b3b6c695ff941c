"""Which credential is meant: by user, by account and user, by account; an ambiguous name is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyrota.app.choice import Chooser, Name, Wanted, account_id, completions
from keyrota.app.config import Configuration, CredentialConfig, load_text
from keyrota.errors import KeyrotaError, UsageError

OWN, OTHER, THIRD = "111111111111", "222222222222", "333333333333"
TEXT = f"""
version: 1
credentials:
  - {{user: ci-deploy}}
  - {{user: ci-deploy, account: "{OTHER}", role: keyrota}}
  - {{user: ci-deploy, role: "arn:aws:iam::{THIRD}:role/keyrota"}}
  - {{user: ci-web}}
"""


class _Asked:
    """Tells the caller's own account, and how often it was asked for it."""

    def __init__(self, account: str | None = OWN) -> None:
        self.account = account
        self.times = 0

    def __call__(self, entry: CredentialConfig) -> str:
        self.times += 1
        if entry.known_account is not None:
            return entry.known_account
        if self.account is None:
            raise KeyrotaError("it cannot be entered")
        return self.account


def _configuration(text: str = TEXT) -> Configuration:
    return load_text("keyrota.yaml", text)


def _chosen(wanted: Wanted, asked: _Asked | None = None) -> list[tuple[str, str | None]]:
    chooser = Chooser(configuration=_configuration(), account_of=asked or _Asked())
    return [(entry.user, entry.known_account) for entry in chooser.choose(wanted)]


def test_a_role_s_arn_tells_the_account() -> None:
    assert [entry.known_account for entry in _configuration().credentials] == [None, OTHER, THIRD, None]


@pytest.mark.parametrize(
    ("text", "account", "user"),
    [("ci-deploy", None, "ci-deploy"), (f"{OTHER}:ci-deploy", OTHER, "ci-deploy"), (OTHER, None, OTHER)],
)
def test_a_name_is_read(text: str, account: str | None, user: str) -> None:
    name = Name.read(text)
    assert (name.account, name.user, str(name)) == (account, user, text)


@pytest.mark.parametrize(
    "text", ["", "a:b", "1111:ci", f"{OTHER}:", f":{OTHER}", f"{OTHER}:a:b", "a b", "\u0661" * 12 + ":a"]
)
def test_what_is_no_name_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Name.read(text)
    assert "ACCOUNT:USER" in caught.value.remedy


@pytest.mark.parametrize("text", ["1", "1111-1111-1111", "\u0661" * 12, OTHER + "\n", ""])
def test_an_account_id_has_twelve_digits(text: str) -> None:
    with pytest.raises(UsageError):
        account_id(text)
    assert account_id(OTHER) == OTHER


def test_a_name_that_means_several_credentials_is_refused_with_all_of_them() -> None:
    with pytest.raises(UsageError) as caught:
        _chosen(Wanted(names=(Name(user="ci-deploy"),)))
    assert caught.value.remedy == f"name one of: {OWN}:ci-deploy, {OTHER}:ci-deploy, {THIRD}:ci-deploy"


def test_it_is_refused_as_well_where_the_own_account_cannot_be_entered() -> None:
    with pytest.raises(UsageError) as caught:
        _chosen(Wanted(names=(Name(user="ci-deploy"),)), _Asked(None))
    assert "ci-deploy of the caller's own account" in caught.value.remedy


@pytest.mark.parametrize("account", [OTHER, THIRD])
def test_a_configured_account_is_chosen_without_asking_aws(account: str) -> None:
    asked = _Asked(None)
    assert _chosen(Wanted(names=(Name.read(f"{account}:ci-deploy"),)), asked) == [("ci-deploy", account)]
    assert asked.times == 0


def test_the_caller_s_own_account_is_chosen_by_its_id() -> None:
    assert _chosen(Wanted(names=(Name.read(f"{OWN}:ci-deploy"),))) == [("ci-deploy", None)]


def test_the_account_apart_means_the_same() -> None:
    assert _chosen(Wanted(names=(Name(user="ci-deploy"),), account=OTHER)) == [("ci-deploy", OTHER)]
    assert _chosen(Wanted(account=OWN)) == [("ci-deploy", None), ("ci-web", None)]


def test_a_name_that_is_unique_needs_no_account() -> None:
    asked = _Asked(None)
    assert _chosen(Wanted(names=(Name(user="ci-web"),)), asked) == [("ci-web", None)]
    assert asked.times == 0


def test_the_same_credential_twice_is_one() -> None:
    names = (Name.read(f"{OTHER}:ci-deploy"), Name.read("ci-web"), Name.read(f"{OTHER}:ci-deploy"))
    assert _chosen(Wanted(names=names)) == [("ci-deploy", OTHER), ("ci-web", None)]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(names=(Name(user="nobody"),)),
        Wanted(names=(Name.read(f"{OTHER}:ci-web"),)),
        Wanted(names=(Name(user="ci-web"),), account=OTHER),
        Wanted(account="444444444444"),
    ],
)
def test_what_is_not_configured_is_refused_with_what_is(wanted: Wanted) -> None:
    with pytest.raises(UsageError) as caught:
        _chosen(wanted)
    assert "configured" in caught.value.what
    assert "ci-web" in caught.value.remedy


def test_every_entry_can_be_named_exactly() -> None:
    chooser = Chooser(configuration=_configuration(), account_of=_Asked(None))
    for entry in _configuration().credentials:
        (found,) = chooser.choose(Wanted.only(entry))
        assert (found.user, found.known_account) == (entry.user, entry.known_account)


def test_a_shell_is_offered_users_and_users_with_their_account() -> None:
    assert list(completions(_configuration())) == ["ci-deploy", "ci-web", f"{OTHER}:ci-deploy", f"{THIRD}:ci-deploy"]


def test_the_choices_are_listed_up_to_a_number(tmp_path: Path) -> None:
    many = "".join(f"  - {{user: u{number}}}\n" for number in range(100))
    configuration = load_text(str(tmp_path), f"version: 1\ncredentials:\n{many}")
    with pytest.raises(UsageError) as caught:
        Chooser(configuration=configuration, account_of=_Asked()).choose(Wanted(names=(Name(user="nobody"),)))
    assert caught.value.remedy.endswith("u19, and 80 more")
