"""
Forgejo and Gitea: Actions secrets of a repository, an organization, or the token's own user.

Source: the routes and handlers of both, with their Swagger comments: go-gitea/gitea and Forgejo
`routers/api/v1/{repo,org,user}/action.go`, `models/secret/secret.go`, `services/secrets/validation.go`. The path looks
like GitHub's, the body does not: `{"data": value}`, in clear inside TLS; PUT makes (201) or changes (204). Names are
upper-cased. A list tells names and when a secret was made, never when it was changed. What differs: Gitea has
descriptions, and clears one that an update leaves out, so that it is sent back; it answers 201 where Forgejo answers
204 to a new variable; it links pages, where Forgejo only counts (`X-Total-Count`); neither lists a user's secrets.
Gitea lists a repository's since 1.22 (go-gitea/gitea issue 30311). Both redirect a repository that was renamed (307).
"""

from keyrota.targets.forgejo.provider import FORGEJO, GITEA
from keyrota.targets.forgejo.target import ForgejoTarget

__all__ = ["FORGEJO", "GITEA", "ForgejoTarget"]
