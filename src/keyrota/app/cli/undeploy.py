"""`keyrota undeploy`."""

from __future__ import annotations

import click

from keyrota.app import words
from keyrota.app.cli.common import Options, ask, echo, eprint, global_options, pass_options, say_json


@click.command("undeploy")
@click.option("--stack", default="keyrota", show_default=True, help="Name of the stack.")
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(options: Options, stack: str, *, is_yes: bool) -> int:
    """Delete the stack, and list what stays: packages, configuration, logs, KMS key, secrets, keys, CI variables."""
    from keyrota.app.clock import clock  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.config import load_from  # noqa: PLC0415
    from keyrota.app.deploy.stack import Deployer  # noqa: PLC0415

    deployer = Deployer(load_from(options.config), "", clock())
    ask(f"Delete the stack {stack}? No key will be rotated any more.", is_yes=is_yes)
    left = deployer.remains(stack)
    is_gone = deployer.remove(stack, eprint)
    told = f"the stack {stack} is deleted" if is_gone else f"there is no stack {stack}"
    eprint(told)
    if options.is_json:
        stays = [{"what": one.what, "remedy": one.remedy} for one in left]
        say_json({"version": 1, "stack": stack, "deleted": is_gone, "stays": stays, "errors": []})
    elif left:
        echo(["What stays, and how to remove it:", *(f"  {one.what}\n      {one.remedy}" for one in left)])
    return words.EXIT_DONE
