"""Figures that tests count and that ``python -m tests`` prints at its end: examples run, points killed.

They pass through a file, named in the environment, to which every process of a run appends lines.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "CLERKSYNC_TEST_FIGURES"


def tell(name: str, value: float = 1) -> None:
    """Add to the figure of that name; nothing happens where nobody collects."""
    path = os.environ.get(FILE)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps([name, value])}\n")


@contextmanager
def collected() -> Iterator[None]:
    """Collect what is told meanwhile, by this process and by those that it starts."""
    with tempfile.TemporaryDirectory(prefix="figures-") as directory:
        os.environ[FILE] = f"{directory}/figures.jsonl"
        try:
            yield
        finally:
            del os.environ[FILE]


def sums() -> dict[str, float]:
    """What has been told so far, added up, in the order of the names."""
    path = Path(os.environ[FILE])
    found: defaultdict[str, float] = defaultdict(int)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        name, value = json.loads(line)
        found[name] += value
    return dict(sorted(found.items()))
