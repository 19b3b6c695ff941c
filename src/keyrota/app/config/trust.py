"""
What a configuration may refer to, and where it may send it.

A configuration is data: whoever may change it must not gain what the process may read. So a reference never leads to
AWS credentials, to keyrota's own settings, or to a secret that keyrota keeps: these are no tokens of a provider. Which
hosts may receive a token is decided outside of the file (`keyrota.http.hosts`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urllib3.util import Url

from keyrota.app.config.model import Configuration, ConfiguredUrl, CredentialConfig, Reference
from keyrota.core.secret import Secret
from keyrota.errors import ConfigError, Fault
from keyrota.http.hosts import find_permission, is_own, make_untrusted_fault
from keyrota.http.urls import parts_of, url_fault

_REFERENCE = re.compile(r"(?P<kind>env|file|secretsmanager|ssm):(?P<rest>\S(?:.*\S)?)")
_ENVIRONMENT = re.compile(
    r"(AWS|AMAZON|BOTO|EC2|ECS|LAMBDA|_LAMBDA|_X_AMZN|KEYROTA)(_.*|$)"
    r"|.*(AWS_?(SECRET|ACCESS|SESSION|SECURITY)|SECRET_?ACCESS_?KEY|ACCESS_?KEY_?ID|SESSION_?TOKEN).*"
    r"|ACTIONS_(ID_TOKEN_REQUEST|RUNTIME)_.*|BITBUCKET_STEP_OIDC_TOKEN|.*WEB_IDENTITY_TOKEN.*",
    re.IGNORECASE,
)
"""
Variables that AWS's tools and SDKs read (AWS SDKs and Tools Reference Guide), those of the Lambda runtime, our own, and
tokens for which STS gives credentials (GitHub's and Bitbucket's OIDC tokens). Windows ignores the case of names.
"""
_FILE_VARIABLES = (
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "BOTO_CONFIG",
)
_FOLDERS = ("~/.aws", "/proc", "/sys", "/dev", "/var/run/secrets/eks.amazonaws.com", "/etc/boto.cfg", "~/.boto")
_PODS = "/var/run/secrets/pods.eks.amazonaws.com"
_FIELDS = re.compile(r"(aws_?)?(access_?key_?id|secret_?access_?key|session_?token)", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9/_+=.@:!-]+")
"""Names and ARNs of secrets and parameters (API References, CreateSecret and PutParameter; `rds!…` of services)."""
_DERIVED = re.compile(r"keyrota/[^#]+/access-key", re.IGNORECASE)
_ARN_END = re.compile(r"-[a-z0-9]{6}", re.IGNORECASE)
_OWN_VALUES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_STORE = (
    "store the token in Secrets Manager (aws secretsmanager create-secret --name keyrota-tokens/… --secret-string …) "
    "and write secretsmanager:NAME"
)
_REMEDY = "refer to the provider's token, and to nothing else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What keyrota keeps itself, by names as references would write them; all in lower case."""

    secrets: frozenset[str]
    parameters: frozenset[str]

    @staticmethod
    def of(credentials: Iterable[CredentialConfig]) -> Kept:
        """Collect the secrets of the credentials, and the parameters that are targets."""
        every = tuple(credentials)
        parameters = (
            str(target.settings.get("parameter", ""))
            for entry in every
            for target in entry.targets
            if target.kind == "ssm"
        )
        return Kept(
            secrets=frozenset(entry.secret_name.lower() for entry in every),
            parameters=frozenset(name.strip("/").lower() for name in parameters),
        )


NOTHING_KEPT = Kept(secrets=frozenset(), parameters=frozenset())
"""Where there is no configuration: what is derived from a user's name is refused all the same."""


def references_in(providers: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find every reference in the settings of the providers, with its path."""
    yield from ((path, text) for path, text in _texts(providers, ()) if _REFERENCE.fullmatch(text))


def urls_in(providers: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find every URL in the settings of the providers, with its path: by the setting's name, or by its look."""
    for path, text in _texts(providers, ()):
        if (path[-1].endswith("_url") or "://" in text) and "auth" not in path and not _REFERENCE.fullmatch(text):
            yield path, text


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, (*path, str(name)))


