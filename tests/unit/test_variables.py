"""What the variables of one place show, and what makes a write there harmful."""

from __future__ import annotations

import base64

import pytest

from keyrota.core.model import AccessKeyId, ShownKey, VariableState
from keyrota.core.variables import (
    bundle_conflicts,
    describe_variable,
    find_shown,
    key_ids,
    other_pair,
    pair_conflicts,
    states_of,
)

ONE, TWO = AccessKeyId("AKIAIOSFODNN7EXAMPLE"), AccessKeyId("AKIAI44QH8DHBEXAMPLE")
ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
FILE = f"[default]\naws_access_key_id = {ONE}\naws_secret_access_key = x\n[b]\naws_access_key_id={TWO}\n"

TEXTS = [
    ("a key ID", ONE, (ONE,)),
    ("a credentials file with two profiles", FILE, (ONE, TWO)),
    ("one that is Base64", base64.b64encode(FILE.encode()).decode(), (ONE, TWO)),
    ("Base64 in lines, as `base64` prints it", base64.encodebytes(FILE.encode()).decode(), (ONE, TWO)),
    ("Base64 without its padding", base64.b64encode(f"x {ONE}".encode()).decode().rstrip("="), (ONE,)),
    ("Base64 for URLs", base64.urlsafe_b64encode(f"\u00ff\u00fe? {ONE} \u00bf\u00bf>".encode()).decode(), (ONE,)),
    (
        "the manifest of a Kubernetes secret",
        f"kind: Secret\ndata:\n  AWS_ACCESS_KEY_ID: {base64.b64encode(ONE.encode()).decode()}\n  other: eA==\n",
        (ONE,),
    ),
    ("a JSON document", f'{{"id": "{ONE}", "again": "{ONE}"}}', (ONE,)),
    ("a presigned URL", f"https://b.s3.amazonaws.com/x?X-Amz-Credential={ONE}%2F20260101%2Feu", (ONE,)),
    ("a temporary key's ID", "ASIAIOSFODNN7EXAMPLE", ()),
    ("within a longer word", f"x{ONE}", ()),
    ("Base64 that is no text", "/////w==", ()),
    ("something else", "eu-central-1", ()),
    ("nothing", "", ()),
]


@pytest.mark.parametrize(("case", "text", "found"), TEXTS, ids=[row[0] for row in TEXTS])
def test_key_ids_are_found_wherever_they_stand(case: str, text: str, found: tuple[str, ...]) -> None:
    assert key_ids(text) == found, case


def test_no_value_is_kept_but_its_key_ids() -> None:
    assert "hunter2" not in repr(describe_variable("X", f"{ONE} hunter2"))


def test_each_variable_says_what_a_write_would_replace() -> None:
    variables = [describe_variable(ID, ONE), describe_variable(SECRET, None), describe_variable("MARK", "to be done")]
    assert states_of((ID, SECRET, "MARK", "NEW"), variables, id_name=ID) == (
        VariableState(name=ID, is_present=True, key=ONE, is_readable=True),
        VariableState(name=SECRET, is_present=True),
        VariableState(name="MARK", is_present=True, is_readable=True),
        VariableState(name="NEW", is_present=False),
    )


def test_a_marker_is_no_half_of_the_pair() -> None:
    (_, marker) = states_of((ID, "MARK"), [describe_variable(ID, None)], id_name="MARK", marker="MARK")
    assert marker == VariableState(name="MARK", is_present=False, is_marker=True)


def test_a_key_id_beside_the_pair_is_shown_with_its_place() -> None:
    variables = [
        describe_variable(ID, ONE),
        describe_variable("CREDENTIALS", FILE),
        describe_variable("REGION", "eu"),
        describe_variable("HIDDEN", None),
    ]
    assert find_shown(variables, "bitbucket acme/shop", beside=(ID,)) == (
        ShownKey(key=ONE, where="variable CREDENTIALS of bitbucket acme/shop"),
        ShownKey(key=TWO, where="variable CREDENTIALS of bitbucket acme/shop"),
    )


PAIRS: list[tuple[str, dict[str, object], list[tuple[str, str, bool]]]] = [
    ("an empty place", {}, []),
    ("the whole pair", {ID: ONE, SECRET: None, "OTHER": "x"}, []),
    ("the whole pair and another user's", {ID: ONE, SECRET: None, "B_ACCESS_KEY_ID": TWO}, []),
    ("the ID alone", {ID: ONE}, [("half a pair", "names:", False)]),
    ("the secret alone", {SECRET: None}, [("half a pair", "names:", False)]),
    (
        "under other names",
        {"DEPLOY_KEY_ID": ONE, "DEPLOY_SECRET_KEY": None},
        [("a second pair", "names: {id: DEPLOY_KEY_ID, secret: DEPLOY_SECRET_KEY}", False)],
    ),
    (
        "under other names, unreadable",
        {"B_ACCESS_KEY_ID": None, "B_SECRET_ACCESS_KEY": None},
        [("a second pair", "names: {id: B_ACCESS_KEY_ID, secret: B_SECRET_ACCESS_KEY}", False)],
    ),
    (
        "as fields of JSON",
        {"accessKeyId": None, "secretAccessKey": None},
        [("a second pair", "names: {id: accessKeyId, secret: secretAccessKey}", False)],
    ),
    ("an ID under another name", {"TOKEN_OF_CI": ONE}, [("half a pair under another name", "names:", False)]),
    ("a secret under another name", {"MY_AWS_SECRET": None}, [("half a pair under another name", "names:", False)]),
    ("a session token beside it", {ID: ONE, SECRET: None, "AWS_SESSION_TOKEN": None}, [("session", "delete", True)]),
    ("one by its older name", {ID: ONE, SECRET: None, "AWS_SECURITY_TOKEN": None}, [("session", "delete", True)]),
    (
        "a profile by its older name",
        {ID: ONE, SECRET: None, "AWS_DEFAULT_PROFILE": "x"},
        [("profile", "delete", False)],
    ),
    ("a profile beside it", {ID: ONE, SECRET: None, "AWS_PROFILE": "x"}, [("profile", "delete", False)]),
    ("a credentials file before it", {"AWS_SHARED_CREDENTIALS_FILE": FILE}, [("instead of that file", "leave", False)]),
    ("a role's token before it", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}, [("instead of the role", "leave", False)]),
    ("a credentials file beside it", {ID: ONE, SECRET: None, "AWS_SHARED_CREDENTIALS_FILE": FILE}, []),
    ("a key ID within another value", {"URL": f"https://x/?c={ONE}/y"}, []),
]


