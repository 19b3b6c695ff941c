"""Which secret keeps each user's keys, as `check` reports it, and how `release` lets go of a user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyrota.app.departed import Departed
from keyrota.core.lifecycle import interpret
from keyrota.core.model import SECRET_TAG, CredentialId, secret_mark
from keyrota.core.ownership import holds, is_established
from keyrota.core.situation import Situation

if TYPE_CHECKING:
    from datetime import datetime

    from keyrota.executor.fleet import Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What is to be said of one user's tag."""

    credential: CredentialId
    detail: str
    remedy: str
    is_good: bool | None
    """False: another secret keeps the user's keys; None: not known, or no tag."""


def owners(previews: Iterable[Preview], now: datetime) -> Iterator[Owner]:
    """Ask each user that can be reached for its tag: one call each, where the plan has not asked already."""
    from keyrota.executor.ownership import user_tag  # noqa: PLC0415  # heavy, and not needed for --help

    for preview in previews:
        seen = preview.observation
        if seen is None:
            continue
        tag = seen.user_tag or user_tag(preview.subject)
        situation = Situation(view=interpret(replace(seen, user_tag=tag)), policy=preview.subject.policy, now=now)
        for hold in holds(situation):
            is_good = None if tag.why_unknown else False
            yield Owner(credential=preview.credential, detail=hold.reason, remedy=hold.remedy, is_good=is_good)
        if is_established(situation) and tag.why_unknown:
            detail = f"whether another secret keeps the keys of {seen.user} is not known: {tag.why_unknown}"
            yield Owner(credential=preview.credential, detail=detail, remedy=tag.remedy, is_good=None)
        elif is_established(situation) and not tag.secret:
            yield Owner(
                credential=preview.credential,
                detail=f"the IAM user has no tag {SECRET_TAG}: another configuration may take its keys by mistake",
                remedy="the next rotation sets it (iam:TagUser); let Terraform and others that manage the user's tags "
                f'leave {SECRET_TAG} alone (`lifecycle {{ ignore_changes = [tags["{SECRET_TAG}"]] }}`)',
                is_good=None,
            )


def let_go(one: Departed) -> None:
    """
    Remove the user's tag, where it names this secret; another one's stays.

    Raises:
        KeyrotaError: The tag could not be read or removed.
    """
    from keyrota.aws.iam import IamAccessKeys  # noqa: PLC0415  # botocore is imported late

    keys = IamAccessKeys(one.account)
    if keys.secret_tag(one.user) == secret_mark(one.account.region or "", one.secret.name):
        keys.remove_secret_tag(one.user)
