"""`keyrota config`."""

from __future__ import annotations

from typing import Any

import click

from keyrota.app import words
from keyrota.app.choice import Chooser, Wanted
from keyrota.app.cli.common import Options, echo, global_options, pass_options, say_json
from keyrota.app.cli.naming import some_credentials
from keyrota.errors import UsageError
from keyrota.report.text import count

_EXAMPLES = """\b
Examples:
  keyrota config                       all credentials, with file and line of each value
  keyrota config 111111111111:release  one of them
  keyrota config --summary             how many there are
"""


@click.command("config", epilog=_EXAMPLES)
@some_credentials
@click.option("--summary", "is_summary", is_flag=True, help="Print only how many credentials and targets there are.")
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted, is_summary: bool) -> int:
    """
    Print the configuration as keyrota understands it: defaults, accounts, lists and templates are resolved.

    Asks nothing of AWS or of a provider. References to tokens are printed as they are written, and not read.
    """
    from keyrota.app.config import load_expanded_from  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.shown_config import list_origins, narrow, summarize, write_yaml  # noqa: PLC0415

    configuration, expanded = load_expanded_from(options.config)
    if is_summary:
        counts = summarize(configuration, expanded)
        say_json({"version": 1, "summary": counts, "errors": []}) if options.is_json else echo(_list_counts(counts))
        return words.EXIT_DONE
    chosen = {id(entry) for entry in Chooser(configuration=configuration, account_of=_refuse_to_ask).choose(wanted)}
    places = {at for at, entry in enumerate(configuration.credentials) if id(entry) in chosen}
    root = narrow(expanded, places)
    if options.is_json:
        say_json({"version": 1, "configuration": root.plain(), "origins": dict(list_origins(root)), "errors": []})
    else:
        echo(write_yaml(root))
    return words.EXIT_DONE


def _refuse_to_ask(_: object) -> str:
    raise UsageError("the caller's own account is not known here", remedy="name `account` in the configuration")


def _list_counts(counts: dict[str, Any]) -> list[str]:
    targets: dict[str, int] = counts["targets"]
    each = ", ".join(f"{name} {number}" for name, number in targets.items())
    users, accounts = count(counts["users"], "user"), count(counts["accounts"], "account")
    selections = (
        [f"{count(counts['selections'], 'selection')} of users, made at each run"] if counts["selections"] else []
    )
    return [
        f"{count(counts['files'], 'file')}",
        f"{count(counts['credentials'], 'credential')}: {users}, {accounts}",
        *selections,
        count(sum(targets.values()), "target") + (f": {each}" if each else ""),
    ]
