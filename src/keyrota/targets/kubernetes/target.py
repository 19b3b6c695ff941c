"""
One Secret for one pair.

Source: Kubernetes API reference, Secret v1 (`data` is Base64; `immutable` refuses changes), and its page on API
concepts (JSON merge patch, server-side dry run).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keyrota.core.model import (
    AccessKeyId,
    Conflict,
    KeyPair,
    PlaceId,
    Readiness,
    ShownKey,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, find_shown, pair_conflicts, states_of
from keyrota.errors import KeyrotaError, ProviderRefused
from keyrota.http import Response
from keyrota.target_base.schema import name_place, name_provider, names_of
from keyrota.target_base.target import BaseTarget
from keyrota.target_base.upsert import put_or_create
from keyrota.targets.kubernetes.connection import SAYS, KubernetesConnection, secrets_of
from keyrota.targets.kubernetes.entries import data_of, encode, list_entries, writers_of

_MERGE = "application/merge-patch+json"
_DRY = {"dryRun": "All"}
_REPLACE = "replace it by one that is not immutable"


class KubernetesTarget(BaseTarget):
    """One Secret."""

    def __init__(self, connection: KubernetesConnection, settings: Mapping[str, Any]) -> None:
        super().__init__(address(settings))
        self._connection = connection
        self._http = connection.http
        self._namespace: str = settings["namespace"]
        self._secret: str = settings["secret"]
        self._id_name, self._secret_name = names_of(settings)

    @property
    def has_separate_variables(self) -> bool:
        """One PATCH changes both halves."""
        return False

    @property
    def is_id_readable(self) -> bool:
        """A Secret can be read."""
        return True

    def preflight(self) -> Readiness:
        """Let the API server try the very write, without doing it (server-side dry run)."""
        body: dict[str, str | Secret] = {self._id_name: "", self._secret_name: ""}
        return self.readiness(lambda: self._send(self._get(), body, is_dry=True))

    def read(self) -> TargetState:
        """Return what is there; a refusal is the value FAILED."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        found = self._get()
        entries = list_entries(found)
        names = self._names
        present = {entry.name: entry for entry in entries if entry.name in names}
        missing = [name for name in names if name not in present]
        state = (
            self.absent_state(missing, is_empty=not present)
            if missing
            else TargetState(address=self.address, evidence=TargetEvidence.HOLDS, key=present[self._id_name].key)
        )
        return replace(
            state,
            place=self._place(),
            variables=states_of(names, entries, id_name=self._id_name),
            shown=find_shown(entries, self.address, beside=names, noun="entry"),
            conflicts=self._conflicts(found, entries),
        )

    @property
    def _names(self) -> tuple[str, str]:
        return self._id_name, self._secret_name

    def _place(self) -> PlaceId:
        """
        Identify the Secret by its namespace's UID and its name.

        A Secret that is deleted and made again has another UID, and pods still find it by its name: it is the same
        place. Another cluster under the same address has other namespaces.
        """
        namespace = self._connection.namespace(self._namespace, self._about())
        return PlaceId(kind="kubernetes", origin=self._http.origin, id=f"namespace {namespace} secret {self._secret}")

    def _conflicts(self, found: Mapping[str, Any] | None, entries: tuple[Listed, ...]) -> tuple[Conflict, ...]:
        conflicts = [*pair_conflicts(entries, *self._names, noun="entry")]
        if found is None:
            return tuple(conflicts)
        if found.get("immutable") is True:
            conflicts.append(Conflict(what="the Secret is immutable", remedy=_REPLACE, is_lasting=True))
        return (*conflicts, *writers_of(found, self._names))

    def place_now(self) -> PlaceId | None:
        """Read the place again, with the UID of its namespace."""
        self._connection.forget(self._namespace)
        return self.read().place

    def surroundings(self) -> Surroundings:
        """Look at the other Secrets of the namespace, where the token may list them."""
        shown: list[ShownKey] = []
        try:
            for found in self._connection.every_secret(self._namespace, self._about()):
                metadata = found.get("metadata")
                name = str(metadata.get("name")) if isinstance(metadata, dict) else ""
                if name != self._secret:
                    where = f"kubernetes {self._namespace}/{name}"
                    shown += find_shown(list_entries(found), where, noun="entry")
        except KeyrotaError as error:
            unread = f"the other Secrets of the namespace {self._namespace}: {error.what}"
            return Surroundings(address=self.address, shown=tuple(shown), unread=(unread,))
        return Surroundings(address=self.address, shown=tuple(shown))

    def is_known_gone(self) -> bool:
        """Return True: a namespace keeps its name for life, and what a token may not see is answered with 403."""
        return True

    def write(self, credential: KeyPair) -> None:
        """Change both entries with one PATCH; a Secret that is not there is made."""
        values: dict[str, str | Secret] = {
            self._id_name: encode(Secret(credential.id)),
            self._secret_name: encode(credential.secret),
        }
        self._send(self._get(), values, is_dry=False)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Take both entries out of the Secret; a key ID that is not one of ours forbids it."""
        found = self._get()
        names = [name for name in self._names if name in data_of(found)]
        if not names:
            return ()
        known = {entry.name: entry.key for entry in list_entries(found)}
        if known.get(self._id_name) not in keys:
            raise SAYS.not_ours(self._id_name, self._about())
        self._demand_written(self._patch(dict.fromkeys(names), is_dry=False))
        return tuple(names)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _about(self) -> str:
        return f"{self.address}, entries {self._id_name} and {self._secret_name}"

    def _get(self) -> dict[str, Any] | None:
        return self._connection.secret(self._namespace, self._secret, self._about())

    def _send(self, found: Mapping[str, Any] | None, values: Mapping[str, str | Secret], *, is_dry: bool) -> None:
        if found is not None and found.get("immutable") is True:
            raise ProviderRefused(
                "the Secret is immutable",
                where=self._about(),
                remedy=f"{_REPLACE}; nothing was written",
            )
        put_or_create(
            put=lambda: self._patch(values, is_dry=is_dry),
            create=lambda: self._create(values, is_dry=is_dry),
            confirm=self._demand_written,
            is_missing=lambda _: False,  # a namespace that is not there answers 404 as well
            lost=lambda: SAYS.write_lost("Secret", self._about()),
            is_there=found is not None,
        )

    def _patch(self, values: Mapping[str, str | Secret | None], *, is_dry: bool) -> Response:
        return self._http.call(
            "PATCH",
            (*secrets_of(self._namespace), self._secret),
            query=_DRY if is_dry else None,
            body={"data": dict(values)},
            content_type=_MERGE,
            is_repeatable=True,
            where=self._about(),
        )

    def _create(self, values: Mapping[str, str | Secret], *, is_dry: bool) -> Response:
        """Make the Secret."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": self._secret},
            "data": dict(values),
        }
        return self._http.call(
            "POST", secrets_of(self._namespace), query=_DRY if is_dry else None, body=body, where=self._about()
        )

    def _demand_written(self, answer: Response) -> None:
        SAYS.raise_for_status(answer, self._about())
        if answer.object().get("kind") != "Secret":
            what = "the answer to the write is no Secret: whether it was written is not known"
            raise SAYS.make_response_error(what, self._about())


def address(settings: Mapping[str, Any]) -> str:
    """Name a Secret in words."""
    return name_place(f"{name_provider(settings, 'kubernetes')} {settings['namespace']}/{settings['secret']}", settings)
