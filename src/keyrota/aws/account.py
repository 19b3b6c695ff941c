"""One account's clients, from the standard credential chain or from a role to assume."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, Credentials, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError
from botocore.hooks import HierarchicalEmitter

from keyrota import __version__
from keyrota.aws._exchange import with_deadline
from keyrota.aws._translate import aws_call
from keyrota.aws.pace import Pace, get_pace
from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.secret import Secret
from keyrota.errors import ClockIsOff, ProviderRefused
from keyrota.http.own_secrets import note
from keyrota.ports import Clock

_USER_AGENT = f"keyrota/{__version__}"
_CONNECT_S, _READ_S = 5, 20
_MAX_SKEW = timedelta(seconds=45)
"""AWS takes five minutes (Signature Version 4); keys of a claim are told by their age, so here it is less."""

_POOL = 24
"""Connections a client keeps: as many as credentials are worked on at once, and some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role to assume in another account."""

    arn: str
    external_id: str | None = None


def _config(**more: Any) -> Config:
    return Config(
        user_agent_extra=_USER_AGENT,
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=_POOL,
        **{"retries": {"mode": "standard", "total_max_attempts": 4}, **more},
    )


ONE_ATTEMPT = {"retries": {"mode": "standard", "total_max_attempts": 1}}
"""
For CreateAccessKey alone. By default botocore sends a request again when its answer was lost, and returns the second
key without a word (measured: docs/facts/aws.md, CreateAccessKey and retries).
"""


_MODELS = botocore.loaders.create_loader(os.environ.get("AWS_DATA_PATH"))
"""Shared, because it keeps the services' models: reading one takes longer than a call."""


_HOOKS = HierarchicalEmitter()
botocore.session.Session(event_hooks=_HOOKS)
"""botocore's own handlers, for each session to copy: to register these 120 takes longer than some calls."""


def _usual_region(session: botocore.session.Session) -> str | None:
    """Return the region of environment or profile; botocore alone among the SDKs does not read AWS_REGION."""
    found = os.environ.get("AWS_REGION") or session.get_config_variable("region")
    return str(found) if found else None


def _session(*, profile: str | None = None) -> botocore.session.Session:
    session = botocore.session.Session(profile=profile, event_hooks=copy(_HOOKS), include_builtin_handlers=False)
    session.register_component("data_loader", _MODELS)
    session.register("before-sign", _note_credentials)
    return session


_WITHOUT_PROFILE = frozenset({"env", "iam-role", "container-role", "assume-role-with-web-identity"})
"""How botocore says that it found credentials without a look at a profile's keys (`Credentials.method`)."""


def _profile_keys(session: botocore.session.Session) -> Iterator[str]:
    """Follow a profile's `source_profile`s to the keys that its roles are assumed with."""
    profiles = session.full_config.get("profiles", {})
    name: str | None = session.profile or "default"
    seen: set[str] = set()
    while name and name not in seen:
        seen.add(name)
        profile = profiles.get(name, {})
        yield str(profile.get("aws_access_key_id", ""))
        if profile.get("credential_source") == "Environment":
            yield os.environ.get("AWS_ACCESS_KEY_ID", "")
        name = profile.get("source_profile")


def _note_credentials(**event: Any) -> None:
    """Note what a request is signed with, wherever it came from, so that no text shows it."""
    signing = event["request_signer"]._credentials  # noqa: SLF001  # botocore has no public way to it, and signs with it next
    if signing is None:
        return
    frozen = signing.get_frozen_credentials()
    for value in (frozen.secret_key, frozen.token):
        if value:
            note(Secret(value))


