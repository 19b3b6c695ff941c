"""What only GitHub has: sealed boxes, visibility, markers, apps, limits, queued runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import description
import pytest
from standin_rig import CANARY_TOKEN, ENVIRONMENT, GitHubRig, a_github_rig, a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.target_base.provider import Connection
from keyrota.targets.github import KIND
from keyrota.targets.github.connection import expiry
from keyrota_sandbox.faults import Fault, FaultKind
from keyrota_sandbox.providers.github import APP_ID, GitHubEmulator

ID, SECRET, MARKER = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "KEYROTA_AWS_ACCESS_KEY_ID"
REPO, ENV, ORG = ("repo", "acme", "shop"), ("env", "acme", "shop", ENVIRONMENT), ("org", "acme")
DEPENDABOT, ORG_DEPENDABOT = ("dependabot", "acme", "shop"), ("org-dependabot", "acme")
SCOPES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "repository": ({"repository": "acme/shop"}, REPO),
    "environment": ({"repository": "acme/shop", "environment": ENVIRONMENT}, ENV),
    "dependabot": ({"repository": "acme/shop", "dependabot": True}, DEPENDABOT),
    "organization": ({"organization": "acme", "visibility": "all"}, ORG),
    "organization dependabot": ({"organization": "acme", "dependabot": True, "visibility": "private"}, ORG_DEPENDABOT),
}


@pytest.fixture
def rig() -> Iterator[GitHubRig]:
    """GitHub with a repository and an organization."""
    with a_github_rig() as made:
        yield made


def _writes(rig: GitHubRig) -> list[str]:
    return [operation for operation, _ in rig.standin.journal if not operation.startswith("GET")]


@pytest.mark.parametrize("name", SCOPES)
def test_each_scope_holds_a_pair(rig: GitHubRig, name: str) -> None:
    """Written sealed for the scope's own key, and read as far as GitHub tells anything."""
    settings, scope = SCOPES[name]
    target = rig.target(settings)
    assert target.read().evidence is TargetEvidence.ABSENT
    assert target.preflight().is_ready
    target.write(a_pair("OLD"))
    target.write(a_pair())
    assert rig.standin.secrets(scope) == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}
    state = target.read()
    assert (state.evidence, state.changed_at) == (TargetEvidence.CANNOT_TELL, rig.clock.now().replace(microsecond=0))


def test_the_public_key_is_fetched_once_a_scope_and_again_when_it_changed(rig: GitHubRig) -> None:
    target = rig.target({"repository": "acme/shop"})
    target.write(a_pair("OLD"))
    rig.standin.renew_key(REPO)
    target.write(a_pair())
    fetched = [operation for operation, _ in rig.standin.journal if operation == "GET public-key"]
    assert len(fetched) == 2
    assert rig.standin.secrets(REPO)[SECRET] == a_pair().secret.reveal()


def test_the_calls_are_counted(rig: GitHubRig) -> None:
    """A key that is known: one marker read, three writes."""
    rig.target().write(a_pair("OLD"))
    rig.standin.journal.clear()
    rig.target().write(a_pair())
    assert rig.standin.journal == [
        ("GET variables", 200),
        ("PUT secrets", 204),
        ("PUT secrets", 204),
        ("PATCH variables", 204),
    ]


def test_the_marker_names_the_key_and_shows_drift(rig: GitHubRig) -> None:
    target = rig.target()
    target.write(a_pair())
    assert rig.standin.variables(ENV) == {MARKER: a_pair().id}
    state = target.read()
    assert (state.evidence, state.key) == (TargetEvidence.HOLDS, a_pair().id)
    rig.standin.remove_variable(ENV, MARKER)
    assert target.read().detail == MARKER


@pytest.mark.parametrize("value", ["https://example.com", "PRODUCTIONCLUSTER01", ""])
def test_a_marker_of_somebody_else_is_left_alone(rig: GitHubRig, value: str) -> None:
    rig.standin.set_variable(ENV, MARKER, value)
    target = rig.target()
    assert not target.preflight().is_ready
    with pytest.raises(ProviderRefused, match="somebody else's"):
        target.write(a_pair())
    assert _writes(rig) == []


