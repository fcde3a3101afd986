"""What may be shown of a person to somebody who need not know."""

from __future__ import annotations

import re

#: The columns that are masked; metadata may hold anything.
PERSONAL = frozenset(
    {
        "email",
        "phone_number",
        "external_id",
        "first_name",
        "last_name",
        "username",
        "image_url",
        "public_metadata",
        "private_metadata",
        "unsafe_metadata",
    }
)
_ADDRESS = re.compile(r'[^\s@"]+@[^\s@"]+')


def mask(value: str) -> str:
    """Show the first character, and the domain of an address: ``a***@example.org``."""
    domain = value[value.index("@") :] if _ADDRESS.fullmatch(value) else ""
    return f"{value[:1]}***{domain}"
