"""What a configuration may refer to and which hosts may receive a secret: every form that would lead elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyrota.app.config import References, load_from, load_text
from keyrota.app.config.trust import Kept, reference_fault, refuse_shared_roles
from keyrota.app.tokens import settings_of
from keyrota.app.wiring import Wiring
from keyrota.core.model import IndexEntry
from keyrota.core.secret import Secret
from keyrota.errors import ConfigError, KeyrotaError, UsageError
from keyrota.http.hosts import allow, find_permission, forget, require_trusted
from keyrota.http.urls import parts_of, url_fault
from keyrota.targets import kinds
from keyrota_sandbox.memory import WorldClock

KEPT = Kept(secrets=frozenset({"team/deploy", "team/deploy-abc123"}), parameters=frozenset({"ci/pair"}))
ARN = "arn:aws:secretsmanager:eu-central-1:111111111111:secret:"

REFUSED = [
    "env:AWS_SECRET_ACCESS_KEY",
    "env:AWS_SESSION_TOKEN",
    "env:aws_session_token",
    "env:AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "env:AWS_ANYTHING_NEW",
    "env:AMAZON_SECRET",
    "env:PROD_AWS_SECRET_ACCESS_KEY",
    "env:TF_VAR_secret_access_key",
    "env:KEYROTA_CONFIG",
    "env:BITBUCKET_STEP_OIDC_TOKEN",
    "env:ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "env:_X_AMZN_TRACE_ID",
    "file:~/.aws/credentials",
    "file:~/.aws/sso/cache/x.json",
    "file:~/.AWS/credentials",
    "file:~/x/../.aws/config",
    "file:/proc/self/environ",
    "file:/proc/1/environ",
    "file:/tmp/../proc/self/environ",
    "file:/dev/stdin",
    "file:/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    "file:/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token",
    "secretsmanager:team/deploy",
    "secretsmanager:team/deploy#AWS_SECRET_ACCESS_KEY",
    "secretsmanager:team/deploy#token",
    "secretsmanager:TEAM/Deploy",
    f"secretsmanager:{ARN}team/deploy-AbCdEf",
    f"secretsmanager:{ARN}team/deploy",
    f"secretsmanager:{ARN.replace('eu-central-1', 'us-east-1')}team/deploy-AbCdEf#x",
    f"secretsmanager:{ARN.replace('111111111111', '222222222222')}team/deploy",
    f"secretsmanager:{ARN}team/deploy-abc123-AbCdEf",
    f"secretsmanager:{ARN.upper()}team/deploy",
    "secretsmanager:keyrota/some-other-user/access-key",
    "secretsmanager:keyrota/some-other-user/access-key#secret",
    "secretsmanager:other#AWS_SECRET_ACCESS_KEY",
    "secretsmanager:*",
    "secretsmanager:tokens/?itlab",
    "secretsmanager:tokens/${aws:username}",
    f"secretsmanager:{ARN.replace('eu-central-1', '*')}tokens/gitlab",
    "ssm:/*",
    "ssm:/ci/gitlab-token?",
    "secretsmanager:other#accessKeyId",
    "ssm:ci/pair",
    "ssm:/ci/pair",
    "ssm:/ci/pair:3",
    "ssm:/CI/Pair:label",
    "ssm:arn:aws:ssm:eu-central-1:111111111111:parameter/ci/pair",
    "ssm:/aws/reference/secretsmanager/team/deploy",
    "ssm:/aws/reference/secretsmanager/anything",
]
ALLOWED = [
    "env:GITHUB_TOKEN",
    "env:T",
    "env:CI_JOB_TOKEN",
    "env:LAWS_TOKEN",
    "file:/run/secrets/github",
    "file:/var/run/secrets/kubernetes.io/serviceaccount/token",
    "file:~/.awsome/token",
    "secretsmanager:keyrota-tokens/github",
    "secretsmanager:keyrota-tokens/github#token",
    f"secretsmanager:{ARN}keyrota-tokens/github-AbCdEf",
    "secretsmanager:team/deploys",
    "ssm:/ci/token",
    "ssm:/ci/pair/token",
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_reference_never_leads_to_a_key(text: str) -> None:
    """By name, ARN, part of an ARN, in another case, region or account; variables and files of AWS tools."""
    assert reference_fault(text, KEPT) is not None


@pytest.mark.parametrize("text", ALLOWED)
def test_a_reference_to_a_token_is_taken(text: str) -> None:
    assert reference_fault(text, KEPT) is None


def test_files_that_variables_name_are_credentials_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "web-identity"
    file.write_text("canary", "utf-8")
    link = tmp_path / "token"
    link.symlink_to(file)
    assert reference_fault(f"file:{file}", KEPT) is None
    for name in (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(file))
            assert reference_fault(f"file:{file}", KEPT) is not None
            assert reference_fault(f"file:{link}", KEPT) is not None


def test_a_fault_names_file_and_line_and_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-aws")
    text = (
        "version: 1\nproviders:\n  github:\n    auth:\n      token: env:AWS_SECRET_ACCESS_KEY\n"
        "  gitlab: {auth: {token: 'secretsmanager:own'}}\n"
        "credentials: [{user: ci, secret: own, targets: [{ssm: {parameter: /ci/x}}]}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_text("keyrota.yaml", text.replace("credentials", "  ssm: {}\ncredentials"))
    assert [fault.where for fault in caught.value.faults] == ["keyrota.yaml:5:14", "keyrota.yaml:6:26"]
    assert "canary" not in str(caught.value.faults)


@pytest.mark.parametrize("name", ["TOKEN", "PLAIN"])
def test_the_value_is_looked_at_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The same credentials under another name, and a key ID in whatever text."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-aws")
    values = {"TOKEN": "canary-of-aws", "PLAIN": '{"id":"AKIAABCDEFGHIJKLMNOP"}'}
    with pytest.raises(KeyrotaError) as caught:
        References({}, values)(f"env:{name}")
    assert values[name] not in str(caught.value)
    remote = {"secretsmanager": lambda _: Secret(values[name])}
    with pytest.raises(KeyrotaError):
        References(remote, {})("secretsmanager:x")


def test_a_link_that_was_bent_later_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form is judged when the file is loaded, and the path once more when it is read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    secret = tmp_path / ".aws" / "credentials"
    secret.parent.mkdir()
    secret.write_text("canary", "utf-8")
    link = tmp_path / "token"
    link.symlink_to(secret)
    with pytest.raises(ConfigError, match="AWS credentials"):
        References({}, {})(f"file:{link}")


def test_only_regular_files_within_a_bound_are_read(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.write_bytes(b"x" * 70_000)
    for name, words in ((pipe, "a pipe"), (tmp_path, "a folder"), (large, "too large")):
        with pytest.raises(ConfigError, match=words):
            References({}, {})(f"file:{name}")


# --- hosts ------------------------------------------------------------------------------------------------------------

ODD = [
    "https://g\u0456tlab.com",
    "https://gitlab\u3002com",
    "https://gitlab.com@evil.example",
    "https://user:pw@gitlab.com",
    "https://@gitlab.com",
    "https://gitlab.com\\@evil.example",
    "https://gitlab.com.",
    "https://gitlab..com",
    "https://gitlab%2ecom",
    "https://2130706433",
    "https://0x7f000001",
    "https://0x7f.1",
    "https://127.1",
    "https://0177.0.0.1",
    "https://[fe80::1%25eth0]",
    "https://[::ffff]x",
    "https://gitlab.com:0",
    "https://gitlab.com:99999",
    "https:/gitlab.com",
    "https:gitlab.com",
    "//gitlab.com",
    "gitlab.com",
    "http://gitlab.com",
    "ftp://gitlab.com",
    "https://gitlab.com?x=1",
    "https://gitlab.com#x",
    "https://git lab.com",
    "https://gitlab.com\t",
]


@pytest.mark.parametrize("url", ODD)
def test_a_url_has_one_meaning_or_is_refused(url: str) -> None:
    """Letters that look alike, user info, numbers as hosts, plain http: with file and line."""
    assert url_fault(url) is not None
    text = f'version: 1\nproviders:\n  gitlab:\n    base_url: "{url}"\n    auth: {{token: "env:T"}}\n'
    with pytest.raises(ConfigError) as caught:
        load_text("keyrota.yaml", (text + "credentials: [{user: ci}]\n").replace("\\", "\\\\"))
    assert caught.value.where.startswith("keyrota.yaml:4:")


@pytest.mark.parametrize(
    ("url", "entry", "is_allowed"),
    [
        ("https://gitlab.example.com/api/v4", "gitlab.example.com", True),
        ("https://GitLab.Example.com:443/api/v4", "GITLAB.example.COM:443", True),
        ("https://gitlab.example.com:8443", "gitlab.example.com:8443", True),
        ("https://gitlab.example.com:8443", "gitlab.example.com", False),
        ("https://gitlab.example.com", "gitlab.example.com:8443", False),
        ("https://gitlab.example.com", "example.com", False),
        ("https://evil.gitlab.example.com", "gitlab.example.com", False),
        ("https://gitlab.example.com.evil", "gitlab.example.com", False),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443", True),
        ("https://[2001:db8::1]", "[2001:db8::1]", True),
        ("https://10.0.0.1", "other, 10.0.0.1", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "127.0.0.1", False),
    ],
)
def test_a_host_is_allowed_by_its_whole_name_and_port(url: str, entry: str, is_allowed: bool) -> None:
    parts = parts_of(url)
    assert parts is not None
    assert (find_permission(parts, {"KEYROTA_ALLOWED_HOSTS": entry}) is not None) is is_allowed


@pytest.mark.parametrize(
    "entry", ["*.example.com", "*", "https://x", "a/b", "a:b", "a:0", "g\u0456tlab.com", "a b", "u@h"]
)
def test_what_is_not_a_host_allows_nothing(entry: str) -> None:
    """A wildcard would let whoever may create a subdomain receive the tokens."""
    parts = parts_of("https://x.example.com")
    assert parts is not None
    with pytest.raises(UsageError, match="is not a host"):
        find_permission(parts, {"KEYROTA_ALLOWED_HOSTS": entry})


@pytest.mark.parametrize("entry", ["127.0.0.1:8080", "127.0.0.1", "gitlab.example.com", "127.0.0.1:9"])
def test_the_sandboxs_variable_allows_loopback_only(entry: str) -> None:
    variables = {"KEYROTA_SANDBOX_HOST": entry}
    here, there = parts_of("http://127.0.0.1:8080"), parts_of("https://gitlab.example.com")
    assert here is not None
    assert there is not None
    assert (find_permission(here, variables) is not None) is (entry in {"127.0.0.1:8080", "127.0.0.1"})
    assert find_permission(there, variables) is None


def test_what_the_command_line_allowed_ends_with_it() -> None:
    parts = parts_of("https://gitlab.example.com")
    assert parts is not None
    allow(["gitlab.example.com"])
    try:
        assert find_permission(parts, {}) == "--allow-host"
    finally:
        forget()
    assert find_permission(parts, {}) is None


@pytest.mark.parametrize("name", sorted(set(kinds()) - {"ssm"}))
def test_no_provider_sends_a_token_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is in the one client: every provider, its token service too; and no secret is resolved before it."""
    monkeypatch.delenv("KEYROTA_SANDBOX_HOST", raising=False)
    asked: list[str] = []

    def secrets(reference: str) -> Secret:
        asked.append(reference)
        return Secret("canary")

    for elsewhere in (
        "https://tokens.example.com/x",
        "http://127.0.0.1:9911/api/v1",
        "https://api.github.com.evil.example",
    ):
        for settings in (
            {"base_url": elsewhere, "auth": {"token": "env:T"}},
            {"token_url": elsewhere, "auth": {"client_id": "x", "client_secret": "env:T"}},
        ):
            if "token_url" in settings and name != "bitbucket":
                continue
            with pytest.raises(ConfigError, match="not the provider's own host"):
                kinds()[name].connect(settings, secrets=secrets, clock=WorldClock())
    assert asked == []


