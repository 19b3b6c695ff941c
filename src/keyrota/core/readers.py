"""
Who besides the own account may read a secret: asked before each key that is stored into it, or adopted from it.

A secret that exists before keyrota's first run may have been made by anyone who may create secrets, and whoever may
write to it later can set tags and labels as well. So neither its name nor its tags, and no label that looks like a key
ID, prove that it is ours, or that this was asked before. Its resource policy and its KMS key, which AWS itself judges
by, show who else would receive the key: so they are read each time. Whom a person lets read it is said in the
configuration, which is not the secret's. What cannot be read is unknown, and no key is stored then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from keyrota.core import plan as act
from keyrota.core.model import SecretReaders
from keyrota.core.plan import Hold
from keyrota.core.situation import Situation

_HARMLESS = ("describesecret", "getresourcepolicy", "listsecrets", "listsecretversionids")
"""Actions that show no value and change nothing; with any other one a key could be read, replaced, or shared on."""
_EXACT = frozenset({"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"})
"""Condition operators that are false where the key is missing; `…IfExists` and `ForAllValues:…` are true then."""
_ORGANIZATION = "aws:principalorgid"
_ACCOUNTS = frozenset({"aws:principalaccount", "aws:sourceaccount"})
_ARNS = frozenset({"aws:principalarn", "aws:sourcearn"})
_NOT_READABLE = SecretReaders(
    why_unknown="the resource policy of the secret is not one that keyrota can read",
    remedy="look at it: aws secretsmanager get-resource-policy; remove it, or name another secret with `secret:`",
)


def readers(policy: str | None, account: str, allowed: Iterable[str] = ()) -> SecretReaders:
    """
    Read a resource policy: name what it allows to anyone but the account's own principals and those that are allowed.

    Denials are not weighed: what one statement allows and another denies is reported as allowed. A denial may itself
    have conditions and exceptions, so to take it for complete could miss a reader; a person can allow what is denied.

    Args:
        policy: The JSON text from GetResourcePolicy; None: the secret has none.
        account: The account ID, 12 digits.
        allowed: Account IDs and organization IDs (`o-…`) that the configuration lets read the secret.
    """
    if policy is None:
        return SecretReaders()
    try:
        document = json.loads(policy)
        return SecretReaders(others=tuple(dict.fromkeys(_others(document, frozenset({account, *allowed})))))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return _NOT_READABLE


def questions(situation: Situation) -> Iterator[act.AskFirst]:
    """Ask who else may read the secret, where a key is about to be stored into it, or adopted from it."""
    if is_unasked(situation):
        yield act.AskFirst(asks_readers=True, reason="ask who else may read the secret", due=situation.now)


def is_unasked(situation: Situation) -> bool:
    """Return whether it is still to be asked who else may read the secret: no key is made or adopted before."""
    return situation.view.observation.secret is not None and situation.view.observation.readers is None


def holds(situation: Situation, what: str = "no key is stored into") -> Iterator[Hold]:
    """Hold a key that someone outside the account could read, or where that is unknown; `what` says what is held."""
    observation = situation.view.observation
    secret, found = observation.secret, observation.readers
    if secret is None:
        return
    if secret.other_kms_key.startswith("arn:") and _account_of(secret.other_kms_key) != observation.account:
        yield Hold(
            reason=f"{what} {secret.name}: it is encrypted with {secret.other_kms_key}, a KMS key of another account",
            remedy="find out who made the secret; then encrypt it with a key of this account (aws secretsmanager "
            f"update-secret --secret-id {secret.name} --kms-key-id …), or name another secret with `secret:`",
        )
    if found is not None and found.why_unknown:
        yield Hold(
            reason=f"{what} {secret.name}: who else may read it is not known: {found.why_unknown}",
            remedy=found.remedy,
        )
    for other in found.others if found is not None else ():
        yield Hold(
            reason=f"{what} {secret.name}: its resource policy allows {other}",
            remedy="find out who made the secret; then remove the policy (aws secretsmanager delete-resource-policy "
            f"--secret-id {secret.name}), or name another secret with `secret:`; where it is meant to be shared, list "
            "the account or the organization under `secret_readers:`",
        )


# --- the policy -----------------------------------------------------------------------------------------------------


def _others(document: Mapping[str, object], allowed: frozenset[str]) -> Iterator[str]:
    for statement in _as_list(document["Statement"]):
        if not isinstance(statement, dict):
            raise TypeError
        if statement.get("Effect") == "Deny" or not _is_telling(statement):
            continue
        condition = statement.get("Condition") or {}
        if _is_restricted(condition, allowed):
            continue
        for principal in _principals(statement):
            if _account_of(principal) not in allowed:
                yield f"{_words(statement)} to {_name_principal(principal)}{_within(condition)}"


def _is_telling(statement: Mapping[str, object]) -> bool:
    """Return whether a statement covers more than looking at what the secret is."""
    if "Action" not in statement:
        return True  # NotAction: everything but a few
    actions = [str(action).lower().removeprefix("secretsmanager:") for action in _as_list(statement["Action"])]
    return any(action not in _HARMLESS for action in actions)


def _principals(statement: Mapping[str, object]) -> Iterator[str]:
    if "Principal" not in statement:
        yield "*"  # NotPrincipal: everyone but a few
        return
    principal = statement["Principal"]
    kinds = principal.values() if isinstance(principal, dict) else [principal]
    for kind in kinds:
        yield from (str(name) for name in _as_list(kind))


def _is_restricted(condition: Mapping[str, Mapping[str, object]], allowed: frozenset[str]) -> bool:
    """
    Return whether a condition lets only the own account in, or accounts and organizations that are allowed.

    An organization counts only where the configuration names it: its accounts are other accounts, and its ID in a
    policy says nothing about whose it is.
    """
    for operator, tests in condition.items():
        for key, value in tests.items():
            if operator.lower() in _EXACT and _is_own(key.lower(), [str(one) for one in _as_list(value)], allowed):
                return True
    return False


def _is_own(key: str, values: list[str], allowed: frozenset[str]) -> bool:
    if key in _ACCOUNTS or key == _ORGANIZATION:
        return bool(values) and all(value in allowed for value in values)
    return key in _ARNS and bool(values) and all(_account_of(value) in allowed for value in values)


def _within(condition: Mapping[str, Mapping[str, object]]) -> str:
    """Name the organizations that a condition lets in."""
    found = [
        str(one)
        for operator, tests in condition.items()
        for key, value in tests.items()
        if operator.lower() in _EXACT and key.lower() == _ORGANIZATION
        for one in _as_list(value)
    ]
    return f" of the organization {', '.join(found)}" if found else ""


def _account_of(principal: str) -> str:
    """Read the account out of an ARN or an account ID; empty where neither is there."""
    parts = principal.split(":")
    if len(parts) > 5 and parts[0] == "arn":  # noqa: PLR2004  # an ARN's fields
        return parts[4]
    return principal if fnmatchcase(principal, "[0-9]" * 12) else ""


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _words(statement: Mapping[str, object]) -> str:
    if "Action" not in statement:
        return "every action but a few"
    return ", ".join(str(action) for action in _as_list(statement["Action"]))


def _name_principal(principal: str) -> str:
    return "any principal (*)" if principal == "*" else principal
