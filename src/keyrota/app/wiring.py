"""The only place that builds adapters: from a configuration to subjects that the executor can work on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from keyrota.app import twice
from keyrota.app.choice import EVERYTHING, Chooser, Wanted
from keyrota.app.config import Configuration, CredentialConfig, References
from keyrota.app.config.check import fits, target_faults
from keyrota.app.hosts import refuse_untrusted
from keyrota.app.providers import index_kind, kind_in, name_in, providers_of
from keyrota.app.tokens import settings_of
from keyrota.core.model import Caller, CredentialId, FirstWrite, IndexEntry, UserName
from keyrota.core.policy import RotationPolicy, duration, format_duration
from keyrota.core.secret import Secret
from keyrota.core.selection import DirectoryUser
from keyrota.core.waves import find_head_start
from keyrota.errors import ConfigError, Fault, KeyrotaError, NoCredentials
from keyrota.executor import CredentialContext, Settings
from keyrota.executor.parallel import Parallel, in_parallel
from keyrota.ports import Clock, Target
from keyrota.target_base.once import Once
from keyrota.target_base.provider import Connection, Provider

if TYPE_CHECKING:
    from keyrota.aws.account import Account
    from keyrota.aws.kept import KeptSecret


_ARN_PARTS = 5
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
"""Of the origin of Parameter Store: arn, partition, service, region, account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A credential that cannot be worked on, because its account cannot be entered."""

    user: str
    account: str
    secret_name: str
    error: KeyrotaError
    label: str = ""
    """How reports name it."""


class Wiring:
    """One run's adapters: an account is entered once, a provider connected once."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        *,
        stack: str = "",
        duty: str = "operator",
        at_most: timedelta | None = None,
        until: datetime | None = None,
        parallel: Parallel = in_parallel,
    ) -> None:
        self.configuration = configuration
        self.clock = clock
        self._stack = stack
        self.duty = duty
        self._at_most = at_most
        self._until = until
        self._parallel = parallel
        self._own: Account | None = None
        self._own_id: str | None = None
        self._accounts: dict[tuple[str | None, ...], Account | KeyrotaError] = {}
        self._kept: Once[tuple[str, str | None], tuple[KeptSecret, ...] | KeyrotaError] = Once()
        self._kept_by_name: dict[tuple[str, str | None], dict[str, KeptSecret]] = {}
        self._connections: dict[str, Connection] = {}
        self._users: Once[str, tuple[DirectoryUser, ...] | KeyrotaError] = Once()
        self.unselected: tuple[Unreachable, ...] = ()
        """Where a selector could not be evaluated, or found users that wait for a person."""
        self.unsure: frozenset[str] = frozenset()
        """Accounts whose selected users are not all known: who is missing there has not left the configuration."""
        refuse_untrusted(configuration)
        self.references = references(configuration)

    def take_selected(
        self, configuration: Configuration, unselected: tuple[Unreachable, ...], unsure: frozenset[str]
    ) -> None:
        """Go on with the users that the selectors of this configuration found; before anything else is asked."""
        self.configuration, self.unselected, self.unsure = configuration, unselected, unsure

    def list_users(self, account: Account) -> tuple[DirectoryUser, ...]:
        """
        List the users of an account, once a run.

        Raises:
            ProviderRefused, ProviderUnavailable: They cannot be listed.
        """
        from keyrota.aws.users import AccountUsers  # noqa: PLC0415  # botocore is imported only when it is needed

        return _list_once(self._users, account.id(), lambda: AccountUsers(account).list())

    @cached_property
    def settings(self) -> Settings:
        """What holds for every credential of this run."""
        verify = self.configuration.verify
        return Settings(
            clock=self.clock,
            run=uuid.uuid4().hex[:12],
            until=self._until,
            parallel=self._parallel,
            reads_values=self.duty != "watch",
            verify_times=verify.times,
            verify_span_s=verify.span_s,
            # Three minutes: many times what is reported of propagation; a longer span needs several attempts to begin
            # it again.
            verify_give_up_s=max(180.0, 4 * verify.span_s),
        )

    def subjects(self, wanted: Wanted = EVERYTHING) -> tuple[tuple[CredentialContext, ...], tuple[Unreachable, ...]]:
        """
        Build the subjects of all configured credentials, or of those that are wanted.

        Raises:
            ConfigError: A user or a secret is configured twice, once real account IDs are compared.
            UsageError: What is wanted is not configured, or means several credentials.
            NoCredentials: There are none for any account.
        """
        # Here and not when the configuration is read: whether two entries mean one account is known only to STS.
        self.refuse_twice()
        chosen = self.chooser.choose(wanted)
        self._enter_all(chosen)
        ready: list[CredentialContext] = []
        unreachable: list[Unreachable] = []
        for credential in chosen:
            entered = self._unclear.get(id(credential)) or self._enter(credential)
            if isinstance(entered, KeyrotaError):
                known = CredentialId(account=credential.known_account or "", user=UserName(credential.user))
                unreachable.append(
                    Unreachable(
                        user=known.user,
                        account=known.account,
                        secret_name=credential.secret_name,
                        error=entered,
                        label=self.label(known),
                    )
                )
            else:
                ready.append(self._subject(credential, entered))
        unreachable += [one for one in self.unselected if wanted.covers(one.account)]
        if not ready and unreachable and isinstance(unreachable[0].error, NoCredentials):
            raise unreachable[0].error
        return tuple(ready), tuple(unreachable)

    def _enter_all(self, chosen: Iterable[CredentialConfig]) -> None:
        """Enter the accounts of these credentials side by side, each once; what keeps us out of one is its own."""
        each = {self._name_of(self._of_duty(entry)): entry for entry in chosen if id(entry) not in self._unclear}
        in_parallel(self.account, each.values(), self.configuration.concurrency)

    def refuse_twice(self) -> None:
        """
        Make sure that no user and no secret is configured twice under two descriptions.

        Raises:
            ConfigError: With every fault; nothing was begun.
        """
        if self._twice:
            raise ConfigError(self._twice)

    @cached_property
    def _twice(self) -> tuple[Fault, ...]:
        return tuple(twice.faults(self.configuration.credentials, self.account_of, self._region_of))

    @cached_property
    def _unclear(self) -> Mapping[int, KeyrotaError]:
        """Why an entry, by its `id`, may be another one's twin without our knowing."""
        return twice.unclear(self.configuration.credentials, self.account_of)

    def _region_of(self, credential: CredentialConfig) -> str:
        return credential.region or self.own_account().region or ""

    def _enter(self, credential: CredentialConfig) -> Account | KeyrotaError:
        """Enter an account, and find out whether keyrota runs with one of its keys."""
        entered = self.account(credential)
        if not isinstance(entered, KeyrotaError) and isinstance(self.caller, KeyrotaError):
            return self.caller
        return entered

    @cached_property
    def caller(self) -> Caller | KeyrotaError:
        """Whom keyrota itself runs as; an error where that cannot be told (then no key may be touched)."""
        own = self.own_account()
        try:
            keys = own.keys_behind()
            return Caller(keys=keys, session_of=self.runs_as() if own.is_session() else None)
        except KeyrotaError as error:
            return error

    def runs_as(self) -> CredentialId | None:
        """
        Return the IAM user that keyrota runs as, before any role; None: it is not a user.

        Raises:
            KeyrotaError: STS does not say.
        """
        own = self.own_account()
        account = own.resolve_id(self.clock)
        resource = own.caller().rpartition(":")[2]
        is_user = resource.startswith("user/")
        return CredentialId(account=account, user=UserName(resource.rpartition("/")[2])) if is_user else None

    def label(self, credential: CredentialId) -> str:
        """Name a credential in commands and reports: with its account where several accounts are configured."""
        return str(credential) if self.is_of_several_accounts else credential.user

    @cached_property
    def is_of_several_accounts(self) -> bool:
        """Whether the configuration names more than one account; entries without one are of the caller's own."""
        return len({entry.known_account for entry in self.configuration.credentials}) > 1

    @cached_property
    def chooser(self) -> Chooser:
        """What finds the credentials that a command or an event means."""
        return Chooser(configuration=self.configuration, account_of=self.account_of)

    @property
    def canaries(self) -> tuple[CredentialConfig, ...]:
        """The entries whose keys are replaced first; users that are selected at each run are among them."""
        return tuple(entry for entry in self.configuration.credentials if self._is_canary(entry))

    def _is_canary(self, entry: CredentialConfig) -> bool:
        names = self.configuration.rollout.canaries
        return entry.user in names or f"{entry.known_account}:{entry.user}" in names

    def policy(self, entry: CredentialConfig, credential: CredentialId) -> RotationPolicy:
        """Return the policy of one credential, with its part of the spread."""
        is_canary = self._is_canary(entry)
        early = find_head_start(credential, self.configuration.rollout.spread, is_canary=is_canary)
        return replace(entry.policy, early=early)

    # --- AWS ------------------------------------------------------------------------------------------------------

    def account(self, credential: CredentialConfig) -> Account | KeyrotaError:
        """Enter the account of a credential; what keeps us out is a value, because it is that account's alone."""
        credential = self._of_duty(credential)
        name, region = self._name_of(credential), credential.region or self.configuration.region
        if name not in self._accounts:
            from keyrota.aws.account import Account, Role  # noqa: PLC0415  # botocore is imported only when it is needed

            # The partition is the region's, also where only the environment or the profile names the region.
            role = (
                Role(
                    arn=_role_arn(credential, region or self.own_account().region),
                    external_id=credential.external_id,
                )
                if credential.role
                else None
            )
            profile, expected = self.configuration.profile, credential.known_account
            account = Account(region=region, profile=profile, role=role, expected=expected)
            try:
                account.enter(self.clock)
            except KeyrotaError as error:
                # Kept as well: each of a thousand credentials of a closed account would ask again.
                self._accounts[name] = error
            else:
                self._accounts[name] = account
        return self._accounts[name]

    def _name_of(self, credential: CredentialConfig) -> tuple[str | None, ...]:
        region = credential.region or self.configuration.region
        return credential.role, credential.external_id, region, credential.account

    def account_of(self, credential: CredentialConfig) -> str:
        """
        Return the real account ID of a credential, 12 digits.

        Raises:
            KeyrotaError: The configuration names no account, and the caller's own cannot be entered.
        """
        if credential.known_account is not None:
            return credential.known_account
        if self._own_id is None:
            entered = self.account(credential)
            if isinstance(entered, KeyrotaError):
                raise entered
            self._own_id = entered.id()
        return self._own_id

    def credential(self, entry: CredentialConfig) -> CredentialId:
        """
        Return the identity of a configured credential.

        Raises:
            KeyrotaError: As for `account_of`.
        """
        return CredentialId(account=self.account_of(entry), user=UserName(entry.user))

    def _of_duty(self, credential: CredentialConfig) -> CredentialConfig:
        """Name the role of this run's duty, where each duty has a role of its own in a member account."""
        return replace(credential, role=(credential.role or "").replace("{duty}", self.duty) or None)

    def is_entered(self, credential: CredentialConfig) -> bool:
        """Return whether this run has entered the account of a credential."""
        return self._name_of(self._of_duty(credential)) in self._accounts

    def list_entered_accounts(self) -> tuple[Account, ...]:
        """Return the accounts that this run has entered."""
        return tuple(found for found in self._accounts.values() if not isinstance(found, KeyrotaError))

    def list_kept_secrets(self, account: Account) -> tuple[KeptSecret, ...]:
        """
        List the secrets that keyrota keeps in an account and region, once a run.

        Raises:
            ProviderRefused, ProviderUnavailable: They cannot be listed.
        """
        from keyrota.aws.kept import list_kept_secrets  # noqa: PLC0415  # botocore is imported only when it is needed

        return _list_once(self._kept, (account.id(), account.region), lambda: list_kept_secrets(account))

    def find_kept_secret(self, account: Account, name: str) -> KeptSecret | None:
        """
        Find one of the secrets that keyrota keeps, by its name or its ARN; None: it is not among them.

        Raises:
            ProviderRefused, ProviderUnavailable: They cannot be listed.
        """
        kept, place = self.list_kept_secrets(account), (account.id(), account.region)
        if place not in self._kept_by_name:
            self._kept_by_name[place] = {name: secret for secret in kept for name in (secret.name, secret.arn)}
        return self._kept_by_name[place].get(name)

    def own_account(self) -> Account:
        """Return the account that keyrota itself runs in: its event bus, its topics."""
        if self._own is None:
            from keyrota.aws.account import Account  # noqa: PLC0415  # botocore is imported only when it is needed

            self._own = Account(region=self.configuration.region, profile=self.configuration.profile)
        return self._own

    def _subject(self, credential: CredentialConfig, account: Account) -> CredentialContext:
        from keyrota.aws.iam import IamAccessKeys  # noqa: PLC0415
        from keyrota.aws.secretsmanager import FieldNames, SecretOptions, SecretsManagerStore  # noqa: PLC0415
        from keyrota.aws.sts import StsIdentity  # noqa: PLC0415

        options = SecretOptions(
            fields=FieldNames(id=credential.id_field, secret=credential.secret_field),
            kms_key=credential.kms_key,
            replica_region=credential.replica_region,
        )
        identity = CredentialId(account=account.id(), user=UserName(credential.user))
        caller = self.caller
        # Without knowing its own key keyrota could end it (promise right-credential), so no credential is touched then.
        if isinstance(caller, KeyrotaError):
            raise caller
        return CredentialContext(
            user=identity.user,
            account=identity.account,
            label=self.label(identity),
            runs_as=caller,
            secret_name=credential.secret_name,
            region=account.region or "",
            is_secret_named=credential.is_secret_named,
            kms_key=credential.kms_key or "",
            policy=self.policy(credential, identity),
            access_keys=IamAccessKeys(account),
            identity=StsIdentity(account, self.configuration.verify.regions),
            store=SecretsManagerStore(account, options),
            targets=self.targets(credential),
            index=self.index(credential),
            services=self.services(credential),
            reach=self.reach,
            first_writes=self._first_writes(credential),
            caller=account.caller(),
            stack=self._stack,
            tags=credential.tags,
            secret_readers=credential.secret_readers,
        )

    # --- targets --------------------------------------------------------------------------------------------------

    def targets(self, credential: CredentialConfig) -> tuple[Target, ...]:
        """Build the targets of a credential."""
        return tuple(self.connection(target.provider).target(target.settings) for target in credential.targets)

    def services(self, credential: CredentialConfig) -> tuple[str, ...]:
        """Name the providers of a credential that are not at their usual address."""
        names = sorted({target.provider for target in credential.targets})
        settings = self.configuration.providers
        return tuple(f"{name} {settings[name]['base_url']}" for name in names if "base_url" in settings[name])

    def index(self, credential: CredentialConfig) -> tuple[IndexEntry, ...]:
        """Name the targets of a credential as its secret's index does."""
        return tuple(
            IndexEntry(
                address=self.providers[target.provider].address(target.settings),
                kind=index_kind(target.kind, target.provider),
                settings=json.dumps(target.settings, ensure_ascii=False, sort_keys=True),
            )
            for target in credential.targets
        )

    def _first_writes(self, credential: CredentialConfig) -> tuple[tuple[str, FirstWrite], ...]:
        known = self.providers
        targets = ((known[target.provider].address(target.settings), target) for target in credential.targets)
        return tuple((address, target.first_write) for address, target in targets if target.first_write is not None)

    def reach(self, entry: IndexEntry) -> Target | KeyrotaError:
        """
        Reach a target that the configuration names no more; an error where that cannot be.

        Whoever may tag the secret writes these settings, so they are judged as those of the configuration are.
        """
        name = name_in(entry.kind)
        if self.configuration.kinds.get(name) != kind_in(entry.kind) or name not in self.providers:
            return KeyrotaError(f"{name} is not configured any more", where=entry.address)
        try:
            settings = json.loads(entry.settings)
            kind = self.providers[name]
            if not fits(settings, kind.target_schema) or target_faults(kind, settings):
                # As a value, and the place counts as one that may hold any key: nothing is ended for want of an answer.
                return KeyrotaError("its settings are not those of a target", where=entry.address)
            return self._connection_of(entry).target(settings)
        except (KeyrotaError, ValueError, KeyError, TypeError):
            return KeyrotaError("its settings are not understood any more", where=entry.address)

    def _connection_of(self, entry: IndexEntry) -> Connection:
        """
        Connect to the service that a target was written at.

        AWS credentials reach every region, so a parameter is looked for in the region of its origin, an ARN. A token
        of another provider is never sent to the host that the configuration named before: it was not made for it.
        """
        name = name_in(entry.kind)
        settings = self.configuration.providers[name]
        parts = entry.origin.split(":")
        if not entry.origin.startswith("arn:") or len(parts) < _ARN_PARTS or settings.get("region") == parts[3]:
            return self.connection(name)
        elsewhere = {**self._bound_waits(name), "region": parts[3]}
        return self.providers[name].connect(elsewhere, secrets=self.references, clock=self.clock)

    @cached_property
    def providers(self) -> Mapping[str, Provider]:
        """Every provider that a target may name."""
        return providers_of(self.configuration)

    def connection(self, name: str) -> Connection:
        """Connect to a provider, once."""
        if name not in self._connections:
            self._connections[name] = self.providers[name].connect(
                self._bound_waits(name), secrets=self.references, clock=self.clock
            )
        return self._connections[name]

    def _bound_waits(self, name: str) -> Mapping[str, Any]:
        """Let a run wait no longer for a provider's limits than it may run itself."""
        kind, configured = (
            self.providers[name].provider_schema,
            settings_of(self.configuration.providers[name], self.duty),
        )
        if "role" in configured:
            configured = {**configured, "role": str(configured["role"]).replace("{duty}", self.duty)}
        known = kind.get("properties", {}).get("max_wait")
        if self._at_most is None or known is None:
            return configured
        wanted = duration(configured.get("max_wait", known["default"]))
        return {**configured, "max_wait": format_duration(min(wanted, self._at_most))}


