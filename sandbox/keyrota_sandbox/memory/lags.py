"""How far the answers of AWS, and the lists of providers, lie behind what happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from keyrota.core.model import AccessKeyId


class Lags(Protocol):
    """What an eventually consistent AWS would answer at this moment (docs/facts/aws.md, IAM)."""

    def is_usable(self, key: AccessKeyId, age: timedelta) -> bool:
        """Return whether the endpoint that happens to answer knows a new key already."""
        ...

    def draw_list_lag(self) -> timedelta:
        """Return how old the list is that IAM shows this time."""
        ...

    def last_use(self) -> timedelta:
        """Return how old the last use is that IAM shows this time."""
        ...

    def secret(self) -> timedelta:
        """Return how old a secret is that Secrets Manager shows this time."""
        ...

    def draw_secrets_lag(self) -> timedelta:
        """Return how old a secret is in the list of all secrets that Secrets Manager shows this time."""
        ...

    def off(self) -> timedelta:
        """Return how long the endpoint that happens to answer accepts a key after it was deactivated."""
        ...

    def is_passed_over(self) -> bool:
        """Return whether a variable is in no page of this list, because the pages shifted while they were read."""
        ...
