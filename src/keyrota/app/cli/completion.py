"""`keyrota completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from keyrota.app.cli.frame import global_options

_EXAMPLES = """\b
Examples:
  eval "$(keyrota completion bash)"
  keyrota completion fish > ~/.config/fish/completions/keyrota.fish
"""


@click.command("completion", epilog=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@global_options
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    group = context.find_root().command
    click.echo(found(group, {}, "keyrota", "_KEYROTA_COMPLETE").source())
