"""An organization of Azure DevOps with one token: its groups, read and put back."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from keyrota.core.variables import Listed
from keyrota.errors import NotThere, ProviderRefused, ProviderUnavailable
from keyrota.http import Http, Response, paginate
from keyrota.ports import Clock
from keyrota.target_base.errors import DELETED, ProviderErrors
from keyrota.targets.azure_devops.group import Group, hide

SAYS = ProviderErrors(
    name="Azure DevOps",
    key="azure_devops",
    needs="the token needs the scope Variable Groups (read, create and manage), "
    "and its user the role Administrator of the variable group",
)
_VERSION = {"api-version": "7.1"}
_GROUPS = ("_apis", "distributedtask", "variablegroups")
_OLD_ADDRESS = re.compile(r"https://([a-z0-9-]+)\.visualstudio\.com", re.IGNORECASE)
_OWN = "Vsts"
"""The type of a group that keeps its variables itself; another one links them from Azure Key Vault."""
_SENT_BACK = ("name", "description", "type", "providerData", "variableGroupProjectReferences")
_MAX_PAGES = 50
_SIGN_IN, _UNAUTHORIZED = 203, 401
_ROUNDS = 5
_PATIENCE_S = 120.0
_PAUSE_S = 1.0


class AzureConnection:
    """
    An organization of Azure DevOps with one token.

    Args:
        http: The client.
        once: A client that sends nothing twice: a PUT that is repeated undoes what others wrote in between.
    """

    def __init__(self, http: Http, once: Http, clock: Clock) -> None:
        self._http, self._once, self._clock = http, once, clock
        self._turns: dict[str, threading.Lock] = {}
        """Targets are written in parallel, and several may share a group: one write of it at a time."""

    @property
    def origin(self) -> str:
        """The organization: https://NAME.visualstudio.com is another address of https://dev.azure.com/NAME."""
        old = _OLD_ADDRESS.fullmatch(self._http.origin)
        return f"https://dev.azure.com/{old[1]}" if old else self._http.origin

    def number(self, project: str, name: str, about: str) -> str:
        """Find a group's number by its name, which is compared without case."""
        found = {group["id"] for group in self._groups(project, about, name) if _is_named(group, name)}
        if len(found) == 1:
            return str(found.pop())
        if found:
            raise ProviderRefused(
                f"the project has {len(found)} variable groups of this name",
                where=about,
                remedy="give its number as `group`",
            )
        raise NotThere(
            "the project has no variable groups of this name",
            where=about,
            remedy=f"make it, or give its number as `group`; {SAYS.needs}; {DELETED}",
        )

    def others(self, project: str, number: str, about: str) -> dict[str, tuple[Listed, ...]]:
        """List the other variable groups of a project by name, with what their variables show."""
        return {
            str(group.get("name")): Group(content={"variables": hide(group["variables"])}).list_variables()
            for group in self._groups(project, about)
            if str(group.get("id")) != number and isinstance(group.get("variables"), dict)
        }

    def _groups(self, project: str, about: str, name: str = "") -> list[dict[str, Any]]:
        wanted = {**_VERSION, **({"groupName": name} if name else {})}

        def page(token: str | None) -> Response:
            query = {**wanted, **({"continuationToken": token} if token else {})}
            return self._http.call("GET", (project, *_GROUPS), query=query, where=about)

        pages = paginate(page(None), _next_token, page, most=_MAX_PAGES, name=SAYS.name, where=about)
        return [group for answer in pages for group in _read_groups(answer, about)]

    def get(self, project: str, number: str, about: str) -> Group:
        """Read a group."""
        answer = self._http.call("GET", (project, *_GROUPS, number), query=_VERSION, where=about)
        return _read_group(answer, number, about, "")

    def replace(
        self,
        project: str,
        number: str,
        about: str,
        *,
        change: Callable[[Group], dict[str, Any]],
        is_done: Callable[[Group], bool],
    ) -> None:
        """
        Read a group, change its variables, put it back, and read it again.

        Whatever goes wrong, the next round begins with reading: what others wrote meanwhile is not put back.
        """
        with self._turns.setdefault(number, threading.Lock()):
            waited = 0.0
            for round_ in range(1, _ROUNDS + 1):
                group = self.get(project, number, about)
                body = whole(group, about, change(group))
                try:
                    answer = self._once.call("PUT", (*_GROUPS, number), query=_VERSION, body=body, where=about)
                except ProviderUnavailable as error:
                    pause = error.retry_after_s or _PAUSE_S
                    if round_ == _ROUNDS or waited + pause > _PATIENCE_S:
                        raise
                    waited += pause
                    self._clock.sleep(pause)
                    continue
                _read_group(answer, number, about, ": whether it was written is not known")
                if is_done(self.get(project, number, about)):
                    return
        raise ProviderUnavailable(
            "somebody else changes this variable group again and again at the same moment",
            where=about,
            remedy="find out who writes it; the next run writes the pair again",
        )


def _next_token(answer: Response) -> str | None:
    return answer.headers.get("x-ms-continuationtoken") or None


def _read_groups(answer: Response, about: str) -> list[dict[str, Any]]:
    _demand_success(answer, about)
    groups = answer.object().get("value")
    if not isinstance(groups, list):
        raise SAYS.make_response_error("Azure DevOps's answer is no list of variable groups", about)
    return [group for group in groups if isinstance(group, dict)]


def whole(group: Group, about: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Make what is put back; refuses where something would be lost that was not read."""
    if is_linked(group):
        raise ProviderRefused(
            "the variables of this group are linked from Azure Key Vault",
            where=about,
            remedy="give a variable group that keeps its variables itself; nothing was written",
        )
    projects = group.content.get("variableGroupProjectReferences")
    if not isinstance(projects, list) or not projects:
        raise ProviderRefused(
            "Azure DevOps does not say which projects share this group, and a write would take it from them",
            where=about,
            remedy=f"check `base_url`; nothing was written; {SAYS.needs}",
        )
    kept = {name: group.content[name] for name in _SENT_BACK if name in group.content}
    return {**kept, "variables": dict(variables)}


def is_linked(group: Group) -> bool:
    """Return whether a group takes its variables from Azure Key Vault, and keeps none itself."""
    return group.content.get("type") != _OWN


def _is_named(group: Mapping[str, Any], name: str) -> bool:
    return isinstance(group.get("id"), int) and str(group.get("name", "")).casefold() == name.casefold()


def _read_group(answer: Response, number: str, about: str, then: str) -> Group:
    """Take a group out of an answer; a number that no group has is answered with nothing."""
    _demand_success(answer, about)
    if not isinstance(answer.object().get("variables"), dict) or str(answer.object().get("id")) != number:
        raise SAYS.make_response_error(f"Azure DevOps's answer is no variable group {number}{then}", about)
    return Group(content={**answer.object(), "variables": hide(answer.object()["variables"])})


def _demand_success(answer: Response, about: str) -> None:
    is_sign_in = answer.status == _SIGN_IN
    SAYS.raise_for_status(replace(answer, status=_UNAUTHORIZED) if is_sign_in else answer, about)
