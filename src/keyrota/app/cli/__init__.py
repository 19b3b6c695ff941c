"""The command line: a file a command, imported when it is called, so that `keyrota --help` is quick."""

from __future__ import annotations

import difflib
import errno
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from keyrota import __version__
from keyrota.app import words
from keyrota.app.cli import signals
from keyrota.app.cli.common import (
    Declined,
    Options,
    eprint,
    global_options,
    log_to_stderr,
    report_error,
    report_unexpected,
    silence,
)
from keyrota.errors import KeyrotaError, UsageError

_COMMANDS = {
    "plan": "show what would be done, why, and what comes next; writes nothing",
    "apply": "do it",
    "status": "show each credential: keys, ages, use, where it is served, what comes next",
    "sync": "write AWSCURRENT to targets that differ; creates no new key",
    "check": "check the configuration, the permissions, each target, and print the calendar",
    "init": "write a first keyrota.yaml from a few answers",
    "config": "print what the configuration stands for, and where each value was written",
    "rotate": "replace a key now, with the usual overlap",
    "revoke": "replace a key and deactivate it at once, without overlap",
    "adopt": "decide which key of a user keyrota keeps, and which one may go",
    "rollback": "make the previous key current again, everywhere",
    "confirm": "allow keyrota to overwrite a place that holds something other than this user's key",
    "forget": "stop tracking a target that was removed from the configuration",
    "release": "stop reporting a credential that left the configuration",
    "discover": "find the AWS keys at a provider, and write a keyrota.yaml for them",
    "policy": "print the IAM policy that this configuration needs, as JSON or Terraform",
    "deploy": "deploy keyrota to AWS Lambda: functions, schedules, events and alarms",
    "undeploy": "delete the stack; keys and secrets stay",
    "package": "build the code package of the Lambda functions",
    "sandbox": "start a local sandbox of AWS and the CI providers",
    "simulate": "simulate your own configuration: what happens when, what is held, and why",
    "demo": "simulate 400 days in the local sandbox",
    "schema": "print the JSON Schema of keyrota.yaml",
    "completion": "print the completion script of a shell",
}


_REHEARSAL = frozenset({"sandbox", "simulate", "demo"})
"""Commands that the distribution keyrota-sandbox brings; they are listed without it, and then say how to get them."""


class _Lazy(click.Group):
    """Finds its commands by name in modules of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name in _REHEARSAL:
            from keyrota.app.rehearsal import load  # noqa: PLC0415  # looks through what is installed

            missing = f"`keyrota {cmd_name}` is part of the sandbox, which is not installed"
            rehearsal: click.Command = load("keyrota.commands", cmd_name, missing)
            return rehearsal
        command: click.Command = import_module(f"keyrota.app.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest a command that is written alike: click knows only those that are imported."""
        close = difflib.get_close_matches(args[0], _COMMANDS, n=1, cutoff=0.7)
        if close and args[0] not in _COMMANDS and not ctx.resilient_parsing:
            raise UsageError(f"there is no command {args[0]!r}", remedy=f"did you mean `keyrota {close[0]}`?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


_EXAMPLES = """\b
Examples:
  keyrota demo                     simulate 400 days in the local sandbox
  keyrota check                    is everything in place? what is due when?
  keyrota plan                     what would be done, and why
  keyrota apply                    do it; run it once a day
  keyrota revoke ci-deploy         a key has leaked
"""


@click.group(
    cls=_Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXAMPLES
)
@click.version_option(__version__, prog_name="keyrota")
@global_options
@click.pass_context
def group(context: click.Context, /) -> None:
    """Rotate the AWS access keys of CI/CD pipelines, and never break a pipeline doing it."""
    context.ensure_object(Options)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _help_for(error: click.ClickException, given: Sequence[str]) -> str:
    """Name the help that tells more; click leaves the command out where an option lacks its value."""
    if isinstance(error, click.UsageError) and error.ctx:
        return f"{error.ctx.command_path} --help"
    return " ".join(["keyrota", *[word for word in given if word in _COMMANDS][:1], "--help"])


def _exit_of(error: SystemExit) -> int:
    """Choose the exit code: only where nobody reads on what is printed (click ends so on EPIPE) is that no failure."""
    cause = error.__context__
    if isinstance(cause, OSError) and cause.errno == errno.EPIPE:
        return words.EXIT_DONE
    return error.code if isinstance(error.code, int) and error.code else words.EXIT_FAILED


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # one return for each way to end
    """
    Run the command line.

    Returns:
        The exit code; see `keyrota.app.words`.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = Options(is_json="--json" in given)
    log_to_stderr(logging.WARNING)
    try:
        with signals.defer():
            code = group.main(args=given, prog_name="keyrota", standalone_mode=False, obj=options)
            sys.stdout.flush()
    except KeyrotaError as error:
        report_error(error, options)
        return words.EXIT_FAILED
    except click.ClickException as error:
        report_error(UsageError(error.format_message(), remedy=_help_for(error, given)), options)
        return words.EXIT_FAILED
    except Declined:
        eprint(words.DECLINED)
        return words.EXIT_INTERRUPTED
    except (KeyboardInterrupt, signals.Terminated, click.Abort):
        eprint(words.INTERRUPTED)
        return signals.exit_code() or words.EXIT_INTERRUPTED
    except SystemExit as error:
        return _exit_of(error)
    except BrokenPipeError:
        silence(sys.stdout)
        return words.EXIT_DONE
    except OSError as error:
        eprint(f"error: the output cannot be written: {error.strerror}")
        silence(sys.stdout)
        return words.EXIT_FAILED
    except Exception as error:  # noqa: BLE001  # the last resort: no traceback for people
        report_unexpected(error, options)
        return words.EXIT_FAILED
    return signals.exit_code() or (code if isinstance(code, int) else words.EXIT_DONE)
