"""
Every error that a user can meet, on one page.

Each says what is wrong, where, and what to do; each class docstring ends with what still holds afterwards.
Errors carry no secret value: a message is built from names, IDs and status codes only, never from a body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_MAX_LENGTH = 600
NO_TOKEN = "the token reference"  # noqa: S105  # words, not a token
"""Begins what is told of a reference behind which there is no token: one fault, whatever number of targets need it."""
GOES_ON = "nothing is lost: a run after that time continues where this one stopped"
"""The remedy of a limit that outlasts a run's bound, seen before anything was sent."""


HIDDEN = "(hidden)"
_MAX_LOOKED_AT = 20_000
_QUOTED_HEADERS = re.compile(
    r"""(?ix)
    \b(?P<name>x-amz-security-token|x-amz-signature|x-amz-credential|(?:proxy-)?authorization|private-token|job-token
    |circle-token|x-vault-token|set-cookie|cookie)
    (?P<between>["']?\s*[:=]\s*["']?) [^"'<>\\\r\n]+
    | \b(?P<scheme>AWS4-HMAC-SHA256\s+Credential=|Bearer\s+|Basic\s+(?=[A-Za-z0-9+/]{12})) [^"'<>\\\r\n]+
    """
)
"""What carries a credential in a request, as an error that quotes the request would show it."""
_redactors: list[Callable[[str], str]] = []


def add_redactor(redactor: Callable[[str], str]) -> None:
    """Let every text that is shown pass through a function that removes what it knows to be secret."""
    _redactors.append(redactor)


def redact(text: str) -> str:
    """Remove secrets from other people's words: quoted headers by their look, our own credentials by their value."""
    text = text[:_MAX_LOOKED_AT]
    return without_own_secrets(_QUOTED_HEADERS.sub(_without_value, text))


def _without_value(match: re.Match[str]) -> str:
    return f"{match['name'] or match['scheme']}{match['between'] or ''}{HIDDEN}"


def without_own_secrets(text: str) -> str:
    """Remove this process's own credentials from a line of output: the last look, after every error had its own."""
    for redactor in _redactors:
        text = redactor(text)
    return text


def printable(text: str) -> str:
    """
    Make a text safe to show: control characters (terminal escapes, line breaks) become visible, and it has an end.

    Names and messages come from other people's services; every error passes through here. Secrets are removed before
    the text is cut: a part of one would not be known again.
    """
    text = redact(text)
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:_MAX_LENGTH])
    return shown + "…" if len(text) > _MAX_LENGTH else shown


class KeyrotaError(Exception):
    """
    Root of all errors that keyrota raises on purpose.

    What still holds: whatever the subclass says; without a subclass, nothing was begun.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = printable(what)
        """One sentence: what is wrong."""
        self.where = printable(where)
        """File:line:column, ARN, or provider + scope + variable; empty where `what` says it."""
        self.remedy = printable(remedy)
        """What the reader can do; empty where only time helps."""
        self.target = ""
        """The address of the target that it is about; empty if it is about none."""
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a configuration file."""

    where: str
    what: str
    remedy: str = ""


