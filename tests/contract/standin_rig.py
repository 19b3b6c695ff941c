"""An emulator on loopback with a target that reaches it: one rig of the same shape for each provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.secret import Secret
from keyrota.ports import Target
from keyrota.target_base.provider import Connection, Provider
from keyrota.targets import bitbucket, circleci, github, gitlab, kubernetes
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.providers.circleci import CircleEmulator
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.providers.github import GitHubEmulator
from keyrota_sandbox.providers.gitlab import GitLabEmulator
from keyrota_sandbox.providers.kubernetes import KubernetesEmulator
from keyrota_sandbox.server import Request, Response, Server

S = TypeVar("S", bound=Emulator)

shapes: dict[str, dict[object, Request]] = {}
"""One request of each shape that any test sent, by provider; described.py holds them against the descriptions."""

CANARY_TOKEN = "canary-token-3f9a"
CANARY_SECRET = "canary/secret/access/key/9c1e"
WORKSPACE, REPOSITORY, ENVIRONMENT = "acme", "shop", "Production"
CONTEXT = "0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001"
DEPLOYMENT = {"workspace": WORKSPACE, "repository": REPOSITORY, "environment": ENVIRONMENT}


def a_pair(name: str = "NEW") -> KeyPair:
    """Make a pair whose secret is a canary."""
    return KeyPair(id=AccessKeyId(f"AKIA{name:0>16}"), secret=Secret(f"{CANARY_SECRET}/{name}"))


@dataclass(slots=True, kw_only=True)
class AnyRig(ABC, Generic[S]):
    """One provider's emulator, and what a person sees of it."""

    standin: S
    clock: WorldClock
    url: str
    seen: list[Request]
    connection: Connection

    # What differs from provider to provider: names of operations in the journal, words of refusals.
    usual: Mapping[str, Any]
    """Settings of the usual place: acme/shop, Production."""
    reads: str
    creates: str
    updates: str
    scope: str
    """A word of the scope that a refusal must name."""
    no_list: str
    """What is said of an answer that is none of the provider's."""
    empty: str | None = None
    """A body that is a true answer: nothing is there."""
    begins: str = ""
    """The first operation of a write, if it is not `reads`."""

    def target(self, settings: Mapping[str, Any] | None = None) -> Target:
        """Make a target at the usual place."""
        return self.connection.target(settings or self.usual)

    @abstractmethod
    def values(self) -> dict[str, str]:
        """What a pipeline step sees at the usual place."""

    @abstractmethod
    def set(self, name: str, value: str, *, secured: bool = False) -> None:
        """Set a variable at the usual place, as a person would."""

    def renew(self) -> None:
        """Make the usual place again where a write could have taken it away."""

    @abstractmethod
    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another repository, and return settings for it."""

    @abstractmethod
    def values_of(self, name: str) -> dict[str, str]:
        """What a step sees in that repository."""


class Rig(AnyRig[BitbucketEmulator]):
    """Bitbucket: a deployment environment."""

    def values(self) -> dict[str, str]:
        """What a step sees."""
        return self.standin.values(WORKSPACE, REPOSITORY, ENVIRONMENT)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:
        """Set a variable."""
        self.standin.set_variable(WORKSPACE, REPOSITORY, ENVIRONMENT, name, value, secured=secured)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another repository."""
        self.standin.add_repository(WORKSPACE, name, (ENVIRONMENT,))
        return {**DEPLOYMENT, "repository": name}

    def values_of(self, name: str) -> dict[str, str]:
        """What a step sees there."""
        return self.standin.values(WORKSPACE, name, ENVIRONMENT)

    def connect(self, auth: Mapping[str, str], **more: Any) -> Connection:
        """Connect with other credentials; references are their own values here."""
        return connect(bitbucket.KIND, f"{self.url}/bitbucket/2.0", self.clock, auth, **more)


class GitHubRig(AnyRig[GitHubEmulator]):
    """GitHub: an environment, with a marker."""

    def values(self) -> dict[str, str]:
        """What a job sees."""
        return self.standin.values(WORKSPACE, REPOSITORY, ENVIRONMENT)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:  # noqa: ARG002  # every secret is one
        """Set a secret."""
        self.standin.set_secret(("env", WORKSPACE, REPOSITORY, ENVIRONMENT), name.upper(), value)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another environment: a repository's name is checked by the schema."""
        self.standin.add_repository(WORKSPACE, "odd", (name,))
        return {"repository": f"{WORKSPACE}/odd", "environment": name, "marker": True}

    def values_of(self, name: str) -> dict[str, str]:
        """What a job sees there."""
        return self.standin.values(WORKSPACE, "odd", name)

    def connect(self, auth: Mapping[str, Any], **more: Any) -> Connection:
        """Connect with other credentials; references are their own values here."""
        return connect(github.KIND, f"{self.url}/github", self.clock, auth, **more)


