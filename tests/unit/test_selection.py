"""Selectors: which users they mean, when there are too many, and what comes of what cannot be evaluated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from keyrota.app.config import load_text
from keyrota.app.selection import select_users
from keyrota.app.wiring import Wiring
from keyrota.core.model import UserName
from keyrota.core.selection import Criteria, DirectoryUser, Selector, judge
from keyrota.errors import ConfigError, KeyrotaError, ProviderRefused


def user(name: str, path: str = "/", **tags: str) -> DirectoryUser:
    return DirectoryUser(name=UserName(name), path=path, tags=tags)


USERS = (
    user("ci-shop", "/ci/", team="shop"),
    user("ci-web", "/ci/web/", team="web", keep="no"),
    user("ci", "/", team="shop"),
    user("anna", "/people/"),
)
CRITERIA = [
    ({"path": "/ci/"}, ["ci-shop", "ci-web"]),
    ({"names": ("ci-*",)}, ["ci-shop", "ci-web"]),
    ({"names": ("ci?shop", "anna")}, ["anna", "ci-shop"]),
    ({"names": ("[a-z]*",)}, []),
    ({"tags": {"team": ("shop",)}}, ["ci", "ci-shop"]),
    ({"tags": {"team": ("*",)}}, ["ci", "ci-shop", "ci-web"]),
    ({"tags": {"team": ("*",), "keep": ("no",)}}, ["ci-web"]),
    ({"path": "/ci/", "tags": {"team": ("shop", "web")}, "names": ("*-web",)}, ["ci-web"]),
    ({"names": ("*",)}, ["anna", "ci", "ci-shop", "ci-web"]),
    ({"names": ("CI-*",)}, []),
]


@pytest.mark.parametrize(("criteria", "names"), CRITERIA)
def test_all_that_is_given_has_to_fit(criteria: dict[str, Any], names: list[str]) -> None:
    assert [one.name for one in Selector(wanted=Criteria(**criteria)).select(USERS)] == names


def test_whoever_is_exempt_in_any_way_is_left_out() -> None:
    exempt = Criteria(names=("ci",)), Criteria(tags={"keep": ("*",)}), Criteria(path="/people/")
    selector = Selector(wanted=Criteria(names=("*",)), exempt=exempt)
    assert [one.name for one in selector.select(USERS)] == ["ci-shop"]


def many(number: int) -> tuple[DirectoryUser, ...]:
    return tuple(user(f"u{index:03}") for index in range(number))


EVERYONE = Selector(wanted=Criteria(names=("*",)))
GROWTH = [
    (10, 0, 0, 10, 0),  # users, kept, at_most, acted on, held
    (11, 0, 0, 0, 11),
    (11, 0, 11, 11, 0),
    (110, 100, 0, 110, 0),
    (130, 100, 0, 130, 0),
    (131, 100, 0, 100, 31),
    (131, 100, 131, 131, 0),
    (131, 100, 120, 100, 31),
    (3, 100, 0, 3, 0),  # who left is reported as that
]


@pytest.mark.parametrize(("number", "kept", "at_most", "acted", "held"), GROWTH)
def test_a_selection_that_grows_too_fast_holds_whoever_is_new(
    number: int, kept: int, at_most: int, acted: int, held: int
) -> None:
    selector = Selector(wanted=EVERYONE.wanted, at_most=at_most)
    found = judge(selector, many(number), {one.name for one in many(kept)})
    assert (len(found.users), len(found.held)) == (acted, held)
    assert bool(found.reason) is bool(held)


def test_a_selector_that_matches_nobody_says_so() -> None:
    assert judge(EVERYONE, (), {UserName("a")}).reason == "it matches no user"


# --- from a configuration -------------------------------------------------------------------------------------------

TEXT = """\
version: 1
accounts:
  dev: {id: "111111111111", role: "keyrota-{account.name}"}
  prod: {id: "222222222222", role: "keyrota-{account.name}"}
