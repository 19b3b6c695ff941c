"""How every command names credentials: `USER`, `ACCOUNT:USER` and `--account`, with shell completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from keyrota.app.choice import Name, Wanted, account_id, completions
from keyrota.app.cli.common import Options
from keyrota.errors import KeyrotaError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from keyrota.app.config import Configuration

    _NameType = click.ParamType[Name]
    _TextType = click.ParamType[str]
else:  # not generic before click 8.2, which we do not need otherwise
    _NameType = _TextType = click.ParamType


class CredentialName(_NameType):
    """`USER` or `ACCOUNT:USER`."""

    name = "credential"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """Name it in the help (click before 8.2 gives no context)."""
        return "[ACCOUNT:]USER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Name:  # noqa: ARG002
        """Read it."""
        return value if isinstance(value, Name) else Name.read(str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Offer the configured users, and each with its account."""
        return [CompletionItem(text) for text in _offer(ctx) if text.startswith(incomplete)]


class AccountId(_TextType):
    """The ID of an account."""

    name = "account"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """Read it."""
        return account_id(str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Offer the accounts that the configuration names."""
        accounts = dict.fromkeys(text.partition(":")[0] for text in _offer(ctx) if ":" in text)
        return [CompletionItem(text) for text in accounts if text.startswith(incomplete)]


def _offer(ctx: click.Context) -> Iterator[str]:
    return offer(ctx, completions)


def offer(ctx: click.Context, of: Callable[[Configuration], Iterable[str]]) -> Iterator[str]:
    """Read the local configuration; one that is elsewhere is not fetched for a completion, and a broken one is none."""
    from keyrota.app.config import load_from  # noqa: PLC0415  # heavy, and not needed for --help

    config = ctx.ensure_object(Options).config
    if config.startswith(("ssm:", "s3:")):
        return
    try:
        yield from of(load_from(config))
    except KeyrotaError:
        return


def some_credentials(command: F, kind: CredentialName | None = None) -> F:
    """
    Let a command take any number of credentials; it is given `wanted`. Without a name it means all of them.

    Args:
        command: The command.
        kind: Reads the arguments; by default they are names.
    """

    @wraps(command)
    def run(*given: Any, names: tuple[Any, ...], more: tuple[Name, ...], account: str | None, **other: Any) -> Any:
        every = tuple(within(name, account) for name in (*names, *more) if isinstance(name, Name))
        return command(*given, wanted=Wanted(names=every, account=account), **other)

    named = click.argument("names", nargs=-1, type=kind or CredentialName())
    option = click.option(
        "--user",
        "more",
        multiple=True,
        type=CredentialName(),
        help="Only this IAM user; may be given several times, and also without --user.",
    )
    return named(option(_account(run)))  # type: ignore[return-value]  # click's decorators return what they are given


def one_credential(command: F) -> F:
    """Let a command take one credential; it is given `wanted`, which has no name where none was given."""

    @wraps(command)
    def run(*given: Any, name: Name | None, account: str | None, **other: Any) -> Any:
        names = (within(name, account),) if name is not None else ()
        return command(*given, wanted=Wanted(names=names, account=account), **other)

    named = click.argument("name", required=False, type=CredentialName())
    return named(_account(run))  # type: ignore[return-value]  # as above


def _account(command: F) -> F:
    return click.option(
        "--account", metavar="ID", type=AccountId(), help="Only of this account; the same as ACCOUNT:USER."
    )(command)


def within(name: Name, account: str | None) -> Name:
    """
    Refuse two accounts for one name.

    Raises:
        UsageError: `--account` names another account than the name does.
    """
    if account is not None and name.account not in (None, account):
        raise UsageError(f"{name} is not a credential of account {account}", remedy="name the account once")
    return name


def require_name(wanted: Wanted, command: str) -> None:
    """
    Refuse a command that acts on one credential, and was given none.

    Raises:
        UsageError: No credential was named.
    """
    if not wanted.names:
        raise UsageError("name a user", remedy=f"keyrota {command} --help")
