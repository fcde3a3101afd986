"""The file of what was replaced, and the way back."""

from __future__ import annotations

import json
import random
import stat
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured

from clerksync.undo import Restored, UndoFile, restore
from tests.links import add_row
from tests.test_fills import NAMES, PARTS, UNIQUE, fix, user, values

pytestmark = pytest.mark.django_db


def filled(path: Path, *names: str) -> Path:
    """The file of a repair of these users."""
    for name in names:
        add_row(f"user_{name}", email=f"{name}@harbour-works.io")
        user(f"user_{name}", email=f"user_{name}@example.com")
    assert fix(path, NAMES).filled == len(names)
    return path / "undo.jsonl"


def emails() -> list[str]:
    """Of all rows, in their order."""
    return list(User.objects.order_by("pk").values_list("email", flat=True))


def test_file__for_its_owner_alone(tmp_path: Path) -> None:
    """It holds personal data."""
    assert stat.S_IMODE(filled(tmp_path, "a").stat().st_mode) == 0o600


def test_file__has_what_was_replaced(tmp_path: Path) -> None:
    """A header, and for each batch the row, the field, the old and the new value."""
    header, batch = filled(tmp_path, "a").read_text().splitlines()
    assert json.loads(header) == {"clerksync_undo": 1}
    pk = str(User.objects.get().pk)
    assert json.loads(batch) == {
        "model": "auth.User",
        "changes": [[pk, "email", "user_a@example.com", "a@harbour-works.io"]],
    }


def test_file__never_overwritten(tmp_path: Path) -> None:
    """A file that is there is left alone, from the beginning or if it comes in between."""
    path = tmp_path / "undo.jsonl"
    early = UndoFile(path)
    path.write_text("mine")
    with pytest.raises(ImproperlyConfigured, match="is there already; name another file"):
        UndoFile(path)
    with pytest.raises(ImproperlyConfigured, match="is there already"):
        early.record(User, [])
    assert path.read_text() == "mine"


