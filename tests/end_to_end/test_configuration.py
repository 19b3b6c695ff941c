"""The configuration: what it means, and what is refused, with the place and the way out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from keyrota.app.config import Configuration, References, load
from keyrota.core.policy import CLASSIC, Adopt, OnStillUsed, Rollout
from keyrota.core.secret import Secret
from keyrota.errors import ConfigError, Fault, KeyrotaError, NotThere

HEAD = """\
version: 1
providers: {bitbucket: {auth: {token: "env:T"}}}
"""
USER = "credentials: [{user: ci}]\n"
TARGET = "{bitbucket: {workspace: acme, repository: shop, environment: Production}}"


def read(tmp_path: Path, text: str) -> Configuration:
    """Load a text."""
    file = tmp_path / "keyrota.yaml"
    file.write_text(text, "utf-8")
    return load(file)


def faults(tmp_path: Path, text: str) -> tuple[Fault, ...]:
    """Load a text that must be refused."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return caught.value.faults


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + USER)
    (credential,) = found.credentials
    assert found.policy == CLASSIC
    assert found.rollout == Rollout(per_run=10)
    assert credential.secret_name == "keyrota/ci/access-key"
    assert not credential.is_secret_named
    assert (credential.id_field, credential.secret_field) == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def test_a_preset_changes_the_ages_and_nothing_else(tmp_path: Path) -> None:
    """A credential that asks for strict keeps the file's freeze, proof and adoption."""
    text = (
        HEAD + "policy: {prove_use: true, adopt: now, on_still_used: deactivate, unused_for: 48h,"
        " freeze: [{weekdays: [sat, sun], timezone: Europe/Berlin}]}\n"
        "credentials: [{user: ci, policy: {preset: strict}}]\n"
    )
    policy = read(tmp_path, text).credentials[0].policy
    assert policy.rotate_after == timedelta(days=75)
    assert (policy.prove_use, policy.adopt, policy.on_still_used) == (True, Adopt.NOW, OnStillUsed.DEACTIVATE)
    assert policy.unused_for == timedelta(hours=48)
    assert len(policy.freezes) == 1


def test_the_waves_of_a_fleet_are_read(tmp_path: Path) -> None:
    text = "rollout: {per_run: 25, canary: [ci, ci], canary_wait: 1d, spread: 14d}"
    wanted = Rollout(per_run=25, canaries=("ci",), canary_wait=timedelta(days=1), spread=timedelta(days=14))
    assert read(tmp_path, f"{HEAD}{text}\n{USER}").rollout == wanted


def test_a_canary_that_may_be_two_users_is_refused(tmp_path: Path) -> None:
    users = 'credentials: [{user: ci, account: "111111111111"}, {user: ci, account: "222222222222"}]\n'
    (fault,) = faults(tmp_path, f"{HEAD}rollout: {{canary: [ci]}}\n{users}")
    assert "configured for 2 accounts" in fault.what
    assert fault.remedy == "write 111111111111:ci or 222222222222:ci"
    named = read(tmp_path, f'{HEAD}rollout: {{canary: ["222222222222:ci"]}}\n{users}')
    assert named.rollout.canaries == ("222222222222:ci",)


def test_an_account_with_a_leading_zero_stays_a_text(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + "credentials: [{user: ci, account: 012345678901}]\n")
    assert found.credentials[0].account == "012345678901"


REFUSED = [
    ("policy: {rotate_after: 90}", "must be a text, not a number", "90d"),
    ("policy: {rotate_after: 90 days}", "is no duration", ""),
    ("policy: {rotate_after: 100d}", "the ages must rise", ""),
    ("policy: {rotate_after: 10d, deactivate_after: 15d, delete_after: 20d}", "two slots", ""),
    ("policy: {rotate_after: 30m, deactivate_after: 40m, delete_after: 50m}", "less than an hour", ""),
    ("policy: {freeze: [{weekdays: [mon, tue, wed, thu, fri, sat, sun]}]}", "never", ""),
    ("policy: {freeze: [{from: 2026-01-02, to: 2026-01-01}]}", "ends (2026-01-01) before it begins", ""),
    ("policy: {freeze: [{from: 2026-01-02, to: 9999-12-31}]}", "366 days", ""),
    ("policy: {freeze: [{timezone: UTC}]}", "needs `weekdays`, or `from` and `to`", ""),
    ("policy: {freeze: [{weekdays: [sun], timezone: Mars/Base}]}", "time zone 'Mars/Base'", "Europe/Berlin"),
    ("policy: {unused_for: 900d}", "might never count as unused", ""),
    ("rollout: {per_run: 0}", "per_run", ""),
    ("rollout: {per_rum: 5}", "'per_rum' is not known here", "did you mean 'per_run'?"),
    ("rollout: {canary: [ci-docs]}", "names ci-docs, which is not configured", "USER or ACCOUNT:USER"),
    ("rollout: {spread: 40d}", "rollout.spread (40d) is too long for the policy of ci", "delete_after"),
    ("brake: {most: 20}", "'brake' is not known here", "rollout"),
    ("concurrency: 0", "concurrency", ""),
    ("<<: {a: 1}", "'<<' is not known here", "merge keys"),
]


