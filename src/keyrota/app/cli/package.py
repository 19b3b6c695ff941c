"""`keyrota package`."""

from __future__ import annotations

from pathlib import Path

import click

from keyrota.app import words
from keyrota.app.cli.common import Options, global_options, pass_options, say_json


@click.command("package")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("keyrota.zip"),
    show_default=True,
    help="The zip to write.",
)
@click.option("--here", "is_here", is_flag=True, help="For this machine and this Python, to try it: not for Lambda.")
@global_options
@pass_options
def command(options: Options, output: Path, *, is_here: bool) -> int:
    """Build the code package of the Lambda functions: python3.13 on arm64."""
    from keyrota.app.deploy.package import HERE, LAMBDA, build  # noqa: PLC0415  # heavy, and not needed for --help

    digest = build(output, HERE if is_here else LAMBDA)
    size = output.stat().st_size
    if options.is_json:
        say_json({"version": 1, "file": str(output), "bytes": size, "sha256": digest, "errors": []})
    else:
        click.echo(f"{output}: {size / 2**20:.1f} MiB, sha256 {digest}")
    return words.EXIT_DONE
