"""
HCP Terraform (Terraform Cloud) and Terraform Enterprise: variables of a workspace, or of a variable set.

Source: HCP Terraform API reference, pages "Workspace variables" (POST `/workspaces/:id/vars`; an attribute that is left
out of a PATCH is left unchanged; `sensitive`: written once and not visible thereafter; `hcl` has no effect on
environment variables), "Workspaces" (GET by organization and name), "Variable sets" (`/workspaces/:id/varsets`,
`priority`, `global`), "Runs" (`filter[status_group]=non_final`) and "API documentation" (JSON:API; 404 for what the
token may not see; 30 requests a second for each user; pages of at most 100); go-tfe `variable_set_variable.go` (the
same calls below `/varsets/:id/relationships/`) and its pull request 41 (`X-RateLimit-Reset` counts from now);
hashicorp/terraform-provider-tfe issue 309 (a key that is taken is refused). What is not documented is borne, not relied
on: the status of that refusal, and whether the lists have pages.
"""

from keyrota.targets.terraform.provider import KIND
from keyrota.targets.terraform.target import TerraformTarget

__all__ = ["KIND", "TerraformTarget"]
