"""What a mutant is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Edit(NamedTuple):
    """In one file of the product, a text that is there exactly once, and what takes its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault; ``tests`` are expected to notice it, the fastest first."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def problems(self, root: Path) -> list[str]:
        """Why it cannot be built into the tree below ``root``."""
        found = []
        for edit in self.edits:
            count = (root / edit.file).read_text().count(edit.old)
            if count != 1:
                found.append(f"{self.name}: in {edit.file} this is {count} times, not once:\n{edit.old}")
        return found

    def apply(self, root: Path) -> None:
        """Build it in."""
        for edit in self.edits:
            path = root / edit.file
            path.write_text(path.read_text().replace(edit.old, edit.new))

    def take_out(self, root: Path, *, original: Path) -> None:
        """Make its files what they are below ``original``."""
        for edit in self.edits:
            shutil.copy(original / edit.file, root / edit.file)


def mutant(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    """One of a single edit; ``file`` is one of the product's, ``tests`` are named without ``tests/``."""
    return Mutant(name, (Edit(f"clerksync/{file}", old, new),), tuple(f"tests/{test}" for test in tests))