class GitLabRig(AnyRig[GitLabEmulator]):
    """GitLab: a project, with an environment scope."""

    def values(self) -> dict[str, str]:
        """What a job sees."""
        return self.standin.values(f"{WORKSPACE}/{REPOSITORY}", ENVIRONMENT)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:
        """Set a variable."""
        level = ("project", f"{WORKSPACE}/{REPOSITORY}")
        self.standin.set_variable(level, name, value, scope=ENVIRONMENT, masked=secured, raw=True)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another project."""
        self.standin.add_project(f"{WORKSPACE}/{name}")
        return {"project": f"{WORKSPACE}/{name}", "environment_scope": ENVIRONMENT}

    def values_of(self, name: str) -> dict[str, str]:
        """What a job sees there."""
        return self.standin.values(f"{WORKSPACE}/{name}", ENVIRONMENT)

    def connect(self, auth: Mapping[str, str], **more: Any) -> Connection:
        """Connect with other credentials; references are their own values here."""
        return connect(gitlab.KIND, f"{self.url}/gitlab/api/v4", self.clock, auth, **more)


class KubernetesRig(AnyRig[KubernetesEmulator]):
    """Kubernetes: a Secret."""

    def values(self) -> dict[str, str]:
        """What a pod sees."""
        return self.standin.values(WORKSPACE, REPOSITORY)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:  # noqa: ARG002  # every entry is one
        """Set an entry."""
        self.standin.set_entry(WORKSPACE, REPOSITORY, name, value)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Name another Secret."""
        return {"namespace": WORKSPACE, "secret": name}

    def values_of(self, name: str) -> dict[str, str]:
        """What a pod sees there."""
        return self.standin.values(WORKSPACE, name)


