"""Prove that AWS accepts a key as the right user, before anyone is given it."""

from __future__ import annotations

from collections.abc import Sequence

from keyrota.core.model import KeyPair
from keyrota.errors import NotThisUsersKey, NotVerified
from keyrota.executor.parallel import give_up_turn
from keyrota.executor.subject import CredentialContext, Settings


def verify(subject: CredentialContext, credential: KeyPair, settings: Settings) -> None:
    """
    Ask STS until it accepted the key several times in a row, spread over some seconds.

    IAM is eventually consistent, and one endpoint's yes proves little about another: every endpoint must agree.

    Raises:
        NotVerified: Not within the time that keyrota waits.
        NotThisUsersKey: The key belongs to another user.
    """
    clock = settings.clock
    give_up = clock.now().timestamp() + settings.verify_give_up_s
    # Spread over the whole span: four answers at once would come from one moment, and propagation takes up to fifteen
    # seconds (reported, docs/facts/aws.md).
    pause = settings.verify_span_s / max(1, settings.verify_times - 1)
    in_a_row = 0
    while True:
        # One refusal starts the count again: behind an endpoint are several hosts, and the next one may be older
        # (decision 0016).
        in_a_row = in_a_row + 1 if _is_accepted(subject, credential, subject.identity.whoami(credential)) else 0
        if in_a_row >= settings.verify_times:
            return
        if clock.now().timestamp() > give_up:
            raise NotVerified(
                f"STS did not accept the key {credential.id} of {subject.user} "
                f"{settings.verify_times} times in a row within {settings.verify_give_up_s:.0f} s",
                remedy="it was written to no target in this step; the next run tries again",
            )
        with give_up_turn():
            clock.sleep(pause)


def _is_accepted(subject: CredentialContext, credential: KeyPair, answers: Sequence[str | None]) -> bool:
    for arn in answers:
        # Refused at once, and never waited for: a key does not change its user.
        if arn is not None and not is_user(arn, subject.account, subject.user):
            raise NotThisUsersKey(
                f"the key {credential.id} belongs to {arn}, not to user {subject.user} of account {subject.account}",
                where=f"secret {subject.secret_name}",
                remedy="correct `user`, `account` or `secret` in the configuration; nothing was written",
            )
    # Without `bool` no region at all would be a proof.
    return bool(answers) and all(arn is not None for arn in answers)


def is_user(arn: str, account: str, user: str) -> bool:
    """Return whether an ARN is this user's (arn:PARTITION:iam::ACCOUNT:user/PATH/NAME)."""
    parts = arn.split(":", 5)
    return len(parts) == 6 and parts[4] == account and parts[5].startswith("user/") and parts[5].split("/")[-1] == user  # noqa: PLR2004  # an ARN has six parts
