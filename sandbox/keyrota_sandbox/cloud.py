"""The embedded cloud: strict AWS, CI emulators and the time machine on one loopback port."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol, Self

from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.policy import duration
from keyrota.core.secret import Secret
from keyrota.errors import UsageError
from keyrota_sandbox.aws.strict import ADMIN_ID, ADMIN_SECRET, StrictAws
from keyrota_sandbox.clock import TimeMachine, serve_at
from keyrota_sandbox.faults import Fault, FaultKind, Faults
from keyrota_sandbox.server import LOOPBACK, Request, Response, Server, Service, json_response

REGION = "eu-central-1"
CONTROL = "/_sandbox"
FIRST_YEAR, LAST_YEAR = 2000, 2100
START = datetime(2026, 1, 1, 6, tzinfo=UTC)


def _fault(content: Mapping[str, Any]) -> Fault:
    """Read a fault; numbers are numbers and texts are texts."""
    numbers: dict[str, float] = {name: int(content[name]) for name in ("times", "skip", "status") if name in content}
    texts = {name: str(content[name]) for name in ("operation", "code", "message", "body") if name in content}
    numbers |= {name: float(content[name]) for name in ("delay_s",) if name in content}
    headers = tuple((str(name), str(value)) for name, value in dict(content.get("headers", {})).items())
    return Fault(kind=FaultKind(content.get("kind", "error")), headers=headers, **numbers, **texts)  # type: ignore[arg-type]  # by name


class Emulator(Protocol):
    """A CI provider's emulator: a service with the environment that its clients need."""

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables with the tokens that it accepts."""
        ...


class Cloud:
    """
    One sandbox; one at a time in a process, because it moves the process's clock.

    Use as a context manager: the servers, the time machine and moto's state end with it.
    """

    _running: ClassVar[bool] = False

    def __init__(
        self,
        *,
        port: int = 0,
        start: datetime = START,
        standins: Mapping[str, Emulator] | None = None,
        faults: Faults | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = TimeMachine(start)
        self.faults = faults or Faults()
        self.standins = dict(standins or {})
        self._port = port
        self._seed = seed
        self._server: Server | None = None
        self._here = ExitStack()
        self.aws = StrictAws(self.clock, self.faults, seed=seed)
        self.admin = Admin(self.aws, self.aws.account_id)
        self.on_deploy: Callable[[], tuple[bool, str]] | None = None
        """Runs the example's pipeline, where there is an example."""

    def __enter__(self) -> Self:
        """
        Start everything.

        Raises:
            UsageError: The port is taken.
        """
        if Cloud._running:
            raise RuntimeError("one sandbox at a time in a process: it moves the process's clock")
        counted = self.clock.activity.count
        services: dict[str, Service] = {"/": counted(self.aws), CONTROL: self._control}
        services |= {f"/{name}": counted(standin) for name, standin in self.standins.items()}
        try:
            self._server = Server(services, self._port)
        except OSError as error:
            raise UsageError(
                f"the sandbox cannot listen on port {self._port}: {error.strerror}",
                remedy="choose another with --port, or leave it out",
            ) from None
        Cloud._running = True
        self.aws.reset()
        self.clock.__enter__()
        self._here.enter_context(serve_at(self.control_url, self.clock))
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._here.close()
        if self._server:
            self._server.close()
            self._server = None
        self.clock.__exit__()
        self.aws.reset()
        Cloud._running = False

    @property
    def aws_url(self) -> str:
        """AWS_ENDPOINT_URL."""
        if self._server is None:
            raise RuntimeError("the sandbox is not started")
        return self._server.url

    def url(self, standin: str) -> str:
        """Where an emulator is."""
        return f"{self.aws_url}/{standin}"

    @property
    def control_url(self) -> str:
        """Where the clock and the faults are."""
        return f"{self.aws_url}{CONTROL}"

    def add_account(self, account: str, *, role: str = "keyrota", external_id: str | None = None) -> Admin:
        """
        Make another account, with a role that everything in the sandbox's own account may assume.

        Args:
            account: Its ID, 12 digits.
            role: The role's name.
            external_id: What whoever assumes the role has to say, if anything.
        """
        admin = Admin(self.aws, account)
        admin.add_role(role, trusts=f"arn:aws:iam::{self.aws.account_id}:root", external_id=external_id)
        return admin

    def environment(self) -> dict[str, str]:
        """Return the variables with which every AWS tool, and keyrota, use this sandbox."""
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ACCESS_KEY_ID": ADMIN_ID,
            "AWS_SECRET_ACCESS_KEY": ADMIN_SECRET,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "KEYROTA_SANDBOX": self.control_url,
            "KEYROTA_SANDBOX_HOST": self.aws_url.removeprefix("http://"),
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), LOOPBACK))),
            **{name: value for standin in self.standins.values() for name, value in standin.environment.items()},
        }

    def _control(self, request: Request) -> Response:
        content = request.json() or {}
        try:
            match request.segments:
                case ["clock"]:
                    return self._control_clock(content)
                case ["deploy"] if self.on_deploy:
                    is_ok, told = self.on_deploy()
                    return json_response({"ok": "yes" if is_ok else "no", "told": told})
                case ["faults"] if request.method == "POST":
                    self.faults.add(_fault(content))
                    return json_response({})
                case ["faults"] if request.method == "DELETE":
                    self.faults.clear()
                    return json_response({})
        except (ValueError, TypeError, OverflowError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({"error": "ask for /clock or /faults"}, 404)

    def _control_clock(self, content: Mapping[str, str]) -> Response:
        if "seconds" in content:
            span = timedelta(seconds=float(content["seconds"]))
            self._demand_range(span)
            self.clock.sleep(span.total_seconds())
        if "advance" in content:
            self._travel(duration(str(content["advance"])))
        if "set" in content:
            self._travel(datetime.fromisoformat(content["set"]) - self.clock.now())
        return json_response({"now": self.clock.now().isoformat()})

    def _travel(self, span: timedelta) -> None:
        """Move by a span, not to an instant: processes may wait at once."""
        self._demand_range(span)
        self.clock.travel(span)

    def _demand_range(self, span: timedelta) -> None:
        if not FIRST_YEAR <= (self.clock.now() + span).year <= LAST_YEAR:
            raise ValueError(f"the sandbox's clock goes from {FIRST_YEAR} to {LAST_YEAR}")


class Admin:
    """What a person with a console does, without the console."""

    def __init__(self, aws: StrictAws, account: str) -> None:
        self._aws = aws
        self.account_id = account
        """12 digits."""

    @property
    def _iam(self) -> Any:
        return self._aws.iam_of(self.account_id)

    def add_role(self, name: str, *, trusts: str, external_id: str | None = None) -> str:
        """Make a role that a principal may assume; returns its ARN."""
        condition = {"StringEquals": {"sts:ExternalId": external_id}} if external_id else None
        statement = {"Effect": "Allow", "Principal": {"AWS": trusts}, "Action": "sts:AssumeRole"}
        trust = {"Version": "2012-10-17", "Statement": [statement | ({"Condition": condition} if condition else {})]}
        made = self._iam.create_role(
            role_name=name,
            assume_role_policy_document=json.dumps(trust),
            path="/",
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration="3600",
        )
        return str(made.arn)

    def add_user(self, name: str) -> None:
        """Make an IAM user."""
        self._iam.create_user("us-east-1", name)

    def add_key(self, user: str, *, age: timedelta = timedelta(), status: str = "Active") -> KeyPair:
        """Make a key of an age."""
        record = self._iam.create_access_key(user)
        record.status = status
        record.create_date -= age
        return KeyPair(id=AccessKeyId(record.access_key_id), secret=Secret(record.secret_access_key))

    def quarantine(self, user: str) -> str:
        """Attach AWS's own quarantine policy, as AWS does where it finds a key in public; returns its ARN."""
        from moto.iam.models import AWSManagedPolicy  # noqa: PLC0415  # an extra

        name = "AWSCompromisedKeyQuarantineV3"
        document = {"Version": "2012-10-17", "Statement": []}
        data = {
            "Arn": f"arn:aws:iam::aws:policy/{name}",
            "Path": "/",
            "CreateDate": "2024-10-02T17:09:45+00:00",
            "DefaultVersionId": "v1",
            "UpdateDate": "2024-10-02T17:09:45+00:00",
            "Document": document,
        }
        policy = AWSManagedPolicy.from_data(name, self.account_id, "aws", data)
        self._aws.iam.managed_policies.setdefault(policy.arn, policy)
        self._aws.iam.attach_user_policy(policy.arn, user)
        return str(policy.arn)

    def store(self, name: str, pair: KeyPair, fields: Mapping[str, str] | None = None) -> None:
        """Store a pair in Secrets Manager by hand, beside other fields."""
        from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # an extra

        content = {**(fields or {}), "AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()}
        secretsmanager_backends[self.account_id][REGION].create_secret(
            name=name,
            secret_string=json.dumps(content),
            secret_binary=None,
            description="made by hand",
            tags=[],
            kms_key_id=None,
            client_request_token=None,
            replica_regions=[],
            force_overwrite=False,
        )

    def keys(self, user: str) -> tuple[tuple[str, str], ...]:
        """Return a user's keys: ID and status."""
        return tuple((key.access_key_id, key.status) for key in self._iam.list_access_keys(user))

    def record(self, key: str) -> Any:
        """Return moto's own record of a key, to bend it."""
        return self._iam.access_keys[key]
