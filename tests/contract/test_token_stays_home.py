"""The token goes to its own service and nowhere else, whatever that service answers; and odd answers are no success."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standin_rig import DEPLOYMENT, Rig, a_pair, a_rig

from keyrota.core.model import TargetEvidence
from keyrota.core.secret import Secret
from keyrota.errors import ConfigError, KeyrotaError, ProviderRefused, ProviderUnavailable
from keyrota.http import Http, bearer
from keyrota.targets.bitbucket import KIND
from keyrota_sandbox.faults import Fault, FaultKind
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.server import Request, Response, Server, json_response


@pytest.fixture
def rig() -> Iterator[Rig]:
    """An emulator."""
    with a_rig() as made:
        yield made


@pytest.fixture
def evil() -> Iterator[tuple[str, list[Request]]]:
    """Another origin that listens and believes everything."""
    heard: list[Request] = []

    def listen(request: Request) -> object:
        heard.append(request)
        return json_response({"values": []})

    server = Server({"/": listen})  # type: ignore[dict-item]  # it answers
    yield server.url.removeprefix("http://"), heard
    server.close()


LINKS = [
    "http://{evil}\\@{home}/bitbucket/2.0/x",
    "http://{evil}/bitbucket/2.0/x",
    "//{evil}/bitbucket/2.0/x",
    "http://{home}@{evil}/bitbucket/2.0/x",
    "http://user:pw@{home}/bitbucket/2.0/x",
    "http://{home}/elsewhere/x",
    "http://{home}/bitbucket/2.0/../../x",
    "http://[x/",
    "http://{home}:99999/",
    "http://127.0.0.1:12x/",
    "\x00",
]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("how", ["next", "Location"])
def test_no_link_leads_the_token_away(rig: Rig, evil: tuple[str, list[Request]], link: str, how: str) -> None:
    """Parsers that disagree, user info, other hosts, odd ports: refused in plain words, and nobody else hears of it."""
    address, heard = evil
    home = rig.url.removeprefix("http://")
    there = link.format(evil=address, home=home)
    if how == "next":
        import json  # noqa: PLC0415  # beside its only use

        fault = Fault(operation="GET variables", kind=FaultKind.BODY, status=200, times=-1)
        fault.body = json.dumps({"values": [], "next": there})
    else:
        if "\x00" in there:
            return
        fault = Fault(
            operation="GET variables", kind=FaultKind.BODY, status=302, headers=(("Location", there),), times=-1
        )
    rig.standin.faults.add(fault)
    with pytest.raises((ProviderRefused, ProviderUnavailable)):
        rig.target().write(a_pair())
    assert rig.target().read().evidence is TargetEvidence.FAILED
    assert not any("authorization" in request.headers for request in heard)


@pytest.mark.parametrize("operation", ["POST variables", "PUT variables"])
@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"type": "error"}', "", "[]", '{"key": "OTHER"}'])
def test_a_write_that_a_proxy_answered_is_not_believed(rig: Rig, operation: str, body: str) -> None:
    """200 alone proves nothing; when the service is back, the write goes through."""
    if operation.startswith("PUT"):
        rig.target().write(a_pair("OLD"))
    rig.standin.faults.add(Fault(operation=operation, kind=FaultKind.BODY, status=200, body=body, times=-1))
    with pytest.raises(ProviderUnavailable, match="not"):
        rig.target().write(a_pair())
    rig.standin.faults.clear()
    rig.target().write(a_pair())
    assert rig.values()["AWS_SECRET_ACCESS_KEY"] == a_pair().secret.reveal()


@pytest.mark.parametrize("value", ["changeme", "", "akia0000000000000new", "AKIA 1"])
def test_a_readable_id_that_is_none_is_drift(rig: Rig, value: str) -> None:
    """Somebody typed something: it shows, and its text is not kept."""
    rig.target().write(a_pair())
    rig.set("AWS_ACCESS_KEY_ID", value)
    state = rig.target().read()
    assert (state.evidence, state.key) == (TargetEvidence.HOLDS, None)


@pytest.mark.parametrize(
    "url", ["https://host:abc/2.0", "https://[x/", "https://h:99999/", "https://", "https:///2.0", "https://h/x?y=1"]
)
def test_a_base_url_that_is_none_is_a_fault_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError):
        KIND.connect({"base_url": url, "auth": {"token": "x"}}, secrets=Secret, clock=WorldClock())


@pytest.mark.parametrize("token", ["canary\n5d1f", "canary\u00e4 5d1f", "canary\udc805d1f"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(rig: Rig, token: str) -> None:
    http = Http(f"{rig.url}/bitbucket/2.0", clock=rig.clock, authorization=bearer(lambda: Secret(token)))
    with pytest.raises(KeyrotaError) as caught:
        http.call("GET", ("x",))
    assert "canary" not in repr(caught.value) + str(caught.value) + str(caught.value.__context__)
    assert rig.seen == []


@pytest.mark.parametrize("text", ["Fri, 31 Dec 9999 23:59:59 -0100", "inf", "nan", "-5", "soon", "1e400"])
def test_an_absurd_retry_after_is_no_bug(rig: Rig, text: str) -> None:
    rig.standin.faults.add(Fault(operation="GET variables", status=429, headers=(("Retry-After", text),)))
    rig.target(DEPLOYMENT).write(a_pair())
    assert rig.values()["AWS_ACCESS_KEY_ID"] == a_pair().id


def test_a_limit_s_reset_counts_only_where_the_limit_was_hit(rig: Rig) -> None:
    """A 503 with such a header is tried again soon."""
    headers = (("X-RateLimit-Reset", str(rig.clock.now().timestamp() + 3000)),)
    rig.standin.faults.add(Fault(operation="GET variables", status=503, headers=headers))
    rig.target().write(a_pair())
    rig.standin.faults.add(Fault(operation="GET variables", status=429, headers=headers))
    with pytest.raises(ProviderUnavailable):
        rig.target().write(a_pair())


@pytest.mark.parametrize("text", ["42", "42.0", "{epoch}"])
@pytest.mark.parametrize("prefix", ["RateLimit", "X-RateLimit"])
def test_a_reset_is_a_moment_or_a_span(rig: Rig, text: str, prefix: str) -> None:
    """Some services count seconds from now (Buildkite, HCP Terraform), others since 1970: both are waited out."""
    epoch = rig.clock.now().timestamp() + 42
    headers = ((f"{prefix}-Remaining", "0"), (f"{prefix}-Reset", text.format(epoch=epoch)))
    rig.standin.faults.add(Fault(operation="GET variables", status=429, headers=headers))
    began = rig.clock.now()
    rig.target().write(a_pair())
    assert 42 <= (rig.clock.now() - began).total_seconds() < 60


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x"])
def test_what_is_compressed_is_not_unpacked(encoding: str) -> None:
    """It was not asked for, and what is compressed has no bound before it is unpacked."""
    asked: list[Request] = []

    def answer(request: Request) -> object:
        asked.append(request)
        return Response(status=200, body=b"\x1f\x8b" + b"0" * 50, headers={"Content-Encoding": encoding})

    server = Server({"/": answer})  # type: ignore[dict-item]  # it answers
    try:
        with pytest.raises(ProviderUnavailable, match="compressed"):
            Http(server.url, clock=WorldClock()).call("GET", ("x",))
    finally:
        server.close()
    assert {request.headers["accept-encoding"] for request in asked} == {"identity"}
