"""What may be shown of a person to somebody who need not know."""

from __future__ import annotations

#: The columns that are masked.
PERSONAL = frozenset({"email", "phone_number", "external_id", "first_name", "last_name", "username"})


def mask(value: str) -> str:
    """Show the first character, and the domain of an address: ``a***@example.org``."""
    name, at, domain = value.rpartition("@")
    return f"{name[:1]}***{at}{domain}" if at else f"{value[:1]}***"