class CircleRig(AnyRig[CircleEmulator]):
    """CircleCI: a project."""

    def values(self) -> dict[str, str]:
        """What a job sees."""
        return self.standin.values("project", "gh/acme/shop")

    def set(self, name: str, value: str, *, secured: bool = False) -> None:  # noqa: ARG002  # every variable is masked
        """Set a variable."""
        self.standin.set_variable("project", "gh/acme/shop", name, value)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another project."""
        self.standin.add("project", f"gh/acme/{name}")
        return {"project": f"gh/acme/{name}"}

    def values_of(self, name: str) -> dict[str, str]:
        """What a job sees there."""
        return self.standin.values("project", f"gh/acme/{name}")


def connect(kind: Provider, url: str, clock: WorldClock, auth: Mapping[str, Any], **more: Any) -> Connection:
    """Connect to an emulator."""
    return kind.connect({"base_url": url, "auth": auth, **more}, secrets=Secret, clock=clock)


@contextmanager
def serving(prefix: str, standin: Emulator) -> Iterator[tuple[str, list[Request]]]:
    """Serve an emulator; tells its URL and what it is sent."""
    seen: list[Request] = []

    def watched(request: Request) -> Response:
        seen.append(request)
        shapes.setdefault(prefix.strip("/"), {}).setdefault(_shape(request), request)
        return standin(request)

    server = Server({"/": lambda _: Response(status=404), prefix: watched})
    try:
        yield server.url, seen
    finally:
        server.close()


@contextmanager
def unjudged() -> Iterator[None]:
    """Hold nothing that is sent meanwhile against the descriptions: who was told nonsense asks for it."""
    kept = {name: dict(found) for name, found in shapes.items()}
    try:
        yield
    finally:
        shapes.clear()
        shapes.update(kept)


def _shape(request: Request) -> object:
    """Tell requests apart by operation, and by the fields of query and body; names with digits in them are all one."""
    path = tuple(part if part.replace("_", "").replace("-", "").isalpha() else "*" for part in request.segments)
    content = request.json()
    body = sorted((name, type(value).__name__) for name, value in content.items()) if isinstance(content, dict) else ()
    return request.method, path, tuple(sorted(request.query)), tuple(body)


@contextmanager
def a_rig() -> Iterator[Rig]:
    """Start Bitbucket with one repository and three environments."""
    clock = WorldClock()
    standin = BitbucketEmulator(clock, token=CANARY_TOKEN)
    standin.add_repository(WORKSPACE, REPOSITORY, ("Test", "Staging", ENVIRONMENT))
    with serving("/bitbucket", standin) as (url, seen):
        yield Rig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(bitbucket.KIND, f"{url}/bitbucket/2.0", clock, {"token": CANARY_TOKEN}),
            usual=DEPLOYMENT,
            reads="GET variables",
            creates="POST variables",
            updates="PUT variables",
            scope="pipeline:variable",
            no_list="list",
        )


@contextmanager
def a_github_rig(**more: Any) -> Iterator[GitHubRig]:
    """Start GitHub with one repository and three environments."""
    clock = WorldClock()
    standin = GitHubEmulator(clock, token=CANARY_TOKEN, **more)
    standin.add_organization(WORKSPACE)
    standin.add_repository(WORKSPACE, REPOSITORY, ("Test", "Staging", ENVIRONMENT))
    with serving("/github", standin) as (url, seen):
        yield GitHubRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(github.KIND, f"{url}/github", clock, {"token": CANARY_TOKEN}),
            usual={"repository": f"{WORKSPACE}/{REPOSITORY}", "environment": ENVIRONMENT, "marker": True},
            reads="GET variables",
            creates="PUT secrets",
            updates="PUT secrets",
            scope="Environments: read and write",
            no_list="list",
        )


@contextmanager
def a_gitlab_rig() -> Iterator[GitLabRig]:
    """Start GitLab with one project in a group."""
    clock = WorldClock()
    standin = GitLabEmulator(clock, token=CANARY_TOKEN)
    standin.add_project(f"{WORKSPACE}/{REPOSITORY}")
    with serving("/gitlab", standin) as (url, seen):
        yield GitLabRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(gitlab.KIND, f"{url}/gitlab/api/v4", clock, {"token": CANARY_TOKEN}),
            usual={"project": f"{WORKSPACE}/{REPOSITORY}", "environment_scope": ENVIRONMENT},
            reads="GET variables",
            creates="POST variables",
            updates="PUT variables",
            scope="scope api",
            no_list="no list",
        )


@contextmanager
def a_kubernetes_rig() -> Iterator[KubernetesRig]:
    """Start an API server with one namespace."""
    clock = WorldClock()
    standin = KubernetesEmulator(clock, token=CANARY_TOKEN)
    standin.add_namespace(WORKSPACE)
    with serving("/kubernetes", standin) as (url, seen):
        yield KubernetesRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(kubernetes.KIND, f"{url}/kubernetes", clock, {"token": CANARY_TOKEN}),
            usual={"namespace": WORKSPACE, "secret": REPOSITORY},
            reads="GET secrets",
            creates="POST secrets",
            updates="PATCH secrets",
            scope="get, patch and create",
            no_list="no Secret",
        )


@contextmanager
def a_circle_rig() -> Iterator[CircleRig]:
    """Start CircleCI with one project and one context."""
    clock = WorldClock()
    standin = CircleEmulator(clock, token=CANARY_TOKEN)
    standin.add("project", "gh/acme/shop")
    standin.add("context", CONTEXT)
    with serving("/circleci", standin) as (url, seen):
        yield CircleRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(circleci.KIND, f"{url}/circleci", clock, {"token": CANARY_TOKEN}),
            usual={"project": "gh/acme/shop"},
            reads="GET variables",
            creates="POST variables",
            updates="POST variables",
            begins="POST variables",
            scope="personal API token",
            no_list="no list",
        )


RIGS: Mapping[str, Callable[[], Any]] = {
    "bitbucket": a_rig,
    "github": a_github_rig,
    "gitlab": a_gitlab_rig,
    "kubernetes": a_kubernetes_rig,
    "circleci": a_circle_rig,
}


@contextmanager
def answering(rig: AnyRig[Any], service: Callable[[Request], Response]) -> Iterator[None]:
    """Let something stand between the emulator and its callers."""
    kind = type(rig.standin)
    real = kind.__call__

    def answer(_: Emulator, request: Request) -> Response:
        return service(request)

    kind.__call__ = answer
    try:
        yield
    finally:
        kind.__call__ = real
