"""
Azure DevOps: both halves of the pair in one variable group, which one PUT replaces as a whole.

Source: Azure DevOps REST API 7.1, pages "Variablegroups - Get", "- Get Variable Groups" and "- Update" (a secret's
value is answered as null, and the example of an update sends it back so); MicrosoftDocs/vsts-rest-api-specs issues 235
(PUT deletes every variable that it does not name), 531 (401 without the project references) and 97 (203 and a sign-in
page for a refused token); microsoft/terraform-provider-azuredevops issue 1433 (null leaves a stored secret as it is)
and its resource for one variable (it sends back what it read: description, name, provider data, type, project
references); Azure/azure-devops-cli-extension `variable_group.py` (names are compared without case, secrets sent back as
they were read). Nothing tells who was first: there is no ETag and no version, so that the group is read right before
each PUT and again after it, and no PUT is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AccessKeyId, Credential, Readiness, TargetEvidence, TargetState
from keyrota.core.secret import Secret
from keyrota.errors import NotThere, ProviderRefused, ProviderUnavailable
from keyrota.fragments import (
    NAMES,
    REFERENCE,
    Schema,
    alternative,
    closed,
    faults_of_names,
    named,
    names_of,
    variables_of,
)
from keyrota.ports import Clock, SecretReader
from keyrota.wire import Answer, Http, Patience, Refusals, RunlessPlace, Unsearched, basic, bearer

_SAYS = Refusals(
    name="Azure DevOps",
    key="azure_devops",
    needs="the token needs the scope Variable Groups (read, create and manage), "
    "and its user the role Administrator of the variable group",
)
_VERSION = {"api-version": "7.1"}
_GROUPS = ("_apis", "distributedtask", "variablegroups")
_OWN = "Vsts"
"""The type of a group that keeps its variables itself; another one links them from Azure Key Vault."""
_SENT_BACK = ("name", "description", "type", "providerData", "variableGroupProjectReferences")
_MOST_PAGES = 50
_SIGN_IN, _UNAUTHORIZED = 203, 401
_ROUNDS = 5
_PATIENCE_S = 120.0
_PAUSE_S = 1.0

PROVIDER_SCHEMA: Schema = closed(
    {
        "base_url": {
            "type": "string",
            "description": "Of the organization: https://dev.azure.com/NAME; of a server: https://HOST/COLLECTION.",
        },
        "auth": {
            "description": "A personal access token, or a token of Entra ID.",
            "oneOf": [
                alternative("a personal access token", token=REFERENCE),
                alternative("a token of Entra ID", entra_token=REFERENCE),
            ],
        },
    },
    required=["base_url", "auth"],
    description="An organization of Azure DevOps.",
)
TARGET_SCHEMA: Schema = closed(
    {
        "project": {"type": "string", "minLength": 1, "description": "Name or ID of the project."},
        "group": {
            "type": ["string", "integer"],
            "minLength": 1,
            "description": "Name or number of a variable group; its other variables are never changed.",
        },
        "names": NAMES,
    },
    required=["project", "group"],
    description="A variable group.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A variable group as it was read; other people's plain values are in it as secrets, to be sent back."""

    number: str
    content: Mapping[str, Any] = field(repr=False)

    @property
    def variables(self) -> dict[str, Any]:
        """Return all variables, each as it is."""
        return dict(self.content["variables"])

    def spelled(self, name: str) -> str | None:
        """Find a variable, however its name is spelled; None if it is not there."""
        return next((other for other in self.variables if other.casefold() == name.casefold()), None)

    def get(self, name: str) -> dict[str, Any] | None:
        """Get a variable; None if it is not there."""
        found = self.variables.get(self.spelled(name) or "")
        return found if isinstance(found, dict) else None

    def key(self, name: str) -> AccessKeyId | None:
        """Read a key ID; None for a secret, and for anything that is none."""
        value = (self.get(name) or {}).get("value")
        if not isinstance(value, Secret) or not KEY_ID.fullmatch(value.reveal()):
            return None
        return AccessKeyId(value.reveal())

    def is_secret(self, name: str) -> bool:
        """Tell whether a variable can never be read."""
        return (self.get(name) or {}).get("isSecret") is True