def test_file__named_by_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default it lies in the current directory, under a name of its own."""
    monkeypatch.chdir(tmp_path)
    first, second = UndoFile(), UndoFile()
    assert first.path.parent == Path()
    assert first.path != second.path
    assert first.path.name.startswith("clerksync-undo-")


def test_restore__everything(tmp_path: Path) -> None:
    """The table is as it was before."""
    path = filled(tmp_path, "a", "b")
    assert emails() == ["a@harbour-works.io", "b@harbour-works.io"]
    assert restore(path) == Restored(restored=2)
    assert emails() == ["user_a@example.com", "user_b@example.com"]


def test_restore__only_what_we_wrote(tmp_path: Path) -> None:
    """What was changed since stays, also if the row is gone; a second time nothing is left to do."""
    path = filled(tmp_path, "a", "b", "c")
    User.objects.filter(username="user_a").update(email="newer@harbour-works.io")
    gone = User.objects.get(username="user_b")
    pk = gone.pk
    gone.delete()
    done = restore(path)
    assert (done.restored, done.not_restored) == (1, 2)
    assert done.skipped[f"auth.User {pk} email"] == "it was changed meanwhile"
    assert emails() == ["newer@harbour-works.io", "user_c@example.com"]
    assert restore(path).restored == 0


def test_restore__dry_run(tmp_path: Path) -> None:
    """A preview counts the same, and writes nothing."""
    path = filled(tmp_path, "a", "b")
    User.objects.filter(username="user_a").update(email="newer@harbour-works.io")
    before = values()
    done = restore(path, dry_run=True)
    assert (done.restored, done.not_restored, values()) == (1, 1, before)


def test_restore__not_what_was_never_written(tmp_path: Path) -> None:
    """A value that could not be filled is not taken from those who have it by themselves."""
    for name in "ab":
        add_row(f"user_{name}", email=f"{name}@harbour-works.io")
        User.objects.create(password=f"user_{name}", username=f"user_{name}@example.com")
    taken = User.objects.create(username="b@harbour-works.io")
    assert fix(tmp_path, UNIQUE).filled == 1
    taken.delete()
    User.objects.filter(password="user_b").update(username="b@harbour-works.io")
    assert restore(tmp_path / "undo.jsonl") == Restored(restored=1)
    assert User.objects.get(password="user_b").username == "b@harbour-works.io"


def test_restore__value_that_is_taken_by_now(tmp_path: Path) -> None:
    """What the database refuses is told, and the rest is put back."""
    for name in "ab":
        add_row(f"user_{name}", email=f"{name}@harbour-works.io")
        User.objects.create(password=f"user_{name}", username=f"user_{name}@example.com")
    fix(tmp_path, UNIQUE)
    User.objects.create(username="user_a@example.com")
    done = restore(tmp_path / "undo.jsonl")
    assert (done.restored, list(done.skipped.values())) == (1, ["another row has this value"])
    assert User.objects.get(password="user_b").username == "user_b@example.com"


def test_restore__line_that_a_crash_has_cut(tmp_path: Path) -> None:
    """Of a batch that is not whole in the file nothing was written."""
    path = filled(tmp_path, "a")
    with path.open("a") as file:
        file.write('{"model": "auth.User", "changes": [["1", "em')
    assert restore(path) == Restored(restored=1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_restore__whatever_was_there(tmp_path: Path, seed: int) -> None:
    """A repair replaces placeholders by what the mirror holds and touches nothing else; undone, all is as before."""
    chance = random.Random(seed)
    for number in range(300):
        real = {"email": f"n{number}@harbour-works.io", "first_name": "Ada", "last_name": "Byron"}
        clerk_id = f"user_{number}"
        if chance.random() < 0.9:
            add_row(clerk_id, **{name: chance.choice([value, value, None]) for name, value in real.items()})
        made_up = {"email": f"{clerk_id}@example.com", "first_name": "undefined", "last_name": "undefined"}
        others = {"email": "other@tidegate-press.com", "first_name": "Solveig", "last_name": ""}
        user(clerk_id, **{name: chance.choice([real, made_up, others])[name] for name in real})
    before = values()
    summary = fix(tmp_path, PARTS)
    changed = [
        (old[name], new[name])
        for old, new in zip(before, values(), strict=True)
        for name in old
        if old[name] != new[name]
    ]
    assert len(changed) == summary.filled != 0
    assert all("@example.com" in old or old == "undefined" for old, _ in changed)
    assert all(new in ("Ada", "Byron") or "@harbour-works.io" in new for _, new in changed)
    assert restore(tmp_path / "undo.jsonl") == Restored(restored=summary.filled)
    assert values() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense\n",
        '{"clerksync_undo": 2}\n',
        '{"clerksync_undo": 1}\nnonsense\n{}\n',
        '{"clerksync_undo": 1}\n{"model": "auth.User"}\n',
    ],
)
def test_restore__another_file(tmp_path: Path, text: str) -> None:
    """A file that is none of ours is refused."""
    path = tmp_path / "other"
    path.write_text(text)
    with pytest.raises(ImproperlyConfigured, match="is not of a file that --fix has written"):
        restore(path)


@pytest.mark.parametrize(
    ("model", "name"), [("auth.Gone", "email"), ("auth.User", "is_staff"), ("clerksync.ClerkUser", "email")]
)
def test_restore__models_that_changed(tmp_path: Path, model: str, name: str) -> None:
    """Models and fields must still be what they were; the mirror is never written to."""
    path = tmp_path / "undo.jsonl"
    batch = {"model": model, "changes": [["1", name, "old", "new"]]}
    path.write_text(json.dumps({"clerksync_undo": 1}) + "\n" + json.dumps(batch) + "\n")
    with pytest.raises(ImproperlyConfigured):
        restore(path)
