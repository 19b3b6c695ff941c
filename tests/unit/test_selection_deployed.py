"""What the functions' roles are allowed where users are selected: the list of users, and users by a pattern."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyrota.app.config import load_text
from keyrota.app.deploy.template import narrow_template, scope_of

HEAD = 'version: 1\naccounts: {away: {id: "222222222222", role: "keyrota-{duty}"}}\n'
HERE = "credentials: [{users: {path: /ci/}}]\n"
AWAY = "credentials: [{users: {path: /ci/}, account: away}]\n"
NAMED = "credentials: [{user: ci}]\n"


def template(entries: str) -> tuple[dict[str, Any], str]:
    configuration = load_text("k", HEAD + entries)
    scope = scope_of(configuration, (), partition="aws", account="111111111111", region="eu-central-1")
    made = narrow_template(scope, is_fleet=False)
    return made, json.dumps(made["Resources"])


@pytest.mark.parametrize(("entries", "is_selecting"), [(HERE, True), (AWAY, False), (NAMED, False)])
def test_every_function_may_list_users_only_where_they_are_selected(entries: str, is_selecting: bool) -> None:
    made, text = template(entries)
    policies = [one for one in made["Resources"].values() if one["Type"] == "AWS::IAM::Policy"]
    listing = [one for one in policies if "iam:GetAccountAuthorizationDetails" in json.dumps(one)]
    assert bool(listing) is is_selecting
    assert ("UserPattern" in made["Parameters"]) is is_selecting  # nobody can be named
    duties = [one for one in policies if "iam:ListAccessKeys" in json.dumps(one)]
    assert not is_selecting or all(one in listing for one in duties)
    assert ("role/keyrota-rotate" in text) is (entries == AWAY)
