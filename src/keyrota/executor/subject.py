"""One credential with the ports that reach it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from keyrota.core.model import NOBODY, Caller, FirstWrite, IndexEntry, OfCredential, secret_mark
from keyrota.core.policy import RotationPolicy
from keyrota.errors import KeyrotaError
from keyrota.executor.parallel import Parallel, in_parallel
from keyrota.http import STOP, Stop
from keyrota.ports import AccessKeys, Clock, Identity, SecretStore, Target

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for every credential of a run."""

    clock: Clock
    run: str
    """The run's ID: goes into claims, so that a run knows its own."""
    lease: timedelta = timedelta(minutes=10)
    """How long a claim keeps other runs away; longer than any single step takes."""
    verify_times: int = 4
    """So many times in a row STS must accept a new key …"""
    verify_span_s: float = 30.0
    """… spread over this time: 3 to 15 seconds of propagation are reported (docs/facts/aws.md); twice that is safe."""
    verify_give_up_s: float = 180.0
    """After this time without enough successes the run leaves the key to the next one."""
    writers: int = 8
    """So many targets of one credential are written at once …"""
    parallel: Parallel = in_parallel
    """… by threads."""
    stop: Stop = STOP
    """Whether the process was told to stop."""
    until: datetime | None = None
    """When the process is ended from outside, whatever it does (the time limit of a function); None: nobody says."""
    pair_patience: timedelta = timedelta(minutes=10)
    """So long a pair that was begun is tried to be finished, and a `Retry-After` is obeyed."""
    pair_spare: timedelta = timedelta(seconds=180)
    """No pair is begun later than this before `until`: one call waits 120 s at most, and its last answer takes 30 s."""

    reads_values: bool = True
    """Whether a plan reads what someone else put into a secret, to say what becomes of it; who watches may not."""

    def each(self, do: Callable[[T], R], things: Iterable[T]) -> list[R]:
        """Do the same with each target, several at once; results in their order."""
        return self.parallel(do, things, self.writers)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialContext(OfCredential):
    """One IAM user whose key keyrota keeps: names, policy and ports."""

    secret_name: str
    region: str = ""
    """Where the secret is."""
    policy: RotationPolicy
    access_keys: AccessKeys
    identity: Identity
    store: SecretStore
    targets: tuple[Target, ...]
    is_secret_named: bool = False
    index: tuple[IndexEntry, ...] = ()
    """The targets as the secret's index names them, so that one that is dropped later can still be reached."""
    reach: Callable[[IndexEntry], Target | KeyrotaError] | None = None
    """Reaches a target that the configuration names no more; an error where that cannot be."""
    services: tuple[str, ...] = ()
    """Providers that are not where they usually are, with their base URL: another one is another set of targets."""
    first_writes: tuple[tuple[str, FirstWrite], ...] = ()
    """What the configuration says of first writes to single targets, by address."""
    caller: str = ""
    """ARN of the caller of this run: who confirms a first write."""
    stack: str = ""
    """The deployed stack that this run belongs to; empty for a person's run."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """The user's own tags for a secret that keyrota creates."""

    secret_readers: frozenset[str] = frozenset()
    """Other accounts and organizations that the configuration lets read the secret."""

    kms_key: str = ""
    """The KMS key that the configuration names for the secret; empty: none."""
    runs_as: Caller = NOBODY
    """Whom keyrota itself runs as."""

    @property
    def secret_mark(self) -> str:
        """How the tag `keyrota:secret` of the IAM user names the secret."""
        return secret_mark(self.region, self.secret_name)

    @property
    def fingerprint(self) -> str:
        """Name the set of targets: 16 hexadecimal characters that change when a target comes, goes or moves."""
        text = "\n".join([*sorted(target.address for target in self.targets), *self.services])
        return hashlib.sha256(text.encode()).hexdigest()[:16]