@pytest.mark.parametrize(
    "name", ["github", "gitlab", "bitbucket", "circleci", "codespaces", "buildkite", "terraform", "azure_devops"]
)
def test_the_providers_own_host_needs_no_permission(name: str) -> None:
    settings = {"auth": {"token": "env:T"}} | (
        {"base_url": "https://dev.azure.com/acme"} if name == "azure_devops" else {}
    )
    kinds()[name].connect(settings, secrets=Secret, clock=WorldClock())


def test_one_providers_host_is_not_anothers() -> None:
    with pytest.raises(ConfigError, match="not the provider's own"):
        require_trusted("https://api.github.com", ["https://gitlab.com/api/v4"], "gitlab base_url")


# --- what a tag remembers ---------------------------------------------------------------------------------------------

REACHED = """\
version: 1
providers: {github: {auth: {token: "env:T", read_token: "env:R"}}, gitlab: {auth: {token: "env:T"}}}
credentials: [{user: ci}]
"""


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("github", '{"repository": "acme/../../evil"}'),
        ("github", '{"repository": "acme/shop", "base_url": "https://evil.example"}'),
        ("github", '{"repository": "acme/shop", "organization": "acme"}'),
        ("github", '["acme/shop"]'),
        ("github", "{"),
        ("gitlab", '{"project": "a", "names": {"id": "A-B"}}'),
        ("circleci", '{"project": "gh/acme/shop"}'),
        ("nothing", "{}"),
    ],
)
def test_settings_that_a_tag_remembers_are_judged_as_those_of_the_file(kind: str, settings: str) -> None:
    """Whoever may tag the secret does not get a token to a place that no configuration could name."""
    wiring = Wiring(load_text("keyrota.yaml", REACHED), WorldClock())
    entry = IndexEntry(address="x", kind=kind, settings=settings)
    assert isinstance(wiring.reach(entry), KeyrotaError)
    good = IndexEntry(address="x", kind="github", settings='{"repository": "acme/shop"}')
    assert not isinstance(wiring.reach(good), KeyrotaError)


