"""What a configuration stands for: defaults, accounts, lists, templates, names of providers, included files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keyrota.app.config import Configuration, bundle, load, load_text
from keyrota.app.config.templates import escape
from keyrota.errors import ConfigError, Fault

HEAD = """\
version: 1
accounts:
  dev: {id: "111111111111", role: null}
  prod: {id: "222222222222", role: prod-role, region: us-east-1, tags: {env: production}}
providers:
  bitbucket: {auth: {token: "env:T"}}
  github: {auth: {token: "env:G"}}
"""


def read(text: str) -> Configuration:
    return load_text("keyrota.yaml", HEAD + text)


def faults(text: str) -> tuple[Fault, ...]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.faults


def settings(configuration: Configuration) -> list[dict[str, Any]]:
    return [dict(target.settings) for entry in configuration.credentials for target in entry.targets]


def test_each_user_in_each_account_is_a_credential() -> None:
    found = read("credentials: [{users: [a, b], accounts: [dev, prod]}]\n").credentials
    assert [(entry.account, entry.user) for entry in found] == [
        ("111111111111", "a"),
        ("111111111111", "b"),
        ("222222222222", "a"),
        ("222222222222", "b"),
    ]
    assert [entry.region for entry in found] == [None, None, "us-east-1", "us-east-1"]


def test_the_entry_counts_more_than_the_account_and_the_account_more_than_the_defaults() -> None:
    text = (
        "defaults: {credential: {role: default-role, region: eu-west-1, external_id: from-default}}\n"
        "credentials: [{user: a, account: dev}, {user: a, account: prod}, {user: b, account: prod, role: own,"
        " external_id: null}]\n"
    )
    found = read(text).credentials
    assert [entry.role for entry in found] == [None, "prod-role", "own"]  # `null` is without the default
    assert [entry.region for entry in found] == ["eu-west-1", "us-east-1", "us-east-1"]
    assert [entry.external_id for entry in found] == ["from-default", "from-default", None]


def test_mappings_are_joined_field_by_field_and_lists_are_not() -> None:
    text = (
        "defaults: {credential: {tags: {team: x, env: y}, policy: {prove_use: true, freeze: [{weekdays: [sat]}]}}}\n"
        "credentials: [{user: a, tags: {env: z}, policy: {freeze: [{weekdays: [sun]}]}}]\n"
    )
    (found,) = read(text).credentials
    assert dict(found.tags) == {"team": "x", "env": "z"}
    assert found.policy.prove_use
    assert [freeze.weekdays for freeze in found.policy.freezes] == [frozenset({6})]


def test_a_preset_of_an_entry_replaces_the_ages_of_the_defaults() -> None:
    """Otherwise `preset: strict` would keep a default's 200 days, and say strict."""
    text = (
        "defaults: {credential: {policy: {rotate_after: 200d, deactivate_after: 210d, delete_after: 220d}}}\n"
        "credentials: [{user: a, policy: {preset: strict}}, {user: b}]\n"
    )
    assert [entry.policy.rotate_after.days for entry in read(text).credentials] == [75, 200]


def test_lists_stand_for_every_combination() -> None:
    text = (
        "credentials: [{user: a, targets: [{bitbucket: {workspace: w, repositories: [x, y], environments: [A, B]}}]}]"
    )
    places = [(one["repository"], one["environment"]) for one in settings(read(text))]
    assert places == [("x", "A"), ("x", "B"), ("y", "A"), ("y", "B")]


def test_a_list_in_an_entry_replaces_the_single_default_and_the_other_way_round() -> None:
    text = (
        "defaults: {target: {bitbucket: {workspace: w, repository: r, environments: [A, B]}}}\n"
        "credentials: [{user: a, targets: [{bitbucket: {repositories: [x], environment: C}}]}]\n"
    )
    assert settings(read(text)) == [{"workspace": "w", "repository": "x", "environment": "C"}]


def test_a_list_that_a_provider_has_itself_stays_one() -> None:
    """GitHub: the repositories that see an organization's secret, beside `visibility`."""
    text = (
        "credentials: [{user: a, targets: [{github: {organization: o, visibility: selected, repositories: [x, y]}},"
        " {github: {repositories: [o/x, o/y]}}]}]\n"
    )
    assert [sorted(one) for one in settings(read(text))] == [
        ["organization", "repositories", "visibility"],
        ["repository"],
        ["repository"],
    ]