@pytest.mark.parametrize("status", [403, 404])
def test_variables_that_may_not_be_seen_are_told_before_a_key_is_made(rig: GitHubRig, status: int) -> None:
    rig.standin.faults.add(Fault(operation="GET variables", status=status, message="no", times=-1))
    assert not rig.target().preflight().is_ready


def test_a_marker_has_the_name_that_is_wished(rig: GitHubRig) -> None:
    rig.target({"repository": "acme/shop", "marker": "key_in_use"}).write(a_pair())
    assert rig.standin.variables(REPO) == {"KEY_IN_USE": a_pair().id}


@pytest.mark.parametrize("visibility", ["all", "private", "selected"])
def test_an_organizations_visibility_is_never_widened_or_narrowed(rig: GitHubRig, visibility: str) -> None:
    """Also where the configuration names another one: that is for a secret that is not there yet."""
    ids = tuple(rig.standin.add_repository("acme", f"r{number}") for number in range(250))
    selected = ids[::2] if visibility == "selected" else ()
    for name in (ID, SECRET):
        rig.standin.set_secret(ORG, name, "old", visibility=visibility, selected=selected)
    rig.target({"organization": "acme", "visibility": "all"}).write(a_pair())
    assert rig.standin.secrets(ORG)[SECRET] == a_pair().secret.reveal()
    assert rig.standin.get_visibility(ORG, SECRET) == (visibility, selected)
    assert rig.standin.get_visibility(ORG, ID) == (visibility, selected)


@pytest.mark.parametrize(
    "body",
    [
        {"total_count": 3, "repositories": []},
        {"total_count": 1, "repositories": [{"id": "x"}]},
        {"repositories": [{"id": 1}]},
    ],
)
def test_a_selection_that_is_not_whole_is_never_sent_back(rig: GitHubRig, body: dict[str, Any]) -> None:
    number = rig.standin.add_repository("acme", "web")
    for name in (ID, SECRET):
        rig.standin.set_secret(ORG, name, "old", visibility="selected", selected=(number,))
    rig.standin.faults.add(
        Fault(operation="GET secrets", kind=FaultKind.BODY, status=200, body=json.dumps(body), skip=1, times=-1)
    )
    with pytest.raises(ProviderUnavailable):
        rig.target({"organization": "acme"}).write(a_pair())
    assert rig.standin.get_visibility(ORG, SECRET) == ("selected", (number,))
    assert _writes(rig) == []


def test_half_a_pair_of_an_organization_is_seen_before_any_write(rig: GitHubRig) -> None:
    """The secret is there, the ID is not, and nobody says who may see it."""
    rig.standin.set_secret(ORG, SECRET, "old", visibility="all")
    with pytest.raises(ProviderRefused, match="who may see it"):
        rig.target({"organization": "acme"}).write(a_pair())
    assert _writes(rig) == []


def test_a_new_secret_of_an_organization_needs_a_visibility(rig: GitHubRig) -> None:
    target = rig.target({"organization": "acme"})
    answer = target.preflight()
    assert not answer.is_ready
    assert "visibility" in answer.remedy
    with pytest.raises(ProviderRefused, match="who may see it"):
        target.write(a_pair())
    assert _writes(rig) == []


def test_a_new_secret_may_be_for_selected_repositories(rig: GitHubRig) -> None:
    number = rig.standin.add_repository("acme", "web")
    rig.target({"organization": "acme", "visibility": "selected", "repositories": ["web"]}).write(a_pair())
    assert rig.standin.get_visibility(ORG, ID) == ("selected", (number,))


def test_an_organizations_marker_is_seen_by_whom_the_secret_is_and_stays_so(rig: GitHubRig) -> None:
    """Made like the secret; an update sends the value alone, and people's own choice stays."""
    web = rig.standin.add_repository("acme", "web")
    target = rig.target({"organization": "acme", "marker": True, "visibility": "selected", "repositories": ["web"]})
    target.write(a_pair("OLD"))
    assert rig.standin.marker_seen_by(ORG, MARKER) == ("selected", (web,))
    target.write(a_pair())
    assert rig.standin.variables(ORG) == {MARKER: a_pair().id}
    assert rig.standin.marker_seen_by(ORG, MARKER) == ("selected", (web,))


