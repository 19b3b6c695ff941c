"""`keyrota deploy`: package, configuration and template brought to AWS, in an order in which nothing is half done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from keyrota.app import twice
from keyrota.app.config import Configuration, fingerprint, stamp_version
from keyrota.app.deploy.encryption import CREATE, find_denied_services, key_arn
from keyrota.app.deploy.package import build
from keyrota.app.deploy.remains import Remains, remains
from keyrota.app.deploy.template import (
    IAM_EVENTS_TEMPLATE,
    Scope,
    beyond_events,
    check_references,
    narrow_template,
    scope_of,
)
from keyrota.app.files import Unreadable, read_bounded
from keyrota.app.hosts import foreign_hosts, refuse_untrusted
from keyrota.aws._translate import aws_call, code_of
from keyrota.aws.account import Account
from keyrota.aws.objects import has_bucket, keeps_versions, make_bucket, secure_bucket, write_object
from keyrota.aws.stacks import StackEvent, Stacks
from keyrota.core.model import STACK_TAG
from keyrota.errors import ConfigError, ProviderRefused, UsageError, printable
from keyrota.ports import Clock

IAM_EVENTS_REGION = "us-east-1"
"""Where IAM's events arrive, in the commercial partition (docs/facts/aws.md, Where IAM is)."""
_STANDARD, _MAX_SIZE = 4096, 8192
"""Bytes of a parameter, standard and advanced tier: 4 and 8 KB (SSM API Reference, PutParameter)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """What the command line asks for."""

    stack: str
    parameter: str
    trigger: str
    emergency: str
    email: str
    user_pattern: str
    is_fleet: bool
    with_iam_events: bool = False
    encryption_key: str = ""
    """A key by ID, alias or ARN, or `create`."""
    bucket: str | None = None
    package: Path | None = None
    is_config_unpinned: bool = False
    """The functions take any configuration from where it is stored; hosts stay pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment, not yet begun: everything that can be refused was looked at."""

    wishes: DeployOptions
    scope: Scope
    template: dict[str, Any]
    config_text: str
    bucket: str
    reference: str
    encryption_key: str = ""
    """As the template takes it: an ARN, `create`, or nothing."""
    hosts: tuple[str, ...] = ()
    """What the configuration names besides the providers' own hosts; each was allowed outside of it."""


Emit = Callable[[str], None]


