"""The embedded cloud: strict AWS, CI stand-ins and the time machine on one loopback port."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

from keyrota.core.model import AccessKeyId, Credential
from keyrota.core.policy import duration
from keyrota.core.secret import Secret
from keyrota.sandbox.faults import Fault, FaultKind, Faults
from keyrota.sandbox.http import Request, Response, Server, Service, json_response
from keyrota.sandbox.strict import ADMIN_ID, ADMIN_SECRET, StrictAws
from keyrota.sandbox.timemachine import TimeMachine

REGION = "eu-central-1"
CONTROL = "/_sandbox"
START = datetime(2026, 1, 1, 6, tzinfo=UTC)


class StandIn(Protocol):
    """A CI provider's stand-in: a service with the environment that its clients need."""

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

    def __init__(
        self,
        *,
        port: int = 0,
        start: datetime = START,
        standins: Mapping[str, StandIn] | None = None,
        faults: Faults | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = TimeMachine(start)
        self.faults = faults or Faults()
        self.standins = dict(standins or {})
        self._port = port
        self._seed = seed
        self._server: Server | None = None
        self.aws = StrictAws(self.clock, self.faults, seed=seed)
        self.admin = Admin(self.aws)
        self.on_deploy: Callable[[], tuple[bool, str]] | None = None
        """Runs the example's pipeline, where there is an example."""

    def __enter__(self) -> Self:
        """Start everything."""
        self.clock.__enter__()
        services: dict[str, Service] = {"/": self.aws, CONTROL: self._control}
        services |= {f"/{name}": standin for name, standin in self.standins.items()}
        self._server = Server(services, self._port)
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        if self._server:
            self._server.close()
        self.clock.__exit__()

    @property
    def aws_url(self) -> str:
        """AWS_ENDPOINT_URL."""
        if self._server is None:
            raise RuntimeError("the sandbox is not started")
        return self._server.url

    def url(self, standin: str) -> str:
        """Where a stand-in is."""
        return f"{self.aws_url}/{standin}"

    @property
    def control_url(self) -> str:
        """Where the clock and the faults are."""
        return f"{self.aws_url}{CONTROL}"

    def environment(self) -> dict[str, str]:
        """Tell the variables with which every AWS tool, and keyrota, use this sandbox."""
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ACCESS_KEY_ID": ADMIN_ID,
            "AWS_SECRET_ACCESS_KEY": ADMIN_SECRET,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "KEYROTA_SANDBOX": self.control_url,
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
                    self.faults.add(Fault(**{**content, "kind": FaultKind(content.get("kind", "error"))}))
                    return json_response({})
                case ["faults"] if request.method == "DELETE":
                    self.faults.clear()
                    return json_response({})
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({"error": "ask for /clock or /faults"}, 404)

    def _control_clock(self, content: Mapping[str, str]) -> Response:
        if "advance" in content:
            text = content["advance"]
            is_seconds = text.endswith("s") and "." in text
            self.clock.travel(timedelta(seconds=float(text[:-1])) if is_seconds else duration(text))
        if "set" in content:
            self.clock.move_to(datetime.fromisoformat(content["set"]))
        return json_response({"now": self.clock.now().isoformat()})


class Admin:
    """What a person with a console does, without the console."""

    def __init__(self, aws: StrictAws) -> None:
        self._aws = aws

    @property
    def account_id(self) -> str:
        """The sandbox's account, 12 digits."""
        return self._aws.account_id

    def add_user(self, name: str) -> None:
        """Make an IAM user."""
        self._aws.iam.create_user("us-east-1", name)

    def add_key(self, user: str, *, age: timedelta = timedelta(), status: str = "Active") -> Credential:
        """Make a key of an age."""
        record = self._aws.iam.create_access_key(user)
        record.status = status
        record.create_date -= age
        return Credential(id=AccessKeyId(record.access_key_id), secret=Secret(record.secret_access_key))

    def store(self, name: str, pair: Credential, fields: Mapping[str, str] | None = None) -> None:
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
        """Tell a user's keys: ID and status."""
        return tuple((key.access_key_id, key.status) for key in self._aws.iam.list_access_keys(user))

    def record(self, key: str) -> Any:
        """Return moto's own record of a key, to bend it."""
        return self._aws.iam.access_keys[key]
