"""What IAM and STS refuse or answer otherwise than moto (IAM and STS API References)."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from keyrota_sandbox.aws.secrets import Refused
from keyrota_sandbox.server import Response

_STATUSES = ("Active", "Inactive")
_MAX_ITEMS, _DEFAULT_ITEMS = 1000, 100
_FRACTION = re.compile(rb"(<(?:\w*Date|Expiration)>[^<.]*)\.\d+(Z?</)")
_NAMESPACE = re.compile(r"\{[^}]*\}")
_STANDARD_BYTES, _ADVANCED_BYTES = 4096, 8192
"""Sizes of a parameter's value by tier (Systems Manager User Guide, Managing parameter tiers)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Temporary credentials that GetSessionToken gave out: they are the user's own, for some hours."""

    secret: str
    owner: str
    """Access key ID of whoever asked."""
    until: datetime


def check(action: str, form: Mapping[str, str], iam: Any) -> None:
    """
    Refuse a call to IAM that AWS refuses and moto lets through.

    Raises:
        Refused: With IAM's code.
    """
    if action == "UpdateAccessKey" and form.get("Status") not in _STATUSES:
        raise Refused(
            "ValidationError",
            f"1 validation error detected: Value '{form.get('Status', '')}' at 'status' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Active, Inactive]",
        )
    if "MaxItems" in form and not (form["MaxItems"].isascii() and form["MaxItems"].isdigit() and _is_page(form)):
        raise Refused("ValidationError", f"Value '{form['MaxItems']}' at 'maxItems' must be between 1 and 1000")
    if action == "TagUser":
        _check_tags(form, iam)
    if action == "DeleteUser":
        _demand_bare_user(iam.users.get(form.get("UserName", "")))


def _is_page(form: Mapping[str, str]) -> bool:
    return 1 <= int(form["MaxItems"]) <= _MAX_ITEMS


def _check_tags(form: Mapping[str, str], iam: Any) -> None:
    """Refuse tags that are too long or too many (IAM User Guide, quotas: 50 tags, keys of 128, values of 256)."""
    given = {form[name]: form.get(f"{name[:-3]}Value", "") for name in form if _TAG_KEY.fullmatch(name)}
    for key, value in given.items():
        if not 1 <= len(key) <= _MAX_TAG_KEY or len(value) > _MAX_TAG_VALUE:
            raise Refused("ValidationError", f"1 validation error detected: tag {key!r} is too long")
    user = iam.users.get(form.get("UserName", ""))
    worn = {str(tag["Key"]) for tag in iam.tagger.list_tags_for_resource(user.arn)["Tags"]} if user else set()
    if len(worn | given.keys()) > _MAX_TAGS:
        raise Refused("LimitExceeded", f"Cannot exceed quota for TagsPerUser: {_MAX_TAGS}", status=409)


_TAG_KEY = re.compile(r"Tags\.member\.\d+\.Key")
_MAX_TAGS, _MAX_TAG_KEY, _MAX_TAG_VALUE = 50, 128, 256


def _demand_bare_user(user: Any) -> None:
    """Refuse to delete a user that still has something (API Reference, DeleteUser: DeleteConflict)."""
    if user is None:
        return
    for what, has in (
        ("must delete access keys first", user.access_keys),
        ("must detach all policies first", user.managed_policies),
        ("must delete policies first", user.policies),
    ):
        if has:
            raise Refused("DeleteConflict", f"Cannot delete entity, {what}.", status=409)


def check_parameter(content: Mapping[str, Any]) -> None:
    """Refuse a parameter that is larger than its tier takes (API Reference, PutParameter)."""
    tier = content.get("Tier", "Standard")
    size = len(str(content.get("Value", "")).encode())
    limit = _STANDARD_BYTES if tier == "Standard" else _ADVANCED_BYTES
    if size > limit:
        raise Refused(
            "ValidationException",
            f"{'Standard' if tier == 'Standard' else 'Advanced'} tier parameters support a maximum parameter value of "
            f"{limit} characters.",
        )


def check_parameter_tags(content: Mapping[str, Any], worn: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
    """
    Refuse the 51st tag of a parameter (API Reference, AddTagsToResource: TooManyTagsError).

    Args:
        content: Of the request.
        worn: By type of resource and by name: the tags that are there.
    """
    there = worn.get(str(content.get("ResourceType")), {}).get(str(content.get("ResourceId")), {})
    given = {str(tag.get("Key")) for tag in content.get("Tags") or () if isinstance(tag, Mapping)}
    if len(there.keys() | given) > _MAX_TAGS:
        raise Refused("TooManyTagsError", f"a parameter has at most {_MAX_TAGS} tags")


def whole_seconds(response: Response) -> Response:
    """Cut the fractions of a second: IAM and STS answer with whole seconds."""
    return _with_body(response, _FRACTION.sub(rb"\1\2", response.body))


def cut_page(action: str, form: Mapping[str, str], response: Response) -> Response:
    """Cut one page out of a list of IAM's: moto lists all at once, or takes no notice of MaxItems."""
    if not action.startswith("List") or response.status >= 300 or b"<member" not in response.body:  # noqa: PLR2004
        return response
    root = ET.fromstring(response.body)  # noqa: S314  # moto's own answer
    result = next((child for child in root if child.tag.endswith("Result")), None)
    members = _members(result)
    if result is None or members is None:
        return response
    begin, size = int(form.get("Marker") or 0), int(form.get("MaxItems") or _DEFAULT_ITEMS)
    everything = list(members)
    for member in [*everything[:begin], *everything[begin + size :]]:
        members.remove(member)
    is_truncated = begin + size < len(everything)
    for child in [child for child in result if _name(child) in {"IsTruncated", "Marker"}]:
        result.remove(child)
    ET.SubElement(result, "IsTruncated").text = str(is_truncated).lower()
    if is_truncated:
        ET.SubElement(result, "Marker").text = str(begin + size)
    return _with_body(response, _write(root))


