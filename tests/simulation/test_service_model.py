"""
What keyrota sends to AWS, what it looks for in refusals and which limits it keeps are held against botocore's models.

The models are AWS's own description of each service (service-2.json of the installed botocore): operations, their
parameters, their errors, the limits of their members.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.retries.standard as retries
import pytest
from botocore import xform_name

import keyrota.aws
import keyrota_sandbox.memory
from keyrota.aws import _translate, secretsmanager
from keyrota_sandbox.aws import secrets as strict_secrets
from keyrota_sandbox.memory import stored

ADAPTERS = sorted(Path(keyrota.aws.__path__[0]).glob("*.py"))
WORLD = sorted(Path(keyrota_sandbox.memory.__path__[0]).glob("*.py"))
NO_SERVICE = {"target", "aws"}
"""A target's calls, and the condition keys of all services."""

COMMON = {
    "UnauthorizedOperation": "EC2's word for it, which some services share (EC2 API Reference, client error codes)",
    "InvalidClientTokenId": "IAM API Reference, common errors: STS and IAM, key ID not (yet) known (docs/facts/aws.md)",
    "UnrecognizedClientException": "Secrets Manager API Reference, common errors: the same for JSON services",
    "ExpiredToken": "STS and IAM: what S3's and STS's callers see for an ended session (IAM user guide, troubleshoot)",
    "SignatureDoesNotMatch": "IAM user guide, troubleshooting signed requests",
    "InvalidSignatureException": "IAM user guide, troubleshooting signed requests: the same for JSON services",
    "MissingAuthenticationToken": "IAM API Reference, common errors",
    "MissingAuthenticationTokenException": "the same for JSON services",
    "IncompleteSignature": "IAM API Reference, common errors",
    "RequestExpired": "IAM API Reference, common errors",
    "RequestTimeTooSkewed": "S3 API Reference, error responses",
    "ServiceUnavailable": "IAM API Reference, common errors",
    "InternalFailure": "IAM API Reference, common errors",
    "ServiceUnavailableException": "JSON services' form of ServiceUnavailable",
    "403": "S3 API Reference, HeadBucket: an answer to HEAD has no body, so botocore gives the status as the code",
    "NoSuchBucketPolicy": "S3 API Reference, error responses",
}
"""Codes that no model of ours names, because they stand for all services, with where they are documented."""

PERMISSIONS = {"s3:ListBucket": "HeadBucket", "s3:PutBucketPublicAccessBlock": "PutPublicAccessBlock"}
"""Actions that a policy names otherwise than the API does (Service Authorization Reference, S3): errors name these."""


@functools.cache
def model(service: str) -> dict[str, Any]:
    """Read a service's model."""
    found: dict[str, Any] = botocore.loaders.create_loader().load_service_model(service, "service-2")
    return found


@functools.cache
def methods(service: str) -> dict[str, str]:
    """Name a client's methods with their operations."""
    return {xform_name(operation): operation for operation in model(service)["operations"]}


def member(service: str, shape: str, name: str) -> dict[str, Any]:
    """Find the shape of a member."""
    shapes = model(service)["shapes"]
    found: dict[str, Any] = shapes[shapes[shape]["members"][name]["shape"]]
    return found


def texts(paths: list[Path]) -> Iterator[str]:
    """Find all texts in modules."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def actions(paths: list[Path]) -> set[str]:
    """Find `service:Operation` among the texts."""
    found = {text for text in texts(paths) if re.fullmatch(r"[a-z0-9-]+:[A-Z][A-Za-z]+", text)}
    return {text for text in found if text.partition(":")[0] not in NO_SERVICE}


@functools.cache
def services() -> set[str]:
    """Name the services whose clients the adapters make."""
    return {
        node.args[0].value
        for path in ADAPTERS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"client", "client_as"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


@pytest.mark.parametrize("action", sorted(actions(WORLD) | actions([p for p in ADAPTERS if p.stem != "permissions"])))
def test_every_call_is_an_operation_of_its_service(action: str) -> None:
    """The world's call names, and the actions that the adapters name in errors."""
    service, _, operation = action.partition(":")
    assert PERMISSIONS.get(action, operation) in model(service)["operations"]


