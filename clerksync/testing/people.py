"""The people of the fake Clerk: names, addresses and ids, drawn from a seeded generator."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

DOMAINS = ("harbour-works.io", "tidegate-press.com")

FIRST_NAMES = (
    "Adaeze", "Aino", "Amara", "Anneke", "Arjun", "Beatriz", "Bogdan", "Camille", "Chiara", "Daichi",
    "Dalia", "Delphine", "Dmitri", "Eero", "Elif", "Emeka", "Esperanza", "Fatou", "Fergus", "Freya",
    "Giulia", "Hana", "Henrik", "Ibrahim", "Ines", "Ivana", "Jakub", "Jolanta", "Kamala", "Kofi",
    "Lars", "Leila", "Lucia", "Maren", "Mateus", "Mirela", "Nadia", "Niamh", "Oluwaseun", "Otto",
    "Pilar", "Priya", "Rafael", "Roisin", "Sanne", "Sefa", "Shirin", "Soren", "Tamar", "Tomasz",
    "Ulrike", "Valentina", "Wanjiru", "Wiktor", "Xiomara", "Yara", "Yusuf", "Zeynep", "Zofia", "Zuri",
)  # fmt: skip

LAST_NAMES = (
    "Abiodun", "Almeida", "Andersson", "Baptiste", "Barzani", "Bianchi", "Caruso", "Castellanos",
    "Chaudhary", "Cohen", "Dlamini", "Dubois", "Eriksen", "Farouk", "Fernandes", "Fischer", "Gallagher",
    "Georgiou", "Haddad", "Hakimi", "Horvat", "Ivanova", "Jankowski", "Kaminski", "Karlsson", "Kimura",
    "Kowalczyk", "Laurent", "Lindqvist", "Lombardi", "Mahlangu", "Marchetti", "Mbeki", "Moreau",
    "Murakami", "Nakamura", "Novak", "Nwosu", "Oduya", "Okafor", "Olsen", "Papadakis", "Pereira",
    "Petrov", "Quintero", "Rahimi", "Reyes", "Rosenthal", "Salazar", "Schneider", "Silva", "Sorensen",
    "Tanaka", "Torres", "Uzun", "Vasquez", "Virtanen", "Weiss", "Yilmaz", "Zielinski",
)  # fmt: skip

# France's regulator keeps these blocks of 10,000 numbers for films and books.
PHONE_BLOCKS = ("+3363998", "+3319900", "+3326191", "+3335301", "+3346571", "+3353649")

_LETTERS = (string.digits + string.ascii_letters).encode()
_TO_LETTERS = bytes(_LETTERS[byte % len(_LETTERS)] for byte in range(256))


@dataclass(frozen=True, slots=True)
class Person:
    """A name with an e-mail address that nobody else has."""

    first_name: str
    last_name: str
    email: str


class People:
    """Draws people, ids and phone numbers; the same seed draws the same ones."""

    def __init__(self, *, seed: int) -> None:
        self.random = random.Random(seed)
        self._people = 0
        self._phones = 0

    def draw_id(self, prefix: str) -> str:
        """Return an id of Clerk's form: the prefix, an underscore and 27 letters or digits."""
        drawn = self.random.getrandbits(8 * 27).to_bytes(27, "big")
        return f"{prefix}_{drawn.translate(_TO_LETTERS).decode()}"

    def draw_image_url(self) -> str:
        """Return the address of a picture, as long as Clerk's are."""
        return f"https://img.clerk.com/{self.random.randbytes(140).translate(_TO_LETTERS).decode()}"

    def draw_digits(self, length: int) -> str:
        """Return so many digits, the first of them not zero."""
        low = 10 ** (length - 1)
        return str(low + int(self.random.random() * 9 * low))

    def draw_person(self) -> Person:
        """Return the next person."""
        self._people += 1
        first = FIRST_NAMES[int(self.random.random() * len(FIRST_NAMES))]
        last = LAST_NAMES[int(self.random.random() * len(LAST_NAMES))]
        domain = DOMAINS[self._people % len(DOMAINS)]
        return Person(first, last, f"{first.lower()}.{last.lower()}{self._people}@{domain}")

    def draw_phone(self) -> str:
        """Return the next phone number in E.164 form, distinct for the first 60,000."""
        block, number = divmod(self._phones, 10_000)
        self._phones += 1
        return f"{PHONE_BLOCKS[block % len(PHONE_BLOCKS)]}{number:04d}"