def test_a_missing_environment_lists_what_there_is_and_is_never_made(rig: GitHubRig) -> None:
    target = rig.target({"repository": "acme/shop", "environment": "prod"})
    for state in (target.read().remedy, target.preflight().remedy):
        assert "Production, Staging, Test" in state
    with pytest.raises(NotThere, match="'prod'"):
        target.write(a_pair())
    assert _writes(rig) == []


def test_an_archived_repository_is_seen_before_the_write(rig: GitHubRig) -> None:
    rig.standin.archive("acme", "shop")
    assert "archived" in rig.target().preflight().detail
    with pytest.raises(ProviderRefused, match="archived"):
        rig.target().write(a_pair())


def test_a_renamed_repository_is_followed_on_its_host_and_reported(rig: GitHubRig) -> None:
    """Reads and writes keep their method; the configuration is to be corrected."""
    rig.target().write(a_pair("OLD"))
    rig.standin.rename("acme", "shop", "store")
    target = rig.target()
    target.write(a_pair())
    state = target.read()
    assert state.key == a_pair().id
    assert "renamed or moved" in state.notice
    assert rig.standin.values("acme", "store", ENVIRONMENT)[SECRET] == a_pair().secret.reveal()


@pytest.mark.parametrize(
    ("scopes", "is_ready"), [("repo, gist", True), ("gist", False), ("", True), (None, True)], ids=str
)
def test_a_classic_token_tells_its_scopes(rig: GitHubRig, scopes: str | None, *, is_ready: bool) -> None:
    rig.standin.scopes = scopes
    answer = rig.target().preflight()
    assert answer.is_ready is is_ready
    assert is_ready or "scope repo" in answer.detail


def test_a_token_that_only_sees_the_repository_is_told_before_a_key_is_made(rig: GitHubRig) -> None:
    rig.standin.may_push = False
    answer = rig.target().preflight()
    assert "may not write" in answer.detail
    assert "Environments: read and write" in answer.remedy


def test_the_tokens_end_is_read_from_any_answer(rig: GitHubRig) -> None:
    rig.standin.token_expires = datetime(2026, 1, 9, 10, tzinfo=UTC)
    assert rig.target().read().token_expires == rig.standin.token_expires
    assert rig.target().preflight().token_expires == rig.standin.token_expires


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2026-12-01 10:00:00 UTC", 10), ("2026-12-01 10:00:00 +0200", 8), ("soon", None), ("", None)],
)
def test_the_end_of_a_token_is_read_in_both_forms(text: str, hour: int | None) -> None:
    found = expiry(text)
    assert (found.hour if found else None) == hour


def test_a_token_that_has_ended_and_one_that_may_not_write_are_told_apart(rig: GitHubRig) -> None:
    """The first opens nothing any more; the second reads all, and is refused at the write."""
    rig.standin.may_push = False
    with pytest.raises(ProviderRefused, match="not allowed") as caught:
        rig.target().write(a_pair())
    assert "Environments: read and write" in caught.value.remedy
    rig.standin.token_expires = rig.clock.now()
    state = rig.target().read()
    assert (state.evidence, "401" in state.detail) == (TargetEvidence.FAILED, True)
    assert "make a new token" in state.remedy


# --- limits -----------------------------------------------------------------------------------------------------------


def test_400_repositories_are_spread_over_time_and_nothing_is_refused(rig: GitHubRig) -> None:
    """800 writes, 80 a minute and 500 an hour at most: GitHub never has to refuse one."""
    rig.standin.limits_on = True
    connection = rig.connect({"token": CANARY_TOKEN}, max_wait="3h")
    began = rig.clock.now()
    for number in range(400):
        rig.standin.add_repository("acme", f"r{number}")
        connection.target({"repository": f"acme/r{number}"}).write(a_pair())
    assert rig.standin.refused_for_limit == 0
    assert timedelta(hours=1) < rig.clock.now() - began < timedelta(hours=2)


