"""`keyrota init`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from keyrota.app import words
from keyrota.app.cli.common import Options, echo, eprint, global_options, pass_options, say_json
from keyrota.errors import UsageError

_EXAMPLES = """\b
Examples:
  keyrota init                                     ask, then write keyrota.yaml
  keyrota init --provider github --user ci-deploy --place repository=acme/shop --place environment=production
"""


@click.command("init", epilog=_EXAMPLES)
@click.option("--provider", default="", help="Where pipelines find the key: github, gitlab, bitbucket, ssm, …")
@click.option("--user", "users", multiple=True, help="IAM user; may be given several times.")
@click.option(
    "--place", "places", multiple=True, metavar="FIELD=VALUE", help="A field of the target: repository=acme/shop."
)
@click.option("--token", default="", metavar="REFERENCE", help="Where the token is: env:NAME, secretsmanager:NAME, …")
@click.option("--base-url", default="", help="Of a server of your own.")
@click.option("--account", default="", metavar="ID", help="The users' account, if not the caller's.")
@click.option("--role", default="", help="Role to assume in that account.")
@click.option(
    "--output", default="keyrota.yaml", show_default=True, type=click.Path(path_type=Path), help="The new file."
)
@global_options
@pass_options
def command(  # one argument an option
    options: Options,
    *,
    provider: str,
    users: tuple[str, ...],
    places: tuple[str, ...],
    token: str,
    base_url: str,
    account: str,
    role: str,
    output: Path,
) -> int:
    """
    Write a first configuration. Asks for what was not given, if there is a terminal.

    Asks nothing of AWS or of a provider, and reads no token. A file that exists is never overwritten.
    """
    from keyrota.app.first_file import Answers, is_needed, place_fields, takes_token, write_first_file  # noqa: PLC0415
    from keyrota.targets import kinds  # noqa: PLC0415

    if output.exists() or output.is_symlink():
        raise UsageError(f"{output} exists", remedy="choose another name with --output, or edit the file")
    known = kinds()
    name = provider or _ask("Provider", f"--provider: one of {', '.join(sorted(known))}", known)
    if name not in known:
        raise UsageError(f"unknown provider {name!r}", remedy=f"one of: {', '.join(sorted(known))}")
    kind = known[name]
    named = users or tuple(_ask("IAM users, with commas between them", "--user NAME").replace(",", " ").split())
    url = base_url or (_ask("Base URL of its API", "--base-url URL") if is_needed(kind, "base_url") else "")
    place = _read_places(places)
    if not place:
        for field in place_fields(kind):
            is_demanded = is_needed(kind, field)
            answer = _ask(field, f"--place {field}=…", is_optional=not is_demanded)
            place |= {field: answer} if answer else {}
    usual = f"env:{name.upper()}_TOKEN" if takes_token(kind) else ""
    answers = Answers(
        provider=name, users=named, token=token or usual, base_url=url, place=place, account=account, role=role
    )
    write_first_file(output, answers)
    _report(options, output, answers.token)
    return words.EXIT_DONE


def _report(options: Options, output: Path, token: str) -> None:
    if options.is_json:
        say_json({"version": 1, "file": str(output), "errors": []})
        return
    echo([f"wrote {output}"])
    if token.startswith("env:") and not options.is_quiet:
        eprint(f"hint: export {token.removeprefix('env:')}=… with a token of the provider")
    if not options.is_quiet:
        eprint(f"hint: keyrota --config {output} check")


def _read_places(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        field, between, value = text.partition("=")
        if not between or not field or not value or field in found:
            raise UsageError(f"{text!r} is not a field of a target", remedy="write FIELD=VALUE, each field once")
        found[field] = value
    return found


def _ask(question: str, option: str, known: Iterable[str] = (), *, is_optional: bool = False) -> str:
    """
    Ask a person; where there is none, an answer that is not needed is empty.

    Raises:
        UsageError: There is no terminal, and the answer is needed.
    """
    if not sys.stdin.isatty():
        if is_optional:
            return ""
        raise UsageError("an answer is missing, and there is no terminal to ask", remedy=f"give {option}")
    asked = f"{question} ({', '.join(sorted(known))})" if known else question
    if is_optional:
        return str(click.prompt(f"{asked} (may be empty)", default="", show_default=False, err=True)).strip()
    return str(click.prompt(asked, err=True)).strip()
