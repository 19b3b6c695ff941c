"""The official Kubernetes client against the emulator: Secrets."""

from __future__ import annotations

import base64
import json
import os

from kubernetes import client
from kubernetes.client.rest import ApiException


def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except ApiException as error:
        return error.status
    return "accepted"


settings = client.Configuration(host=os.environ["BASE_URL"])
settings.api_key = {"authorization": f"Bearer {os.environ['KUBERNETES_TOKEN']}"}
core = client.CoreV1Api(client.ApiClient(settings))


def decoded(secret):
    return {name: base64.b64decode(value).decode() for name, value in (secret.data or {}).items()}


body = client.V1Secret(
    metadata=client.V1ObjectMeta(name="aws", labels={"team": "shop"}),
    string_data={"A": "one"},
    data={"B": base64.b64encode(b"two").decode()},
)
made = core.create_namespaced_secret("ci", body)
result = {"made": [decoded(made), made.metadata.labels, bool(made.metadata.uid)]}
result["again"] = refused(core.create_namespaced_secret, "ci", body)
result["no such namespace"] = refused(core.create_namespaced_secret, "none", body)
result["merged"] = decoded(core.patch_namespaced_secret("aws", "ci", {"stringData": {"A": "new"}}))
result["json patch"] = decoded(
    core.patch_namespaced_secret(
        "aws", "ci", [{"op": "replace", "path": "/data/B", "value": base64.b64encode(b"2").decode()}]
    )
)
read = core.read_namespaced_secret("aws", "ci")
read.data = {"C": base64.b64encode(b"three").decode()}
result["replaced"] = decoded(core.replace_namespaced_secret("aws", "ci", read))
result["stale"] = refused(core.replace_namespaced_secret, "aws", "ci", read)
result["listed"] = [one.metadata.name for one in core.list_namespaced_secret("ci").items]
result["everywhere"] = [one.metadata.name for one in core.list_secret_for_all_namespaces().items]
result["deleted"] = core.delete_namespaced_secret("aws", "ci")["status"]
result["gone"] = refused(core.read_namespaced_secret, "aws", "ci")
settings.api_key = {"authorization": "Bearer wrong"}
result["wrong token"] = refused(client.CoreV1Api(client.ApiClient(settings)).read_namespaced_secret, "aws", "ci")
print(json.dumps(result))