@pytest.mark.parametrize(("line", "what", "remedy"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path, line: str, what: str, remedy: str) -> None:
    found = faults(tmp_path, f"{HEAD}{line}\n{USER}")
    assert any(what in fault.what and remedy in fault.remedy for fault in found), found
    assert all(":3:" in fault.where for fault in found)


CREDENTIALS = [
    ("{user: ci}, {user: ci}", "the user ci is configured twice"),
    ("{user: ci}, {user: Ci}", "the user Ci is configured twice"),
    ("{user: a, secret: s}, {user: b, secret: s}", "the secret s is used twice"),
    (f"{{user: a, targets: [{TARGET}]}}, {{user: b, targets: [{TARGET}]}}", "AWS_ACCESS_KEY_ID is claimed twice"),
    ("{user: a, names: {id: X, secret: X}}", "two names"),
    ("{user: a, targets: [{bitbucket: {workspace: w, names: {id: X, secret: X}}}]}", "two names"),
    ("{user: a, targets: [{bitbucket: {workspace: w, environment: e}}]}", "environment needs repository beside it"),
    ("{user: a, targets: [{bitbucket: {}, other: {}}]}", "'other' is not known here"),
    ("{user: 'a b'}", "user has characters"),
    ("{user: null}", "must be a text, not nothing"),
    ('{user: "ci\\n"}', "control character"),
    ("{user: a, account: 1234}", "account has characters or a length"),
    ("{user: a, role: ci}", "needs `account` beside it"),
    ("{user: a, account: '123456789012', role: 'arn:aws:iam::999999999999:role/x'}", "another account"),
    ("{user: a, role: arn:nonsense}", "role has characters"),
    ("{user: a, tags: {'keyrota:synced': x}}", "is reserved"),
    ("{user: a, region: 'evil.com/#'}", "region has characters"),
]
ELSEWHERE = "arn:aws:secretsmanager:us-east-1:999999999999:secret:prod/x-abcdef"


def test_a_bracket_that_is_not_closed_is_told_with_its_place(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, f"{HEAD}policy: {{preset: strict\n{USER}")
    assert "',' or '}'" in fault.what
    assert "begins at 3:9" in fault.what


@pytest.mark.parametrize("line", ["x: *canary-token", "x: 'a'canary-token'", "x: @canary-token", "x: !canary-token&"])
def test_what_yaml_quotes_is_not_repeated(tmp_path: Path, line: str) -> None:
    assert "canary" not in str(faults(tmp_path, f"{HEAD}{line}\n{USER}"))


def test_an_arn_for_a_secret_s_name_is_told_where_its_parts_go(tmp_path: Path) -> None:
    """A secret in another region or account has fields of its own for them."""
    (fault,) = faults(tmp_path, f"{HEAD}credentials: [{{user: a, secret: '{ELSEWHERE}'}}]\n")
    assert "`region` says in which region" in fault.remedy


@pytest.mark.parametrize(("entries", "what"), CREDENTIALS, ids=[row[0] for row in CREDENTIALS])
def test_credentials_that_do_not_fit_are_refused(tmp_path: Path, entries: str, what: str) -> None:
    found = faults(tmp_path, f"{HEAD}credentials: [{entries}]\n")
    assert any(what in fault.what for fault in found), found


def test_a_provider_that_is_used_must_be_configured(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, f"version: 1\ncredentials: [{{user: a, targets: [{TARGET}]}}]\n")
    assert "bitbucket is not configured" in fault.what


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        ("bitbucket: {workspace: a, repository: b}", "{bitbucket: {auth: …}}"),
        ("forgejo: {repository: a/b}", "{forgejo: {base_url: …, auth: …}}"),
        ("ssm: {parameter: /a/b}", "{ssm: {}}"),
    ],
)
def test_what_a_provider_needs_is_told(tmp_path: Path, target: str, settings: str) -> None:
    """Each its own: Parameter Store has no token."""
    (fault,) = faults(tmp_path, f"version: 1\ncredentials: [{{user: ci, targets: [{{{target}}}]}}]\n")
    assert fault.remedy == f"add it: providers: {settings}"


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a [x]\nb: &b [*a, *a]\n" + "".join(f"c{n}: &c{n} [*b, *b]\n" for n in range(3)),
        "[" * 100 + "]" * 100,
        "a: *none",
        "a: 'x\n\tb: c",
        "--- 1\n--- 2",
        "!!binary aGk=",
    ],
)
def test_odd_yaml_is_told_in_plain_words(tmp_path: Path, text: str) -> None:
    assert all(fault.what and "keyrota.yaml" in fault.where for fault in faults(tmp_path, text))


