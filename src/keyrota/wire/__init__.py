"""The one HTTP client for CI providers: time-outs, bounded waiting and answers, budgets, and nothing that leaks."""

from keyrota.stop import STOP, Stop
from keyrota.wire.answer import Answer
from keyrota.wire.around import Look, RecentLists
from keyrota.wire.attempt import attempted
from keyrota.wire.authorization import Authorization, basic, bearer, header
from keyrota.wire.budget import Budget, Limit
from keyrota.wire.http import Http, Patience
from keyrota.wire.listing import each_page
from keyrota.wire.many import Bounds, ManyRepositories
from keyrota.wire.places import RunlessPlace, Unsearched
from keyrota.wire.refusals import DELETED, Refusals
from keyrota.wire.together import together
from keyrota.wire.waiting import bounded, current_waiting

__all__ = [
    "DELETED",
    "STOP",
    "Answer",
    "Authorization",
    "Bounds",
    "Budget",
    "Http",
    "Limit",
    "Look",
    "ManyRepositories",
    "Patience",
    "RecentLists",
    "Refusals",
    "RunlessPlace",
    "Stop",
    "Unsearched",
    "attempted",
    "basic",
    "bearer",
    "bounded",
    "current_waiting",
    "each_page",
    "header",
    "together",
]
