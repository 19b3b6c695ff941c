"""Azure DevOps's own SDK against the emulator: variable groups."""

from __future__ import annotations

import json
import os

from azure.devops.connection import Connection
from azure.devops.exceptions import AzureDevOpsServiceError
from azure.devops.v7_1.task_agent.models import VariableGroupParameters, VariableValue
from msrest.authentication import BasicAuthentication

connection = Connection(
    base_url=os.environ["BASE_URL"], creds=BasicAuthentication("", os.environ["AZURE_DEVOPS_TOKEN"])
)
agents = connection.clients_v7_1.get_task_agent_client()
(group,) = agents.get_variable_groups("shop")
result = {"group": group.name, "by number": agents.get_variable_group("shop", group.id).name}
variables = {"A": VariableValue(value="one"), "B": VariableValue(value="two", is_secret=True)}
parameters = VariableGroupParameters(
    name=group.name,
    type="Vsts",
    variables=variables,
    variable_group_project_references=agents.get_variable_group("shop", group.id).variable_group_project_references,
)
agents.update_variable_group(parameters, group.id)
seen = agents.get_variable_group("shop", group.id).variables
result["variables"] = {
    name: [value["value"], bool(value.get("isSecret"))]
    if isinstance(value, dict)
    else [value.value, bool(value.is_secret)]
    for name, value in seen.items()
}
try:
    agents.get_variable_group("shop", 999_999)
except AzureDevOpsServiceError as error:
    result["missing"] = str(error)
print(json.dumps(result))
