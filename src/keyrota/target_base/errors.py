"""A provider's refusals in plain words, the same for all providers whose answers need no more than that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keyrota.errors import NotThere, ProviderRefused, ProviderUnavailable
from keyrota.http import Response

DELETED = "if it was deleted, remove it from the configuration and run keyrota forget"
"""The remedy of a place that is not there, for one that will not come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderErrors:
    """How errors speak of a provider."""

    name: str
    """As people write it: `CircleCI`."""
    key: str
    """As the configuration names it: `circleci`."""
    needs: str
    """What the token needs, as a sentence; it is in every remedy."""
    missing: str = "it does not exist, or the token may not see it"
    """What a 404 may mean."""

    def raise_for_status(self, answer: Response, where: str, detail: str = "") -> None:
        """
        Let a success through.

        Args:
            answer: Of the provider.
            where: What it is about.
            detail: What is known of a refusal that no status explains; never the provider's words.

        Raises:
            ProviderRefused: The provider said no; the remedy says what the token needs.
            NotThere: 404.
        """
        if answer.is_success:
            return
        match answer.status:
            case 401:
                raise ProviderRefused(
                    f"{self.name} does not accept the token (401): it is wrong, expired or revoked",
                    where=where,
                    remedy=f"make a new token and put it where `providers: {self.key}: auth:` points; {self.needs}",
                )
            case 403:
                raise ProviderRefused("the token is not allowed to do this (403)", where=where, remedy=self.needs)
            case 404:
                raise NotThere(
                    f"{self.name} does not find it (404): {self.missing}",
                    where=where,
                    remedy=f"correct the names in the configuration; {self.needs}; {DELETED}",
                )
            case _:
                raise ProviderRefused(
                    f"{self.name} refused ({answer.status}){detail}",
                    where=where,
                    remedy=f"look at it in {self.name}; {self.needs}",
                )

    def entries(self, answer: Response, where: str, *, under: str | None = None) -> list[dict[str, Any]]:
        """
        Take the entries of a list, or of one page of it.

        Args:
            answer: Of the provider.
            where: What the list is about, for errors.
            under: The field that holds it; None where the answer is the list.

        Raises:
            ProviderRefused: The provider said no.
            ProviderUnavailable: It is no list.
        """
        self.raise_for_status(answer, where)
        values = answer.object().get(under) if under else answer.content
        if not isinstance(values, list):
            raise self.make_response_error(f"{self.name}'s answer is no list", where)
        return [value for value in values if isinstance(value, dict)]

    def make_response_error(self, what: str, where: str) -> ProviderUnavailable:
        """Make the error for a success that is none of the provider's: a login page answers 200 as well."""
        return make_response_error(what, where)

    def write_lost(self, what: str, where: str) -> ProviderUnavailable:
        """Make the error for a creation without an answer, after which nothing is there."""
        return write_lost(self.name, what, where)

    def not_ours(self, name: str, where: str) -> ProviderRefused:
        """Make the error for a variable that may not be deleted."""
        return ProviderRefused(
            f"{name} holds something that keyrota did not write",
            where=where,
            remedy="look at it, and delete it by hand if nothing needs it",
        )


def make_response_error(what: str, where: str) -> ProviderUnavailable:
    """Make the error for a success that is none of the provider's: a login page answers 200 as well."""
    return ProviderUnavailable(what, where=where, remedy="check `base_url`; a proxy or a login page may have answered")


def write_lost(name: str, what: str, where: str) -> ProviderUnavailable:
    """Make the error for a creation that a provider did not answer, after which nothing is there."""
    return ProviderUnavailable(
        f"{name} did not answer a write, and the {what} is not there",
        where=where,
        remedy="the next run writes it",
    )