def test_templates_are_replaced_in_names_of_places_secrets_and_roles() -> None:
    text = (
        "credentials:\n  - users: [a]\n    account: prod\n    secret: keyrota/{account.name}/{user}\n"
        '    role: "{account.name}-{account}-{duty}"\n    tags: {env: "{account.tag:env}"}\n'
        '    targets: [{bitbucket: {workspace: "{0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001}", repository: "{user}-x"}}]\n'
    )
    (found,) = read(text).credentials
    assert found.secret_name == "keyrota/prod/a"
    assert found.role == "prod-222222222222-{duty}"
    assert dict(found.tags) == {"env": "production"}
    assert found.targets[0].settings == {"workspace": "{0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001}", "repository": "a-x"}


def test_what_a_template_stands_for_is_never_a_template_again() -> None:
    head = HEAD.replace("env: production", 'env: "{user}"')
    with pytest.raises(ConfigError, match="has characters"):
        load_text("k", head + 'credentials: [{user: a, account: prod, tags: {x: "{account.tag:env}"}}]\n')
    (found,) = read('credentials: [{user: a, tags: {x: "{{user}} and {user}"}}]\n').credentials
    assert found.tags["x"] == "{user} and a"


TEXTS = [
    ("{{user}}", "{user}"),
    ("ours ${not} yours", "ours ${not} yours"),
    ("${{ github.ref }} {{not}}", "${{ github.ref }} {{not}}"),
    ("${{user}}", "${user}"),
    ("{a-b} {0}", "{a-b} {0}"),
]


@pytest.mark.parametrize(("text", "stands_for"), TEXTS)
def test_a_text_that_is_no_template_stays_as_it_is(text: str, stands_for: str) -> None:
    """Also when it is printed by `keyrota config`, and read again."""
    (found,) = read(f"credentials: [{{user: a, tags: {{x: '{text}'}}}}]\n").credentials
    assert found.tags["x"] == stands_for
    (again,) = read(f"credentials: [{{user: a, tags: {{x: '{escape(stands_for)}'}}}}]\n").credentials
    assert again.tags["x"] == stands_for


WRONG = [
    ("credentials: [{user: a, tags: {x: '${user}'}}]", "${user} is not a template", ":8:35"),
    ("credentials: [{users: [a, a]}]", "'a' is in credentials[1].users twice", ":8:27"),
    ("credentials: [{users: []}]", "users must not be empty", ":8:23"),
    ("credentials: [{users: [[a]]}]", "users[1] must be a text", ":8:24"),
    ("credentials: [{user: a, users: [b]}]", "has `user` and `users`", ":8:25"),
    ("credentials: [{user: a, account: dev, accounts: [dev]}]", "has `account` and `accounts`", ":8:39"),
    ("credentials: [{user: a, account: prd}]", "the account 'prd' is not in `accounts`", ":8:34"),
    ("credentials: [{user: a, accounts: ['x-*']}]", "no account of `accounts` is called like 'x-*'", ":8:36"),
    ("credentials: [{user: a, accounts: [dev, '111111111111']}]", "names the account 111111111111 twice", ":8:41"),
    ("credentials: [{user: a, tags: {x: '{usr}'}}]", "{usr} is not a template", ":8:35"),
    ("credentials: [{user: a, tags: {x: '{account.name}'}}]", "{account.name} is not known here", ":8:35"),
    ("credentials: [{user: a, tags: {x: '{tag:team}'}}]", "known only of users that a selector finds", ":8:35"),
    ("credentials: [{user: a, account: prod, tags: {x: '{account.tag:no}'}}]", "no tag 'no'", ":8:50"),
    ("credentials: [{user: a, region: '{user}'}]", "{user} is not replaced here", ":8:33"),
    ("credentials: [{user: a, account: prod, role: '{user}'}]", "{user} is not replaced here", ":8:46"),
    ("credentials: [{user: a, secret: '{tag:x}'}]", "{tag:x} is not replaced here", ":8:33"),
    (
        "credentials: [{user: a, targets: [{bitbucket: {workspace: w, repositories: []}}]}]",
        "must not be empty",
        ":8:76",
    ),
    (
        "credentials: [{user: a, targets: [{bitbucket: {workspace: w, repository: x, repositories: [y]}}]}]",
        "has `repository` and `repositories`",
        ":8:77",
    ),
    ("credentials: [{user: a}]\ndefaults: {credential: {usr: b}}", "'usr' is not known here", ":9:25"),
    ("credentials: [{user: a}]\ndefaults: {target: {bitbucket: {workspce: b}}}", "'workspce' is not known", ":9:33"),
    (
        "credentials: [{user: a, targets: [{github: {repositories: [w/x, w/y]}}, {github: {repository: w/y}}]}]",
        "github w/y: AWS_ACCESS_KEY_ID is claimed twice",
        ":8:73",
    ),
    (
        "credentials: [{users: [a, b], targets: [{bitbucket: {workspace: w, repository: y}}]}]",
        "AWS_ACCESS_KEY_ID is claimed twice",
        ":8:41",
    ),
]


