"""Every IAM user name leads to a legal secret name, and to one of its own."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrota.core.model import AccessKeyId, VersionId, claim_token, key_token
from keyrota.core.naming import ARN_LIKE_END, AWS_QUARANTINE, SECRET_NAME, USER_NAME, owner_tag, secret_name_for

USERS = st.text(string.ascii_letters + string.digits + "_+=,.@-", min_size=1, max_size=64)


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("ci-deploy", "keyrota/ci-deploy/access-key"),
        ("first,last", "keyrota/first=2clast/access-key"),
        ("a=2cb", "keyrota/a=3d2cb/access-key"),
        ("deploy-abc123", "keyrota/deploy-abc123/access-key"),
        ("me@example.org", "keyrota/me@example.org/access-key"),
    ],
)
def test_the_name_of_a_secret(user: str, name: str) -> None:
    assert secret_name_for(user) == name


@given(USERS)
def test_the_name_is_legal_and_does_not_end_like_an_arn(user: str) -> None:
    assert USER_NAME.fullmatch(user)
    assert SECRET_NAME.fullmatch(secret_name_for(user))
    assert not ARN_LIKE_END.search(secret_name_for(user))


@given(USERS, USERS)
def test_two_users_never_share_a_secret(one: str, other: str) -> None:
    assert (secret_name_for(one) == secret_name_for(other)) == (one == other)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "naïve", "a\n", "x" * 129])
def test_what_is_no_user_name(name: str) -> None:
    assert not USER_NAME.fullmatch(name)


@given(USERS)
def test_the_owner_is_a_legal_tag_value(user: str) -> None:
    """Tag values take letters, digits, spaces and + - = . _ : / @ (Tagging API Reference)."""
    assert set(owner_tag(user)) <= set(string.ascii_letters + string.digits + "+-=._:/@ ")


def test_the_tag_tells_a_comma_from_every_other_character() -> None:
    """A user name has no slash, so none of two users can be taken for the other."""
    assert owner_tag("a,b") == "a/b"
    assert not USER_NAME.fullmatch("a/b")


def test_tokens_are_the_same_for_the_same_and_differ_for_everything_else() -> None:
    """Every run must find the same tokens, today's and next year's: these two are written down."""
    base, other = VersionId("v1"), VersionId("v2")
    assert claim_token("arn", base, 0) == "c1a58a99-a34e-513a-98cb-d4d415462170"
    assert key_token(AccessKeyId("AKIA"), base) == "e82775d9-82fa-55f7-853b-7de991626af2"
    tokens = [claim_token("arn", at, number) for at in (None, base, other) for number in range(3)]
    tokens += [claim_token("another", base, 0)]
    tokens += [key_token(AccessKeyId(key), at) for key in ("AKIA", "AKIB") for at in (None, base, other)]
    assert len(set(tokens)) == len(tokens)
    assert all(32 <= len(token) <= 64 for token in tokens), "PutSecretValue takes 32 to 64 characters"


@pytest.mark.parametrize(
    ("arn", "is_aws_s"),
    [
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine", True),
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2", True),
        ("arn:aws-us-gov:iam::aws:policy/AWSCompromisedKeyQuarantineV3", True),
        ("arn:aws-cn:iam::aws:policy/service-role/AWSCompromisedKeyQuarantineV3", True),
        ("arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV3", False),
        ("arn:aws:iam::aws:policy/NotAWSCompromisedKeyQuarantineV3", False),
        ("arn:aws:iam::aws:role/AWSCompromisedKeyQuarantineV3", False),
        ("xarn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", False),
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3\n", False),
    ],
)
def test_the_quarantine_is_a_policy_of_aws_alone(arn: str, is_aws_s: bool) -> None:
    assert (AWS_QUARANTINE.fullmatch(arn) is not None) is is_aws_s
