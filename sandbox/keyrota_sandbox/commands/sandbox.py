"""`keyrota sandbox`."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from pathlib import Path

import click

from keyrota.app.cli.common import Options, global_options, pass_options
from keyrota.app.files import Unreadable, read_bounded, replace
from keyrota.errors import UsageError

_EXAMPLES = """\b
Examples:
  keyrota sandbox --write .        start it; keyrota.yaml and sandbox.env are written here
  source sandbox.env               in another terminal: use it with keyrota and every AWS tool
  keyrota sandbox --advance 10d    ten days pass in it
  keyrota sandbox --deploy         its pipeline runs, with what Bitbucket holds
"""


@click.command("sandbox", epilog=_EXAMPLES)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Listen here (default: any free port).")
@click.option(
    "--write", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Write the files."
)
@click.option("--advance", help="Move the clock of the running sandbox forward (10d, 6h).")
@click.option("--deploy", is_flag=True, help="Run the example's pipeline in the running sandbox.")
@global_options
@pass_options
def command(options: Options, *, port: int, folder: Path | None, advance: str | None, deploy: bool) -> int:
    """Start a local sandbox: a strict AWS and emulators of all CI providers on loopback, with an example."""
    if advance or deploy:
        return _command_running(advance, deploy=deploy)
    from keyrota_sandbox.quickstart import configuration, example  # noqa: PLC0415  # heavy, and an extra

    with example(port=port) as cloud:
        environment = cloud.environment()
        text = configuration(cloud)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
        if folder is not None:
            _write(folder / "sandbox.env", exports)
            _write(folder / "keyrota.yaml", text)
        if not options.is_quiet:
            click.echo(f"# keyrota sandbox on {cloud.aws_url}; Ctrl-C ends it and everything in it")
            click.echo(exports)
            click.echo("# keyrota.yaml\n" + text)
        _wait()
    return 0


_SIGN = "# Written by keyrota sandbox; the next one replaces it."
"""The first line of every file that the sandbox writes. Only a file that carries it is replaced."""
_MAX_BYTES = 1024 * 1024


def _write(path: Path, text: str) -> None:
    """
    Write a file of the sandbox's own.

    Raises:
        UsageError: Something else has that name.
    """
    refused = UsageError(f"{path} exists and is not the sandbox's", remedy="choose another folder with --write")
    try:
        known = read_bounded(path, _MAX_BYTES, follows_links=False).splitlines()[:1]
    except FileNotFoundError:
        known = [_SIGN.encode()]
    except Unreadable:
        raise refused from None
    if known != [_SIGN.encode()]:
        raise refused
    try:
        replace(path, f"{_SIGN}\n{text}".encode())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _wait() -> None:
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    ended.wait()


def _command_running(advance: str | None, *, deploy: bool) -> int:
    from keyrota.core.policy import duration  # noqa: PLC0415  # only here
    from keyrota_sandbox.clock import RemoteClock  # noqa: PLC0415

    control = os.environ.get("KEYROTA_SANDBOX")
    if not control:
        raise UsageError("KEYROTA_SANDBOX is not set", remedy="source the sandbox.env that the sandbox wrote")
    clock = RemoteClock(control)
    if advance:
        try:
            clock.sleep(duration(advance).total_seconds())
        except ValueError as error:
            raise UsageError(str(error)) from None
        click.echo(f"{clock.now():%Y-%m-%d %H:%M} UTC")
    if deploy:
        answer = clock.ask("deploy", {})
        click.echo(answer["told"])
        return 0 if answer["ok"] == "yes" else 1
    return 0
