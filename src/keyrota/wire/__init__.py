"""The one HTTP client for CI providers: time-outs, bounded waiting and answers, budgets, and nothing that leaks."""

from keyrota.wire.answer import Answer
from keyrota.wire.authorization import Authorization, basic, bearer, header
from keyrota.wire.budget import Budget, Limit
from keyrota.wire.http import Http, Patience
from keyrota.wire.together import together

__all__ = ["Answer", "Authorization", "Budget", "Http", "Limit", "Patience", "basic", "bearer", "header", "together"]
