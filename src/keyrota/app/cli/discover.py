"""`keyrota discover`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyrota.app import words
from keyrota.app.cli.common import Options, eprint, global_options, pass_options, say_json
from keyrota.errors import KeyrotaError, UsageError, printable

if TYPE_CHECKING:
    from keyrota.app.discovery import Scan

_AREAS = {"bitbucket": "workspace", "github": "org", "gitlab": "group"}
_EXAMPLES = """\b
Examples:
  keyrota discover --provider github --org acme
  keyrota discover --provider bitbucket --workspace acme --token env:BITBUCKET_TOKEN
  keyrota discover --provider gitlab --group acme/platform --base-url https://gitlab.example.com/api/v4
"""


@click.command("discover", epilog=_EXAMPLES)
@click.option("--provider", required=True, help="bitbucket, github or gitlab.")
@click.option("--workspace", help="Bitbucket: only this workspace.")
@click.option("--org", help="GitHub: only this organization (or person).")
@click.option("--group", help="GitLab: only this group and what is below it.")
@click.option("--token", help="Where the token is (default env:PROVIDER_TOKEN), if no configuration says it.")
@click.option("--base-url", help="Base URL of the REST API, if no configuration says it.")
@click.option("--output", default="keyrota.yaml", type=click.Path(path_type=Path, dir_okay=False), show_default=True)
@global_options
@pass_options
def command(  # click passes what the command line has
    options: Options,
    *,
    provider: str,
    workspace: str | None,
    org: str | None,
    group: str | None,
    token: str | None,
    base_url: str | None,
    output: Path,
) -> int:
    """
    Find the AWS keys that a provider's variables hold, and write a keyrota.yaml for them.

    Values are matched with IAM where they can be read, names where they cannot; no secret is kept. After a rate limit,
    the same command continues where it stopped.
    """
    from keyrota.app.clock import clock  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.discovery import Scan, configuration, sort, walk, write  # noqa: PLC0415
    from keyrota.app.files import is_own  # noqa: PLC0415
    from keyrota.app.wiring import references  # noqa: PLC0415
    from keyrota.targets import kinds  # noqa: PLC0415

    if provider not in _AREAS or provider not in kinds():
        raise UsageError(f"{provider!r} cannot be searched", remedy=f"one of: {', '.join(_AREAS)}")
    scope = _scope(provider, {"workspace": workspace, "org": org, "group": group})
    if output.exists() or output.is_symlink():
        raise UsageError(f"{output} exists", remedy="choose another file with --output")
    if not (output.parent.is_dir() and os.access(output.parent, os.W_OK)):
        raise UsageError(f"nothing can be written into {output.parent}", remedy="choose another file with --output")
    settings = _settings(options, provider, token, base_url)
    connection = kinds()[provider].connect(settings, secrets=references(None), clock=clock())
    file = output.with_name(output.name + ".partial")
    if file.is_symlink():
        raise UsageError(f"{file} is a link", remedy="remove it: nothing is written or read through a link")
    if file.exists() and not is_own(file.lstat()):
        raise UsageError(f"others may have written {file}", remedy="remove it: what is in it would become a target")
    scan = Scan.resume(file, provider, scope, str(settings.get("base_url", "")))
    if scan.done:
        eprint(
            f"going on from {printable(str(file))}: {len(scan.done)} of {len(scan.scopes)} places were looked at by "
            "an earlier run; delete it to begin anew"
        )
    try:
        walk(connection, scan, file, _Progress(options))
    except KeyrotaError as error:
        raise KeyrotaError(
            error.what,
            where=error.where,
            remedy=f"{error.remedy}; {len(scan.done)} of {len(scan.scopes)} are done, "
            "and the same command continues there",
        ) from None
    owner, users = _directory()
    known = sort(tuple(scan.found), owner)
    seen = {one.key for one in scan.found}
    candidates = {user: keys for user, keys in users.items() if not seen.issuperset(keys)} if known.guesses else {}
    write(output, configuration(provider, settings, known, scan, candidates))
    file.unlink(missing_ok=True)
    numbers = {
        "certain": sum(len(found) for found in known.certain.values()),
        "guesses": len(known.guesses),
        "elsewhere": len(known.elsewhere),
        "other_accounts": len(known.foreign_keys),
        "not_looked_into": len(scan.closed),
    }
    if options.is_json:
        say_json({"version": 1, "provider": provider, "scopes": len(scan.scopes), "file": str(output), **numbers})
    elif not options.is_quiet:
        told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in numbers.items())
        click.echo(f"{len(scan.scopes)} places looked at: {told}; written to {output}")
    return words.EXIT_DONE


def _scope(provider: str, given: dict[str, str | None]) -> str | None:
    named = {name: value for name, value in given.items() if value is not None}
    wrong = [name for name in named if name != _AREAS[provider]]
    if wrong:
        raise UsageError(f"--{wrong[0]} is none of {provider}'s", remedy=f"use --{_AREAS[provider]}")
    return next(iter(named.values()), None)


def _settings(options: Options, provider: str, token: str | None, base_url: str | None) -> dict[str, Any]:
    """Take the provider's settings from the configuration if there is one, from the command line otherwise."""
    from keyrota.app.config import is_reference, load_from  # noqa: PLC0415  # heavy

    is_there = options.config.startswith(("ssm:", "s3:")) or Path(options.config).exists()
    if token is None and base_url is None and is_there:
        known = load_from(options.config).providers.get(provider)
        if known is not None:
            return dict(known)
    reference = token or f"env:{provider.upper()}_TOKEN"
    if not is_reference(reference):
        raise UsageError(
            "a token must not stand on the command line",
            remedy="refer to it: env:NAME, file:PATH; if it was a real token, make a new one",
        )
    return {"auth": {"token": reference}} | ({"base_url": base_url} if base_url else {})


def _directory() -> tuple[Any, dict[str, Any]]:
    """Ask the account that the caller is in; without AWS credentials nothing is certain, and that is told."""
    from keyrota.app.clock import clock  # noqa: PLC0415  # heavy
    from keyrota.aws.account import Account  # noqa: PLC0415  # botocore is imported late
    from keyrota.aws.directory import Directory  # noqa: PLC0415

    account = Account(region=None, profile=None)
    directory = Directory(account)
    try:
        account.enter(clock())
        return directory.owner, directory.users_with_keys()
    except KeyrotaError as error:
        eprint(f"warning: {error}: whose keys they are is not known")
        return (lambda _: None), {}


class _Progress:
    """Reports on stderr how far it has come."""

    def __init__(self, options: Options) -> None:
        self._is_silent = options.is_quiet
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, scan: Scan, scope: str) -> None:
        """Report one step: each on a terminal, every twenty-fifth elsewhere."""
        number = len(scan.done)
        if self._is_silent or not (self._is_terminal or number % 25 == 0):
            return
        line = f"{number + 1}/{len(scan.scopes)} {printable(scope)}: {len(scan.found)} found so far"
        eprint(f"\r\033[K{line}" if self._is_terminal else line, nl=not self._is_terminal)
