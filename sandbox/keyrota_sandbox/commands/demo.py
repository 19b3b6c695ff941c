"""`keyrota demo`."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from keyrota.app import words
from keyrota.app.cli.common import Options, global_options, pass_options, say_json, style


@click.command("demo")
@click.option(
    "--days", default=400, type=click.IntRange(1, 4000), show_default=True, help="Number of days to simulate."
)
@click.option("--seed", default=1, show_default=True, help="Random seed; the same seed replays the same run.")
@global_options
@pass_options
def command(options: Options, *, days: int, seed: int) -> int:
    """
    Simulate days in the local sandbox: IAM users, pipelines at three providers, one run of keyrota a day, failures.

    Exit 0 only if no pipeline run failed and no promise broke.
    """
    from keyrota_sandbox.demo import Demo, Moment  # noqa: PLC0415  # heavy, and an extra

    colour = style()
    is_told = not (options.is_json or options.is_quiet)
    is_terminal = is_told and sys.stdout.isatty()
    last = 0

    def emit(moment: Moment) -> None:
        nonlocal last
        if not is_told:
            return
        if is_terminal:
            click.echo("\r\033[K", nl=False)
        when = f"day {moment.day:>3}  {moment.at:%Y-%m-%d}" if moment.day != last else " " * 19
        last = moment.day
        click.echo(
            f"{colour('quiet', when)}  {colour('title', f'{moment.user:<12}')} {colour(moment.role, moment.text)}"
        )

    def pass_day(day: int) -> None:
        if is_terminal:
            click.echo(f"\r\033[K{colour('quiet', f'day {day:>3}')}", nl=False)

    if is_told:
        click.echo(
            f"{days} days in the sandbox: 5 IAM users, 7 pipelines at 3 providers, keyrota runs once a day at 06:00\n"
        )
    demo = Demo(days=days, seed=seed, emit=emit, pass_day=pass_day)
    numbers = demo.play()
    if options.is_json:
        say_json({"version": 1, **asdict(numbers)})
    else:
        if is_terminal:
            click.echo("\r\033[K", nl=False)
        for failure in demo.failures[:20]:
            click.echo(colour("bad", failure))
        click.echo()
        for name, value in asdict(numbers).items():
            role = "bad" if value and name in {"pipeline_failures", "broken_promises"} else "good"
            click.echo(f"  {name.replace('_', ' '):<18} {colour(role, f'{value:>6}')}")
    return words.EXIT_FAILED if demo.failures else words.EXIT_DONE
