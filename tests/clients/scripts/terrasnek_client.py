"""terrasnek against the emulator of HCP Terraform: variables of a workspace."""

from __future__ import annotations

import json
import os

from terrasnek.api import TFC
from terrasnek.exceptions import TFCHTTPNotFound

TFC._check_version = lambda _: None  # it asks the internet whether there is a newer one
tfc = TFC(os.environ["TERRAFORM_TOKEN"], url=os.environ["BASE_URL"])
tfc.set_org("acme")
workspace = tfc.workspaces.show(workspace_name="shop")["data"]
result = {"workspace": workspace["attributes"]["name"]}


def variable(key, value, category="env", *, sensitive=False):
    attributes = {"key": key, "value": value, "category": category, "hcl": False, "sensitive": sensitive}
    return {"data": {"type": "vars", "attributes": attributes}}


for number in range(25):
    tfc.workspace_vars.create(workspace["id"], variable(f"V{number:02}", str(number)))
listed = tfc.workspace_vars.list(workspace["id"])["data"]
result["not in pages"] = len(listed)
first = next(one for one in listed if one["attributes"]["key"] == "V00")
tfc.workspace_vars.update(workspace["id"], first["id"], variable("V00", "new"))
result["updated"] = next(
    one["attributes"]["value"] for one in tfc.workspace_vars.list(workspace["id"])["data"] if one["id"] == first["id"]
)
secret = tfc.workspace_vars.create(workspace["id"], variable("S", "secret", "terraform", sensitive=True))["data"]
result["sensitive"] = [secret["attributes"]["value"], secret["attributes"]["category"]]
tfc.workspace_vars.destroy(workspace["id"], first["id"])
result["left"] = len(tfc.workspace_vars.list(workspace["id"])["data"])
try:
    tfc.workspaces.show(workspace_name="none")
except TFCHTTPNotFound:
    result["missing"] = 404
print(json.dumps(result))