def references(configuration: Configuration | None) -> References:
    """Resolve references; those into AWS in the caller's own account."""

    def account() -> Account:
        from keyrota.aws.account import Account  # noqa: PLC0415  # botocore is imported only when it is needed

        region, profile = (configuration.region, configuration.profile) if configuration else (None, None)
        return Account(region=region, profile=profile)

    def read_secret(reference: str) -> Secret:
        from keyrota.aws.secretsmanager import read_reference  # noqa: PLC0415

        return read_reference(account(), reference)

    def read_parameter(name: str) -> Secret:
        from keyrota.aws.secretsmanager import read_parameter  # noqa: PLC0415

        return read_parameter(account(), name)

    return References({"secretsmanager": read_secret, "ssm": read_parameter})


def _list_once(
    known: Once[K, tuple[T, ...] | KeyrotaError], key: K, listing: Callable[[], tuple[T, ...]]
) -> tuple[T, ...]:
    """List once a run, for all its threads; a list that failed is not asked for again either."""

    def ask() -> tuple[T, ...] | KeyrotaError:
        try:
            return listing()
        except KeyrotaError as error:
            return error

    found = known.ask(key, ask)
    if isinstance(found, KeyrotaError):
        raise found
    return found


def _role_arn(credential: CredentialConfig, region: str | None) -> str:
    role = credential.role or ""
    if role.startswith("arn:"):
        return role
    return f"arn:{_partition(region or '')}:iam::{credential.account}:role/{role}"


_PARTITIONS: Mapping[str, str] = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}


def _partition(region: str) -> str:
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")