@pytest.mark.parametrize(
    ("duty", "used"),
    [("operator", "env:T"), ("rotate", "env:T"), ("sync", "env:T"), ("emergency", "env:T")]
    + [(duty, "env:R") for duty in ("deactivate", "delete", "watch")],
)
def test_who_only_reads_uses_the_reading_token(duty: str, used: str) -> None:
    settings = {"auth": {"token": "env:T", "read_token": "env:R"}, "max_wait": "5m"}
    assert settings_of(settings, duty) == {"auth": {"token": used}, "max_wait": "5m"}
    other = {"auth": {"email": "a@b", "api_token": "env:T", "read_token": "env:R"}}
    assert settings_of(other, duty) == {"auth": {"email": "a@b", "api_token": used}}
    alone = {"auth": {"app_id": "1", "private_key": "env:T"}}
    assert settings_of(alone, duty) == alone


_PROVIDERS = """
version: 1
aws: {region: eu-central-1}
providers:
  azure_devops: {base_url: "https://dev.azure.com/acme", auth: {token: "env:T"}}
  bitbucket: {auth: {token: "env:T"}}
  circleci: {auth: {token: "env:T"}}
  forgejo: {base_url: "https://git.acme.example", auth: {token: "env:T"}}
  gitea: {base_url: "https://git.acme.example", auth: {token: "env:T"}}
  github: {auth: {token: "env:T"}}
  gitlab: {auth: {token: "env:T"}}
  kubernetes: {base_url: "https://k8s.acme.example", auth: {token: "env:T"}}
  ssm: {}
credentials:
- user: ci-deploy
  targets: [TARGET]
"""
LEADS_ELSEWHERE = [
    'azure_devops: {project: "..", group: "keys"}',
    'azure_devops: {project: "shop/_apis", group: "keys"}',
    'azure_devops: {project: "shop?x=", group: "keys"}',
    'bitbucket: {workspace: ".."}',
    'bitbucket: {workspace: "acme/shop"}',
    'bitbucket: {workspace: "acme", repository: "."}',
    'bitbucket: {workspace: "acme", repository: "shop#"}',
    'bitbucket: {workspace: "acme", repository: "shop", environment: ".."}',
    'circleci: {project: "gh/acme/.."}',
    'forgejo: {repository: "../shop"}',
    'forgejo: {organization: ".."}',
    'gitea: {repository: "acme/.."}',
    'github: {repository: "acme/.."}',
    'github: {repository: "acme/shop", environment: "../.."}',
    'github: {organization: "acme", visibility: selected, repositories: ["shop", ".."]}',
    'gitlab: {project: "../shop"}',
    'gitlab: {project: "acme//shop"}',
    'gitlab: {project: "/acme/shop"}',
    'gitlab: {project: "acme/shop/"}',
    'gitlab: {project: "acme/shop?x"}',
    'gitlab: {project: "acme/shop#x"}',
    'gitlab: {project: "acme%2F..%2Fshop"}',
    'gitlab: {group: "acme/."}',
    'kubernetes: {namespace: "shop", secret: "aws", names: {id: "..", secret: "x"}}',
    'ssm: {parameter: "/ci/../prod"}',
]