class ConfigError(KeyrotaError):
    """
    The configuration cannot be used; all its faults at once, each with file, line and column.

    What still holds: nothing was read from AWS and nothing was written anywhere.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        super().__init__(first.what, where=first.where, remedy=first.remedy)


class UsageError(KeyrotaError):
    """
    The command line asks for something that does not exist or does not fit together.

    What still holds: nothing was begun.
    """


class SharedPlace(KeyrotaError):
    """
    Two configured credentials write the same variables of one place, whatever names the configuration gives it.

    What still holds: nothing was changed for either; other credentials continue.
    """


class PlanChanged(KeyrotaError):
    """
    The world moved while the plan was carried out, and what is due now is not what was planned.

    What still holds: each action done so far is complete, and the next run plans from what it finds.
    """


class OwnKey(KeyrotaError):
    """
    The access key that would be deactivated or deleted is the one that keyrota itself is running with.

    What still holds: the key stays as it is; where it was named on the command line, nothing was begun.
    """


class LostRace(KeyrotaError):
    """
    Another run was first: a compare-and-swap was refused.

    What still holds: this call changed nothing; the other run's result stands.
    """


class ProviderRefused(KeyrotaError):
    """
    A service said no for good (400, 401, 403, 404, 409, 422): repeating it does not help.

    What still holds: the refused call changed nothing; keys that are served stay as they are.
    """


class NotThere(ProviderRefused):
    """
    What was named does not exist, or the credential may not see it (services answer both with 404).

    What still holds: the call changed nothing.
    """


class NoCredentials(ProviderRefused):
    """
    No AWS credentials were found, or AWS does not accept the ones that were.

    What still holds: nothing was read and nothing was written.
    """


class ClockIsOff(ProviderRefused):
    """
    This machine's clock differs from the service's by more than AWS accepts.

    What still holds: nothing was planned, because ages counted by a wrong clock are wrong.
    """


class SecretUnusable(ProviderRefused):
    """
    The secret's value is not what keyrota can work with (binary, no JSON object, without the key's fields).

    What still holds: the secret and every key stay as they are.
    """


class NotThisUsersKey(ProviderRefused):
    """
    The secret holds a key that is not an Active key of the user that the configuration names.

    What still holds: the secret, every key and every target stay as they are.
    """


class NotVerified(KeyrotaError):
    """
    STS did not accept a new key as the right user within the time that keyrota waits.

    What still holds: the new key is stored and not served anywhere; the old one stays in use. The next run tries again.
    """


class ProviderUnavailable(KeyrotaError):
    """
    A service did not answer, or asked to wait longer than keyrota waits (429, 5xx, time-outs, cut connections).

    What still holds: for a read, everything. For a write **the outcome is unknown**: the next step observes
    again and finds out. Keys that are served stay as they are.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        retry_after_s: float | None = None,
        is_undone: bool = False,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.retry_after_s = retry_after_s
        """Seconds that the service asked us to wait, if it said."""
        self.is_undone = is_undone
        """Of a write: it was refused before any effect (429, throttling), or never sent. The outcome is known then."""


class LeftByLimit(ProviderUnavailable):
    """
    A limit outlasts the time that a run may wait, which was seen before anything was sent.

    What still holds: everything. It is no failure, but work that is left to a run after `retry_at` (UTC).
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = GOES_ON,
        retry_after_s: float | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy, retry_after_s=retry_after_s, is_undone=True)
        self.retry_at = retry_at


class Half(StrEnum):
    """One half of a pair that is kept in two variables."""

    ID = "ID"
    SECRET = "secret"  # noqa: S105  # a word


class TornPair(ProviderUnavailable):
    """
    One half of a pair was written, or may have been, and the other one was not: pipelines fail there now.

    What still holds: the run finishes the pair, or puts the old one back; what it cannot is remembered in the tag
    `keyrota:pairs`, reported first by every run, and written first by the next one.
    """

    def __init__(self, cause: KeyrotaError, *, written: frozenset[Half], unsure: frozenset[Half] = frozenset()) -> None:
        after_s = cause.retry_after_s if isinstance(cause, ProviderUnavailable) else None
        super().__init__(cause.what, where=cause.where, remedy=cause.remedy, retry_after_s=after_s)
        self.target = cause.target
        self.written = written
        """Halves that hold the new key's."""
        self.unsure = unsure
        """Halves of which nobody knows."""
        self.is_refused = not isinstance(cause, ProviderUnavailable)
        """The other half was refused for good: repeating it alone does not help."""


class Stopped(KeyrotaError):
    """
    The process was told to stop (SIGTERM, SIGINT).

    What still holds: every pair that was begun is whole, and every key that was made is stored; nothing more was begun.
    """


class PartialFailure(KeyrotaError):
    """
    Some credentials or targets failed; each failed alone.

    What still holds: every other credential continued; `failures` names those that did not.
    """

    def __init__(self, what: str, failures: Iterable[KeyrotaError]) -> None:
        self.failures = tuple(failures)
        first = self.failures[0]
        super().__init__(what, where=first.where, remedy=first.remedy)


class Bug(KeyrotaError):
    """
    Something that keyrota did not expect happened with one credential.

    What still holds: every other credential continued, and what was done to this one is complete or heals itself.
    """


class SandboxMissing(KeyrotaError):
    """
    The sandbox (the distribution keyrota-sandbox, or what it needs) is not installed beside keyrota.

    What still holds: nothing was begun; every command but `demo`, `sandbox` and `simulate` works without it.
    """