@pytest.mark.parametrize(("text", "what", "where"), WRONG, ids=[row[1] for row in WRONG])
def test_what_is_wrong_is_told_with_its_place(text: str, what: str, where: str) -> None:
    found = faults(text + "\n")
    assert any(what in fault.what and fault.where == f"keyrota.yaml{where}" for fault in found), found


@pytest.mark.parametrize(
    "provider",
    [
        '{base_url: "https://{user}.example.com/api/v3", auth: {token: "env:G"}}',
        '{base_url: "https://{{account.name}}.example.com", auth: {token: "env:{account.name}"}}',
        '{auth: {token: "secretsmanager:{account}/token"}}',
    ],
)
def test_no_template_chooses_where_a_secret_is_sent_or_read(provider: str) -> None:
    text = HEAD.replace('github: {auth: {token: "env:G"}}', f"github: {provider}")
    with pytest.raises(ConfigError) as caught:
        load_text("k", text + "credentials: [{user: a, account: prod}]\n")
    assert any("is not replaced in the settings of a provider" in fault.what for fault in caught.value.faults)


def test_a_value_of_defaults_that_does_not_fit_is_told_once_where_it_is_written() -> None:
    default = "defaults: {target: {bitbucket: {workspace: a/b}}}\n"
    (fault,) = faults(f"{default}credentials: [{{users: [a, b, c], targets: [{{bitbucket: {{}}}}]}}]\n")
    assert (fault.where, fault.what.split(" has ")[0]) == ("keyrota.yaml:8:44", "defaults.target.bitbucket.workspace")


MANY = ", ".join(f"x{number}" for number in range(400))
BOMBS = [
    (f"users: [{MANY}], accounts: [{', '.join(str(10**11 + n) for n in range(400))}]", "50,000 credentials", ":8:15"),
    (
        f"user: a, targets: [{{bitbucket: {{workspace: w, repositories: [{MANY}], environments: [{MANY}]}}}}]",
        "100,000 targets",
        ":8:35",
    ),
]


@pytest.mark.parametrize(("entry", "what", "where"), BOMBS, ids=["credentials", "targets"])
def test_lists_do_not_explode(entry: str, what: str, where: str) -> None:
    (fault,) = faults(f"credentials: [{{{entry}}}]\n")
    assert f"stands for more than {what}" in fault.what
    assert fault.where == f"keyrota.yaml{where}"


# --- providers by name ----------------------------------------------------------------------------------------------

NAMED = """\
version: 1
providers:
  acme: {kind: bitbucket, auth: {token: "env:A"}}
  other: {kind: bitbucket, auth: {token: "env:B"}}
  github: {auth: {token: "env:G"}}
  ghes: {kind: github, base_url: https://ghe.example.com/api/v3, auth: {token: "env:H"}}
credentials:
  - user: a
    targets:
      - acme: {workspace: acme, repository: x}
      - other: {workspace: other, repository: x}
      - github: {repository: o/x}
      - ghes: {repository: o/x}
"""


def test_providers_of_one_kind_stand_side_by_side() -> None:
    found = load_text("k", NAMED)
    (entry,) = found.credentials
    assert [(target.provider, target.kind) for target in entry.targets] == [
        ("acme", "bitbucket"),
        ("other", "bitbucket"),
        ("github", "github"),
        ("ghes", "github"),
    ]
    assert [(one.provider, one.text) for one in found.references] == [
        ("acme", "env:A"),
        ("other", "env:B"),
        ("github", "env:G"),
        ("ghes", "env:H"),
    ]