@pytest.mark.parametrize("target", LEADS_ELSEWHERE)
def test_a_name_that_leads_to_another_address_is_a_fault_of_the_file(target: str) -> None:
    """Not only of the call: a pull request is checked offline, and a server may take a name apart once more."""
    text = _PROVIDERS.replace("TARGET", "{" + target + "}")
    with pytest.raises(ConfigError) as refused:
        load_text("keyrota.yaml", text)
    faults = [fault for fault in refused.value.faults if fault.where.startswith("keyrota.yaml:16:")]
    assert faults, refused.value.faults


@pytest.mark.parametrize(
    "target",
    [
        'azure_devops: {project: "My Shop.v2", group: "keys/of: prod"}',
        'bitbucket: {workspace: "acme", repository: "{0f0e0d0c-0b0a-0908-0706-050403020100}", environment: "A / B"}',
        'github: {repository: "acme/..shop", environment: "production/eu"}',
        'gitlab: {project: "acme/sub-group/shop.web", environment_scope: "review/*"}',
        "gitlab: {project: 17}",
        'ssm: {parameter: "/ci/prod..pair"}',
    ],
)
def test_unusual_names_that_providers_take_are_taken(target: str) -> None:
    loaded = load_text("keyrota.yaml", _PROVIDERS.replace("TARGET", "{" + target + "}"))
    assert loaded.credentials[0].targets


