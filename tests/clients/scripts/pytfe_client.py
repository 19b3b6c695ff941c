"""HashiCorp's pytfe against the emulator of HCP Terraform: variables of a workspace."""

from __future__ import annotations

import json
import os

from pytfe import TFEClient, TFEConfig
from pytfe.models import CategoryType, VariableCreateOptions, VariableUpdateOptions

tfe = TFEClient(TFEConfig(address=os.environ["BASE_URL"], token=os.environ["TERRAFORM_TOKEN"], max_retries=0))
shop = tfe.workspaces.read("shop", organization="acme")
result = {"workspace": shop.name}
for number in range(22):
    options = VariableCreateOptions(key=f"V{number:02}", value=str(number), category=CategoryType.ENV)
    tfe.variables.create(shop.id, options)
listed = list(tfe.variables.list(shop.id))
result["listed"] = len(listed)
first = next(one for one in listed if one.key == "V00")
result["updated"] = tfe.variables.update(shop.id, first.id, VariableUpdateOptions(value="new", sensitive=False)).value
tfe.variables.delete(shop.id, first.id)
result["left"] = len(list(tfe.variables.list(shop.id)))
print(json.dumps(result))