class Account:
    """
    The clients of one account and region; made when they are first used, then shared by all threads.

    The variables and files of every AWS tool work: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, AWS_CA_BUNDLE, proxies.
    """

    _lock = threading.RLock()
    """botocore's sessions and client creation are not thread-safe; its clients are."""

    def __init__(
        self,
        *,
        region: str | None = None,
        profile: str | None = None,
        role: Role | None = None,
        expected: str | None = None,
    ) -> None:
        self._profile = profile
        self._region = region
        self._role = role
        self._expected = expected
        self._own_session: botocore.session.Session | None = None
        self._session: botocore.session.Session | None = None
        self._clients: dict[tuple[str, str | None, bool], Any] = {}
        self._id: str | None = None
        self._arn = ""
        self._asked: tuple[str, str] | None = None

    def keys_behind(self) -> frozenset[AccessKeyId]:
        """
        Return the IDs of the access keys behind these credentials, as far as this machine knows them.

        Their own, that of the credentials which assumed this role, and those that a profile's roles are assumed with:
        a role's session ends with the last renewal that its source key can make.

        Raises:
            NoCredentials, ProviderRefused: There are no credentials.
        """
        with self._lock, aws_call("sts:GetCallerIdentity", self._where()):
            source = self._open_own()
            own = source.get_credentials()
            if own is None:
                raise NoCredentialsError
            profiles = _profile_keys(source) if own.method not in _WITHOUT_PROFILE else ()
            return frozenset(AccessKeyId(key) for key in (own.access_key, *profiles) if key)

    def is_session(self) -> bool:
        """
        Return whether the credentials of the machine, before any role of the configuration, are temporary ones.

        Raises:
            NoCredentials, ProviderRefused: There are no credentials.
        """
        with self._lock, aws_call("sts:GetCallerIdentity", self._where()):
            own = self._open_own().get_credentials()
            return own is not None and bool(own.token)

    def client(self, service: str, *, region: str | None = None, is_single_attempt: bool = False) -> Any:
        """
        Return a client of this account.

        Raises:
            NoCredentials, ProviderRefused: There are no credentials, or there is no region.
        """
        name = (service, region, is_single_attempt)
        with self._lock:
            if name not in self._clients:
                with aws_call(f"{service}:*", self._where()):
                    made = self._open().create_client(
                        service,
                        region_name=region or self.region,
                        config=_config(**(ONE_ATTEMPT if is_single_attempt else {})),
                    )
                    # a package on its way to S3 takes as long as the line needs, and someone looks on
                    self._clients[name] = made if service == "s3" else with_deadline(made, self._get_pace(service))
            return self._clients[name]

    def client_as(self, service: str, credential: KeyPair, *, region: str | None = None) -> Any:
        """Return a client that signs with the given pair, once and without repeating; the caller closes it."""
        with self._lock, aws_call(f"{service}:*", self._where()):
            made = self._open().create_client(
                service,
                region_name=region or self.region,
                aws_access_key_id=credential.id,
                aws_secret_access_key=credential.secret.reveal(),
                config=_config(**ONE_ATTEMPT),
            )
            return with_deadline(made, self._get_pace(service))

    def _get_pace(self, service: str) -> Pace:
        """Find the pace of a service; AWS throttles by the account that calls, and by its API."""
        return get_pace(self._role.arn if self._role else self._profile or "", service)

    @property
    def region(self) -> str | None:
        """The region: configured, or from the environment or profile."""
        return self._region or _usual_region(self._open())

    def _where(self) -> str:
        return f"role {self._role.arn}" if self._role else "AWS"

    def _open(self) -> botocore.session.Session:
        with self._lock:
            if self._session is None:
                with aws_call("sts:AssumeRole" if self._role else "sts:GetCallerIdentity", self._where()):
                    self._session = self._assume_role() if self._role else self._open_own()
            return self._session

    def _open_own(self) -> botocore.session.Session:
        """Return the session of the machine's own credentials, before any role of the configuration."""
        with self._lock:
            if self._own_session is None:  # made once: a session costs more than a call
                self._own_session = _session(profile=self._profile)
            return self._own_session

    def _assume_role(self) -> botocore.session.Session:
        source = self._open_own()
        session = _session()
        session._credentials = self._refresh(source)  # type: ignore[attr-defined]  # noqa: SLF001  # no public setter takes refreshing ones
        return session

    def _refresh(self, source: botocore.session.Session) -> Credentials:
        role = self._role
        if role is None:
            raise RuntimeError("no role to assume")
        own = source.get_credentials()
        if own is None:
            raise NoCredentialsError  # botocore's fetcher would fail on None with an AttributeError
        extra = {"RoleSessionName": "keyrota"} | ({"ExternalId": role.external_id} if role.external_id else {})
        region = self._region or _usual_region(source)
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=lambda service, **options: with_deadline(
                source.create_client(service, **{**options, "region_name": region, "config": _config()})
            ),
            source_credentials=own,
            role_arn=role.arn,
            extra_args=extra,
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    def resolve_id(self, clock: Clock) -> str:
        """Return the account's ID, asking for it once (see `enter`)."""
        return self._id if self._id is not None else self.enter(clock)

    def id(self) -> str:
        """Return the account's ID, 12 digits, once `enter` has asked for it."""
        if self._id is None:
            raise RuntimeError("the account was not entered")
        return self._id

    def ask_id(self) -> str:
        """Return the account's ID, asking STS for it once; neither clock nor configuration is looked at (`enter`)."""
        return self._identity()[0]

    def partition(self) -> str:
        """Return the partition of the caller, such as `aws` or `aws-cn`."""
        return self._identity()[1].split(":")[1]

    def _identity(self) -> tuple[str, str]:
        with self._lock:
            if self._asked is None:
                with aws_call("sts:GetCallerIdentity", self._where()):
                    answer = self.client("sts").get_caller_identity()
                    self._asked = str(answer["Account"]), str(answer["Arn"])
            return self._asked

    def caller(self) -> str:
        """Return the ARN that keyrota runs as."""
        return self._arn

    def enter(self, clock: Clock) -> str:
        """
        Ask AWS who we are, and make sure that account and clock are right.

        Returns:
            The account's ID, 12 digits.

        Raises:
            NoCredentials: AWS does not accept the credentials.
            ProviderRefused: It is another account than the configuration says.
            ClockIsOff: This machine's clock is off by more than five minutes. Nothing was planned.
        """
        with aws_call("sts:AssumeRole" if self._role else "sts:GetCallerIdentity", self._where()):
            answer = self.client("sts").get_caller_identity()
            found, arn = str(answer["Account"]), str(answer["Arn"])
        _check_clock(answer, clock)
        if self._expected and found != self._expected:
            raise ProviderRefused(
                f"these credentials are for account {found}, and the configuration says {self._expected}",
                where=self._where(),
                remedy="correct `account` or `role`, or use other credentials",
            )
        self._id, self._arn = found, arn
        return found


def _check_clock(answer: dict[str, Any], clock: Clock) -> None:
    now = clock.now()
    off = _date_of(answer, default=now) - now
    if abs(off) > _MAX_SKEW:
        raise ClockIsOff(
            f"this machine's clock is off by {_hours(off)} from AWS's",
            remedy="set the clock (NTP): keys would be rotated, switched off and deleted at the wrong time",
        )


def _date_of(answer: dict[str, Any], *, default: datetime) -> datetime:
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return default


def _hours(span: timedelta) -> str:
    minutes = round(abs(span.total_seconds()) / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"  # noqa: PLR2004  # an hour
