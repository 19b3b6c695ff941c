"""PyGithub against the emulator of GitHub: every scope, pages, renames, selections, refusals."""

from __future__ import annotations

import json
import os

from github import Auth, Github, GithubException


def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except GithubException as error:
        return error.status
    return "accepted"


hub = Github(
    base_url=os.environ["BASE_URL"],
    auth=Auth.Token(os.environ["GITHUB_TOKEN"]),
    retry=0,
    seconds_between_requests=None,  # the emulator is nobody's service
    seconds_between_writes=None,
)
result = {"user": hub.get_user().login, "limit": hub.get_rate_limit().resources.core.limit}
shop = hub.get_repo("acme/shop")
result["repository"] = [shop.full_name, shop.id, shop.archived, shop.owner.login]
result["by number"] = hub.get_repo(shop.id).full_name
result["missing"] = refused(hub.get_repo, "acme/none")

shop.create_environment("staging")
result["environments"] = sorted(one.name for one in shop.get_environments())
shop.delete_environment("staging")
result["environments later"] = sorted(one.name for one in shop.get_environments())

for number in range(33):
    shop.create_variable(f"V{number:02}", str(number))
result["variables in pages"] = shop.get_variables().totalCount
result["names"] = len({one.name for one in shop.get_variables()})
shop.get_variable("V00").edit("new")
result["value"] = shop.get_variable("V00").value
result["again"] = refused(shop.create_variable, "V00", "x")
shop.delete_variable("V00")
result["deleted"] = refused(shop.get_variable, "V00")

shop.create_secret("S", "secret of the repository")
shop.create_secret("S", "newer")
shop.create_secret("D", "secret of Dependabot", secret_type="dependabot")
result["secrets"] = [one.name for one in shop.get_secrets()]
result["dependabot"] = [one.name for one in shop.get_secrets(secret_type="dependabot")]
production = shop.get_environment("production")
production.create_secret("E", "secret of the environment")
production.create_variable("EV", "variable of the environment")
result["environment"] = [[one.name for one in production.get_secrets()], production.get_variable("EV").value]
production.delete_secret("E")
result["environment later"] = [one.name for one in production.get_secrets()]

acme = hub.get_organization("acme")
web = hub.get_repo("acme/web")
result["organization"] = acme.login
result["repositories"] = sorted(one.name for one in acme.get_repos())
secret = acme.create_secret("O", "of the organization", "selected", selected_repositories=[shop])
result["selected"] = [one.name for one in secret.selected_repositories]
secret.add_repo(web)
result["selected two"] = sorted(one.name for one in acme.get_secret("O").selected_repositories)
secret.remove_repo(shop)
result["selected one"] = [one.name for one in acme.get_secret("O").selected_repositories]
variable = acme.create_variable("OV", "of the organization", "selected", selected_repositories=[shop, web])
variable.remove_repo(shop)
result["variable is still there"] = acme.get_variable("OV").value
result["selected of the variable"] = [one.name for one in acme.get_variable("OV").selected_repositories]
acme.get_variable("OV").delete()
acme.get_secret("O").delete()
result["organization's secrets"] = [one.name for one in acme.get_secrets()]
result["wrong token"] = refused(
    Github(base_url=os.environ["BASE_URL"], auth=Auth.Token("wrong"), retry=0).get_repo, "acme/shop"
)
print(json.dumps(result))
