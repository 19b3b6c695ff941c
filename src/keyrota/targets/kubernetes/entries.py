"""
A Secret as the API server shows it: its entries, and who else writes them.

Source: Kubernetes API reference (Secret v1: `data` is Base64, `immutable`; ObjectMeta: `ownerReferences`,
`managedFields`), its page on recommended labels (`app.kubernetes.io/managed-by`), and the labels and annotations that
External Secrets, Argo CD, Flux and Helm document for what they manage.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from keyrota.core.model import Conflict
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, describe_variable

_MARKS = {
    "reconcile.external-secrets.io/managed": "External Secrets",
    "reconcile.external-secrets.io/data-hash": "External Secrets",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
    "sealedsecrets.bitnami.com/sealed-secrets-key": "Sealed Secrets",
    "reflector.v1.k8s.emberstack.com/reflects": "Reflector",
}
_MANAGED_BY = "app.kubernetes.io/managed-by"


def list_entries(found: Mapping[str, Any] | None) -> tuple[Listed, ...]:
    """List the entries; of each value only the key IDs are kept."""
    return tuple(describe_variable(name, _plain(value)) for name, value in data_of(found).items())


def data_of(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Take the entries of a Secret; none where it holds something else."""
    data = (found or {}).get("data")
    return data if isinstance(data, dict) else {}


def encode(value: Secret) -> Secret:
    """Write a value as `data` holds it."""
    return Secret(base64.b64encode(value.reveal().encode()).decode())


def _plain(text: Any) -> str:
    try:
        return base64.b64decode(str(text), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def writers_of(found: Mapping[str, Any], names: Collection[str]) -> Iterator[Conflict]:
    """Find who would put the old value back: an owner, a tool that marks what it manages, an applier."""
    metadata = found.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    said = [*_owners(metadata), *_marks(metadata), *_appliers(metadata, names)]
    for who in dict.fromkeys(said):
        yield Conflict(
            what=f"the Secret is managed by {who}, which may put the old value back",
            remedy=f"let {who} leave these two entries alone, give a Secret that nothing else writes, or sync that "
            f"tool's own source",
        )


def _owners(metadata: Mapping[str, Any]) -> Iterator[str]:
    references = metadata.get("ownerReferences")
    for each in references if isinstance(references, list) else ():
        if isinstance(each, dict) and each.get("kind"):
            yield f"{each['kind']} {each.get('name', '')}".strip()


def _marks(metadata: Mapping[str, Any]) -> Iterator[str]:
    for field in ("labels", "annotations"):
        marks = metadata.get(field)
        for name, value in marks.items() if isinstance(marks, dict) else ():
            if name in _MARKS:
                yield _MARKS[name]
            elif name == _MANAGED_BY and value:
                yield str(value)


def _appliers(metadata: Mapping[str, Any], names: Collection[str]) -> Iterator[str]:
    """Find whoever declares our entries by server-side apply: it writes them again at its next one."""
    managers = metadata.get("managedFields")
    for each in managers if isinstance(managers, list) else ():
        if not isinstance(each, dict) or each.get("operation") != "Apply":
            continue
        fields = each.get("fieldsV1")
        data = fields.get("f:data") if isinstance(fields, dict) else None
        if isinstance(data, dict) and any(f"f:{name}" in data for name in names):
            yield f"the field manager {each.get('manager')}"
