"""From a file to a checked configuration, or to all its faults at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keyrota.app.config import fitting
from keyrota.app.config.check import faults, misfits, target_faults
from keyrota.app.config.expand import expand, name_instances
from keyrota.app.config.include import read, split_text
from keyrota.app.config.model import (
    Configuration,
    ConfiguredUrl,
    CredentialConfig,
    Reference,
    Selection,
    TargetConfig,
    VerifyConfig,
)
from keyrota.app.config.nodes import Document
from keyrota.app.config.rollout import read_rollout, rollout_faults
from keyrota.app.config.schema import FIRST_WRITE, KIND, make_expanded_schema
from keyrota.app.config.templates import TEMPLATE
from keyrota.app.config.tree import Expanded
from keyrota.app.config.trust import Kept, find_untrusted_hosts, reference_faults, references_in, urls_in
from keyrota.core.model import FirstWrite
from keyrota.core.naming import secret_name_for
from keyrota.core.policy import (
    CLASSIC,
    DAY,
    PRESETS,
    Adopt,
    Drift,
    Freeze,
    OnStillUsed,
    Rollout,
    RotationPolicy,
    duration,
)
from keyrota.core.selection import Criteria, DirectoryUser, Selector
from keyrota.errors import ConfigError, Fault, UsageError
from keyrota.http.urls import url_fault
from keyrota.target_base.provider import Provider
from keyrota.targets import kinds

_DAYS = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4, "sat": 5, "sun": 6}
_SEE = "see docs/reference/configuration.md"
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::(?P<account>[0-9]{12}):role/[\w+=,.@/{}-]+", re.ASCII)
_MAX_DRIFT = 90 * DAY
_DERIVED = "keyrota/*/access-key"
"""`secret_name_for`, of any user."""
_ENTRANCE = ("account", "role", "external_id", "region")
_AGES = ("rotate_after", "deactivate_after", "delete_after")


def load(path: Path) -> Configuration:
    """
    Read and check a configuration.

    Raises:
        ConfigError: With every fault that was found.
    """
    return load_expanded(path)[0]


def load_expanded(path: Path) -> tuple[Configuration, Expanded]:
    """
    Read and check a configuration, and return also what it stands for, with the place of each value.

    Raises:
        ConfigError: With every fault that was found.
    """
    return _from_documents(read(path), path)


def load_text(name: str, text: str) -> Configuration:
    """
    Check a configuration that does not lie in a file.

    Args:
        name: What errors say instead of a file's name.
        text: The YAML.

    Raises:
        ConfigError: With every fault that was found.
    """
    return load_text_expanded(name, text)[0]


def load_text_expanded(name: str, text: str) -> tuple[Configuration, Expanded]:
    """
    Check a configuration that does not lie in a file, and return also what it stands for.

    Raises:
        ConfigError: With every fault that was found.
    """
    return _from_documents(split_text(name, text), name)


def _from_documents(documents: Sequence[Document], path: Path | str) -> tuple[Configuration, Expanded]:
    usual = kinds()
    document = expand(documents, usual)
    if not isinstance(document.value, dict):
        found = "empty" if document.value is None else "no mapping"
        raise ConfigError(
            [Fault(where=str(path), what=f"the file is {found}", remedy="see docs/reference/configuration.md")]
        )
    known = {**usual} | name_instances(document.root.fields.get("providers"), usual)
    strict = make_expanded_schema(known, has_selections="selections" in document.value)
    found_faults = list(faults(document, strict))
    if found_faults:
        unfit = misfits(document, strict)
        found_faults += [] if unfit is None else _Reading(document, known).faults_beside(unfit)
        raise ConfigError(sorted(dict.fromkeys(found_faults), key=_position))
    return _Reading(document, known).configuration(), document


class _Reading:
    """Builds the configuration from a document that fits the schema, and collects what the schema cannot say."""

    def __init__(self, document: Expanded, known: Mapping[str, Provider]) -> None:
        self._document = document
        self._kinds = known
        self._faults: list[Fault] = []
        self._region: str = (document.value.get("aws") or {}).get("region", "")

    def faults_beside(self, misfits: fitting.Misfits) -> list[Fault]:
        """
        Find what the schema cannot say, where other parts of the document do not fit it: all faults at once.

        Args:
            misfits: Paths of the values that do not fit; they are left out.
        """
        content: dict[str, Any] = self._document.value
        policy = self._policy_beside(content.get("policy"), ("policy",), misfits, CLASSIC)
        entries = content.get("credentials")
        every = {("credentials", n): one for n, one in enumerate(entries if isinstance(entries, list) else ())}
        found = {
            path: self._credential_beside(entry, path, misfits, policy)
            for path, entry in every.items()
            if isinstance(entry, dict)
        }
        credentials = tuple(found.values())
        self._faults.extend(
            self._find_shared(tuple(found[path] for path in found if fitting.is_identified(every[path], path, misfits)))
        )
        told = content.get("providers")
        _, urls = self._judge_providers(fitting.providers(told, misfits, self._kinds), credentials)
        self._faults.extend(_hosts_beside(urls))
        if told is None or isinstance(told, dict):
            self._faults.extend(self._unknown_providers(credentials, told or {}))
        return self._faults

    def _credential_beside(
        self, entry: dict[str, Any], path: tuple[str | int, ...], misfits: fitting.Misfits, base: RotationPolicy
    ) -> CredentialConfig:
        policy = self._policy_beside(entry.get("policy"), (*path, "policy"), misfits, base)
        return self._credential(fitting.credential(entry, path, misfits, self._kinds), path, policy)

    def _policy_beside(
        self, value: Any, path: tuple[str | int, ...], misfits: fitting.Misfits, base: RotationPolicy
    ) -> RotationPolicy:
        """Look at what fits of a policy; of freeze windows that do not fit, only at their time zones."""
        entry = fitting.without(value, path, misfits)
        freeze = (*path, "freeze")
        if any(misfit[: len(freeze)] == freeze for misfit in misfits):
            self._freezes(entry.pop("freeze", ()), freeze)
        return self._policy(entry, path, base)

    def configuration(self) -> Configuration:
        content: dict[str, Any] = self._document.value
        policy = self._policy(content.get("policy") or {}, ("policy",), CLASSIC)
        credentials = tuple(
            self._credential(entry, ("credentials", number), policy)
            for number, entry in enumerate(content["credentials"])
        )
        self._faults.extend(self._find_shared(credentials))
        providers = content.get("providers") or {}
        self._faults.extend(self._unknown_providers(credentials, providers))
        selections = tuple(self._selections(content.get("selections") or (), policy))
        references, urls = self._judge_providers(providers, credentials)
        rollout = self._rollout(content.get("rollout") or {}, credentials, is_open=bool(selections))
        if self._faults:
            self._faults.extend(_hosts_beside(urls))
            raise ConfigError(sorted(dict.fromkeys(self._faults), key=_position))
        aws, verify = content.get("aws") or {}, content.get("verify") or {}
        return Configuration(
            path=self._document.path,
            policy=policy,
            rollout=rollout,
            concurrency=content.get("concurrency", 8),
            drift_every=max(DAY, min(_MAX_DRIFT, duration(content.get("drift_every", "7d")))),
            verify=VerifyConfig(
                regions=tuple(verify.get("regions", ())),
                times=verify.get("times", 4),
                span_s=min(600.0, duration(verify.get("within", "30s")).total_seconds()),
            ),
            region=aws.get("region"),
            profile=aws.get("profile"),
            providers={name: _drop_kind(settings) for name, settings in providers.items()},
            selections=selections,
            making=_Making(self._document, self._kinds) if selections else None,
            kinds={name: settings.get(KIND, name) for name, settings in providers.items()},
            credentials=credentials,
            references=references,
            urls=urls,
        )

    def _rollout(
        self, entry: Mapping[str, Any], credentials: tuple[CredentialConfig, ...], *, is_open: bool
    ) -> Rollout:
        rollout = read_rollout(entry)
        where = {name: self._document.where(("rollout", name)) for name in ("canary", "spread") if name in entry}
        self._faults.extend(rollout_faults(rollout, credentials, where, is_open=is_open))
        return rollout

    # --- providers ------------------------------------------------------------------------------------------------

    def _judge_providers(
        self, providers: Mapping[str, Any], credentials: tuple[CredentialConfig, ...]
    ) -> tuple[tuple[Reference, ...], tuple[ConfiguredUrl, ...]]:
        """Find references and URLs, and what is wrong with them."""
        references, urls = tuple(self._references(providers)), tuple(self._urls(providers))
        self._faults.extend(reference_faults(references, Kept.of(credentials)))
        self._faults.extend(_url_faults(urls))
        return references, urls

    def _references(self, providers: Mapping[str, Any]) -> Iterator[Reference]:
        for path, text in references_in(providers):
            where = self._document.where(("providers", *path))
            yield Reference(provider=path[0], field=path[-1], text=text, where=where)

    def _urls(self, providers: Mapping[str, Any]) -> Iterator[ConfiguredUrl]:
        for path, text in urls_in(providers):
            provider, *_, setting = path
            known = self._kinds[provider].provider_schema.get("properties", {}).get(setting, {})
            own = tuple(known.get("x-own", [known["default"]] if "default" in known else []))
            where = self._document.where(("providers", *path))
            yield ConfiguredUrl(provider=provider, setting=setting, text=text, own=own, where=where)

    # --- policy ---------------------------------------------------------------------------------------------------

    def _policy(self, entry: dict[str, Any], path: tuple[str | int, ...], base: RotationPolicy) -> RotationPolicy:
        preset = PRESETS.get(entry.get("preset", ""))
        if preset is not None:
            base = replace(base, **{name: getattr(preset, name) for name in _AGES})
        ages: dict[str, timedelta] = {
            name: duration(entry[name]) if name in entry else getattr(base, name) for name in (*_AGES, "unused_for")
        }
        policy = replace(
            base,
            **ages,
            freezes=self._freezes(entry["freeze"], (*path, "freeze")) if "freeze" in entry else base.freezes,
            on_still_used=OnStillUsed(entry.get("on_still_used", base.on_still_used)),
            prove_use=entry.get("prove_use", base.prove_use),
            adopt=Adopt(entry.get("adopt", base.adopt)),
            allow_short=entry.get("allow_short", base.allow_short),
            drift=Drift(entry.get("drift", base.drift)),
            first_write=FirstWrite(entry.get("first_write", base.first_write)),
        )
        if entry:
            self._faults.extend(Fault(where=self._document.where(path), what=what) for what in policy.faults())
        return policy

    def _freezes(self, entries: list[dict[str, Any]], path: tuple[str | int, ...]) -> tuple[Freeze, ...]:
        return tuple(
            Freeze(
                zone=self._zone(entry.get("timezone", "UTC"), (*path, number, "timezone")),
                weekdays=frozenset(_DAYS[day] for day in entry.get("weekdays", ())),
                first=date.fromisoformat(entry["from"]) if "from" in entry else None,
                last=date.fromisoformat(entry["to"]) if "to" in entry else None,
                holds_new_keys=entry.get("covers") == "all",
            )
            for number, entry in enumerate(entries)
        )

    def _zone(self, name: str, path: tuple[str | int, ...]) -> tzinfo:
        if name == "UTC":
            return UTC
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._faults.append(
                Fault(
                    where=self._document.where(path),
                    what=f"the time zone {name!r} is not known on this machine",
                    remedy="write it as Area/City, Europe/Berlin; or install tzdata",
                )
            )
            return UTC

    # --- credentials ----------------------------------------------------------------------------------------------

    def _credential(
        self, entry: dict[str, Any], path: tuple[str | int, ...], policy: RotationPolicy
    ) -> CredentialConfig:
        names = entry.get("names") or {}
        secret = entry.get("secret")
        role = entry.get("role")
        if role and not role.startswith("arn:") and "account" not in entry:
            self._faults.append(
                Fault(where=self._document.where((*path, "role")), what="a role's name needs `account` beside it")
            )
        self._faults.extend(self._odd(entry, path))
        return CredentialConfig(
            user=entry["user"],
            account=entry.get("account"),
            role=role,
            external_id=entry.get("external_id"),
            region=entry.get("region"),
            secret_name=secret or secret_name_for(entry["user"]),
            is_secret_named=secret is not None,
            id_field=names.get("id", "AWS_ACCESS_KEY_ID"),
            secret_field=names.get("secret", "AWS_SECRET_ACCESS_KEY"),
            kms_key=entry.get("kms_key"),
            replica_region=entry.get("replica_region"),
            tags=entry.get("tags") or {},
            secret_readers=frozenset(entry.get("secret_readers") or ()),
            policy=self._policy(entry.get("policy") or {}, (*path, "policy"), policy),
            targets=tuple(
                TargetConfig(
                    kind=self._kind_of(kind),
                    provider=kind,
                    settings=settings,
                    where=self._document.where((*path, "targets", number)),
                    first_write=FirstWrite(target[FIRST_WRITE]) if FIRST_WRITE in target else None,
                )
                for number, target in enumerate(entry.get("targets") or ())
                for kind, settings in _providers_of(target)
            ),
            where=self._document.where(path),
        )

    def _odd(self, entry: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[Fault]:
        """Find what does not fit together within one credential."""
        names = {"id": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY"} | (entry.get("names") or {})
        if names["id"] == names["secret"]:
            yield Fault(
                where=self._document.where((*path, "names")), what="`names` must give the ID and the secret two names"
            )
        arn = _ROLE_ARN.fullmatch(entry.get("role", ""))
        if arn and entry.get("account") not in (None, arn["account"]):
            yield Fault(
                where=self._document.where((*path, "role")), what="the role belongs to another account than `account`"
            )
        for key in entry.get("tags") or {}:
            if key.startswith(("aws:", "keyrota:")):
                yield Fault(where=self._document.where((*path, "tags", key)), what=f"the tag {key} is reserved")
        for number, target in enumerate(entry.get("targets") or ()):
            if not target:
                continue  # it does not fit the schema, and is told already
            where = self._document.where((*path, "targets", number))
            if len(_providers_of(target)) != 1:
                name = self._document.name((*path, "targets", number))
                yield Fault(
                    where=where, what=f"{name} must name one provider", remedy="begin a new entry with `-` for each"
                )
            for kind, settings in _providers_of(target):
                yield from (Fault(where=where, what=what) for what in target_faults(self._kinds[kind], settings))

    def _find_shared(self, credentials: tuple[CredentialConfig, ...]) -> Iterator[Fault]:
        """Find what two credentials claim both."""
        first: dict[tuple[str, ...], str] = {}
        for credential in credentials:
            for claim, what, where in self._claims(credential):
                if claim in first:
                    yield Fault(where=where, what=what, remedy=_advise(first[claim], where))
                first.setdefault(claim, where)

    def _claims(self, credential: CredentialConfig) -> Iterator[tuple[tuple[str, ...], str, str]]:
        account, region = credential.known_account or "", credential.region or self._region
        user, secret = credential.user, credential.secret_name
        # IAM keeps no two users whose names differ in case only (IAM User Guide, names).
        yield ("user", account, user.casefold()), f"the user {user} is configured twice", credential.where
        yield ("secret", account, region, secret), f"the secret {secret} is used twice", credential.where
        for target in credential.targets:
            kind = self._kinds[target.provider]
            if kind.faults(target.settings):
                continue  # told already; what does not fit together has no variables
            for name in sorted(kind.variables(target.settings)):
                yield (
                    ("variable", target.kind, self._site(target.provider), name),
                    f"the variable {name} is claimed twice",
                    target.where,
                )

    def _kind_of(self, name: str) -> str:
        providers = self._document.value.get("providers")
        settings = providers.get(name) if isinstance(providers, dict) else None
        return str(settings.get(KIND, name)) if isinstance(settings, dict) else name

    def _site(self, name: str) -> str:
        """Distinguish servers of one kind: equal names at two of them are two variables."""
        providers = self._document.value.get("providers")
        settings = providers.get(name) if isinstance(providers, dict) else None
        known = self._kinds[name].provider_schema.get("properties", {}).get("base_url", {})
        told = settings if isinstance(settings, dict) else {}
        return " ".join(str(told.get(field, known.get("default", ""))) for field in ("base_url", "region", "role"))

    def _selections(self, entries: Sequence[dict[str, Any]], policy: RotationPolicy) -> Iterator[Selection]:
        for number, entry in enumerate(entries):
            path = ("selections", number)
            if not {"tags", "path", "name"} & entry["users"].keys():
                what = f"{self._document.name((*path, 'users'))} says nothing of the users"
                remedy = 'write `tags`, `path` or `name`; `name: "*"` means all of them'
                self._faults.append(Fault(where=self._document.where((*path, "users")), what=what, remedy=remedy))
            own: dict[str, Any] = {name: entry[name] for name in _ENTRANCE if name in entry}
            entrance = self._credential({**own, "user": "selected"}, path, policy)
            yield Selection(
                selector=_read_selector(entry["users"]),
                entrance=replace(entrance, kms_key=entry.get("kms_key")),
                secret_pattern=TEMPLATE.sub("*", entry.get("secret") or _DERIVED),
                where=self._document.where((*path, "users")),
            )

    def claims(self, credential: CredentialConfig) -> Iterator[tuple[object, str]]:
        """Name what a credential claims for itself alone."""
        return ((claim, what) for claim, what, _ in self._claims(credential))

    def _unknown_providers(
        self, credentials: tuple[CredentialConfig, ...], providers: Mapping[str, Any]
    ) -> Iterator[Fault]:
        for credential in credentials:
            for target in credential.targets:
                if target.provider not in providers:
                    needed = self._kinds[target.provider].provider_schema.get("required", ())
                    settings = ", ".join(f"{name}: …" for name in needed)
                    yield Fault(
                        where=target.where,
                        what=f"{target.provider} is not configured",
                        remedy=f"add it: providers: {{{target.provider}: {{{settings}}}}}",
                    )


class _Making:
    """Makes credentials of the users that selectors find."""

    def __init__(self, document: Expanded, known: Mapping[str, Provider]) -> None:
        self._document, self._known = document, known
        self._strict = make_expanded_schema(known)
        self._reading = _Reading(document, known)

    def make(self, number: int, user: DirectoryUser) -> CredentialConfig:
        """
        Make the credential of a user.

        Raises:
            ConfigError: The tags, the path or the name of the user do not fit where the configuration needs them.
        """
        if self._document.select is None:
            raise RuntimeError("a configuration without selections")
        made = self._document.select(number, user)
        found = list(faults(made, self._strict))
        if found:
            raise ConfigError(found)
        return _Reading(made, self._known).configuration().credentials[0]

    def claims(self, credential: CredentialConfig) -> Iterator[tuple[object, str]]:
        """Name what a credential claims for itself alone."""
        return self._reading.claims(credential)


def _read_selector(entry: Mapping[str, Any]) -> Selector:
    exempt = (one if isinstance(one, dict) else {"name": one} for one in entry.get("except", ()))
    return Selector(
        wanted=_read_criteria(entry),
        exempt=tuple(_read_criteria(one) for one in exempt),
        at_most=entry.get("at_most", 0),
    )


def _read_criteria(entry: Mapping[str, Any]) -> Criteria:
    return Criteria(
        tags={name: _read_patterns(value) for name, value in (entry.get("tags") or {}).items()},
        path=entry.get("path", ""),
        names=_read_patterns(entry.get("name", ())),
    )


def _read_patterns(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _providers_of(target: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Find the provider that an entry of `targets` names, with its settings."""
    return tuple((kind, settings) for kind, settings in target.items() if kind != FIRST_WRITE)


def _advise(first: str, where: str) -> str:
    if first == where:
        return "this entry stands for both: write {user}, {account.name} or the like into it, so that they differ"
    return f"the first time is at {first}"


def _drop_kind(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != KIND}


def _position(fault: Fault) -> tuple[int, ...]:
    return tuple(int(part) for part in fault.where.rsplit(":", 2)[1:] if part.isdigit())


def _url_faults(urls: Iterable[ConfiguredUrl]) -> Iterator[Fault]:
    for url in urls:
        found = url_fault(url.text)
        if found is not None:
            what, remedy = found
            yield Fault(where=url.where, what=f"providers.{url.provider}.{url.setting}: {what}", remedy=remedy)


def _hosts_beside(urls: Iterable[ConfiguredUrl]) -> Iterator[Fault]:
    """
    Find the hosts that would be refused next, where the file has other faults: all faults at once.

    A variable that cannot be read is no fault of the file; it is reported once the file has none.
    """
    with contextlib.suppress(UsageError):
        yield from find_untrusted_hosts(urls)
