"""The one HTTP client for CI providers: time-outs, bounded waiting and answers, budgets, and nothing that leaks."""

from keyrota.http.attempt import send_once
from keyrota.http.authorization import Authorization, basic, bearer, header
from keyrota.http.budget import Budget, Limit
from keyrota.http.client import Http, RetryPolicy
from keyrota.http.concurrency import run_concurrently
from keyrota.http.listing import paginate
from keyrota.http.response import Response
from keyrota.http.waiting import bound_waits, current_waiting
from keyrota.http.watch import hurry
from keyrota.stop import STOP, Stop

__all__ = [
    "STOP",
    "Authorization",
    "Budget",
    "Http",
    "Limit",
    "Response",
    "RetryPolicy",
    "Stop",
    "basic",
    "bearer",
    "bound_waits",
    "current_waiting",
    "header",
    "hurry",
    "paginate",
    "run_concurrently",
    "send_once",
]
