"""How a report is narrowed: `--target`, `--provider` and states, with shell completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from keyrota.app.choice import Wanted, provider_completions, target_completions
from keyrota.app.cli.naming import offer

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from keyrota.app.config import Configuration

    _TextType = click.ParamType[str]
    _StatesType = click.ParamType[frozenset[str]]
else:  # not generic before click 8.2, which we do not need otherwise
    _TextType = _StatesType = click.ParamType


class _Configured(_TextType):
    """A text for which a shell offers what is configured."""

    def __init__(self, name: str, of: Callable[[Configuration], Iterable[str]]) -> None:
        self.name = name
        self._of = of

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Offer what the local configuration has."""
        return [CompletionItem(text) for text in offer(ctx, self._of) if text.startswith(incomplete)]


class StateNames(_StatesType):
    """States of a credential, separated by commas."""

    name = "state"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """Name it in the help (click before 8.2 gives no context)."""
        return "STATE,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        """Read them."""
        if isinstance(value, frozenset):
            return value
        names = frozenset(part.strip() for part in str(value).split(","))
        odd = sorted(names - set(_states()))
        if odd:
            self.fail(f"{odd[0]!r} is not a state; there are {', '.join(_states())}", param, ctx)
        return names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Offer the states behind what is written already."""
        before, comma, last = incomplete.rpartition(",")
        given = before.split(",")
        left = (state for state in _states() if state not in given and state.startswith(last))
        return [CompletionItem(f"{before}{comma}{state}") for state in left]


def _states() -> tuple[str, ...]:
    from keyrota.report.fleet import State  # noqa: PLC0415  # heavy, and not needed for --help

    return tuple(State)


def some_places(command: F) -> F:
    """Let a command take only credentials with certain places; it is given `wanted` with them."""

    @wraps(command)
    def run(*given: Any, wanted: Wanted, providers: tuple[str, ...], targets: tuple[str, ...], **other: Any) -> Any:
        return command(*given, wanted=replace(wanted, providers=providers, targets=targets), **other)

    provider = click.option(
        "--provider",
        "providers",
        multiple=True,
        type=_Configured("provider", provider_completions),
        help="Only credentials with a target at this provider.",
    )
    target = click.option(
        "--target",
        "targets",
        multiple=True,
        type=_Configured("address", target_completions),
        help="Only credentials with a target whose address contains this; * stands for anything.",
    )
    return target(provider(run))  # type: ignore[return-value]  # click's decorators return what they are given