def test_the_world_makes_only_calls_that_the_adapters_make() -> None:
    assert actions(WORLD)
    assert actions(WORLD) <= actions(ADAPTERS)


def sent(path: Path) -> Iterator[tuple[str, str, set[str], bool]]:
    """Find the requests in a module: service, operation, parameters, and whether more are added by name."""
    tree = ast.parse(path.read_text())
    mine = [service for service in sorted(services()) if f'"{service}"' in path.read_text()]
    known = {method: service for service in mine for method in methods(service)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "all_pages":
            paged = ast.literal_eval(node.args[1])
            yield known[paged], methods(known[paged])[paged], {keyword.arg or "" for keyword in node.keywords}, False
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name = node.func.attr
        if name == "paginate" and isinstance(node.func.value, ast.Call) and node.func.value.args:
            named = node.func.value.args[0]
            name = str(named.value) if isinstance(named, ast.Constant) else ""
        elif name in {"get_paginator", "assume_role"} or not node.keywords:
            continue
        if name in known and not node.args:
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            yield known[name], methods(known[name])[name], given, any(not keyword.arg for keyword in node.keywords)


REQUESTS = [
    pytest.param(*request, id=f"{path.stem}: {request[0]}:{request[1]} {' '.join(sorted(request[2]))}")
    for path in ADAPTERS
    for request in sent(path)
]


@pytest.mark.parametrize(("service", "operation", "given", "has_more"), REQUESTS)
def test_every_request_has_parameters_of_its_operation(
    service: str, operation: str, given: set[str], has_more: bool
) -> None:
    """None that the operation does not know, and all that it requires."""
    shape = model(service)["shapes"][model(service)["operations"][operation]["input"]["shape"]]
    assert given <= set(shape["members"])
    assert has_more or set(shape.get("required", ())) <= given


def _has_parameters(action: str) -> bool:
    service, _, operation = action.partition(":")
    shape = model(service)["operations"][operation].get("input", {}).get("shape")
    return bool(shape and model(service)["shapes"][shape]["members"])


def test_the_requests_that_matter_are_among_them() -> None:
    """So that a search that finds nothing is no proof."""
    found = {(param.values[0], param.values[1]) for param in REQUESTS}
    core = {action for action in actions(WORLD) if _has_parameters(action)}
    assert {f"{service}:{operation}" for service, operation in found} >= core


@pytest.mark.parametrize("name", ["AddReplicaRegions", "KmsKeyId"])
def test_what_is_added_by_name_is_a_parameter_too(name: str) -> None:
    assert f'options["{name}"]' in Path(secretsmanager.__file__).read_text()
    assert name in model("secretsmanager")["shapes"]["CreateSecretRequest"]["members"]


@functools.cache
def looked_for() -> set[str]:
    """Find the error codes that the adapters look for: sets of texts, and what a code is compared with."""
    known = {
        *_translate._NOT_THERE,
        *_translate._TRANSIENT,
        *_translate._DENIED,
        *_translate._BAD_CREDENTIALS,
        *_translate._SKEW_CODES,
    }
    for path in ADAPTERS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and re.match(r"(code|code_of\(.*\))$", ast.unparse(node.left)):
                known |= {
                    one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    return known


@functools.cache
def modelled() -> set[str]:
    """Name the errors of the services that we call, by shape and by code."""
    found = set()
    for service in services():
        for name, shape in model(service)["shapes"].items():
            if shape.get("exception"):
                found |= {name, shape.get("error", {}).get("code", name)}
    return found


RETRIED = {
    *retries.ThrottledRetryableChecker._THROTTLED_ERROR_CODES,  # type: ignore[attr-defined]  # the stubs leave it out
    *retries.TransientRetryableChecker._TRANSIENT_ERROR_CODES,  # type: ignore[attr-defined]  # the stubs leave it out
}
"""What botocore itself takes for throttling or for trouble that passes."""


@pytest.mark.parametrize("code", sorted(looked_for()))
def test_every_error_that_is_looked_for_exists(code: str) -> None:
    assert code in modelled() | RETRIED | COMMON.keys()


def test_no_source_is_given_for_what_is_in_a_model() -> None:
    """Nor for what is not looked for: the list of the others is no longer than it must be."""
    assert COMMON.keys() <= looked_for()
    assert COMMON.keys() & modelled() == set()


@pytest.mark.parametrize("code", sorted(RETRIED))
def test_what_botocore_takes_for_throttling_is_no_refusal(code: str) -> None:
    """It has waited and asked again; what is left of it is *unavailable*: the next run looks again."""
    elsewhere = {
        "ProvisionedThroughputExceededException": "DynamoDB",
        "TransactionInProgressException": "DynamoDB",
        "BandwidthLimitExceeded": "Kinesis Video",
        "LimitExceededException": "a quota where we call it: IAM and Secrets Manager name no rate so",
        "PriorRequestNotComplete": "Route 53",
        "EC2ThrottledException": "Lambda",
        "SlowDown": "S3, whose status is 503",
    }
    assert code in _translate._TRANSIENT or code in elsewhere


def test_the_limits_are_those_of_the_model() -> None:
    """Of the world, of the strict layer and of the adapter: one number each, and AWS's."""
    token = member("secretsmanager", "PutSecretValueRequest", "ClientRequestToken")
    assert (token["min"], token["max"]) == (stored.SHORTEST_TOKEN, stored.LONGEST_TOKEN)
    value = member("secretsmanager", "PutSecretValueRequest", "SecretString")
    assert value["max"] == stored.MAX_VALUE_BYTES == secretsmanager._MAX_VALUE_BYTES
    assert member("secretsmanager", "PutSecretValueRequest", "VersionStages")["max"] == stored.MAX_LABELS
    label = member("secretsmanager", "UpdateSecretVersionStageRequest", "VersionStage")
    assert (label["min"], label["max"]) == (1, strict_secrets._MAX_LABEL_LENGTH)
    name = member("secretsmanager", "CreateSecretRequest", "Name")
    assert strict_secrets._NAME.fullmatch("a" * name["max"])
    assert not strict_secrets._NAME.fullmatch("a" * (name["max"] + 1))
    tag = model("secretsmanager")["shapes"]["Tag"]["members"]
    shapes = model("secretsmanager")["shapes"]
    assert shapes[tag["Key"]["shape"]]["max"] == stored.MAX_TAG_KEY_LENGTH
    assert shapes[tag["Value"]["shape"]]["max"] == stored.MAX_TAG_VALUE_LENGTH
    key = member("iam", "UpdateAccessKeyRequest", "AccessKeyId")
    assert key["max"] == len(secretsmanager._MAX_LENGTH)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("PutSecretValue", "100 of the most recent versions"),
        ("PutSecretValue", "created in the last 24 hours"),
        ("PutSecretValue", "the operation succeeds but does nothing"),
        ("PutSecretValue", "automatically attaches the staging label AWSCURRENT to it"),
        ("UpdateSecret", "matches an existing version's VersionId, the operation results in an error"),
        ("UpdateSecretVersionStage", "moves the label AWSPREVIOUS to the version that AWSCURRENT was removed from"),
        ("UpdateSecretVersionStage", "considered to be 'deprecated'"),
        ("DeleteSecret", "The default recovery window is 30 days"),
        ("DeleteSecret", "you cannot retrieve the secret value"),
        ("DescribeSecret", "even if that version doesn't contain a secret value"),
    ],
)
def test_what_the_world_was_built_on_is_still_said(operation: str, words: str) -> None:
    """Facts that the world rests on, in the words of the model's documentation; a change there is to be looked at."""
    text = re.sub(
        r"\s+", " ", re.sub(r"<[^>]+>", "", model("secretsmanager")["operations"][operation]["documentation"])
    )
    assert words in text
