"""What every contract test has."""

from described import every_request_is_described

__all__ = ["every_request_is_described"]