def _members(result: ET.Element | None) -> ET.Element | None:
    """Find the list itself: the first child of the result that has members."""
    children = result if result is not None else ()
    return next((child for child in children if any(_name(one) == "member" for one in child)), None)


def _name(element: ET.Element) -> str:
    return _NAMESPACE.sub("", element.tag)


def _write(root: ET.Element) -> bytes:
    """Write the document with one default namespace, as AWS does."""
    namespace = (_NAMESPACE.match(root.tag) or [""])[0].strip("{}")
    for element in root.iter():
        element.tag = _name(element)
    root.set("xmlns", namespace)
    return ET.tostring(root)


def administrator(response: Response, account: str) -> Response:
    """Answer GetCallerIdentity of the sandbox's administrator: an IAM user of the account."""
    named = _put_identity(response, f"arn:aws:iam::{account}:user/administrator")
    return _with_body(named, _fill(named.body, "UserId", "AIDASANDBOXADMIN00000"))


def give_session(response: Response, owner: str, sessions: dict[str, Session]) -> Response:
    """Give out temporary credentials that work; moto gives the ones of AWS's documentation to everyone."""
    key, secret = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30)
    body = _fill(_fill(response.body, "AccessKeyId", key), "SecretAccessKey", secret)
    until = re.search(rb"<Expiration>([^<]*)<", body)
    sessions[key] = Session(
        secret=secret,
        owner=owner,
        until=datetime.fromisoformat(until[1].decode()).astimezone(UTC) if until else datetime.max.replace(tzinfo=UTC),
    )
    return _with_body(response, body)


def identity_of(owner: str, arn_of: Callable[[str], str | None], response: Response) -> Response:
    """Answer GetCallerIdentity of a session with the user that asked for it."""
    arn = arn_of(owner)
    return response if arn is None else _put_identity(response, arn)


def _put_identity(response: Response, arn: str) -> Response:
    """Put an ARN, and its account, into an answer of GetCallerIdentity."""
    return _with_body(response, _fill(_fill(response.body, "Arn", arn), "Account", arn.split(":")[4]))


def _fill(body: bytes, element: str, text: str) -> bytes:
    """Replace the text of an element."""
    return re.sub(rf"<{element}>[^<]*<".encode(), f"<{element}>{text}<".encode(), body)


def _with_body(response: Response, body: bytes) -> Response:
    return Response(status=response.status, body=body, headers=response.headers)


def access_key_info(key: str) -> Response:
    """
    Name the account of a key, as STS does for any key ID, also one that is deleted or of another account.

    The account ID is in the key ID: the first six bytes of its Base32 part hold it, shifted by seven bits. Moto makes
    its key IDs in the same way.
    """
    try:
        head = int.from_bytes(base64.b32decode(key[_PREFIX:])[:6], "big")
    except (binascii.Error, ValueError):
        raise Refused("ValidationError", f"1 validation error detected: {key!r} is not an access key ID") from None
    account = (head & _ACCOUNT_BITS) >> 7
    body = (
        "<GetAccessKeyInfoResponse><GetAccessKeyInfoResult>"
        f"<Account>{account:012}</Account></GetAccessKeyInfoResult>"
        "<ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata></GetAccessKeyInfoResponse>"
    )
    return Response(status=200, body=body.encode(), headers={"Content-Type": "text/xml"})


_PREFIX = 4
"""AKIA, ASIA: the kind of the key."""
_ACCOUNT_BITS = 0x7FFFFFFFFF80