def test_one_variable_of_one_server_is_claimed_once_whatever_the_provider_is_called() -> None:
    text = NAMED.replace("other: {workspace: other, repository: x}", "other: {workspace: acme, repository: x}")
    with pytest.raises(ConfigError) as caught:
        load_text("k", text)
    assert any("AWS_ACCESS_KEY_ID is claimed twice" in fault.what for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("ghes: {kind: githb}", "'githb' is not a kind of provider"),
        ("GH: {kind: github, auth: {token: env:X}}", "'GH' cannot be the name of a provider"),
        ("first_write: {kind: github, auth: {token: env:X}}", "'first_write' cannot be the name"),
        ("ghes: {auth: {token: env:X}}", "'ghes' is not known here"),
        ("ghes: {kind: github}", "providers.ghes lacks auth"),
    ],
)
def test_a_provider_that_cannot_be_one_is_refused(line: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("k", f"version: 1\nproviders:\n  {line}\ncredentials: [{{user: a}}]\n")
    assert what in caught.value.faults[0].what
    assert caught.value.faults[0].where.startswith("k:3:")


# --- included files -------------------------------------------------------------------------------------------------

MAIN = """\
version: 1
include: ["teams/*.yaml"]
defaults: {credential: {region: eu-central-1, tags: {by: main}}}
providers: {bitbucket: {auth: {token: "env:T"}}}
"""
TEAM = """\
accounts: {x: {id: "333333333333"}}
defaults: {credential: {tags: {team: x}}}
credentials: [{user: a, account: x}]
"""


def files(tmp_path: Path, **texts: str) -> Path:
    (tmp_path / "teams").mkdir(exist_ok=True)
    (tmp_path / "keyrota.yaml").write_text(MAIN, "utf-8")
    for name, text in texts.items():
        (tmp_path / "teams" / f"{name}.yaml").write_text(text, "utf-8")
    return tmp_path / "keyrota.yaml"


def test_files_are_joined_and_defaults_of_a_file_are_its_own(tmp_path: Path) -> None:
    main = files(tmp_path, a=TEAM, b="credentials: [{user: b}]\n")
    found = load(main).credentials
    assert [(entry.user, entry.account, entry.region, dict(entry.tags)) for entry in found] == [
        ("a", "333333333333", "eu-central-1", {"by": "main", "team": "x"}),
        ("b", None, "eu-central-1", {"by": "main"}),
    ]
    assert found[0].where == f"{tmp_path}/teams/a.yaml:3:15"


def test_one_text_of_all_files_means_the_same_with_the_same_places(tmp_path: Path) -> None:
    """What `keyrota deploy` stores and pins."""
    main = files(tmp_path, a=TEAM, b="credentials: [{user: b}]\n")
    text = bundle(main)
    stored = load_text("ssm:/keyrota/config", text)
    assert [(entry.user, entry.account, entry.tags) for entry in stored.credentials] == [
        (entry.user, entry.account, entry.tags) for entry in load(main).credentials
    ]
    assert stored.credentials[0].where == "teams/a.yaml:3:15"
    assert bundle(main) == text


REFUSED_FILES = [
    (
        "policy: {preset: strict}\ncredentials: [{user: b}]\n",
        "`policy` belongs into the file that includes",
        "b.yaml:1:1",
    ),
    ("include: [x.yaml]\n", "`include` belongs into the file", "b.yaml:1:1"),
    ("credential: [{user: b}]\n", "'credential' is not known here", "b.yaml:1:1"),
    ("version: 2\n", "version must be 1", "b.yaml:1:10"),
    ("- user: b\n", "no mapping", "b.yaml:1:1"),
    ('accounts: {x: {id: "444444444444"}}\n', "accounts.x is given twice", "b.yaml:1:12"),
    ('providers: {bitbucket: {auth: {token: "env:U"}}}\n', "providers.bitbucket is given twice", "b.yaml:1:13"),
    ('credentials: [{user: A, account: "333333333333"}]\n', "the user A is configured twice", "b.yaml:1:15"),
    ("credentials: [{user: 'a b'}]\n", "user has characters", "b.yaml:1:22"),
    ("credentials: [\n", "this is not YAML", "b.yaml:2:1"),
]


@pytest.mark.parametrize(("text", "what", "where"), REFUSED_FILES, ids=[row[1] for row in REFUSED_FILES])
def test_what_is_wrong_in_an_included_file_is_told_with_its_name(
    tmp_path: Path, text: str, what: str, where: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(files(tmp_path, a=TEAM, b=text))
    found = caught.value.faults
    assert any(what in fault.what and fault.where.endswith(where) for fault in found), found


@pytest.mark.parametrize(
    "pattern",
    ["/etc/*.yaml", "../*.yaml", "teams/../../x.yaml", "https://example.com/x.yaml", "**/*.yaml", "no/*.yaml"],
)
def test_nothing_outside_of_the_folder_is_included(tmp_path: Path, pattern: str) -> None:
    main = files(tmp_path, a=TEAM)
    main.write_text(MAIN.replace("teams/*.yaml", pattern), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(main)
    assert caught.value.faults[0].where == f"{main}:2:11"


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text(TEAM, "utf-8")
    main = files(folder, a=TEAM)
    (folder / "teams" / "b.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(ConfigError, match="leads out of the folder"):
        load(main)
    (folder / "teams" / "b.yaml").unlink()
    (folder / "teams" / "b.yaml").symlink_to("a.yaml")
    assert len(load(main).credentials) == 1  # one file under two names counts once


def test_a_text_that_is_no_file_includes_nothing_that_is_not_in_it() -> None:
    with pytest.raises(ConfigError, match="is not a file"):
        load_text("ssm:/keyrota/config", MAIN)


def test_a_file_cannot_pretend_to_be_two(tmp_path: Path) -> None:
    main = files(tmp_path, a=f"{TEAM}# keyrota: the included file teams/z.yaml\n")
    with pytest.raises(ConfigError, match="has a line that begins with"):
        load(main)