def test_a_remembered_target_that_leads_elsewhere_is_not_reached() -> None:
    configured = load_text("keyrota.yaml", _PROVIDERS.replace("TARGET", 'github: {repository: "acme/shop"}'))
    settings = '{"repository": "acme/shop", "environment": "../.."}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYROTA_ALLOWED_HOSTS", "git.acme.example,k8s.acme.example")
        found = Wiring(configured, WorldClock()).reach(IndexEntry(address="x", kind="github", settings=settings))
    assert isinstance(found, KeyrotaError)
    assert found.what == "its settings are not those of a target"


@pytest.mark.parametrize(
    "other_fault", ["version: 2", "version: 1\nnonsense: 1", "version: 1\npolicy: {deactivate_after: 1d}"]
)
def test_a_host_that_is_not_allowed_is_told_with_the_other_faults(other_fault: str) -> None:
    text = _PROVIDERS.replace("TARGET", 'github: {repository: "acme/shop"}').replace("version: 1", other_fault)
    with pytest.raises(ConfigError) as refused:
        load_text("keyrota.yaml", text)
    told = [fault.what.partition(" ")[0] for fault in refused.value.faults if "provider's own host" in fault.what]
    assert told == ["git.acme.example", "git.acme.example", "k8s.acme.example"]
    assert len(refused.value.faults) > len(told)


def test_a_variable_that_names_no_host_hides_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYROTA_ALLOWED_HOSTS", "*.acme.example")
    with pytest.raises(ConfigError, match="nonsense"):
        load_text("keyrota.yaml", _PROVIDERS.replace("TARGET", "{}").replace("version: 1", "version: 1\nnonsense: 1"))


@pytest.mark.parametrize(
    "name", ["ssm:", "ssm:/", "ssm: /x", "s3:", "s3://", "s3://bucket", "s3://bucket/", "s3://B/k"]
)
def test_a_place_of_a_configuration_without_a_name_is_refused_before_aws_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyrota.app.config.source._parameter", lambda _: pytest.fail("AWS was asked"))
    monkeypatch.setattr("keyrota.app.config.source._object", lambda *_: pytest.fail("AWS was asked"))
    with pytest.raises(ConfigError, match="names no parameter and no object") as refused:
        load_from(name)
    assert refused.value.faults[0].where == name


@pytest.mark.parametrize("key", ["arn:aws:kms:*:*:key/*", "alias/*", "arn:aws:kms:*:111111111111:key/x", "${x}"])
@pytest.mark.parametrize("place", ["credential", "parameter"])
def test_a_key_that_stands_for_others_in_a_policy_is_refused(place: str, key: str) -> None:
    named = f'kms_key: "{key}"'
    target = f"ssm: {{parameter: /ci/pair{', ' + named if place == 'parameter' else ''}}}"
    text = _PROVIDERS.replace("TARGET", "{" + target + "}")
    if place == "credential":
        text = text.replace("- user: ci-deploy", f"- user: ci-deploy\n  {named}")
    with pytest.raises(ConfigError) as refused:
        load_text("keyrota.yaml", text)
    assert any("kms_key has characters" in fault.what for fault in refused.value.faults)


@pytest.mark.parametrize(
    "key", ["alias/ci", "arn:aws:kms:eu-central-1:111111111111:alias/a/b_c", "mrk-0123456789abcdef"]
)
def test_a_key_is_taken_by_id_alias_and_arn(key: str) -> None:
    text = _PROVIDERS.replace("TARGET", f"ssm: {{parameter: /ci/pair, kms_key: '{key}'}}")
    assert load_text("keyrota.yaml", text.replace("- user: ci-deploy", f"- user: ci-deploy\n  kms_key: '{key}'"))


def test_a_role_for_parameters_may_differ_by_duty() -> None:
    """Functions demand it, and the schema refused it."""
    role = "arn:aws:iam::222222222222:role/ci/keyrota-{duty}"
    text = _PROVIDERS.replace("  ssm: {}", f'  ssm: {{role: "{role}"}}').replace("TARGET", "ssm: {parameter: /ci/pair}")
    loaded = load_text("keyrota.yaml", text)
    refuse_shared_roles(loaded)
    assert loaded.providers["ssm"]["role"] == role
