"""Feeds random bytes to what reads bytes of strangers: ``python -m tests.fuzz --seconds 60 --target users``.

atheris steers by coverage where it is installed for this Python; otherwise, or with ``--plain``, known inputs
are mutated blindly. Either way a run is repeated by its seed. What is found ends the target, is printed with
its bytes, and belongs into ``tests/hostile/test_findings.py``. The exit status is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import django

from tests import figures

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ("users", "events", "deliveries", "tokens")
LONGEST = 16 * 1024
_UNITS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PIECES = (
    b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b"null", b"true", b"-", b"0", b"1e400", b"\\u0000", b"\\ud800",
    b"\x00", b"\xff", b"\xe2\x90\x9b", b'"id"', b'"user_a"', b'"created_at"', b"9" * 400, b"[" * 300, b".", b" ",
)  # fmt: skip


def main() -> int:
    """Run the targets one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--target", choices=TARGETS, action="append", help="by default all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="mutate blindly, without atheris")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        return _run(options.target[0], options.seconds, options.seed, plain=options.plain)
    if not options.plain and find_spec("atheris") is None:
        print("atheris is not installed for this Python: known inputs are mutated blindly")
    found = 0
    for target in options.target or TARGETS:
        command = [sys.executable, "-m", "tests.fuzz", "--here", f"--target={target}"]
        rest = [f"--seconds={options.seconds}", f"--seed={options.seed}", *(["--plain"] * options.plain)]
        found += _watched([*command, *rest]) != 0
    return 1 if found else 0


def _watched(command: list[str]) -> int:
    """Run a target, its output going straight through; what atheris has counted is told as a figure."""
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            if units := _UNITS.match(line):
                figures.tell("fuzz executions", int(units[1]))
    return process.returncode


def _run(name: str, seconds: float, seed: int, *, plain: bool) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    if plain or find_spec("atheris") is None:
        django.setup()
        from tests.hostile import oracles  # noqa: PLC0415  # after the settings

        return mutate(oracles.ORACLES[name], oracles.SEEDS[name], seconds=seconds, seed=seed, name=name)
    import atheris  # noqa: PLC0415  # not for every Python

    with atheris.instrument_imports(include=["clerksync"]):
        django.setup()
        from tests.hostile import oracles  # noqa: PLC0415

    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        for number, data in enumerate(oracles.SEEDS[name]):
            Path(directory, f"seed-{number}").write_bytes(data)
        arguments = [f"-max_total_time={int(seconds)}", f"-seed={seed}", f"-max_len={LONGEST}", "-timeout=10"]
        arguments += [f"-artifact_prefix={directory}/", "-print_final_stats=1", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], *arguments, directory], oracles.ORACLES[name])
        atheris.Fuzz()
    return 0


def mutate(
    oracle: Callable[[bytes], None],
    seeds: list[bytes],
    *,
    seconds: float,
    seed: int,
    name: str,
    most: float = math.inf,
) -> int:
    """Mutate known inputs until the time, or so many, are over; the first finding is printed and ends it."""
    chance = random.Random(seed)
    end, count, pool = time.monotonic() + seconds, 0, list(seeds)
    while time.monotonic() < end and count < most:
        data = mutated(chance, pool)
        count += 1
        try:
            oracle(data)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
            print(f"{name}: {error!r} after {count} inputs, of {data!r}")
            return 1
        if chance.random() < 0.01:
            pool[chance.randrange(len(pool)) if len(pool) > 200 else len(pool) :] = [data]
    print(f"{name}: {count} inputs, nothing found")
    return 0


def mutated(chance: random.Random, pool: list[bytes]) -> bytes:
    """One of these inputs with some changes."""
    data = bytearray(chance.choice(pool))
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[place:place] = chance.choice(_PIECES)
            case 1:
                del data[place : place + chance.randrange(1, 20)]
            case 2:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case 3:
                other = chance.choice(pool)
                start = chance.randrange(len(other) + 1)
                data[place:place] = other[start : start + chance.randrange(200)]
            case _:
                data[place : place + 20] = data[place : place + 20] * chance.randrange(2, 30)
    return bytes(data[:LONGEST])


if __name__ == "__main__":
    sys.exit(main())
