"""Structured log lines and metrics, by Powertools for AWS Lambda: JSON on stdout, which Lambda brings to CloudWatch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from keyrota.app.functions.metrics import Measure
from keyrota.errors import without_own_secrets
from keyrota.executor import Event, EventKind, Listener
from keyrota.report.data import is_stop

NAMESPACE = "keyrota"


def _line(record: Mapping[str, Any]) -> str:
    """Write a line as Powertools does, without this process's own credentials."""
    return without_own_secrets(json.dumps(record, default=str, separators=(",", ":"), ensure_ascii=False))


log = Logger(
    service="keyrota",
    level="INFO",
    use_rfc3339=True,
    log_record_order=["level", "message", "timestamp"],
    json_serializer=_line,
)
"""One line an event, with the fields of a plan; never a secret, because nothing that is logged holds one."""

_package = logging.getLogger("keyrota")
if not _package.handlers:
    _package.handlers = list(log.handlers)
    _package.setLevel(logging.WARNING)
    _package.propagate = False


def make_log_listener(run: str) -> Listener:
    """Log each step as it happens."""

    def emit(event: Event) -> None:
        if event.kind is EventKind.DOING:
            return
        fields = {
            "run": run,
            "user": event.user,
            "account": event.account,
            "action": event.action.shown,
            "step": type(event.action).__name__,
            "key": event.key,
            "reason": event.action.reason,
        }
        if event.error is None:
            log.info("done", extra=fields)
        elif is_stop(event.error):
            log.warning("stopped at a limit", extra={**fields, "error": str(event.error)})
        else:
            log.error("failed", extra={**fields, "error": str(event.error), "remedy": event.error.remedy})

    return emit


def record(function: str, stack: str, measures: Iterable[Measure]) -> None:
    """Write metrics in CloudWatch's embedded format."""
    measures = tuple(measures)
    whole = [measure for measure in measures if measure.credential is None]
    if whole:
        _flush({"Stack": stack or "none", "Function": function}, whole)
    for measure in measures:
        if measure.credential is not None:
            of = {"Account": measure.credential.account, "User": measure.credential.user}
            _flush({"Stack": stack or "none", **of}, [measure])


def _flush(dimensions: Mapping[str, str], measures: Iterable[Measure]) -> None:
    made = EphemeralMetrics(namespace=NAMESPACE)
    for name, value in dimensions.items():
        made.add_dimension(name=name, value=value)
    for measure in measures:
        made.add_metric(name=measure.name, unit=MetricUnit(measure.unit), value=measure.value)
    made.flush_metrics()
