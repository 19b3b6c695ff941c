"""`keyrota completion`."""

from __future__ import annotations

from typing import ClassVar

import click
from click.shell_completion import BashComplete, get_completion_class

from keyrota.app.cli.common import global_options

_EXAMPLES = """\b
Examples:
  eval "$(keyrota completion bash)"
  keyrota completion fish > ~/.config/fish/completions/keyrota.fish
"""

_BASH = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:$COMP_POINT}" kept="" words=() type value
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local current="${words[${#words[@]} - 1]}"
    # Bash separates words at a colon: what comes before the last one stays as it is, and is not answered again.
    [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && kept="${current%%"${current##*:}"}"
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$kept"}") ;;
        esac
    done < <(env COMP_WORDS="$line" COMP_CWORD=$((${#words[@]} - 1)) %(complete_var)s=bash_complete "$1")
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Bash, with words that have a colon (`ACCOUNT:USER`): click's own script takes them for three words."""

    source_template: ClassVar[str] = _BASH


@click.command("completion", epilog=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@global_options
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    found = _Bash if shell == "bash" else get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    group = context.find_root().command
    click.echo(found(group, {}, "keyrota", "_KEYROTA_COMPLETE").source())