providers: {bitbucket: {auth: {token: "env:T"}}}
credentials:
  - users: {path: /ci/, except: [ci-old]}
    accounts: [dev, prod]
    tags: {team: "{tag:team}"}
    targets:
      - bitbucket: {workspace: acme, repository: "{user}", environment: "{account.name}"}
"""


class FakeAccount:
    """An account whose users are in memory."""

    def __init__(self, number: str) -> None:
        self.region, self._number = "eu-central-1", number

    def id(self) -> str:
        return self._number


class Rig(Wiring):
    """Wiring whose accounts, users and secrets are in memory; a refusal takes their place."""

    def __init__(self, text: str, users: dict[str, Any], kept: dict[str, Any] | None = None) -> None:
        super().__init__(load_text("k", text), SimpleNamespace())
        self.users_of, self.kept_of, self.asked = users, kept or {}, list[str]()

    def account(self, credential: Any) -> Any:
        return FakeAccount(credential.known_account or "000000000000")

    def account_of(self, credential: Any) -> str:
        return credential.known_account or "000000000000"

    def list_users(self, account: Any) -> tuple[DirectoryUser, ...]:
        self.asked.append(account.id())
        found: tuple[DirectoryUser, ...] = self._given(self.users_of.get(account.id(), ()))
        return found

    def list_kept_secrets(self, account: Any) -> Any:
        found = self._given(self.kept_of.get(account.id(), ()))
        return tuple(SimpleNamespace(user=UserName(name), is_released=False) for name in found)

    @staticmethod
    def _given(found: Any) -> Any:
        if isinstance(found, KeyrotaError):
            raise found
        return found


DEV, PROD = "111111111111", "222222222222"
CI = (user("ci-shop", "/ci/", team="shop"), user("ci-old", "/ci/", team="old"), user("anna", team="x"))
DENIED = ProviderRefused("AWS refuses iam:GetAccountAuthorizationDetails", where="the account")


def problems(rig: Rig) -> list[tuple[str, str]]:
    return [(one.account, one.error.what) for one in rig.unselected]


def test_selected_users_are_credentials_as_if_they_had_been_written() -> None:
    rig = Rig(TEXT, {DEV: CI, PROD: (user("ci-web", "/ci/web/", team="web"),)})
    found = select_users(rig)
    assert [(entry.account, entry.user, entry.role, dict(entry.tags)) for entry in found.credentials] == [
        (DEV, "ci-shop", "keyrota-dev", {"team": "shop"}),
        (PROD, "ci-web", "keyrota-prod", {"team": "web"}),
    ]
    assert [dict(entry.targets[0].settings) for entry in found.credentials] == [
        {"workspace": "acme", "repository": "ci-shop", "environment": "dev"},
        {"workspace": "acme", "repository": "ci-web", "environment": "prod"},
    ]
    assert rig.unselected == ()
    assert rig.asked == [DEV, PROD]  # once for each account, however many users there are


@pytest.mark.parametrize("part", ["users", "kept"])
def test_an_account_that_cannot_be_read_gives_nobody_and_fails_alone(part: str) -> None:
    users = {DEV: DENIED if part == "users" else CI, PROD: (user("ci-web", "/ci/", team="web"),)}
    rig = Rig(TEXT, users, {DEV: DENIED} if part == "kept" else None)
    assert [entry.user for entry in select_users(rig).credentials] == ["ci-web"]
    ((account, what),) = problems(rig)
    assert account == DEV
    assert "nobody new is selected here: AWS refuses" in what
    assert rig.unsure == {DEV}


def test_a_user_whose_tag_does_not_fit_is_left_out_alone() -> None:
    odd = [user("ci-a", "/ci/"), user("ci-b", "/ci/", team=""), user("ci-c", "/ci/", team="{user}")]
    rig = Rig(TEXT, {DEV: (*CI, *odd), PROD: (user("ci-web", "/ci/", team="web"),)})
    assert [entry.user for entry in select_users(rig).credentials] == ["ci-shop", "ci-web"]
    assert [one.user for one in rig.unselected] == ["ci-a", "ci-b", "ci-c"]
    assert all(isinstance(one.error, ConfigError) and one.error.where == "k:9:18" for one in rig.unselected)


@pytest.mark.parametrize("value", ["../x", "a/b", "a b?c", "x#y", "a%2Fb", "..", "x\u202ey"])
def test_a_tag_is_judged_as_strictly_as_what_is_written(value: str) -> None:
    text = TEXT.replace('repository: "{user}"', 'repository: "{tag:repository}"')
    rig = Rig(text, {DEV: (user("ci-x", "/ci/", team="t", repository=value),), PROD: CI})
    assert DEV not in {entry.account for entry in select_users(rig).credentials}
    assert "ci-x" in {one.user for one in rig.unselected}


def test_a_user_that_is_named_as_well_is_the_named_one() -> None:
    text = f'{TEXT}  - {{user: ci-shop, account: "{DEV}", secret: own/name}}\n'
    rig = Rig(text, {DEV: CI, PROD: (user("ci-web", "/ci/", team="web"),)})
    found = [(entry.user, entry.secret_name) for entry in select_users(rig).credentials]
    assert found == [("ci-shop", "own/name"), ("ci-web", "keyrota/ci-web/access-key")]
    assert rig.unselected == ()


def test_two_selectors_that_mean_one_user_give_nobody() -> None:
    more = "  - {users: {name: ci-shop}, account: dev}\n"
    rig = Rig(TEXT + more, {DEV: CI, PROD: (user("ci-web", "/ci/", team="web"),)})
    assert [entry.user for entry in select_users(rig).credentials] == ["ci-web"]
    assert {what for _, what in problems(rig)} == {"the user ci-shop is configured twice"}


def test_users_that_would_write_one_place_are_all_left_out() -> None:
    text = TEXT.replace('repository: "{user}"', "repository: shop")
    both = (user("ci-a", "/ci/", team="a"), user("ci-b", "/ci/", team="b"))
    rig = Rig(text, {DEV: both, PROD: (user("ci-web", "/ci/", team="web"),)})
    assert [entry.user for entry in select_users(rig).credentials] == ["ci-web"]
    assert [one.user for one in rig.unselected] == ["ci-a", "ci-b"]


def test_too_many_new_users_wait_and_the_kept_ones_go_on() -> None:
    crowd = tuple(user(f"ci-{number:02}", "/ci/", team="t") for number in range(20))
    rig = Rig(TEXT, {DEV: crowd, PROD: CI}, {DEV: ["ci-03"]})
    assert [entry.user for entry in select_users(rig).credentials if entry.account == DEV] == ["ci-03"]
    ((_, what),) = problems(rig)
    assert "it matches 20 users, and keyrota keeps 1 of them" in what
    assert "at_most: 20" in rig.unselected[0].error.remedy


WRONG = [
    ("users: {path: ci}", "path has characters"),
    ("users: {}", "users"),
    ("users: {except: [a]}", "users"),
    ("users: {tags: {}}", "tags"),
    ("users: {nam: a}", "'nam' is not known here"),
    ("users: {name: '*', at_most: 0}", "at_most"),
    ("users: {name: '*'}, user: a", "has `user` and `users`"),
    ("users: {name: '*'}, tags: {x: '{tgs:y}'}", "{tgs:y} is not a template"),
    ("users: {name: '*'}, secret: '{tag:y}'", "{tag:y} is not replaced here"),
    ("users: {name: '*'}, account: nope", "the account 'nope' is not in `accounts`"),
    ("users: {name: '*'}, targts: []", "'targts' is not known here"),
    ("users: {name: '*'}, policy: {preset: stric}", "policy.preset must be one of"),
    ("users: {name: '*'}, role: ci", "a role's name needs `account`"),
]


@pytest.mark.parametrize(("entry", "what"), WRONG, ids=[row[0] for row in WRONG])
def test_a_selector_that_makes_no_sense_is_refused_before_anyone_is_asked(entry: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("k", f"version: 1\ncredentials: [{{{entry}}}]\n")
    assert any(what in fault.what and fault.where.startswith("k:2:") for fault in caught.value.faults), (
        caught.value.faults
    )