@pytest.mark.parametrize(("case", "values", "found"), PAIRS, ids=[row[0] for row in PAIRS])
def test_what_makes_the_first_write_of_a_pair_harmful(
    case: str, values: dict[str, object], found: list[tuple[str, str, bool]]
) -> None:
    conflicts = list(pair_conflicts([describe_variable(name, value) for name, value in values.items()], ID, SECRET))
    assert len(conflicts) == len(found), (case, conflicts)
    for conflict, (what, remedy, is_lasting) in zip(conflicts, found, strict=True):
        assert what in conflict.what
        assert remedy in conflict.remedy
        assert conflict.is_lasting is is_lasting


def test_with_names_of_its_own_a_pair_minds_no_session_token() -> None:
    variables = [
        describe_variable("A_ID", ONE),
        describe_variable("A_SECRET", None),
        describe_variable("AWS_SESSION_TOKEN", None),
    ]
    assert not list(pair_conflicts(variables, "A_ID", "A_SECRET"))


BUNDLES: list[tuple[str, dict[str, object], list[tuple[str, bool]]]] = [
    ("an empty place", {}, []),
    ("the bundle", {"FILE": FILE}, []),
    ("a plain pair beside it", {"FILE": FILE, ID: ONE, SECRET: None}, [("instead of the bundle", True)]),
    ("a plain pair before it", {ID: ONE, SECRET: None}, [("instead of the bundle", True)]),
    ("half a plain pair", {"FILE": FILE, SECRET: None}, [("instead of the bundle", True)]),
    ("another profile", {"FILE": FILE, "AWS_PROFILE": "prod"}, [("[default] only", False)]),
    ("one by its older name", {"FILE": FILE, "AWS_DEFAULT_PROFILE": "prod"}, [("[default] only", False)]),
    (
        "a role's token",
        {"FILE": FILE, "AWS_WEB_IDENTITY_TOKEN_FILE": "/x"},
        [("some AWS tools use the role that the token stands for instead of the bundle", False)],
    ),
    ("a pair under other names", {"B_ACCESS_KEY_ID": TWO, "B_SECRET_ACCESS_KEY": None}, [("a second pair", False)]),
]


@pytest.mark.parametrize(("case", "values", "found"), BUNDLES, ids=[row[0] for row in BUNDLES])
def test_what_makes_a_bundle_useless(case: str, values: dict[str, object], found: list[tuple[str, bool]]) -> None:
    conflicts = list(bundle_conflicts([describe_variable(name, value) for name, value in values.items()], "FILE"))
    assert [
        (what in conflict.what, conflict.is_lasting) for conflict, (what, _) in zip(conflicts, found, strict=True)
    ] == [(True, is_lasting) for _, is_lasting in found], case


FIELDS: list[tuple[str, dict[str, object], str]] = [
    ("in camel case", {"accessKeyId": ONE, "secretAccessKey": "x"}, "{id: accessKeyId, secret: secretAccessKey}"),
    ("in capitals", {"AccessKeyId": ONE, "SecretAccessKey": "x"}, "{id: AccessKeyId, secret: SecretAccessKey}"),
    ("with dashes", {"access-key-id": ONE, "secret-access-key": "x"}, "{id: access-key-id, secret: secret-access-key}"),
    ("without ID", {"accesskey": ONE, "secretkey": "x"}, "{id: accesskey, secret: secretkey}"),
    ("in lower case", {"aws_access_key_id": ONE, "aws_secret_access_key": "x"}, "{id: aws_access_key_id"),
    ("told by its value", {"user": ONE, "aws_secret": "x"}, "{id: user, secret: aws_secret}"),
    ("not written yet", {"accessKeyId": "", "secretAccessKey": ""}, "{id: accessKeyId"),
    ("half of it", {"accessKeyId": ONE}, "names:"),
    ("a database's", {"username": "deploy", "password": "x", "port": 5432}, ""),
    ("none", {}, ""),
]


@pytest.mark.parametrize(("case", "fields", "remedy"), FIELDS, ids=[row[0] for row in FIELDS])
def test_a_pair_in_other_fields_of_a_secret_is_found(case: str, fields: dict[str, object], remedy: str) -> None:
    conflict = other_pair(fields, ID, SECRET)
    assert (conflict is not None) is bool(remedy), case
    assert conflict is None or remedy in conflict.remedy
