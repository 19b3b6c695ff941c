"""The redacting type that every secret value lives in, from the moment it enters the process."""

from __future__ import annotations

import hmac
from typing import NoReturn

_SHOWN = "Secret(…)"


def _bytes(value: str) -> bytes:
    """Encode any text: an error about one that no encoding takes would carry it."""
    return value.encode("utf-8", "surrogatepass")


class Secret:
    """
    A secret value that cannot be shown by accident.

    `repr`, `str`, `format` and `%` all give `Secret(…)`; pickling, copying and `dataclasses.asdict` are refused;
    it is no string, so it cannot be joined, logged or serialised as one.

    Call `reveal()` only as an argument of the call that needs the text, and never bind its result to a name:
    a traceback that prints local variables would print it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself. Pass it on in the same expression."""
        return self._value

    def __repr__(self) -> str:
        return _SHOWN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(_SHOWN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other._value))

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret in a set's repr or a log helps nobody

    def __bool__(self) -> bool:
        return bool(self._value)

    def __len__(self) -> int:
        """Count the characters of the value (targets have limits)."""
        return len(self._value)

    def _refuse(self, *_: object) -> NoReturn:
        message = "a Secret is not copied, pickled or serialised"
        raise TypeError(message)

    __copy__ = __deepcopy__ = __reduce__ = __reduce_ex__ = __getstate__ = _refuse
