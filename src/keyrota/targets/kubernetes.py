"""
Kubernetes: both halves of the pair in one Secret, changed by one PATCH, so that they are never torn.

Source: Kubernetes API reference, Secret v1 (`data` is Base64; `immutable` refuses changes), and its page on API
concepts (JSON merge patch, server-side dry run).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import partial
from typing import Any

from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AccessKeyId, KeyPair, Readiness, TargetEvidence, TargetState
from keyrota.core.secret import Secret
from keyrota.errors import ProviderRefused
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
from keyrota.wire import Answer, Http, Refusals, RunlessPlace, Unsearched, attempted, bearer

_SAYS = Refusals(
    name="the API server",
    key="kubernetes",
    needs="the service account needs the verbs get, patch and create on secrets in this namespace (RBAC)",
    missing="the namespace does not exist",
)
_MERGE = "application/merge-patch+json"
_DRY = {"dryRun": "All"}
_MISSING, _CONFLICT = 404, 409
_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}

PROVIDER_SCHEMA: Schema = closed(
    {
        "base_url": {"type": "string", "description": "Of the API server: https://HOST:6443."},
        "auth": {
            "description": "A service account's token.",
            "oneOf": [alternative("a bearer token", token=REFERENCE)],
        },
    },
    required=["base_url", "auth"],
    description="A Kubernetes cluster; its CA is named by SSL_CERT_FILE.",
)
TARGET_SCHEMA: Schema = closed(
    {
        "namespace": {**_NAME, "description": "It must exist."},
        "secret": {**_NAME, "description": "A Secret; its other entries are never touched."},
        "names": {**NAMES, "description": "Names of the two entries."},
    },
    required=["namespace", "secret"],
    description="A Secret.",
)


class KubernetesTarget(RunlessPlace):
    """One Secret."""

    def __init__(self, http: Http, settings: Mapping[str, Any]) -> None:
        super().__init__(address(settings))
        self._http = http
        self._namespace: str = settings["namespace"]
        self._secret: str = settings["secret"]
        self._id_name, self._secret_name = names_of(settings)

    @property
    def is_torn_possible(self) -> bool:
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
        """Tell what is there; a refusal is the value FAILED."""
        return self.looked(self._read)

    def _read(self) -> TargetState:
        data = _data(self._get())
        missing = [name for name in (self._id_name, self._secret_name) if name not in data]
        if missing:
            return self.lacking(missing, is_empty=len(missing) == 2)  # noqa: PLR2004  # a pair
        return TargetState(address=self.address, evidence=TargetEvidence.HOLDS, key=_key(data[self._id_name]))

    def write(self, credential: KeyPair) -> None:
        """Change both entries with one PATCH; a Secret that is not there is made."""
        values: dict[str, str | Secret] = {
            self._id_name: _encoded(Secret(credential.id)),
            self._secret_name: _encoded(credential.secret),
        }
        self._send(self._get(), values, is_dry=False)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Take both entries out of the Secret; a key ID that is not one of ours forbids it."""
        found = self._get()
        data = _data(found)
        names = [name for name in (self._id_name, self._secret_name) if name in data]
        if not names:
            return ()
        if _key(data.get(self._id_name, "")) not in keys:
            raise _SAYS.not_ours(self._id_name, self._about())
        self._demand_written(self._patch(dict.fromkeys(names), is_dry=False))
        return tuple(names)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _path(self) -> tuple[str, ...]:
        return ("api", "v1", "namespaces", self._namespace, "secrets")

    def _about(self) -> str:
        return f"{self.address}, entries {self._id_name} and {self._secret_name}"

    def _get(self) -> dict[str, Any] | None:
        """Get the Secret; None if it is not there, an error if its namespace is not."""
        answer = self._http.call("GET", (*self._path(), self._secret), where=self._about())
        if _is_missing_secret(answer):
            return None
        _SAYS.demand_success(answer, self._about())
        if answer.object().get("kind") != "Secret":
            raise _SAYS.odd("the answer is no Secret", self._about())
        return answer.object()

    def _send(self, found: Mapping[str, Any] | None, values: Mapping[str, str | Secret], *, is_dry: bool) -> None:
        if found is not None and found.get("immutable") is True:
            raise ProviderRefused(
                "the Secret is immutable",
                where=self._about(),
                remedy="replace it by one that is not; nothing was written",
            )
        if found is None:
            created = self._create(values, is_dry=is_dry)
            if created is not None and created.status != _CONFLICT:
                self._demand_written(created)
                return
        self._demand_written(self._patch(values, is_dry=is_dry))

    def _patch(self, values: Mapping[str, str | Secret | None], *, is_dry: bool) -> Answer:
        return self._http.call(
            "PATCH",
            (*self._path(), self._secret),
            query=_DRY if is_dry else None,
            body={"data": dict(values)},
            content_type=_MERGE,
            is_repeatable=True,
            where=self._about(),
        )

    def _create(self, values: Mapping[str, str | Secret], *, is_dry: bool) -> Answer | None:
        """Make the Secret; None if there was no answer."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": self._secret},
            "data": dict(values),
        }
        return attempted(
            lambda: self._http.call(
                "POST", self._path(), query=_DRY if is_dry else None, body=body, where=self._about()
            )
        )

    def _demand_written(self, answer: Answer) -> None:
        _SAYS.demand_success(answer, self._about())
        if answer.object().get("kind") != "Secret":
            what = "the answer to the write is no Secret: whether it was written is not known"
            raise _SAYS.odd(what, self._about())


def _is_missing_secret(answer: Answer) -> bool:
    """Tell a Secret that is not there from a namespace that is not."""
    details = answer.object().get("details")
    return answer.status == _MISSING and isinstance(details, dict) and details.get("kind") == "secrets"


def _data(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Take the entries of a Secret; none where it holds something else."""
    data = (found or {}).get("data")
    return data if isinstance(data, dict) else {}