def test_an_alias_that_may_be_a_token_is_not_repeated(tmp_path: Path) -> None:
    text = "version: 1\nproviders: {bitbucket: {auth: {token: *ATCTT3canary}}}\ncredentials: [{user: a}]\n"
    assert not any("canary" in fault.what for fault in faults(tmp_path, text))


# --- references -----------------------------------------------------------------------------------------------------


def test_references_are_read_once_and_stripped(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\ufefftoken-1\r\n", "utf-8")
    file.chmod(0o600)
    asked: list[str] = []

    def remote(name: str) -> Secret:
        asked.append(name)
        return Secret("token-2")

    references = References({"ssm": remote, "secretsmanager": remote}, {"T": "token-3 \n"})
    assert references(f"file:{file}").reveal() == "token-1"
    assert references("env:T").reveal() == "token-3"
    for _ in range(2):
        assert references("secretsmanager:ci/token#key").reveal() == "token-2"
        assert references("ssm:/ci/token").reveal() == "token-2"
    assert asked == ["ci/token#key", "/ci/token"]


@pytest.mark.parametrize("value", ["", "  ", "two words", "two\nlines", "ümlaut"])
def test_a_token_that_is_none_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(KeyrotaError) as caught:
        References({}, {"T": value})("env:T")
    assert "env:T" in caught.value.where
    assert caught.value.remedy
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize("name", ["~nobody-here/x", "/nowhere/x", "a\0b", "/"])
def test_a_file_that_cannot_be_read_is_told(name: str) -> None:
    with pytest.raises(ConfigError):
        References({}, {})(f"file:{name}")


PAGES = (
    "azure-devops",
    "bitbucket",
    "buildkite",
    "circleci",
    "codespaces",
    "forgejo",
    "github",
    "gitlab",
    "kubernetes",
    "parameter-store",
    "terraform",
)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_a_configuration(tmp_path: Path, page: str) -> None:
    """The first block of a page can be copied as it stands."""
    text = (Path(__file__).parents[2] / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    block = text.partition("```yaml\n")[2].partition("```")[0]
    found = read(tmp_path, "version: 1\n" + block)
    assert all(credential.targets for credential in found.credentials)
    assert set(found.providers) >= {target.kind for each in found.credentials for target in each.targets}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("{terraform: {organization: acme}}", "either `workspace` or `variable_set`"),
        ("{terraform: {organization: acme, variable_set: shop}}", "variable_set"),
        ("{azure_devops: {project: shop, group: 'a*'}}", "given by its number"),
        ("{azure_devops: {project: shop, group: true}}", "group"),
        ("{buildkite: {organization: acme, cluster: shop}}", "cluster"),
        ("{buildkite: {organization: acme, cluster: 0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001, policy: []}}", "policy"),
        ("{forgejo: {repository: shop}}", "repository"),
        ("{forgejo: {token_user: false}}", "token_user"),
        ("{gitea: {organization: acme, token_user: true}}", "one of"),
        ("{github: {}}", "either `repository: OWNER/NAME` or `organization`"),
    ],
)
def test_what_a_place_cannot_be_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, words: str
) -> None:
    monkeypatch.setenv("KEYROTA_ALLOWED_HOSTS", "forge.example")
    providers = """\
version: 1
providers:
  terraform: {auth: {token: "env:T"}}
  azure_devops: {base_url: https://dev.azure.com/acme, auth: {token: "env:T"}}
  buildkite: {auth: {token: "env:T"}}
  forgejo: {base_url: https://forge.example/api/v1, auth: {token: "env:T"}}
  gitea: {base_url: https://forge.example/api/v1, auth: {token: "env:T"}}
  github: {auth: {token: "env:T"}}
"""
    found = faults(tmp_path, f"{providers}credentials: [{{user: ci, targets: [{target}]}}]\n")
    assert any(words in f"{fault.what} {fault.remedy}" for fault in found)
    assert all(":9:" in fault.where for fault in found)


