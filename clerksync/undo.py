"""The file that holds what was replaced in other tables, and the way back.

One line of JSON for each batch, on the disk before the batch is written; what then was not written is
named in the line after. A line that a crash has cut is of a batch that was never written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.utils import timezone
from msgspec import Struct, field

from clerksync.findings import MAX_NAMED
from clerksync.foreign import find_field, find_model, rows_of
from clerksync.guarded import MEANWHILE, Change, write

_HEADER = {"clerksync_undo": 1}


class UndoFile:
    """A new file, which only its owner may read; it is made with the first batch.

    Args:
        path: Where; None for a name with the time, in the current directory.

    Raises:
        ImproperlyConfigured: The file is there already.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(f"clerksync-undo-{timezone.now():%Y%m%dT%H%M%S%f}.jsonl")
        self._file: IO[str] | None = None
        if self.path.exists():
            raise _there_already(self.path)

    @property
    def is_used(self) -> bool:
        """Whether anything was written."""
        return self._file is not None

    def record(self, model: type[Model], changes: Sequence[Change]) -> None:
        """Bring these changes to the disk, before they are made."""
        self._write({"model": model._meta.label, "changes": [list(change[:4]) for change in changes]})

    def forget(self, changes: Sequence[Change]) -> None:
        """Note which of them were not made after all."""
        if changes:
            self._write({"not_written": [[change.pk, change.field] for change in changes]})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            self._file = _create(self.path)
            self._file.write(json.dumps(_HEADER) + "\n")
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


class Restored(Struct):
    """What a way back did; ``skipped`` says why by row and field, 100 at most."""

    restored: int = 0
    not_restored: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

    def skip(self, model: type[Model], change: Change, reason: str) -> None:
        """Note a value that stays as it is."""
        self.not_restored += 1
        if len(self.skipped) < MAX_NAMED:
            self.skipped[f"{model._meta.label} {change.pk} {change.field}"] = reason


def restore(path: Path, *, dry_run: bool = False) -> Restored:
    """Put back what was replaced, where the value that was put in its place is still there.

    Raises:
        ImproperlyConfigured: It is no such file, or its models are not what they were.
    """
    done = Restored()
    for model, changes in _batches(path):
        back = [Change(pk=one.pk, field=one.field, old=one.new, new=one.old) for one in changes]
        problems = _preview(model, back) if dry_run else write(model, back)
        for change, reason in problems.items():
            done.skip(model, change, reason)
        done.restored += len(back) - len(problems)
    return done


def _preview(model: type[Model], changes: Sequence[Change]) -> dict[Change, str]:
    names = {change.field for change in changes}
    rows = rows_of(model).filter(pk__in=[change.pk for change in changes]).values("pk", *names)
    now = {str(row["pk"]): row for row in rows}
    return {change: MEANWHILE for change in changes if now.get(change.pk, {}).get(change.field) != change.old}


def _batches(path: Path) -> Iterator[tuple[type[Model], list[Change]]]:
    """The changes of each batch that may have been made."""
    pending: tuple[type[Model], list[Change]] | None = None
    for line in _lines(path):
        if "not_written" in line and pending is not None:
            left_out = {(pk, name) for pk, name in line["not_written"]}
            yield pending[0], [one for one in pending[1] if (one.pk, one.field) not in left_out]
            pending = None
            continue
        if pending is not None:
            yield pending
        pending = _batch(line)
    if pending is not None:
        yield pending


def _batch(line: dict[str, Any]) -> tuple[type[Model], list[Change]]:
    model = find_model(line["model"])
    changes = [Change(*values) for values in line["changes"]]
    for name in {change.field for change in changes}:
        find_field(model, name)
    return model, changes


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        number = 0
        for number, text in enumerate(file, start=1):
            try:
                line = json.loads(text)
            except ValueError:
                if number > 1 and not text.endswith("\n"):
                    return  # cut by a crash, before anything of it was written
                raise _no_undo_file(path, number) from None
            if number == 1:
                if line != _HEADER:
                    raise _no_undo_file(path, number)
            elif isinstance(line, dict) and line.keys() in ({"model", "changes"}, {"not_written"}):
                yield line
            else:
                raise _no_undo_file(path, number)
    if number == 0:
        raise _no_undo_file(path, 1)


def _create(path: Path) -> IO[str]:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _there_already(path) from None
    # The name, too, has to be on the disk.
    directory = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return os.fdopen(number, "w", encoding="utf-8")


def _there_already(path: Path) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{path} is there already; name another file with --undo-file")


def _no_undo_file(path: Path, number: int) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{path}, line {number}, is not of a file that --fix has written")
