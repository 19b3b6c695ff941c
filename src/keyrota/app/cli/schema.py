"""`keyrota schema`."""

from __future__ import annotations

import click

from keyrota.app.cli.common import global_options, say_json


@click.command("schema")
@global_options
def command() -> None:
    """Print the JSON Schema of keyrota.yaml, for editors."""
    from keyrota.app.config import schema  # noqa: PLC0415  # heavy, and not needed for --help

    say_json(schema())
