"""
HCP Terraform (Terraform Cloud) and Terraform Enterprise: environment variables of a workspace, or of a variable set.

Source: HCP Terraform API reference, pages "Workspace variables" (POST `/workspaces/:id/vars`; an attribute that is left
out of a PATCH is left unchanged; `sensitive`: written once and not visible thereafter; `hcl` has no effect on
environment variables), "Workspaces" (GET by organization and name) and "API documentation" (JSON:API; 404 for what the
token may not see; 30 requests a second for each user; pages of at most 100); go-tfe `variable_set_variable.go` (the
same calls below `/varsets/:id/relationships/`) and its pull request 41 (`X-RateLimit-Reset` counts from now);
hashicorp/terraform-provider-tfe issue 309 (a key that is taken is refused). What is not documented is borne, not relied
on: the status of that refusal, and whether the lists have pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AccessKeyId, KeyPair, Readiness, TargetEvidence, TargetState
from keyrota.core.secret import Secret
from keyrota.fragments import (
    AT_MOST,
    NAMES,
    REFERENCE,
    Schema,
    alternative,
    closed,
    faults_of_names,
    named,
    names_of,
    span,
    variables_of,
)
from keyrota.ports import Clock, SecretReader
from keyrota.wire import (
    Answer,
    Budget,
    Http,
    Limit,
    Refusals,
    RunlessPlace,
    Unsearched,
    attempted,
    bearer,
    each_page,
    together,
)

API = "https://app.terraform.io/api/v2"
_MEDIA = "application/vnd.api+json"
_SAYS = Refusals(
    name="HCP Terraform",
    key="terraform",
    needs="the token's team or user needs the permission to read and write variables of the workspace, "
    "or to manage variable sets",
)
_MOST_PAGES = 200
_MISSING = 404
_LIMIT = Limit(calls=20, seconds=1.0)
"""30 a second for each user, whatever the token: a third is left to the people and pipelines that share the user."""
_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}

PROVIDER_SCHEMA: Schema = closed(
    {
        "base_url": {
            "type": "string",
            "default": API,
            "description": "Base URL of the API; of Terraform Enterprise: https://HOST/api/v2.",
        },
        "auth": {
            "description": "A token of a user, a team or an organization.",
            "oneOf": [alternative("an API token", token=REFERENCE)],
        },
        "at_most": AT_MOST,
    },
    required=["auth"],
    description="HCP Terraform, Terraform Cloud, Terraform Enterprise.",
)
TARGET_SCHEMA: Schema = closed(
    {
        "organization": {**_NAME, "description": "Name of the organization."},
        "workspace": {**_NAME, "description": "Name of a workspace."},
        "variable_set": {
            "type": "string",
            "pattern": "^varset-[A-Za-z0-9]+$",
            "description": "ID of a variable set, instead of a workspace.",
        },
        "names": NAMES,
    },
    required=["organization"],
    description="Environment variables of a workspace or a variable set.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variable:
    """A variable of ours, as a list shows it; its value is kept only if it is a key ID."""

    id: str
    name: str
    is_sensitive: bool
    key: AccessKeyId | None


class TerraformTarget(RunlessPlace):
    """One workspace or one variable set."""

    def __init__(self, http: Http, settings: Mapping[str, Any]) -> None:
        super().__init__(address(settings))
        self._http = http
        self._organization: str = settings["organization"]
        self._workspace: str | None = settings.get("workspace")
        self._set: str | None = settings.get("variable_set")
        self._id_name, self._secret_name = names_of(settings)

    @property
    def is_torn_possible(self) -> bool:
        """Two variables."""
        return True

    @property
    def is_id_readable(self) -> bool:
        """A new ID is not sensitive; one that a person made sensitive cannot be told."""
        return True

    def preflight(self) -> Readiness:
        """List the variables. Honest limit: a token that may read may still not write; HCP cannot be asked."""
        return self.readiness(lambda: self._listed(self._path()))

    def read(self) -> TargetState:
        """Tell which key the ID names; a refusal is the value FAILED."""
        return self.looked(self._read)

    def _read(self) -> TargetState:
        found = self._listed(self._path())
        missing = [name for name in (self._id_name, self._secret_name) if name not in found]
        if missing:
            return self.lacking(missing, is_empty=not found)
        telling = found[self._id_name]
        evidence = TargetEvidence.CANNOT_TELL if telling.is_sensitive else TargetEvidence.HOLDS
        state = TargetState(address=self.address, evidence=evidence, key=telling.key)
        if found[self._secret_name].is_sensitive:
            return state
        return replace(state, notice=f"{self._secret_name} is not sensitive: whoever may read variables reads it")

    def write(self, credential: KeyPair) -> None:
        """Create or update both variables at once; an update sends the value alone, so that every flag stays."""
        path = self._path()
        found = self._listed(path)
        together(
            partial(self._put, path, found.get(self._secret_name), self._secret_name, credential.secret),
            partial(self._put, path, found.get(self._id_name), self._id_name, Secret(credential.id)),
        )

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete both variables; a readable ID that is not one of ours forbids it."""
        path = self._path()
        found = self._listed(path)
        known = found.get(self._id_name)
        if found and (known is None or (not known.is_sensitive and known.key not in keys)):
            raise _SAYS.not_ours(self._id_name, self._about(self._id_name))
        for name, variable in found.items():
            answer = self._call("DELETE", (*path, variable.id), name)
            if answer.status != _MISSING:
                _SAYS.demand_success(answer, self._about(name))
        return tuple(found)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _path(self) -> tuple[str, ...]:
        """Find the path of the variables: a workspace has an ID besides its name."""
        if self._workspace is None:
            return ("varsets", self._set or "", "relationships", "vars")
        answer = self._call("GET", ("organizations", self._organization, "workspaces", self._workspace), "")
        _SAYS.demand_success(answer, self._about(""))
        found = answer.object().get("data")
        number = found.get("id") if isinstance(found, dict) and found.get("type") == "workspaces" else None
        if not isinstance(number, str) or not number.isprintable():
            raise _SAYS.odd("HCP Terraform's answer is no workspace", self._about(""))
        return ("workspaces", number, "vars")

    def _call(self, method: str, path: tuple[str, ...], name: str, **more: Any) -> Answer:
        return self._http.call(method, path, where=self._about(name), **more)

    def _about(self, name: str) -> str:
        return f"{self.address}, variable {name}" if name else f"{self.address}, its variables"

    def _listed(self, path: tuple[str, ...]) -> dict[str, _Variable]:
        """Find our own environment variables on all pages; a Terraform variable of the same name is another one."""
        found: dict[str, _Variable] = {}
        for item in self._pages(path):
            attributes = item.get("attributes")
            if not isinstance(attributes, dict) or attributes.get("category") != "env":
                continue
            name, value = attributes.get("key"), attributes.get("value")
            if isinstance(item.get("id"), str) and name in {self._id_name, self._secret_name}:
                is_key = name == self._id_name and isinstance(value, str) and KEY_ID.fullmatch(value)
                found[str(name)] = _Variable(
                    id=item["id"],
                    name=str(name),
                    is_sensitive=attributes.get("sensitive") is True,
                    key=AccessKeyId(str(value)) if is_key else None,
                )
        return found

    def _pages(self, path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        about = self._about("")

        def page(number: str) -> Answer:
            return self._call("GET", path, "", query={"page[number]": number, "page[size]": "100"})

        for answer in each_page(page("1"), _next_page, page, most=_MOST_PAGES, name=_SAYS.name, where=about):
            yield from _SAYS.entries(answer, about, under="data")

    def _put(self, path: tuple[str, ...], found: _Variable | None, name: str, value: Secret) -> None:
        """Update the variable, or create it; a race, or an answer that was lost, is settled by looking again."""
        if found is None:
            answer = self._created(path, name, value)
            if answer is not None and answer.is_success:
                self._demand_written(answer, name)
                return
            found = _SAYS.settled(answer, self._listed(path).get(name), "variable", self._about(name))
        body = {"data": {"type": "vars", "id": found.id, "attributes": {"value": value}}}
        answer = self._call("PATCH", (*path, found.id), name, body=body, content_type=_MEDIA, is_repeatable=True)
        self._demand_written(answer, name)

    def _created(self, path: tuple[str, ...], name: str, value: Secret) -> Answer | None:
        """Create an environment variable, the ID readable, the secret not; None if there was no answer."""
        attributes = {"key": name, "value": value, "category": "env", "sensitive": name == self._secret_name}
        body = {"data": {"type": "vars", "attributes": attributes}}
        return attempted(lambda: self._call("POST", path, name, body=body, content_type=_MEDIA))

    def _demand_written(self, answer: Answer, name: str) -> None:
        _SAYS.demand_success(answer, self._about(name))
        data = answer.object().get("data")
        attributes = data.get("attributes") if isinstance(data, dict) else None
        if not isinstance(attributes, dict) or attributes.get("key") != name:
            what = "HCP Terraform's answer to the write is not the variable: whether it was written is not known"
            raise _SAYS.odd(what, self._about(name))


def _next_page(answer: Answer) -> str | None:
    """Read `meta.pagination.next-page`; None on the last page, and where a list has no pages."""
    part: Any = answer.object()
    for name in ("meta", "pagination", "next-page"):
        part = part.get(name) if isinstance(part, dict) else None
    return str(part) if isinstance(part, int) and not isinstance(part, bool) and part > 0 else None


class TerraformKind:
    """HCP Terraform as a plug-in."""

    @property
    def provider_schema(self) -> Mapping[str, Any]:
        """JSON Schema of `providers.terraform`."""
        return PROVIDER_SCHEMA

    @property
    def target_schema(self) -> Mapping[str, Any]:
        """JSON Schema of a target."""
        return TARGET_SCHEMA

    def faults(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Find what does not fit together."""
        if ("workspace" in settings) == ("variable_set" in settings):
            return ("give either `workspace` or `variable_set`",)
        return faults_of_names(names_of(settings))

    def address(self, settings: Mapping[str, Any]) -> str:
        """Name the target."""
        return address(settings)

    def is_within(self, settings: Mapping[str, Any], area: str) -> bool:
        """Tell whether a target lies in an organization."""
        return str(settings["organization"]).casefold() == area.casefold()

    def variables(self, settings: Mapping[str, Any]) -> frozenset[str]:
        """Name each variable that this target would write."""
        where = settings.get("variable_set") or f"{settings['organization']}/{settings['workspace']}".casefold()
        return variables_of(f"terraform {where}", settings)

    def connect(self, settings: Mapping[str, Any], *, secrets: SecretReader, clock: Clock) -> Unsearched:
        """Connect; makes no request yet."""
        bound = span(settings, "at_most", AT_MOST["default"])
        http = Http(
            settings.get("base_url", API),
            clock=clock,
            own=(API,),
            authorization=bearer(lambda: secrets(settings["auth"]["token"])),
            name="HCP Terraform",
            headers={"Accept": _MEDIA},
            budget=Budget(clock, [_LIMIT], bound=bound, name="HCP Terraform's budget of calls"),
        )
        return Unsearched(partial(TerraformTarget, http))


def address(settings: Mapping[str, Any]) -> str:
    """Name a workspace or a variable set in words."""
    where = settings["workspace"] if "workspace" in settings else f"variable set {settings['variable_set']}"
    return named(f"terraform {settings['organization']}/{where}", settings)


KIND = TerraformKind()
