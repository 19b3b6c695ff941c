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

from keyrota.targets.azure_devops.provider import KIND

__all__ = ["KIND"]