def _encoded(value: Secret) -> Secret:
    return Secret(base64.b64encode(value.reveal().encode()).decode())


def _key(text: Any) -> AccessKeyId | None:
    """Read a key ID; None for anything else, which is not kept."""
    try:
        found = base64.b64decode(str(text), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return AccessKeyId(found) if KEY_ID.fullmatch(found) else None


class KubernetesKind:
    """Kubernetes as a plug-in."""

    @property
    def provider_schema(self) -> Mapping[str, Any]:
        """JSON Schema of `providers.kubernetes`."""
        return PROVIDER_SCHEMA

    @property
    def target_schema(self) -> Mapping[str, Any]:
        """JSON Schema of a target."""
        return TARGET_SCHEMA

    def faults(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The two entries need two names."""
        return faults_of_names(names_of(settings))

    def address(self, settings: Mapping[str, Any]) -> str:
        """Name the target."""
        return address(settings)

    def is_within(self, settings: Mapping[str, Any], area: str) -> bool:
        """Tell whether a Secret lies in a namespace."""
        return str(settings["namespace"]) == area

    def variables(self, settings: Mapping[str, Any]) -> frozenset[str]:
        """Name each entry that this target would write."""
        return variables_of(f"{settings['namespace']}/{settings['secret']}", settings)

    def connect(self, settings: Mapping[str, Any], *, secrets: SecretReader, clock: Clock) -> Unsearched:
        """Connect; makes no request yet."""
        token = bearer(lambda: secrets(settings["auth"]["token"]))
        http = Http(settings["base_url"], clock=clock, authorization=token, name="Kubernetes")
        return Unsearched(partial(KubernetesTarget, http))


def address(settings: Mapping[str, Any]) -> str:
    """Name a Secret in words."""
    return named(f"kubernetes {settings['namespace']}/{settings['secret']}", settings)


KIND = KubernetesKind()