class Deployer:
    """Brings keyrota to one account and region."""

    def __init__(self, configuration: Configuration, text: str, clock: Clock) -> None:
        self._configuration = configuration
        self._text = text
        self._clock = clock
        self.account = Account(region=configuration.region)
        self._stacks = Stacks(self.account, clock)

    def prepare(self, wishes: DeployOptions) -> Deployment:
        """
        Look at everything; changes nothing.

        Raises:
            ConfigError: The configuration refers to this machine, or names a user or a secret twice.
            UsageError: There are too many users to name, and no pattern was given.
            ProviderRefused: A user is not there, or another stack keeps one.
        """
        refuse_untrusted(self._configuration)
        check_references(self._configuration)
        _refuse_long_name(wishes.stack)
        account = self.account.enter(self._clock)
        partition, region = self.account.caller().split(":")[1], self.account.region or ""
        self._refuse_twice(account, region)
        users = [self._user_arn(entry.user) for entry in self._configuration.credentials if not entry.role]
        scope = scope_of(
            self._configuration,
            users,
            partition=partition,
            account=account,
            region=region,
            kms_keys=self._kms_keys(),
            target_keys=self._target_keys(),
        )
        self._refuse_claimed(wishes, region, account)
        is_found = wishes.encryption_key in {"", CREATE}
        encryption_key = wishes.encryption_key if is_found else key_arn(self.account, wishes.encryption_key)
        text = stamp_version(self._text)
        bucket = wishes.bucket or f"keyrota-{account}-{region}"
        is_large = len(text.encode()) > _MAX_SIZE
        config = f"s3://{bucket}/keyrota/{wishes.stack}.yaml" if is_large else None
        template = narrow_template(scope, is_fleet=wishes.is_fleet, config=config)
        if "UserPattern" in template["Parameters"] and not wishes.user_pattern:
            raise UsageError(
                "users that a selector finds cannot be named in the policies of the functions' roles"
                if scope.is_selecting
                else f"{len(users)} users are too many to be named in the policies of the functions' roles",
                remedy="give them a common IAM path or prefix, and name it: --user-pattern 'ci/*'",
            )
        reference = config or f"ssm:{wishes.parameter}"
        return Deployment(
            wishes=wishes,
            scope=scope,
            template=template,
            config_text=text,
            bucket=bucket,
            reference=reference,
            encryption_key=encryption_key,
            hosts=foreign_hosts(self._configuration),
        )

    def _user_arn(self, name: str) -> str:
        with aws_call("iam:GetUser", f"user {name}"):
            return str(self.account.client("iam").get_user(UserName=name)["User"]["Arn"])

    def _kms_keys(self) -> tuple[str, ...]:
        """Find the ARNs of the keys that secrets are encrypted with; the configuration may name an alias."""
        named = {entry.kms_key for entry in self._configuration.credentials if entry.kms_key and not entry.role}
        return tuple(key_arn(self.account, name) for name in sorted(named))

    def _target_keys(self) -> tuple[str, ...]:
        """Find the ARNs of the keys of parameters that are targets."""
        settings = (target.settings for entry in self._configuration.credentials for target in entry.targets)
        named = {str(one["kms_key"]) for one in settings if "kms_key" in one}
        return tuple(key_arn(self.account, name) for name in sorted(named))

    def _refuse_twice(self, account: str, region: str) -> None:
        """Refuse here what every function would refuse."""
        found = twice.faults(
            self._configuration.credentials,
            lambda entry: entry.known_account or account,
            lambda entry: entry.region or region,
        )
        if faults := tuple(found):
            raise ConfigError(faults)

    def _refuse_claimed(self, wishes: DeployOptions, region: str, account: str) -> None:
        """Refuse users that another stack keeps, of the same name in another account too."""
        ours = f"{wishes.stack}@{region}/{account}"
        for entry in self._configuration.credentials:
            if entry.role:
                continue
            with aws_call("secretsmanager:DescribeSecret", f"secret {entry.secret_name}"):
                try:
                    found = self.account.client("secretsmanager", region=entry.region).describe_secret(
                        SecretId=entry.secret_name
                    )
                except ClientError as error:
                    if code_of(error) == "ResourceNotFoundException":
                        continue
                    raise
            keeper = {tag["Key"]: tag["Value"] for tag in found.get("Tags") or ()}.get(STACK_TAG, ours)
            if keeper != ours:
                raise ProviderRefused(
                    f"the stack {keeper} keeps {entry.user} already",
                    where=f"secret {entry.secret_name}",
                    remedy=f"take {entry.user} out of one of the two configurations; if {keeper} is gone, remove the "
                    f"tag {STACK_TAG} from the secret",
                )

    def carry_out(self, deployment: Deployment, emit: Emit) -> dict[str, str]:
        """
        Upload, store the configuration, and make or change the stack.

        Returns:
            The stack's outputs.

        Raises:
            ProviderRefused: CloudFormation failed and went back; the configuration that was stored stays.
        """
        wishes = deployment.wishes
        self._ensure_bucket(deployment.bucket, emit)
        key, version = self._upload_package(deployment, emit)
        template_key = f"keyrota/{wishes.stack}-template.json"
        write_object(self.account, deployment.bucket, template_key, json.dumps(deployment.template).encode())
        self._store_configuration(deployment, emit)
        self._look_at_key(deployment.encryption_key, emit)
        parameters = {
            "CodeBucket": deployment.bucket,
            "CodeKey": key,
            "CodeVersion": version,
            "AllowedHosts": ",".join(deployment.hosts),
            "ConfigSha256": "" if wishes.is_config_unpinned else fingerprint(deployment.config_text),
            "ConfigParameter": wishes.parameter,
            "UserPattern": wishes.user_pattern,
            "Trigger": wishes.trigger,
            "Emergency": wishes.emergency,
            "AlarmEmail": wishes.email,
            "EncryptionKey": deployment.encryption_key,
        }
        known = deployment.template["Parameters"]
        given = {name: value for name, value in parameters.items() if name in known}
        url = f"{self._object_url(deployment.bucket)}/{template_key}"
        events = 0
        for event in self._stacks.change(wishes.stack, url, given):
            events += 1
            emit(line_of(event))
        emit(f"the stack {wishes.stack} is as it should be" if not events else f"the stack {wishes.stack} is deployed")
        if wishes.with_iam_events:
            self._forward_iam_events(wishes.stack, emit)
        elif self.account.region not in (None, IAM_EVENTS_REGION):
            emit(
                f"IAM's events arrive in {IAM_EVENTS_REGION} only: with --iam-events a rule there forwards them, and "
                "a leaked key is heard of at once"
            )
        if places := beyond_events(self._configuration, self.account.region or ""):
            emit(f"no event of a secret comes from {', '.join(places)}: the daily runs bring new keys to the targets")
        return self._stacks.outputs(wishes.stack)

    def _look_at_key(self, arn: str, emit: Emit) -> None:
        """Say whom a key of the user's own keeps out: what it encrypts for them fails, or never arrives."""
        if arn in {"", CREATE}:
            return
        services = find_denied_services(self.account, arn)
        if services is None:
            emit(f"whether the policy of {arn} lets CloudWatch, EventBridge and its logs in cannot be told")
        elif services:
            emit(
                f"the policy of {arn} does not name {', '.join(services)}: log groups are refused, alarms and events "
                "do not arrive; docs/how-to/lambda.md has the statements"
            )

    def _forward_iam_events(self, stack: str, emit: Emit) -> None:
        """Place the rules for IAM's events where these arrive."""
        there = Stacks(Account(region=IAM_EVENTS_REGION), self._clock)
        parameters = {"RotationRegion": self.account.region or ""}
        for event in there.change(f"{stack}-iam-events", IAM_EVENTS_TEMPLATE.read_text("utf-8"), parameters):
            emit(line_of(event))
        emit(f"the stack {stack}-iam-events in {IAM_EVENTS_REGION} forwards IAM's events")

    def _object_url(self, bucket: str) -> str:
        suffix = "amazonaws.com.cn" if (self.account.region or "").startswith("cn-") else "amazonaws.com"
        return f"https://s3.{self.account.region}.{suffix}/{bucket}"

    def _ensure_bucket(self, bucket: str, emit: Emit) -> None:
        """
        Make sure that this account owns the bucket, and that it keeps versions.

        Raises:
            ProviderRefused: Another account owns it, or it was named and keeps no versions; nothing was uploaded.
        """
        is_ours_by_name = bucket == self._usual_bucket()
        if not has_bucket(self.account, bucket):
            make_bucket(self.account, bucket)
            secure_bucket(self.account, bucket)
            emit(f"made the bucket {bucket} for code packages")
        elif is_ours_by_name:
            secure_bucket(self.account, bucket)
        elif not keeps_versions(self.account, bucket):
            raise ProviderRefused(
                "the bucket keeps no versions, so the code that the functions run could be replaced",
                where=f"s3://{bucket}",
                remedy=f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled",
            )

    def _usual_bucket(self) -> str:
        return f"keyrota-{self.account.ask_id()}-{self.account.region}"

    def _upload_package(self, deployment: Deployment, emit: Emit) -> tuple[str, str]:
        """Upload the code; returns its key and its version."""
        import hashlib  # noqa: PLC0415  # beside its only use
        import tempfile  # noqa: PLC0415

        with tempfile.TemporaryDirectory(prefix="keyrota-") as folder:
            file = deployment.wishes.package
            if file is None:
                emit("building the code package …")
                file = Path(folder) / "keyrota.zip"
                build(file)
            data = _package(file)
        key = f"keyrota/{hashlib.sha256(data).hexdigest()[:32]}.zip"
        version = write_object(self.account, deployment.bucket, key, data)
        emit(f"uploaded {len(data) / 2**20:.1f} MiB to s3://{deployment.bucket}/{key}")
        return key, version

    def _store_configuration(self, deployment: Deployment, emit: Emit) -> None:
        text = deployment.config_text
        if deployment.reference.startswith("s3://"):
            key = deployment.reference.removeprefix(f"s3://{deployment.bucket}/")
            write_object(self.account, deployment.bucket, key, text.encode())
        else:
            with aws_call("ssm:PutParameter", f"parameter {deployment.wishes.parameter}"):
                self.account.client("ssm").put_parameter(
                    Name=deployment.wishes.parameter,
                    Value=text,
                    Type="String",
                    Overwrite=True,
                    Tier="Advanced" if len(text.encode()) > _STANDARD else "Standard",
                )
        emit(f"stored the configuration as {deployment.reference}")

    def remains(self, stack: str) -> tuple[Remains, ...]:
        """List what will stay when a stack is deleted; nothing if there is no stack."""
        if self._stacks.status(stack) is None:
            return ()
        parameters = self._stacks.parameters(stack)
        found = remains(
            self._configuration,
            self._stacks.resources(stack),
            bucket=parameters.get("CodeBucket") or self._usual_bucket(),
            stack=stack,
            parameter=parameters.get("ConfigParameter", ""),
        )
        return tuple(found)

    def remove(self, stack: str, emit: Emit) -> bool:
        """
        Delete a stack; False if there is none.

        Raises:
            ProviderRefused: Something in it could not be deleted.
        """
        there = Stacks(Account(region=IAM_EVENTS_REGION), self._clock)
        if there.status(f"{stack}-iam-events") is not None:
            for event in there.delete(f"{stack}-iam-events"):
                emit(line_of(event))
        if self._stacks.status(stack) is None:
            return False
        for event in self._stacks.delete(stack):
            emit(line_of(event))
        return True


_MAX_STACK_NAME = 38
"""A role's name has 64 characters at most (IAM quotas): STACK-REGION-DUTY, with up to 14 and 10 of them."""
_MAX_PACKAGE = 250 * 1024 * 1024
"""Lambda takes 250 MB, unzipped (Lambda quotas)."""


def _refuse_long_name(stack: str) -> None:
    if len(stack) > _MAX_STACK_NAME:
        raise UsageError(
            f"the stack's name has {len(stack)} characters, and the names of its roles begin with it",
            remedy=f"give it a name of up to {_MAX_STACK_NAME} characters",
        )


def _package(file: Path) -> bytes:
    try:
        return read_bounded(file, _MAX_PACKAGE)
    except Unreadable as error:
        raise UsageError(f"{file}: {error.what}", remedy="give a package that `keyrota package` made") from None


def line_of(event: StackEvent) -> str:
    """Write a line of progress."""
    reason = f": {event.reason}" if event.reason else ""
    return printable(f"{event.at:%H:%M:%S} {event.status:<22} {event.kind} {event.resource}{reason}")