def reference_fault(text: str, kept: Kept) -> str | None:
    """Say why a reference is refused by its form alone; None if it is not. Nothing is read."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    kind, rest = match["kind"], match["rest"]
    if kind == "env":
        is_refused = _ENVIRONMENT.fullmatch(rest) is not None
        return f"{text} may hold AWS credentials or keyrota's own settings, not a token" if is_refused else None
    if kind == "file":
        is_refused = leads_to_credentials(Path(rest))
        return f"{text} may lead to AWS credentials or to this machine's own state" if is_refused else None
    named = rest.partition("#")[0] if kind == "secretsmanager" else rest
    if not _PLAIN.fullmatch(named):
        what = "a secret" if kind == "secretsmanager" else "a parameter"
        return f"{text} has characters that no name of {what} has: in a policy, `*` and `?` stand for other ones"
    return _secret_fault(text, rest, kept) if kind == "secretsmanager" else _parameter_fault(text, rest, kept)


def _secret_fault(text: str, rest: str, kept: Kept) -> str | None:
    name, _, field = rest.partition("#")
    if _FIELDS.fullmatch(field):
        return f"{text} is a part of an AWS access key, not a token"
    is_kept = any(one in kept.secrets or _DERIVED.fullmatch(one) for one in _secret_names(name))
    return f"{text} is a secret that keyrota manages, not a token" if is_kept else None


def _secret_names(identifier: str) -> tuple[str, ...]:
    """
    Name the secrets that an identifier may mean: by name, by ARN, or by an ARN without its last characters.

    A name may itself end like an ARN, so both readings count. Region and account do not: a replica has the same name.
    """
    text = identifier.strip().lower()
    name = text.split(":", 6)[6] if text.startswith("arn:") and text.count(":") >= 6 else text  # noqa: PLR2004  # an ARN's fields
    short = name[:-7] if _ARN_END.fullmatch(name[-7:]) else name
    return name, short


def _parameter_fault(text: str, rest: str, kept: Kept) -> str | None:
    name = rest.strip().lower()
    if name.startswith("arn:"):
        name = name.partition(":parameter")[2]
    name = name.strip("/").partition(":")[0].strip("/")
    if name.startswith("aws/"):
        return f"{text} leads to another service through Parameter Store"  # /aws/reference/secretsmanager/NAME
    return f"{text} is a target that keyrota writes, not a token" if name in kept.parameters else None


def leads_to_credentials(path: Path) -> bool:
    """Say whether a path, after links and `..`, lies where AWS credentials or the state of processes lie."""
    try:
        there = path.expanduser().absolute()
        # As written, without `..`, and behind links: each of the three is what some tool would open. Without case,
        # because macOS and Windows have file systems that ignore it.
        found = {_fold_case(there), _fold_case(Path(os.path.normpath(there))), _fold_case(there.resolve())}
        refused = [Path(name).expanduser() for name in (*_FOLDERS, _PODS)]
    except (OSError, RuntimeError, ValueError):
        return False  # not a path: reading it says so
    refused += [Path(os.environ[name]).expanduser() for name in _FILE_VARIABLES if os.environ.get(name)]
    folders = {_fold_case(one) for one in refused} | {_fold_case(one.resolve()) for one in refused}
    return any(one == folder or one.startswith(f"{folder}/") for one in found for folder in folders)


def _fold_case(path: Path) -> str:
    return path.as_posix().casefold()


def refuse_own_credentials(value: Secret, where: str) -> Secret:
    """
    Refuse a value that is one of this process's own AWS credentials, under whatever name it was found.

    Raises:
        ConfigError: It is.
    """
    if any(os.environ.get(name) and value == Secret(os.environ[name]) for name in _OWN_VALUES):
        what = "this is one of the AWS credentials that keyrota runs with, not a token"
        raise ConfigError([Fault(where=where, what=what, remedy=_REMEDY)])
    return value


def reference_faults(references: Iterable[Reference], kept: Kept) -> Iterator[Fault]:
    """Find references that no configuration may hold."""
    for reference in references:
        what = reference_fault(reference.text, kept)
        if what is not None:
            yield Fault(where=reference.where, what=what, remedy=_REMEDY)


def foreign(urls: Iterable[ConfiguredUrl]) -> Iterator[tuple[ConfiguredUrl, Url]]:
    """Find the URLs that are not at a provider's own public address; those that are odd are reported apart."""
    for url in urls:
        parts = parts_of(url.text)
        if parts is not None and url_fault(url.text) is None and not is_own(parts, url.own):
            yield url, parts


def find_untrusted_hosts(urls: Iterable[ConfiguredUrl]) -> Iterator[Fault]:
    """
    Find hosts that are neither a provider's own nor allowed outside of the configuration.

    Raises:
        UsageError: A variable that allows hosts holds something that is not a host.
    """
    yield from (
        make_untrusted_fault(parts, url.where) for url, parts in foreign(urls) if find_permission(parts) is None
    )


def refuse_local(references: Iterable[Reference]) -> None:
    """
    Refuse what lies on a machine: a function's environment and files are its own credentials and code.

    Raises:
        ConfigError: With each such reference.
    """
    faults = [
        Fault(
            where=reference.where,
            what=f"`{reference.text.partition(':')[0]}:` references are not available to Lambda functions: "
            f"{reference.text}",
            remedy=_STORE,
        )
        for reference in references
        if reference.text.startswith(("env:", "file:"))
    ]
    if faults:
        raise ConfigError(faults)


def refuse_shared_roles(configuration: Configuration) -> None:
    """
    Refuse one role for every duty: in another account every function could do everything.

    Raises:
        ConfigError: With each role that does not hold `{duty}`.
    """
    remedy = "write {duty} where the names of the roles differ: `role: keyrota-{duty}`"
    faults = [
        Fault(where=entry.where, what=f"the role {entry.role} is the same for every function", remedy=remedy)
        for entry in configuration.entrances
        if entry.role and "{duty}" not in entry.role
    ]
    for name, settings in configuration.of_kind("ssm").items():
        role = settings.get("role")
        if role and "{duty}" not in role:
            where = f"{configuration.path}: providers.{name}.role"
            faults.append(Fault(where=where, what=f"the role {role} is the same for every function", remedy=remedy))
    if faults:
        raise ConfigError(faults)