def test_a_run_that_cannot_finish_stops_cleanly_and_says_when_it_goes_on(rig: GitHubRig) -> None:
    """The bound is half an hour: 500 writes, then every other target says the same, without a call."""
    stopped: list[ProviderUnavailable] = []
    for number in range(300):
        rig.standin.add_repository("acme", f"r{number}")
        try:
            rig.target({"repository": f"acme/r{number}"}).write(a_pair())
        except ProviderUnavailable as error:
            stopped.append(error)
    assert len(_writes(rig)) == 500
    assert len(stopped) == 50
    assert all("until 2026-01-01 01:0" in error.what for error in stopped)
    assert all(error.retry_after_s for error in stopped)


@pytest.mark.parametrize(
    ("message", "headers", "waited"),
    [
        ("You have exceeded a secondary rate limit", (), 60.0),
        ("You have exceeded a secondary rate limit", (("retry-after", "7"),), 7.0),
        ("API rate limit exceeded", (("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225700")), 60.0),
    ],
)
def test_a_403_that_is_a_limit_is_waited_out(
    rig: GitHubRig, message: str, headers: tuple[tuple[str, str], ...], waited: float
) -> None:
    """Without a time in the answer it is a minute, give or take; the remaining count may say thousands."""
    rig.standin.faults.add(Fault(operation="PUT secrets", status=403, message=message, headers=headers))
    began = rig.clock.now()
    rig.target({"repository": "acme/shop"}).write(a_pair())
    assert rig.clock.now() - began >= timedelta(seconds=waited)


def test_a_403_that_is_no_limit_is_told_at_once(rig: GitHubRig) -> None:
    rig.standin.faults.add(
        Fault(operation="PUT secrets", status=403, message="Resource not accessible by personal access token", times=-1)
    )
    began = rig.clock.now()
    with pytest.raises(ProviderRefused, match="not allowed"):
        rig.target({"repository": "acme/shop"}).write(a_pair())
    assert rig.clock.now() - began < timedelta(seconds=2)


def test_the_budget_never_tears_a_pair_apart(rig: GitHubRig) -> None:
    """An odd number of writes before: the last pair goes whole, or not at all."""
    rig.standin.limits_on = True
    connection = rig.connect({"token": CANARY_TOKEN})
    connection.target({"repository": "acme/shop", "bundle": "B"}).write(a_pair())
    for number in range(260):
        rig.standin.add_repository("acme", f"r{number}")
        with contextlib.suppress(ProviderUnavailable):
            connection.target({"repository": f"acme/r{number}"}).write(a_pair())
    sizes = {len(rig.standin.secrets(("repo", "acme", f"r{number}"))) for number in range(260)}
    assert sizes == {0, 2}
    assert rig.standin.refused_for_limit == 0


def test_a_limit_that_lasts_is_met_once_and_not_by_each_target(rig: GitHubRig) -> None:
    """All targets together wait no longer than one may, and send next to nothing meanwhile."""
    rig.standin.faults.add(Fault(operation="PUT secrets", status=403, message="secondary rate limit", times=-1))
    began = rig.clock.now()
    for number in range(40):
        rig.standin.add_repository("acme", f"r{number}")
        with pytest.raises(ProviderUnavailable):
            rig.target({"repository": f"acme/r{number}"}).write(a_pair())
    assert len(_writes(rig)) <= 14
    assert rig.clock.now() - began < timedelta(minutes=90)


