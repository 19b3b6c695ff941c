"""python-gitlab against the emulator of GitLab: every level, scopes, pages, refusals, a job token."""

from __future__ import annotations

import json
import os

import gitlab
from gitlab.exceptions import GitlabError

URL = os.environ["BASE_URL"]


def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except GitlabError as error:
        return error.response_code
    return "accepted"


lab = gitlab.Gitlab(URL, private_token=os.environ["GITLAB_TOKEN"], retry_transient_errors=False)
lab.auth()
result = {"user": lab.user.username, "version": lab.version()[0].count(".")}
shop = lab.projects.get("acme/shop")
result["project"] = [shop.path_with_namespace, lab.projects.get(shop.id).id == shop.id]
result["missing"] = refused(lab.projects.get, "acme/none")
result["group"] = [lab.groups.get("acme").full_path, lab.groups.get(lab.groups.get("acme").id).full_path]
shop.environments.create({"name": "production"})
result["environments"] = [one.name for one in shop.environments.list(all=True)]

for number in range(23):
    shop.variables.create({"key": f"V{number:02}", "value": str(number)})
result["in pages"] = [len(shop.variables.list(page=2, per_page=20)), len(shop.variables.list(all=True))]
shop.variables.create({"key": "K", "value": "of all", "environment_scope": "*"})
shop.variables.create({"key": "K", "value": "of production", "environment_scope": "production", "masked": False})
result["two scopes"] = refused(shop.variables.get, "K")
result["filtered"] = shop.variables.get("K", filter={"environment_scope": "production"}).value
shop.variables.update("K", {"value": "new"}, filter={"environment_scope": "production"})
result["updated"] = shop.variables.get("K", filter={"environment_scope": "production"}).value
result["kept"] = shop.variables.get("K", filter={"environment_scope": "*"}).value
result["scope is taken"] = refused(
    shop.variables.update, "K", {"environment_scope": "*", "filter": {"environment_scope": "production"}}
)
result["again"] = refused(shop.variables.create, {"key": "K", "value": "x", "environment_scope": "production"})
shop.variables.delete("K", filter={"environment_scope": "production"})
result["left"] = shop.variables.get("K").value
result["gone"] = refused(shop.variables.get, "NONE")
result["not to be masked"] = refused(shop.variables.create, {"key": "M", "value": "a b", "masked": True})

acme = lab.groups.get("acme")
acme.variables.create({"key": "G", "value": "of the group", "protected": True})
acme.variables.update("G", {"value": "newer"})
result["of the group"] = [acme.variables.get("G").value, acme.variables.get("G").protected]
acme.variables.delete("G")
result["of the group later"] = acme.variables.list(all=True)
lab.variables.create({"key": "I", "value": "of the instance"})
result["of the instance"] = lab.variables.get("I").value
lab.variables.delete("I")
result["schedules"] = shop.pipelineschedules.list(all=True)
job = gitlab.Gitlab(URL, job_token=os.environ["GITLAB_TOKEN"], retry_transient_errors=False)
result["job token"] = refused(job.projects.get(shop.id, lazy=True).variables.list)
wrong = gitlab.Gitlab(URL, private_token="wrong", retry_transient_errors=False)
result["wrong token"] = refused(wrong.projects.get, "acme/shop")
print(json.dumps(result))
