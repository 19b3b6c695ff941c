"""
Who besides the own account may read a secret: asked before a first key is stored into it.

A secret that exists before keyrota's first run may have been made by anyone who may create secrets, tags included. So
neither its name nor its tags prove that it is ours; its resource policy and its KMS key show who else would receive
the key. What cannot be read is unknown, and no key is stored then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from keyrota.core import plan as act
from keyrota.core.case import Case
from keyrota.core.lifecycle import View, key_label
from keyrota.core.model import SecretReaders
from keyrota.core.plan import Hold

_HARMLESS = ("describesecret", "getresourcepolicy", "listsecrets", "listsecretversionids")
"""Actions that show no value and change nothing; with any other one a key could be read, replaced, or shared on."""
_EXACT = frozenset({"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"})
"""Condition operators that are false where the key is missing; `…IfExists` and `ForAllValues:…` are true then."""
_ACCOUNTS = frozenset({"aws:principalaccount", "aws:sourceaccount"})
_ARNS = frozenset({"aws:principalarn", "aws:sourcearn"})
_NOT_READABLE = SecretReaders(
    why_unknown="the resource policy of the secret is not one that keyrota can read",
    remedy="look at it: aws secretsmanager get-resource-policy; remove it, or name another secret with `secret:`",
)


def readers(policy: str | None, account: str) -> SecretReaders:
    """
    Read a resource policy: name what it allows to anyone but the account's own principals.

    Denials are not weighed: what one statement allows and another denies is reported as allowed.

    Args:
        policy: The JSON text from GetResourcePolicy; None: the secret has none.
        account: The account ID, 12 digits.
    """
    if policy is None:
        return SecretReaders()
    try:
        document = json.loads(policy)
        return SecretReaders(others=tuple(dict.fromkeys(_others(document, account))))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return _NOT_READABLE


def questions(case: Case) -> Iterator[act.AskFirst]:
    """Ask who else may read the secret, where a first key is about to be stored into it."""
    if is_unasked(case):
        yield act.AskFirst(asks_readers=True, reason="ask who else may read the secret", due=case.now)


def is_unasked(case: Case) -> bool:
    """Tell whether it is still to be asked who else may read the secret: no key is made before."""
    return _is_first(case.view) and case.view.observation.readers is None


def holds(case: Case) -> Iterator[Hold]:
    """Hold a first key that someone outside the account could read, or where that is unknown."""
    observation = case.view.observation
    secret, found = observation.secret, observation.readers
    if secret is None or not _is_first(case.view):
        return
    if secret.other_kms_key.startswith("arn:") and _account_of(secret.other_kms_key) != observation.account:
        yield Hold(
            reason=f"no key is stored into {secret.name}: it is encrypted with {secret.other_kms_key}, a KMS key of "
            "another account",
            remedy="find out who made the secret; then encrypt it with a key of this account (aws secretsmanager "
            f"update-secret --secret-id {secret.name} --kms-key-id …), or name another secret with `secret:`",
        )
    if found is not None and found.why_unknown:
        yield Hold(
            reason=f"no key is stored into {secret.name}: who else may read it is not known: {found.why_unknown}",
            remedy=found.remedy,
        )
    for other in found.others if found is not None else ():
        yield Hold(
            reason=f"no key is stored into {secret.name}: its resource policy allows {other}",
            remedy="find out who made the secret; then remove the policy (aws secretsmanager delete-resource-policy "
            f"--secret-id {secret.name}), or name another secret with `secret:`",
        )


def _is_first(view: View) -> bool:
    """Tell whether the secret exists and no version of it stands for a key yet."""
    return view.observation.secret is not None and not any(key_label(version) for version in view.versions)


# --- the policy -----------------------------------------------------------------------------------------------------


def _others(document: Mapping[str, object], account: str) -> Iterator[str]:
    for statement in _listed(document["Statement"]):
        if not isinstance(statement, dict):
            raise TypeError
        if statement.get("Effect") == "Deny" or not _is_telling(statement):
            continue
        if _is_restricted(statement.get("Condition") or {}, account):
            continue
        for principal in _principals(statement):
            if _account_of(principal) != account:
                yield f"{_words(statement)} to {_named(principal)}"


def _is_telling(statement: Mapping[str, object]) -> bool:
    """Tell whether a statement covers more than looking at what the secret is."""
    if "Action" not in statement:
        return True  # NotAction: everything but a few
    actions = [str(action).lower().removeprefix("secretsmanager:") for action in _listed(statement["Action"])]
    return any(action not in _HARMLESS for action in actions)


def _principals(statement: Mapping[str, object]) -> Iterator[str]:
    if "Principal" not in statement:
        yield "*"  # NotPrincipal: everyone but a few
        return
    principal = statement["Principal"]
    kinds = principal.values() if isinstance(principal, dict) else [principal]
    for kind in kinds:
        yield from (str(name) for name in _listed(kind))


def _is_restricted(condition: Mapping[str, Mapping[str, object]], account: str) -> bool:
    """
    Tell whether a condition lets only the own account in.

    An organization is not taken for the own one: its ID in a policy says nothing about whose it is.
    """
    for operator, tests in condition.items():
        for key, value in tests.items():
            if operator.lower() in _EXACT and _is_own(key.lower(), [str(one) for one in _listed(value)], account):
                return True
    return False


def _is_own(key: str, values: list[str], account: str) -> bool:
    if key in _ACCOUNTS:
        return bool(values) and all(value == account for value in values)
    return key in _ARNS and bool(values) and all(_account_of(value) == account for value in values)


def _account_of(principal: str) -> str:
    """Read the account out of an ARN or an account ID; empty where neither is there."""
    parts = principal.split(":")
    if len(parts) > 5 and parts[0] == "arn":  # noqa: PLR2004  # an ARN's fields
        return parts[4]
    return principal if fnmatchcase(principal, "[0-9]" * 12) else ""


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _words(statement: Mapping[str, object]) -> str:
    if "Action" not in statement:
        return "every action but a few"
    return ", ".join(str(action) for action in _listed(statement["Action"]))


def _named(principal: str) -> str:
    return "any principal (*)" if principal == "*" else principal