def test_reads_have_a_budget_too(rig: GitHubRig) -> None:
    """900 points a minute: 450 reads leave room for 80 writes at 5 points each."""
    began = rig.clock.now()
    target = rig.target({"repository": "acme/shop"})
    for _ in range(1000):
        target.read()
    assert rig.clock.now() - began >= timedelta(minutes=2)


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["waiting", "queued", "pending", "requested", "in_progress"])
def test_a_run_that_was_queued_before_the_sync_is_seen(rig: GitHubRig, status: str) -> None:
    before = rig.clock.now()
    number = rig.standin.add_run("acme", "shop", status=status)
    rig.clock.sleep(3600)
    rig.standin.add_run("acme", "shop", status=status)
    target = rig.target({"repository": "acme/shop"})
    answer = target.runs_with_old_key(before)
    assert answer.evidence is RunsEvidence.SOME
    assert "1 in acme/shop" in answer.detail
    rig.standin.end_run(number)
    assert target.runs_with_old_key(before).evidence is RunsEvidence.NONE


def test_runs_that_cannot_be_read_are_unknown_and_never_none(rig: GitHubRig) -> None:
    rig.standin.faults.add(Fault(operation="GET runs", status=403, message="no", times=-1))
    answer = rig.target({"repository": "acme/shop"}).runs_with_old_key(rig.clock.now())
    assert answer.evidence is RunsEvidence.UNKNOWN
    assert answer.remedy


@pytest.mark.parametrize("operation", ["GET repositories", "GET secrets", "GET runs"])
def test_what_an_organization_does_not_show_is_unknown_and_never_none(rig: GitHubRig, operation: str) -> None:
    """404 is what GitHub says where a permission is missing."""
    target = rig.target({"organization": "acme", "visibility": "all"})
    target.write(a_pair())
    rig.standin.add_run("acme", "shop")
    rig.standin.faults.add(Fault(operation=operation, status=404, times=-1))
    answer = target.runs_with_old_key(rig.clock.now())
    assert answer.evidence is RunsEvidence.UNKNOWN
    assert "Actions: read" in answer.remedy


def test_a_run_that_stops_for_an_approval_while_we_look_is_seen(rig: GitHubRig) -> None:
    number = rig.standin.add_run("acme", "shop", status="in_progress")
    real = rig.standin.faults.take
    asked = []

    def stop(operation: str) -> Fault | None:
        asked.append(operation)
        if len(asked) == 2:
            rig.standin._runs[number].status = "waiting"
        return real(operation)

    rig.standin.faults.take = stop  # type: ignore[method-assign]  # it reaches its gate at this very moment
    answer = rig.target({"repository": "acme/shop"}).runs_with_old_key(rig.clock.now())
    assert answer.evidence is RunsEvidence.SOME


def test_an_environments_secrets_are_carried_by_no_queued_run(rig: GitHubRig) -> None:
    rig.standin.add_run("acme", "shop")
    assert rig.target().runs_with_old_key(rig.clock.now()).evidence is RunsEvidence.NONE
    assert rig.target().read().carried_for == timedelta()
    assert rig.target({"repository": "acme/shop"}).read().carried_for == timedelta(days=35)


def test_an_organization_asks_the_repositories_that_see_its_secret(rig: GitHubRig) -> None:
    rig.standin.add_repository("acme", "web")
    rig.standin.add_run("acme", "web")
    target = rig.target({"organization": "acme", "visibility": "all"})
    target.write(a_pair())
    assert "acme/web" in target.runs_with_old_key(rig.clock.now()).detail


def test_quiet_looks_for_runs_in_progress(rig: GitHubRig) -> None:
    target = rig.target({"repository": "acme/shop", "wait_for_idle": "10m"})
    assert target.wait_for_idle == timedelta(minutes=10)
    assert target.is_busy() is False
    rig.standin.add_run("acme", "shop", status="in_progress")
    assert target.is_busy() is True
    rig.standin.faults.add(Fault(operation="GET runs", status=500, times=-1))
    assert target.is_busy() is None


# --- removing ---------------------------------------------------------------------------------------------------------


def test_what_is_ours_is_deleted_and_what_is_not_stays(rig: GitHubRig) -> None:
    target = rig.target()
    target.write(a_pair())
    with pytest.raises(ProviderRefused, match="does not name a key"):
        target.clear(frozenset({a_pair("OTHER").id}))
    assert target.clear(frozenset({a_pair().id})) == (ID, SECRET, MARKER)
    assert target.clear(frozenset()) == ()
    assert rig.values() == {}


