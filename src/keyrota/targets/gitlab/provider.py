"""GitLab as a plug-in: what its part of the configuration looks like, and how it is connected."""

from __future__ import annotations

from functools import partial

from keyrota.http import Http, RetryPolicy, header
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.many import Bounds, ManyRepositories
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
    BUNDLE,
    MAX_WAIT,
    NAMES,
    SLUGS_OR_NUMBER,
    WAIT_FOR_IDLE,
    WAITING,
    Schema,
    faults_of_names,
    make_mapping,
    span,
    token_alternative,
)
from keyrota.targets.gitlab.connection import GitLabConnection
from keyrota.targets.gitlab.place import place
from keyrota.targets.gitlab.scan import scan, scopes
from keyrota.targets.gitlab.target import GitLabTarget

API = "https://gitlab.com/api/v4"
_LOOKED_AT = Bounds(most=100, an_hour=1000)
"""One call for each project that is looked at; a GitLab of one's own has 7,200 an hour, where limits are on at all."""

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "base_url": {
            "type": "string",
            "default": API,
            "description": "Base URL of the REST API; self-managed: https://HOST/api/v4.",
        },
        "max_wait": MAX_WAIT,
        "auth": {
            "description": "An access token. A job's own token (CI_JOB_TOKEN) does not open variables.",
            "oneOf": [token_alternative("a personal, project or group access token with the scope api")],
        },
    },
    required=["auth"],
    description="GitLab.com, or a GitLab of your own.",
)

_ATTRIBUTE = {"type": "boolean"}
TARGET_SCHEMA: Schema = make_mapping(
    {
        "project": {**SLUGS_OR_NUMBER, "description": "Whole path, or number."},
        "group": {**SLUGS_OR_NUMBER, "description": "Whole path, or number."},
        "instance": {"const": True, "description": "The variables of the whole instance."},
        "environment_scope": {
            "type": "string",
            "minLength": 1,
            "default": "*",
            "description": "The environment scope, exactly as it stands in GitLab.",
        },
        "names": NAMES,
        "bundle": {
            **BUNDLE,
            "description": "Write the pair into one variable of type file instead; "
            "named AWS_SHARED_CREDENTIALS_FILE, every AWS tool finds it by itself.",
        },
        "protected": {
            **_ATTRIBUTE,
            "default": False,
            "description": "A new variable is for protected branches and tags only; what exists keeps its own.",
        },
        "masked": {**_ATTRIBUTE, "description": "A new variable is masked in logs (default true; a bundle: false)."},
        "hidden": {**_ATTRIBUTE, "default": False, "description": "A new secret can never be read again; the ID can."},
        "raw": {**_ATTRIBUTE, "default": True, "description": "In a new variable, `$` is not expanded."},
        "wait_for_idle": WAIT_FOR_IDLE,
    },
    description="CI/CD variables of a project, a group, or the instance.",
    **{WAITING: "manual and delayed jobs are not asked for: a job gets its variables when a runner takes it"},
)


def _faults(settings: Settings) -> tuple[str, ...]:
    """Find what does not fit together."""
    given = [name for name in ("project", "group", "instance") if name in settings]
    if len(given) != 1:
        return ("give one of `project`, `group` and `instance: true`",)
    where = place(settings)
    found = [*faults_of_names((where.id_name, where.secret_name))]
    if where.is_instance and ("environment_scope" in settings or where.hidden):
        found.append("the instance's variables have no `environment_scope`, and cannot be `hidden`")
    if where.bundle and (where.masked or where.hidden):
        found.append("a bundle has several lines, and GitLab masks one line only: leave `masked` and `hidden` out")
    if where.hidden and not where.masked:
        found.append("`hidden` is masked as well: leave `masked: false` out")
    return tuple(found)


def _address(settings: Settings) -> str:
    """Name the target."""
    return place(settings).address


def _is_within(settings: Settings, scope: str) -> bool:
    """Return whether a target lies in a group, or is inherited by it: from a parent, or from the instance."""
    where = place(settings)
    path, below = (where.project or where.group or "").casefold(), scope.casefold()
    if path.isdigit() or where.is_instance:
        return True  # which group a number lies in is not known here: it may be this one
    is_handed_down = where.group is not None and below.startswith(f"{path}/")
    return path == below or path.startswith(f"{below}/") or is_handed_down


def _variables(settings: Settings) -> frozenset[str]:
    """Name each variable that this target would write."""
    where = place(settings)
    scope = f"gitlab {where.owner.casefold()} {where.environment_scope}"
    return frozenset(f"{scope}: {name}" for name in where.names)


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    auth = settings["auth"]
    http = Http(
        settings.get("base_url", API),
        clock=clock,
        own=(API,),
        authorization=header("PRIVATE-TOKEN", lambda: secrets(auth["token"])),
        name="GitLab",
        patience=RetryPolicy(total_s=span(settings, "max_wait", MAX_WAIT["default"]).total_seconds()),
    )
    connection = GitLabConnection(http, ManyRepositories(clock, _LOOKED_AT, "projects"), clock)
    return Connection(
        target=lambda settings: GitLabTarget(connection, place(settings)),
        scopes=partial(scopes, connection),
        scan=partial(scan, connection),
    )


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=_address,
    faults=_faults,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
