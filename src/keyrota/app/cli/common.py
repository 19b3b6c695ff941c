"""What all commands share: global options, output, logging, and how errors are told."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click
from click.core import ParameterSource

from keyrota.app import words
from keyrota.errors import KeyrotaError, redact, without_own_secrets
from keyrota.report.paint import Paint, plain

if TYPE_CHECKING:
    from keyrota.app.config import Configuration
    from keyrota.app.session import Session

F = TypeVar("F", bound=Callable[..., Any])

_COLOURS: dict[str, dict[str, Any]] = {
    "title": {"bold": True},
    "good": {"fg": "green"},
    "due": {"fg": "cyan"},
    "held": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "quiet": {"dim": True},
}


@dataclass(slots=True)
class Options:
    """The global options, wherever on the line they stood."""

    config: str = "keyrota.yaml"
    is_json: bool = False
    is_quiet: bool = False
    is_debug: bool = False


def global_options(command: F) -> F:
    """Add the global options to a command; given before or after its name, they mean the same."""
    for option in reversed(_GLOBALS):
        command = option(command)
    return command


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        options = context.ensure_object(Options)
        is_from_environment = context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT
        if is_from_environment and context.parent is not None:
            return value  # the group has read the environment already; an option on the line counts more
        if value not in (None, False):
            setattr(options, name, value)
        if name == "is_debug" and value:
            log_to_stderr(logging.DEBUG)
        return value

    return keep


def _allow(context: click.Context, _parameter: click.Parameter, hosts: tuple[str, ...]) -> tuple[str, ...]:
    if hosts and not context.resilient_parsing:
        from keyrota.http.hosts import allow, forget  # noqa: PLC0415  # only where it is given

        context.find_root().call_on_close(forget)
        allow(hosts)
    return hosts


_GLOBALS = (
    click.option(
        "--config",
        envvar="KEYROTA_CONFIG",
        expose_value=False,
        callback=_keep("config"),
        help="The configuration: a file, ssm:NAME or s3://BUCKET/KEY (default keyrota.yaml; also KEYROTA_CONFIG).",
    ),
    click.option(
        "--allow-host",
        multiple=True,
        expose_value=False,
        callback=_allow,
        metavar="HOST[:PORT]",
        help="Let a provider's token go to this host, which is not the provider's own (also KEYROTA_ALLOWED_HOSTS).",
    ),
    click.option(
        "--json",
        "json_",
        is_flag=True,
        expose_value=False,
        callback=_keep("is_json"),
        help="Print one JSON document on stdout.",
    ),
    click.option(
        "--quiet",
        "-q",
        is_flag=True,
        expose_value=False,
        callback=_keep("is_quiet"),
        help="Print only what needs attention: errors, and what is broken, held or deferred.",
    ),
    click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_keep("is_debug"),
        help="Debug log on stderr, secrets redacted.",
    ),
)


def log_to_stderr(level: int) -> None:
    """Configure our own logger only: those of botocore and urllib3 print signed headers and bodies."""
    logger = logging.getLogger("keyrota")
    logger.setLevel(level)
    logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting("%(levelname).1s %(name)s: %(message)s"))
    logger.handlers = [handler]


class _Redacting(logging.Formatter):
    """Removes secrets from every line, whatever was logged."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a line."""
        return redact(super().format(record))


def style() -> Paint:
    """Choose colours: only for a terminal, and not where NO_COLOR is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return plain
    return lambda role, text: click.style(text, **_COLOURS[role])


def echo(lines: Iterable[str]) -> None:
    """Print for people; a reader who has seen enough, like `head`, changes neither the work nor its exit code."""
    try:
        for line in lines:
            click.echo(without_own_secrets(line))
    except BrokenPipeError:
        silence(sys.stdout)


def eprint(line: str, *, nl: bool = True) -> None:
    """Report on stderr what happens meanwhile; where it cannot be written, the work continues all the same."""
    try:
        click.echo(without_own_secrets(line), err=True, nl=nl)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Lead a stream that takes nothing more into the void: what it still holds would fail once more at the end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def report_hosts(configuration: Configuration, options: Options) -> None:
    """Say on stderr, once each, which hosts and accounts receive secrets that are not the usual ones."""
    if options.is_quiet:
        return
    from keyrota.app.hosts import account_lines, host_lines  # noqa: PLC0415  # heavy, and not needed for --help

    for line in host_lines(configuration):
        eprint(f"host {line}")
    for line in account_lines(configuration):
        eprint(f"account {line}")


def say_json(document: Any) -> None:
    """
    Print for machines, on what may be a terminal all the same.

    JSON lets C1 controls, bidirectional marks and half surrogate pairs stand as they are: the first two steer a
    terminal, and the last cannot be printed at all.
    """
    echo(["".join(map(_escape, json.dumps(document, indent=2, ensure_ascii=False)))])


def _escape(char: str) -> str:
    return char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]


def report_error(error: KeyrotaError, options: Options) -> None:
    """Report an error: lines on stderr, and with --json a document on stdout as well."""
    for line in words.format_error(error):
        eprint(line)
    _report_json(error, options)
    if options.is_debug:
        _trace(error)


def _report_json(error: KeyrotaError, options: Options) -> None:
    if options.is_json:
        from keyrota.report.data import VERSION, error_fields, flatten  # noqa: PLC0415  # only for --json

        errors = [{"user": None, "account": None} | error_fields(single) for single in flatten(error)]
        say_json({"version": VERSION, "credentials": [], "errors": errors})


def report_unexpected(error: Exception, options: Options) -> None:
    """Report a bug; its message is left out, because it may hold anything."""
    for line in words.UNEXPECTED:
        eprint(line.format(name=type(error).__name__))
    _report_json(KeyrotaError(f"a bug in keyrota: {type(error).__name__}"), options)
    if options.is_debug:
        _trace(error)


def _trace(error: BaseException) -> None:
    """Return where it happened: files and lines, no values."""
    for frame in traceback.extract_tb(error.__traceback__):
        eprint(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    eprint(f"  {type(error).__name__}")


class Declined(click.Abort):
    """A question was not answered with yes."""


def ask(question: str, *, is_yes: bool) -> None:
    """
    Ask before something that cannot be taken back; on no terminal nothing is asked, and `--yes` is needed.

    Raises:
        UsageError: There is no terminal and no --yes.
        Declined: The answer is no.
    """
    if is_yes:
        return
    if not sys.stdin.isatty():
        from keyrota.errors import UsageError  # noqa: PLC0415  # beside its only use

        raise UsageError("this needs a yes, and there is no terminal to ask on", remedy="add --yes")
    if not click.confirm(question, err=True):
        raise Declined


def echo_notes(notes: Iterable[str]) -> None:
    """Report, aside, what a person should know of a run as a whole."""
    for note in notes:
        eprint(f"note: {note}")


pass_options = click.make_pass_decorator(Options)


def warn_of_departed(session: Session) -> None:
    """Report, aside, the credentials that left the configuration and are not released."""
    from keyrota.app.departed import lines  # noqa: PLC0415  # heavy, and not needed for --help

    for line in lines(session):
        eprint(line)