def test_what_may_not_be_seen_any_more_does_not_count_as_deleted(rig: GitHubRig) -> None:
    """404 for everything, or a login page: the target stays remembered."""
    target = rig.target({"repository": "acme/shop"})
    target.write(a_pair())
    rig.standin.faults.add(Fault(operation="DELETE secrets", kind=FaultKind.BODY, status=200, body="<html>"))
    with pytest.raises(ProviderUnavailable, match="not known"):
        target.clear(frozenset())
    rig.standin.faults.add(Fault(operation="*", status=404, times=-1))
    with pytest.raises(NotThere):
        target.clear(frozenset())


# --- apps -------------------------------------------------------------------------------------------------------------


def make_app_keys() -> tuple[bytes, bytes]:
    """Make a private and a public key, PEM."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # slow, and only here
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


@pytest.fixture(scope="module")
def app_keys() -> tuple[bytes, bytes]:
    """A private and a public key, PEM."""
    return make_app_keys()


@pytest.fixture
def app(app_keys: tuple[bytes, bytes]) -> Iterator[tuple[GitHubRig, Connection]]:
    """GitHub with an app."""
    private, public = app_keys
    with a_github_rig(app_key=public) as rig:
        yield rig, rig.connect({"app_id": int(APP_ID), "private_key": private.decode()})


def test_an_app_gets_one_token_an_hour_for_all_its_targets(app: tuple[GitHubRig, Connection]) -> None:
    rig, connection = app
    for settings in ({"repository": "acme/shop"}, {"organization": "acme", "visibility": "all"}):
        connection.target(settings).write(a_pair())
    assert [_count(rig, operation) for operation in ("GET installation", "POST token")] == [1, 1]
    rig.clock.sleep(3600)
    connection.target({"repository": "acme/shop"}).write(a_pair("OLD"))
    assert _count(rig, "POST token") == 2


def _count(rig: GitHubRig, operation: str) -> int:
    return sum(1 for known, _ in rig.standin.journal if known == operation)


def test_a_token_that_ends_early_is_renewed_once(app: tuple[GitHubRig, Connection]) -> None:
    """401 in the middle: another token, the same call."""
    rig, connection = app
    target = connection.target({"repository": "acme/shop"})
    target.write(a_pair("OLD"))
    rig.standin._given.clear()  # GitHub revoked it
    target.write(a_pair())
    assert rig.standin.secrets(REPO)[ID] == a_pair().id


def test_an_installation_without_the_permission_is_told_before_a_key_is_made(
    app: tuple[GitHubRig, Connection],
) -> None:
    rig, connection = app
    rig.standin.permissions["secrets"] = "read"
    answer = connection.target({"repository": "acme/shop"}).preflight()
    assert "Secrets: read and write" in answer.detail


def test_an_owner_for_which_github_does_not_answer_is_not_asked_by_each_target(
    app: tuple[GitHubRig, Connection],
) -> None:
    rig, connection = app
    rig.standin.faults.add(Fault(operation="GET installation", status=503, times=-1))
    for _ in range(20):
        assert connection.target({"repository": "acme/shop"}).read().evidence is TargetEvidence.FAILED
    assert _count(rig, "GET installation") <= 6


def test_a_suspended_installation_is_told(app: tuple[GitHubRig, Connection]) -> None:
    rig, connection = app
    rig.standin.is_suspended = True
    assert "suspended" in connection.target({"repository": "acme/shop"}).preflight().detail


@pytest.mark.parametrize("key", ["no pem", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"])
def test_a_key_that_is_none_is_told_and_not_repeated(rig: GitHubRig, key: str) -> None:
    connection = rig.connect({"app_id": APP_ID, "private_key": key})
    state = connection.target({"repository": "acme/shop"}).read()
    assert "private key" in state.detail
    assert "AAAA" not in state.detail + state.remedy


def test_an_app_that_is_not_known_is_told(rig: GitHubRig, app_keys: tuple[bytes, bytes]) -> None:
    connection = rig.connect({"app_id": "1", "private_key": app_keys[0].decode()})
    state = connection.target({"repository": "acme/shop"}).read()
    assert "does not accept the app" in state.detail


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either"),
        ({"repository": "a/b", "organization": "a"}, "either"),
        ({"repository": "a/b", "dependabot": True, "marker": True}, "Dependabot"),
        ({"repository": "a/b", "visibility": "all"}, "organization's"),
        ({"organization": "a", "visibility": "selected"}, "repositories"),
        ({"repository": "a/b", "names": {"id": "GITHUB_ID"}}, "GITHUB_"),
        ({"repository": "a/b", "names": {"id": "X", "secret": "x"}}, None),
        ({"repository": "a/b", "names": {"id": "X", "secret": "X"}}, "two names"),
    ],
)
def test_what_does_not_fit_together_is_told(settings: dict[str, Any], words: str | None) -> None:
    """Names are upper-case at GitHub, so that `x` and `X` are one."""
    told = " ".join(KIND.faults(settings))
    assert (words or "two names") in told


# --- GitHub's own description -----------------------------------------------------------------------------------------

NOT_IN_THE_CUT = ("/orgs/acme", "/user/repos", "/repositories/")


def exchanges() -> tuple[list[description.Exchange], str]:
    """Use every operation, over all scopes, with a token and as an app; what was sent and answered, the base URL."""
    private, public = make_app_keys()
    with a_github_rig(app_key=public) as made, description.recording("/github", made.standin) as (url, found):
        for auth in ({"token": CANARY_TOKEN}, {"app_id": APP_ID, "private_key": private.decode()}):
            settings = {"base_url": f"{url}/github", "auth": auth}
            _use_everything(KIND.connect(settings, secrets=Secret, clock=made.clock), made.standin)
    return found, f"{url}/github"


@pytest.mark.filterwarnings("ignore:Unsupported scheme type:UserWarning:openapi_core")
def test_requests_and_answers_are_as_the_description_says() -> None:
    """Everything that the client sends and the emulator answers; the operations are listed."""
    document = description.load("github")
    found, base = exchanges()
    api = description.Description(
        document, base, undescribed={401, 403, 404, 409, 422, 429}, beyond=NOT_IN_THE_CUT, loose={"created"}
    )
    assert {api.hold(request, response) for request, response in found} - {""} == description.operations("github")


def _use_everything(connection: Connection, standin: GitHubEmulator) -> None:
    for settings, _ in SCOPES.values():
        marked = settings if settings.get("dependabot") else settings | {"marker": True}
        target = connection.target(marked | {"wait_for_idle": "1m"})
        target.preflight()
        target.read()
        target.write(a_pair("OLD"))
        target.write(a_pair("NEW"))
        target.read()
        target.surroundings()
        target.runs_with_old_key(datetime(2026, 1, 2, tzinfo=UTC))
        standin.set_secret(ORG, SECRET, "x", visibility="selected", selected=(1000,))
        if "organization" in settings:
            target.write(a_pair("OLD"))
        for scope in connection.scopes("acme"):
            tuple(connection.scan(scope))
        target.clear(frozenset({a_pair("OLD").id, a_pair("NEW").id}))
    with pytest.raises(KeyrotaError):
        connection.target({"repository": "acme/shop", "environment": "no such"}).write(a_pair())


def test_a_body_holds_what_it_must_and_nothing_in_clear(rig: GitHubRig) -> None:
    rig.target({"repository": "acme/shop"}).write(a_pair())
    bodies = [json.loads(request.body) for request in rig.seen if request.method == "PUT"]
    assert all(set(body) == {"encrypted_value", "key_id"} for body in bodies)
    assert not any(a_pair().secret.reveal() in request.body.decode() for request in rig.seen)


def test_an_answer_that_is_not_githubs_is_no_proof_of_a_write(rig: GitHubRig) -> None:
    """A login page with 200."""
    rig.standin.faults.add(Fault(operation="PUT secrets", kind=FaultKind.BODY, status=200, body="<html>", times=-1))
    with pytest.raises(ProviderUnavailable, match="not known"):
        rig.target({"repository": "acme/shop"}).write(a_pair())