def test_faults_of_a_policy_are_told_all_at_once_with_their_lines(tmp_path: Path) -> None:
    """What the schema cannot say is looked for although other values do not fit it."""
    policy = """\
policy:
  freeze:
    - weekdays: [friday]
      timezone: Europe/Berln
  rotate_after: 100d
  deactivate_after: 90d
"""
    told = faults(tmp_path, HEAD + policy + "credentials: [{user: ci, policy: {rotate_after: 5d}, nmes: {}}]\n")
    found = [(fault.where.split(":")[1], fault.what) for fault in told]
    assert [line for line, what in found if "weekdays" in what] == ["5"]
    assert [line for line, what in found if "'Europe/Berln' is not known" in what] == ["6"]
    assert any("the ages must rise" in what for _, what in found)
    assert any("'nmes' is not known here" in what for _, what in found)
    assert len(found) >= 4


SEVERAL = """\
version: 1
verify: {times: 0}
providers:
  gitlab: {base_url: "https://gitl\u0430b.example", auth: {token: "env:AWS_SECRET_ACCESS_KEY"}}
  forgejo: {auth: {token: "file:/proc/self/environ"}}
  github: {auth: {token: "secretsmanager:keyrota/ci/access-key"}}
credentials:
  - user: ci
    targets:
      - githb: {repository: a/b}
      - github: {repository: a/b}
      - github: {repository: a/b}
      - circleci: {project: gh/a/b}
  - user: ci
  - {user: "b b", names: {id: x, secret: x}, targets: [{buildkite: {}}, {terraform: {organization: o, workspace: w}}]}
"""


def test_faults_of_every_part_are_told_at_once(tmp_path: Path) -> None:
    """One value that did not fit hid references, hosts, places and users that are refused; a typing error, all."""
    told = {(fault.where.split(":")[1], fault.what) for fault in faults(tmp_path, SEVERAL)}
    expected = {
        ("2", "less than the minimum"),
        ("4", "beyond ASCII"),
        ("4", "env:AWS_SECRET_ACCESS_KEY may hold AWS credentials"),
        ("5", "lacks base_url"),
        ("5", "/proc/self/environ may lead to AWS credentials"),
        ("6", "is a secret that keyrota manages"),
        ("10", "'githb' is not known here"),
        ("12", "AWS_ACCESS_KEY_ID is claimed twice"),
        ("13", "circleci is not configured"),
        ("14", "the user ci is configured twice"),
        ("15", "user has characters"),
        ("15", "two names"),
        ("15", "terraform is not configured"),
    }
    missing = {one for one in expected if not any(line == one[0] and one[1] in what for line, what in told)}
    assert not missing, told


@pytest.mark.parametrize("identity", ["account: '1'", "account: '2'", "role: 'arn:x'", "region: 'A'", "secret: 'x y'"])
def test_what_does_not_fit_is_compared_with_nothing(tmp_path: Path, identity: str) -> None:
    """Two users of two accounts are no doubles because of a typing error in an account's number."""
    text = f"{HEAD}credentials:\n  - {{user: ci}}\n  - {{user: ci, {identity}}}\n"
    assert not any("twice" in fault.what for fault in faults(tmp_path, text))


def test_a_credential_that_fits_is_looked_at_beside_one_that_does_not(tmp_path: Path) -> None:
    text = HEAD + "credentials:\n  - {usr: a}\n  - {user: ci, role: duty}\n"
    told = faults(tmp_path, text)
    assert any("a role's name needs `account`" in fault.what and ":5:" in fault.where for fault in told)


def test_a_reference_that_aws_does_not_give_names_itself_and_is_asked_for_once() -> None:
    asked: list[str] = []

    def read_secret(name: str) -> Secret:
        asked.append(name)
        raise NotThere("secretsmanager:GetSecretValue: Secrets Manager can't find the specified secret.")

    references = References({"secretsmanager": read_secret}, {})
    for _ in range(3):
        with pytest.raises(NotThere) as caught:
            references("secretsmanager:keyrota-tokens/bitbucket")
        assert "the token reference secretsmanager:keyrota-tokens/bitbucket cannot be resolved" in caught.value.what
        assert caught.value.remedy.startswith("create the secret")
    assert asked == ["keyrota-tokens/bitbucket"]
    assert list(references.refusals) == ["secretsmanager:keyrota-tokens/bitbucket"]
