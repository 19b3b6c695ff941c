"""`keyrota deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keyrota.app import words
from keyrota.app.cli.common import Options, ask, eprint, global_options, pass_options, report_hosts, say_json
from keyrota.errors import UsageError
from keyrota.report.text import count

_EXAMPLES = """\b
Examples:
  keyrota deploy --email ops@example.com   the stack `keyrota`, with this keyrota.yaml
  keyrota deploy --print                   the template, narrowed to this keyrota.yaml; changes nothing
  keyrota undeploy                         take it away again; keys and secrets stay
"""


@click.command("deploy", epilog=_EXAMPLES)
@click.option("--stack", default="keyrota", show_default=True, help="Name of the stack.")
@click.option(
    "--parameter", default="/keyrota/config", show_default=True, help="SSM parameter that the configuration goes to."
)
@click.option(
    "--trigger",
    type=click.Choice(["native", "cloudtrail", "both"]),
    default="native",
    show_default=True,
    help="Which events announce a new secret value.",
)
@click.option(
    "--emergency",
    type=click.Choice(["alarm", "auto"]),
    default="alarm",
    show_default=True,
    help="What happens when AWS finds a key in public: an alarm, or new keys at once.",
)
@click.option("--email", default="", help="Where alarms are sent.")
@click.option(
    "--encryption-key",
    default="",
    help="KMS key for alarms, queues, logs and environments (ID, alias or ARN); `create` makes one.",
)
@click.option("--user-pattern", default="", help="Users by path or prefix, where there are too many to be named.")
@click.option("--fleet", "is_fleet", is_flag=True, help="With a Step Functions map, for more than 200 credentials.")
@click.option(
    "--iam-events", "with_iam_events", is_flag=True, help="Forward IAM's events from us-east-1, where they arrive."
)
@click.option("--bucket", help="Bucket for the code package; otherwise keyrota-ACCOUNT-REGION.")
@click.option(
    "--package",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A code package that `keyrota package` made; otherwise it is built now.",
)
@click.option(
    "--config-unpinned",
    "is_config_unpinned",
    is_flag=True,
    help="Let the functions take a configuration that was changed where it is stored; hosts stay pinned.",
)
@click.option("--print", "is_print", is_flag=True, help="Print the template, and change nothing.")
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(options: Options, /, *, is_print: bool, is_yes: bool, **given: Any) -> int:
    """Deploy keyrota to AWS Lambda: functions, schedules, events and alarms, with CloudFormation."""
    from keyrota.app.clock import clock  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.config import bundle, load_text  # noqa: PLC0415
    from keyrota.app.deploy.stack import Deployer, DeployOptions  # noqa: PLC0415

    file = Path(options.config)
    if options.config.startswith(("ssm:", "s3:")):
        raise UsageError("the configuration is to be a file here", remedy="--config keyrota.yaml")
    text = bundle(file)
    configuration = load_text(str(file), text)  # the very text that is stored: read once
    deployer = Deployer(configuration, text, clock())
    wishes = DeployOptions(**given)
    deployment = deployer.prepare(wishes)
    if is_print:
        say_json(deployment.template)
        return words.EXIT_DONE
    number = count(len(configuration.credentials), "credential")
    eprint(f"{number}, the stack {wishes.stack}, {deployer.account.region}")
    report_hosts(configuration, options)
    ask("Deploy?", is_yes=is_yes)
    outputs = deployer.carry_out(deployment, eprint)
    if options.is_json:
        say_json(
            {"version": 1, "stack": wishes.stack, "config": deployment.reference, "outputs": outputs, "errors": []}
        )
    return words.EXIT_DONE
