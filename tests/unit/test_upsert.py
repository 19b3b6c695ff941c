"""The routine by which every target writes a variable: update, create, settle a race or a lost answer, confirm."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.http import Response
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.upsert import put_or_create, upsert

LOST, UNDONE = ProviderUnavailable("no answer"), ProviderUnavailable("no connection", is_undone=True)


def response(status: int) -> Response:
    return Response(status=status, content={}, is_json=True, headers={})


class Service:
    """Answers with what it is given, in turn, and notes what it was asked."""

    def __init__(self, *answers: int | ProviderUnavailable | str | None) -> None:
        self._answers: Iterator[int | ProviderUnavailable | str | None] = iter(answers)
        self.asked: list[str] = []

    def _next(self, name: str) -> int | str | None:
        self.asked.append(name)
        answer = next(self._answers)
        if isinstance(answer, ProviderUnavailable):
            raise answer
        return answer

    def call(self, name: str) -> Callable[[], Response]:
        return lambda: self._respond(name)

    def update(self, found: str) -> Response:
        return self._respond(f"update {found}")

    def _respond(self, name: str) -> Response:
        status = self._next(name)
        assert isinstance(status, int)
        return response(status)

    def look(self) -> str | None:
        found = self._next("look")
        assert not isinstance(found, int)
        return found


def confirm(answer: Response) -> None:
    if not answer.is_success:
        raise ProviderRefused(f"refused {answer.status}", where="here", remedy="none")


def lost() -> Exception:
    return ProviderUnavailable("it is not there")


@pytest.mark.parametrize(
    ("found", "answers", "asked", "error"),
    [
        pytest.param("7", [200], ["update 7"], "", id="what is there is updated"),
        pytest.param("7", [403], ["update 7"], "refused 403", id="a refused update is a refusal"),
        pytest.param(None, [201], ["create"], "", id="what is not there is created"),
        pytest.param(None, [403], ["create"], "refused 403", id="a refusal that is no race is not looked into"),
        pytest.param(None, [409, "8", 200], ["create", "look", "update 8"], "", id="who comes second updates"),
        pytest.param(None, [409, None], ["create", "look"], "refused 409", id="a race that left nothing is a refusal"),
        pytest.param(None, [LOST, "8", 200], ["create", "look", "update 8"], "", id="a lost answer is looked into"),
        pytest.param(None, [LOST, None], ["create", "look"], "it is not there", id="a lost creation is not repeated"),
        pytest.param(None, [UNDONE], ["create"], "no connection", id="what was not sent is not looked into"),
    ],
)
def test_a_listed_variable_is_written_once(
    found: str | None, answers: list[int | ProviderUnavailable | str | None], asked: list[str], error: str
) -> None:
    service = Service(*answers)

    def write() -> None:
        upsert(
            found,
            create=service.call("create"),
            look=service.look,
            update=service.update,
            confirm=confirm,
            lost=lost,
            is_taken=lambda answer: answer.status == 409,
        )

    check(write, error)
    assert service.asked == asked


def test_any_refusal_of_a_creation_may_be_a_race_unless_the_provider_says_which() -> None:
    service = Service(422, "8", 200)
    upsert(
        None,
        create=service.call("create"),
        look=service.look,
        update=service.update,
        confirm=confirm,
        lost=lost,
    )
    assert service.asked == ["create", "look", "update 8"]


@pytest.mark.parametrize(
    ("is_there", "answers", "asked", "error"),
    [
        pytest.param(True, [204], ["put"], "", id="what is there is updated"),
        pytest.param(True, [403], ["put"], "refused 403", id="a refused update is a refusal"),
        pytest.param(True, [404, 201], ["put", "create"], "", id="what was deleted is created"),
        pytest.param(True, [404, 403], ["put", "create"], "refused 403", id="a refused creation is a refusal"),
        pytest.param(False, [201], ["create"], "", id="what is not there is created at once"),
        pytest.param(False, [409, 204], ["create", "put"], "", id="who comes second updates"),
        pytest.param(False, [LOST, 204], ["create", "put"], "", id="a lost answer is settled by an update"),
        pytest.param(False, [LOST, 404], ["create", "put"], "it is not there", id="a lost creation is not repeated"),
        pytest.param(False, [409, 404], ["create", "put"], "refused 404", id="deleted in between"),
        pytest.param(False, [UNDONE], ["create"], "no connection", id="what was not sent is not settled"),
    ],
)
def test_a_named_variable_is_written_once(
    *, is_there: bool, answers: list[int | ProviderUnavailable | str | None], asked: list[str], error: str
) -> None:
    service = Service(*answers)

    def write() -> None:
        put_or_create(
            put=service.call("put"),
            create=service.call("create"),
            confirm=confirm,
            is_missing=lambda answer: answer.status == 404,
            lost=lost,
            is_there=is_there,
        )

    check(write, error)
    assert service.asked == asked


def check(write: Callable[[], None], error: str) -> None:
    if not error:
        write()
        return
    with pytest.raises((ProviderRefused, ProviderUnavailable), match=error):
        write()


def test_a_provider_without_a_survey_is_not_searched() -> None:
    connection = Connection(target=lambda _: pytest.fail("no target is asked for"))
    assert not [*connection.scopes(None), *connection.scan("acme")]


def refuse(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:  # noqa: ARG001  # of Connect
    raise AssertionError("nothing is connected")


def test_a_pair_needs_two_names_unless_a_provider_says_otherwise() -> None:
    provider = Provider(
        provider_schema={},
        target_schema={},
        address=str,
        is_within=lambda _, __: False,
        variables=lambda _: frozenset(),
        connect=refuse,
    )
    assert provider.faults({"names": {"id": "A", "secret": "A"}})
    assert not provider.faults({})
