"""Who besides the own account may read a secret: no key is stored into one that someone else reads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, ODD, OLD, a_key, a_secret, a_version, current, observed, placeholder
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke
from keyrota.core.model import Observation, SecretReaders, SecretState
from keyrota.core.plan import Duty, Needs
from keyrota.core.planner import Intent, Only, Rotate, Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC
from keyrota.core.readers import readers

OURS, THEIRS = "123456789012", "999999999999"
READ = "secretsmanager:GetSecretValue"
KEY = "arn:aws:kms:eu-central-1:{}:key/1"


def policy(**statement: Any) -> str:
    """Write a policy of one statement; by default another account may read."""
    usual = {"Effect": "Allow", "Principal": {"AWS": THEIRS}, "Action": READ, "Resource": "*"}
    made = {key: value for key, value in (usual | statement).items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [made]})


def only(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Principal": "*", "Condition": {operator: {key: value}}}


OUTSIDE = [
    (policy(), THEIRS),
    (policy(Principal="*"), "any principal"),
    (policy(Principal={"AWS": "*"}), "any principal"),
    (policy(Principal={"AWS": [OURS, f"arn:aws:iam::{THEIRS}:root"]}), f"arn:aws:iam::{THEIRS}:root"),
    (policy(Principal={"AWS": f"arn:aws:sts::{THEIRS}:assumed-role/a/b"}), THEIRS),
    (policy(Principal={"AWS": "AIDACKCEVSQ6C2EXAMPLE"}), "AIDACKCEVSQ6C2EXAMPLE"),
    (policy(Principal={"Service": "codebuild.amazonaws.com"}), "codebuild.amazonaws.com"),
    (policy(Principal=None, NotPrincipal={"AWS": OURS}), "any principal"),
    (policy(Action="*"), "* to"),
    (policy(Action="secretsmanager:*"), "secretsmanager:*"),
    (policy(Action="secretsmanager:Get*"), "Get*"),
    (policy(Action=["secretsmanager:PutResourcePolicy"]), "PutResourcePolicy"),
    (policy(Action=None, NotAction="secretsmanager:DeleteSecret"), "every action but a few"),
    (policy(**only("StringEquals", "aws:PrincipalAccount", [OURS, THEIRS])), "any principal"),
    (policy(**only("StringEqualsIfExists", "aws:PrincipalAccount", OURS)), "any principal"),
    (policy(**only("StringNotEquals", "aws:PrincipalAccount", OURS)), "any principal"),
    (policy(**only("StringEquals", "aws:PrincipalOrgID", "o-1")), "any principal"),
    (policy(**only("StringEquals", "aws:PrincipalAccount", [])), "any principal"),
    (policy(**only("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/ci")), "any principal"),
]
INSIDE = [
    None,
    policy(Effect="Deny", Principal="*"),
    policy(Principal={"AWS": OURS}),
    policy(Principal={"AWS": [f"arn:aws:iam::{OURS}:root", f"arn:aws-cn:iam::{OURS}:role/ci"]}),
    policy(Action="secretsmanager:DescribeSecret"),
    policy(**only("StringEquals", "aws:PrincipalAccount", OURS)),
    policy(**only("StringEquals", "AWS:principalaccount", [OURS])),
    policy(**only("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{OURS}:role/*")),
    policy(Principal={"Service": "a.amazonaws.com"}, Condition={"StringEquals": {"aws:SourceAccount": OURS}}),
]
UNREADABLE = ["", "[]", "{", '"text"', '{"Version": "2012-10-17"}', '{"Statement": ["x"]}']


@pytest.mark.parametrize(("text", "words"), OUTSIDE)
def test_what_a_policy_allows_outside_the_account_is_named(text: str, words: str) -> None:
    (found,) = readers(text, OURS).others
    assert words in found


@pytest.mark.parametrize("text", INSIDE)
def test_a_policy_that_stays_inside_the_account_is_fine(text: str | None) -> None:
    assert readers(text, OURS) == SecretReaders()


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_policy_that_cannot_be_read_is_unknown(text: str) -> None:
    found = readers(text, OURS)
    assert found.why_unknown
    assert found.remedy


ROADS: list[Intent] = [Routine(), Rotate(key=OLD), Revoke(key=OLD)]


def new(found: SecretReaders | None, kms: str = "") -> Observation:
    """Make a user whose key keyrota has not stored yet, and a secret with nothing but a placeholder."""
    secret = replace(a_secret(placeholder()), other_kms_key=kms)
    return replace(observed(a_key(OLD, age_days=95), secret=secret), readers=found)


@pytest.mark.parametrize("intent", ROADS, ids=lambda intent: type(intent).__name__)
def test_it_is_asked_before_a_key(intent: Intent) -> None:
    """Everything else follows the question: where it is not answered, no key is made."""
    planned = plan(new(None), CLASSIC, NOW, intent)
    first = planned.actions[[isinstance(action, act.AskFirst) for action in planned.actions].index(True)]
    assert isinstance(first, act.AskFirst)
    assert first.asks_readers
    makes = [action for action in planned.actions if isinstance(action, (act.Preflight, act.Adopt, act.TakeClaim))]
    assert makes
    assert all(action.follows for action in makes)


HELD = [
    (SecretReaders(others=(f"{READ} to {THEIRS}",)), "", f"allows {READ} to {THEIRS}"),
    (SecretReaders(why_unknown="not allowed", remedy="allow it"), "", "is not known: not allowed"),
    (SecretReaders(), KEY.format(THEIRS), "KMS key of another account"),
]


@pytest.mark.parametrize("intent", ROADS, ids=lambda intent: type(intent).__name__)
@pytest.mark.parametrize(("found", "kms", "words"), HELD, ids=["another account", "unknown", "KMS"])
def test_no_key_is_stored_where_someone_else_may_read_it(
    found: SecretReaders, kms: str, words: str, intent: Intent
) -> None:
    """A secret with our tag, made by anyone, was taken for ours and received the key."""
    planned = plan(new(found, kms), CLASSIC, NOW, intent)
    (hold,) = [hold for hold in planned.holds if words in hold.reason]
    assert hold.needs is Needs.PERSON
    assert hold.remedy
    assert not any(isinstance(action, (act.TakeClaim, act.CreateKey, act.Adopt)) for action in planned.actions)


@pytest.mark.parametrize("intent", ROADS, ids=lambda intent: type(intent).__name__)
@pytest.mark.parametrize("kms", ["", KEY.format(OURS), "alias/aws/secretsmanager"])
def test_the_own_account_is_no_obstacle(intent: Intent, kms: str) -> None:
    assert plan(new(SecretReaders(), kms), CLASSIC, NOW, intent).makes_key


def test_it_is_not_asked_where_the_secret_is_not_there_yet() -> None:
    seen = replace(observed(a_key(OLD, age_days=95)), readers=None)
    planned = plan(seen, CLASSIC, NOW)
    assert planned.makes_key
    assert not any(isinstance(action, act.AskFirst) for action in planned.actions)


LABELLED = {
    "a key that keyrota stored": a_secret(current()),
    "a label that looks like a key ID, on a version of a squatter's": a_secret(placeholder(OLD)),
    "and on another version": a_secret(placeholder(), a_version("v0", ODD)),
}


@pytest.mark.parametrize("intent", ROADS, ids=lambda intent: type(intent).__name__)
@pytest.mark.parametrize("secret", LABELLED.values(), ids=list(LABELLED))
def test_no_label_answers_the_question(secret: SecretState, intent: Intent) -> None:
    """Whoever may write to the secret sets labels as well: so it is asked before each key, and holds each one."""
    seen = observed(a_key(OLD, age_days=95), secret=secret)
    asked = plan(replace(seen, readers=None), CLASSIC, NOW, intent)
    assert any(isinstance(action, act.AskFirst) and action.asks_readers for action in asked.actions)
    shared = replace(seen, readers=SecretReaders(others=(f"{READ} to {THEIRS}",)))
    held = plan(shared, CLASSIC, NOW, intent)
    assert any(f"allows {READ} to {THEIRS}" in hold.reason for hold in held.holds)
    assert not any(isinstance(action, (act.TakeClaim, act.CreateKey)) for action in held.actions)


def put(found: SecretReaders | None) -> Observation:
    """Say that someone put a value into the secret, which wears no label of a key."""
    return replace(observed(a_key(OLD), secret=a_secret(a_version("v1", "AWSCURRENT"))), readers=found)


PUT_ROADS: list[Intent] = [Routine(), Only(duty=Duty.ROTATE), Revoke(key=OLD)]


@pytest.mark.parametrize("intent", PUT_ROADS, ids=lambda intent: type(intent).__name__)
def test_a_value_that_a_person_put_is_adopted_only_where_no_one_else_reads_it(intent: Intent) -> None:
    """Once it is adopted, the keys that follow it go into the same secret."""
    asked = plan(put(None), CLASSIC, NOW, intent)
    (adopts,) = [action for action in asked.actions if isinstance(action, act.Adopt)]
    assert adopts.follows
    assert isinstance(asked.actions[0], act.AskFirst)
    (action,) = [action for action in plan(put(SecretReaders()), CLASSIC, NOW, intent).actions if _adopts(action)]
    assert not action.follows
    held = plan(put(SecretReaders(others=(f"{READ} to {THEIRS}",))), CLASSIC, NOW, intent)
    assert not any(_adopts(action) for action in held.actions)
    assert any(
        f"no key is adopted from keyrota/ci-deploy: its resource policy allows {READ}" in hold.reason
        for hold in held.holds
    )


def _adopts(action: act.Action) -> bool:
    return isinstance(action, act.Adopt)


@pytest.mark.parametrize("intent", [SyncOnly(), Only(duty=Duty.SYNC)], ids=lambda intent: type(intent).__name__)
def test_who_only_serves_it_asks_nothing(intent: Intent) -> None:
    """Nothing new goes into the secret, and the function that syncs may not read its policy."""
    planned = plan(put(None), CLASSIC, NOW, intent)
    assert [type(action) for action in planned.actions] == [act.AskValue, act.Adopt, act.Sync]
    assert not planned.actions[1].follows
    assert planned.holds == ()


ORGANIZATION = "o-a1b2c3d4e5"
SHARED = [
    policy(),
    policy(Principal={"AWS": f"arn:aws:iam::{THEIRS}:root"}),
    policy(**only("StringEquals", "aws:PrincipalAccount", [OURS, THEIRS])),
    policy(**only("StringEquals", "aws:PrincipalOrgID", ORGANIZATION)),
    policy(**only("StringEquals", "aws:PrincipalOrgID", [ORGANIZATION])),
]
NOT_SHARED = [
    policy(Principal={"AWS": "888888888888"}),
    policy(**only("StringEquals", "aws:PrincipalOrgID", [ORGANIZATION, "o-zzzzzzzzzz"])),
    policy(**only("StringEqualsIfExists", "aws:PrincipalOrgID", ORGANIZATION)),
    policy(**only("StringLike", "aws:PrincipalOrgID", "o-*")),
    policy(Principal="*"),
]


def test_whom_the_configuration_names_may_read() -> None:
    for text in SHARED:
        assert readers(text, OURS).others, text
        assert readers(text, OURS, [THEIRS, ORGANIZATION]) == SecretReaders(), text
    for text in NOT_SHARED:
        assert readers(text, OURS, [THEIRS, ORGANIZATION]).others, text


def test_an_organization_is_named() -> None:
    """A whole organization is other accounts; a person names it in the configuration, or holds."""
    (found,) = readers(policy(**only("StringEquals", "aws:PrincipalOrgID", ORGANIZATION)), OURS).others
    assert found == f"{READ} to any principal (*) of the organization {ORGANIZATION}"


def test_a_denial_is_not_weighed() -> None:
    """It may have exceptions, so what is allowed beside it is reported; a denial alone lets no one in."""
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": READ, "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"},
    ]
    assert readers(json.dumps({"Statement": statements}), OURS).others
    assert readers(json.dumps({"Statement": statements[1:]}), OURS) == SecretReaders()


@pytest.mark.parametrize(
    ("condition", "is_named"),
    [
        (only("StringEquals", "aws:PrincipalOrgID", "o-1"), True),
        (only("StringEquals", "aws:principalorgid", ["o-1"]), True),
        (only("StringNotEquals", "aws:PrincipalOrgID", "o-1"), False),
        (only("StringEquals", "aws:PrincipalTag/team", "o-1"), False),
    ],
)
def test_an_organization_is_named_only_where_it_is_what_lets_in(condition: dict[str, Any], is_named: bool) -> None:
    (found,) = readers(policy(**condition), OURS).others
    assert ("of the organization o-1" in found) is is_named