class AzureTarget(RunlessPlace):
    """One variable group."""

    def __init__(self, http: Http, once: Http, clock: Clock, settings: Mapping[str, Any]) -> None:
        super().__init__(address(settings))
        self._http, self._once, self._clock = http, once, clock
        self._project: str = settings["project"]
        self._group: str = str(settings["group"])
        self._is_number = isinstance(settings["group"], int)
        self._id_name, self._secret_name = names_of(settings)

    @property
    def is_torn_possible(self) -> bool:
        """One PUT changes both halves."""
        return False

    @property
    def is_id_readable(self) -> bool:
        """A new ID is no secret; one that a person made secret cannot be told."""
        return True

    def preflight(self) -> Readiness:
        """Read the group, and see whether it could be sent back. Honest limit: who may read may still not manage."""
        return self.readiness(lambda: self._body(self._get(self._number()), {}))

    def read(self) -> TargetState:
        """Tell which key the ID names; a refusal is the value FAILED."""
        return self.looked(self._read)

    def _read(self) -> TargetState:
        group = self._get(self._number())
        missing = [name for name in (self._id_name, self._secret_name) if group.get(name) is None]
        if missing:
            return self.lacking(missing, is_empty=len(missing) == 2)  # noqa: PLR2004  # a pair
        evidence = TargetEvidence.CANNOT_TELL if group.is_secret(self._id_name) else TargetEvidence.HOLDS
        state = TargetState(address=self.address, evidence=evidence, key=group.key(self._id_name))
        if group.is_secret(self._secret_name):
            return state
        return replace(state, notice=f"{self._secret_name} is no secret variable: whoever may see the group reads it")

    def write(self, credential: Credential) -> None:
        """Put the pair into the group with one PUT; flags of variables that exist stay."""

        def with_pair(group: _Group) -> dict[str, Any]:
            changed = group.variables
            for name, value, is_secret in (
                (self._id_name, Secret(credential.id), False),
                (self._secret_name, credential.secret, True),
            ):
                known = group.get(name) or {"isSecret": is_secret}
                changed[group.spelled(name) or name] = {**known, "value": value}
            return changed

        def holds_pair(group: _Group) -> bool:
            is_told = group.is_secret(self._id_name) or group.key(self._id_name) == credential.id
            return is_told and group.get(self._secret_name) is not None

        self._replace(self._number(), with_pair, holds_pair)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Take both variables out of the group; a readable ID that is not one of ours forbids it."""
        number = self._number()
        names = self._ours(self._get(number), keys)

        def without_pair(group: _Group) -> dict[str, Any]:
            ours = self._ours(group, keys)  # looked at again: somebody may have written since
            return {name: value for name, value in group.variables.items() if name not in ours}

        if names:
            self._replace(number, without_pair, lambda group: not self._ours(group, keys))
        return names

    def _ours(self, group: _Group, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Name the variables of the pair that are there, as they are spelled."""
        found = [name for wanted in (self._id_name, self._secret_name) if (name := group.spelled(wanted))]
        is_known = group.is_secret(self._id_name) or group.key(self._id_name) in keys
        if found and not is_known:
            raise _SAYS.not_ours(self._id_name, self._about())
        return tuple(found)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _about(self) -> str:
        return f"{self.address}, variables {self._id_name} and {self._secret_name}"

    def _number(self) -> str:
        """Find the group's number by its name."""
        if self._is_number:
            return self._group
        found, token = set[int](), ""
        for _ in range(_MOST_PAGES):
            more = {"continuationToken": token} if token else {}
            query = {**_VERSION, "groupName": self._group, **more}
            answer = self._http.call("GET", (self._project, *_GROUPS), query=query, where=self._about())
            self._demand_success(answer)
            groups = answer.object().get("value")
            if not isinstance(groups, list):
                raise _SAYS.odd("Azure DevOps's answer is no list of variable groups", self._about())
            found |= {group["id"] for group in groups if self._is_named(group)}
            token = answer.headers.get("x-ms-continuationtoken", "")
            if not token:
                break
        if len(found) == 1:
            return str(found.pop())
        raise NotThere(
            f"the project has {len(found) or 'no'} variable groups of this name",
            where=self._about(),
            remedy=f"make it, or give its number as `group`; {_SAYS.needs}",
        )

    def _is_named(self, group: Any) -> bool:
        is_group = isinstance(group, dict) and isinstance(group.get("id"), int)
        return is_group and str(group.get("name", "")).casefold() == self._group.casefold()

    def _get(self, number: str) -> _Group:
        path = (self._project, *_GROUPS, number)
        return self._taken(self._http.call("GET", path, query=_VERSION, where=self._about()), number, "")

    def _taken(self, answer: Answer, number: str, then: str) -> _Group:
        """Take a group out of an answer; a number that no group has is answered with nothing."""
        self._demand_success(answer)
        if not isinstance(answer.object().get("variables"), dict) or str(answer.object().get("id")) != number:
            raise _SAYS.odd(f"Azure DevOps's answer is no variable group {number}{then}", self._about())
        return _Group(number=number, content={**answer.object(), "variables": _hidden(answer.object()["variables"])})

    def _demand_success(self, answer: Answer) -> None:
        is_sign_in = answer.status == _SIGN_IN
        _SAYS.demand_success(replace(answer, status=_UNAUTHORIZED) if is_sign_in else answer, self._about())

    def _body(self, group: _Group, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Make the whole group anew; refuses where something would be lost that was not read."""
        if group.content.get("type") != _OWN:
            raise ProviderRefused(
                "the variables of this group are linked from Azure Key Vault",
                where=self._about(),
                remedy="give a variable group that keeps its variables itself; nothing was written",
            )
        projects = group.content.get("variableGroupProjectReferences")
        if not isinstance(projects, list) or not projects:
            raise ProviderRefused(
                "Azure DevOps does not say which projects share this group, and a write would take it from them",
                where=self._about(),
                remedy=f"check `base_url`; nothing was written; {_SAYS.needs}",
            )
        kept = {name: group.content[name] for name in _SENT_BACK if name in group.content}
        return {**kept, "variables": dict(variables)}

    def _replace(
        self, number: str, change: Callable[[_Group], dict[str, Any]], is_done: Callable[[_Group], bool]
    ) -> None:
        """
        Read the group, change it, put it back, and read it again.

        Whatever goes wrong, the next round begins with reading: what others wrote meanwhile is not put back.
        """
        waited = 0.0
        for round_ in range(1, _ROUNDS + 1):
            group = self._get(number)
            body = self._body(group, change(group))
            try:
                answer = self._once.call("PUT", (*_GROUPS, number), query=_VERSION, body=body, where=self._about())
            except ProviderUnavailable as error:
                pause = error.retry_after_s or _PAUSE_S
                if round_ == _ROUNDS or waited + pause > _PATIENCE_S:
                    raise
                waited += pause
                self._clock.sleep(pause)
                continue
            self._taken(answer, number, ": whether it was written is not known")
            if is_done(self._get(number)):
                return
        raise ProviderUnavailable(
            "somebody else changes this variable group again and again at the same moment",
            where=self._about(),
            remedy="find out who writes it; the next run writes the pair again",
        )


def _hidden(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Keep every value as a secret, plain ones too: they are somebody else's, and a traceback shows locals."""
    return {
        name: {**variable, "value": Secret(variable["value"])}
        if isinstance(variable, dict) and isinstance(variable.get("value"), str)
        else variable
        for name, variable in variables.items()
    }


class AzureKind:
    """Azure DevOps as a plug-in."""

    @property
    def provider_schema(self) -> Mapping[str, Any]:
        """JSON Schema of `providers.azure_devops`."""
        return PROVIDER_SCHEMA

    @property
    def target_schema(self) -> Mapping[str, Any]:
        """JSON Schema of a target."""
        return TARGET_SCHEMA

    def faults(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Names differ by more than case; a star in a group's name would ask for several groups."""
        if "*" in str(settings["group"]):
            return ("a group whose name has a `*` is given by its number",)
        return faults_of_names(name.casefold() for name in names_of(settings))

    def address(self, settings: Mapping[str, Any]) -> str:
        """Name the target."""
        return address(settings)

    def is_within(self, settings: Mapping[str, Any], area: str) -> bool:
        """Tell whether a group lies in a project."""
        return str(settings["project"]).casefold() == area.casefold()

    def variables(self, settings: Mapping[str, Any]) -> frozenset[str]:
        """Name each variable that this target would write."""
        scope = f"azure_devops {settings['project']}/{settings['group']}"
        return frozenset(name.casefold() for name in variables_of(scope, settings))

    def connect(self, settings: Mapping[str, Any], *, secrets: SecretReader, clock: Clock) -> Unsearched:
        """Connect; makes no request yet."""
        auth = settings["auth"]
        if "token" in auth:
            authorization = basic("", lambda: secrets(auth["token"]))
        else:
            authorization = bearer(lambda: secrets(auth["entra_token"]))
        client = partial(
            Http,
            settings["base_url"],
            clock=clock,
            authorization=authorization,
            name="Azure DevOps",
            headers={"X-TFS-FedAuthRedirect": "Suppress"},  # a refused token: 401, no redirect to the sign-in page
        )
        return Unsearched(partial(AzureTarget, client(), client(patience=Patience(attempts=1)), clock))


def address(settings: Mapping[str, Any]) -> str:
    """Name a variable group in words."""
    return named(f"azure_devops {settings['project']}/{settings['group']}", settings)


KIND = AzureKind()
