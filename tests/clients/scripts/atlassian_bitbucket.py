"""atlassian-python-api against the emulator of Bitbucket: environments, repository and environment variables."""

from __future__ import annotations

import json
import os

from atlassian.bitbucket import Cloud
from requests import HTTPError


def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except HTTPError as error:
        return error.response.status_code
    return "accepted"


cloud = Cloud(
    url=os.environ["BASE_URL"], token=os.environ["BITBUCKET_TOKEN"], cloud=True, api_root=None, api_version="2.0"
)
workspace = cloud.workspaces.get("acme")
shop = workspace.repositories.get("shop")
result = {"repository": [shop.get_data("full_name"), shop.slug], "missing": refused(workspace.repositories.get, "none")}
for number in range(13):
    shop.repository_variables.create(f"V{number:02}", str(number), secured=False)
result["in pages"] = len(list(shop.repository_variables.each()))
first = shop.repository_variables.get_by_key("V00")
first.update(value="new")
result["updated"] = [shop.repository_variables.get(first.uuid).value, shop.repository_variables.get(first.uuid).key]
result["again"] = refused(shop.repository_variables.create, "V00", "x", secured=False)
first.delete()
result["deleted"] = refused(shop.repository_variables.get, first.uuid)
secret = shop.repository_variables.create("S", "secret", secured=True)
result["secured"] = [secret.secured, "value" in secret.data]
result["environments"] = [one.name for one in shop.deployment_environments.each()]
production = next(one for one in shop.deployment_environments.each() if one.name == "Production")
made = production.deployment_environment_variables.create("E", "of production", secured=False)
result["of the environment"] = [[one.key, one.value] for one in production.deployment_environment_variables.each()]
made.update(value="newer")
result["of the environment later"] = [one.value for one in production.deployment_environment_variables.each()]
made.delete()
result["of the environment at last"] = [one.key for one in production.deployment_environment_variables.each()]
wrong = Cloud(url=os.environ["BASE_URL"], token="wrong", cloud=True, api_root=None, api_version="2.0")
result["wrong token"] = refused(wrong.workspaces.get, "acme")
print(json.dumps(result))
