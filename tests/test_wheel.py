"""The wheel and the sdist: what is in them, and a project of its own that uses nothing else of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clerksync import __version__, conf
from clerksync.testing import FakeClerk
from clerksync.testing.deliveries import WEBHOOK_SECRET
from project.defaults import BASE_DIR
from tests import databases

#: What a user's environment has beside the wheel, to run its own tests.
RUNNERS = ("pytest", "pytest-django")
PROJECT = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]

pytestmark = [
    pytest.mark.skipif(databases.kind() != "sqlite", reason="has nothing to do with our own database"),
    pytest.mark.timeout(300),
]


def run(*command: object, cwd: Path, **variables: str) -> str:
    """Run a command that has to succeed, in an environment that does not point to the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=BASE_DIR)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the source distribution and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (sources,) = folder.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=sources)
    return next(folder.glob("*.whl"))


def package_files() -> set[str]:
    """The files of the package in the checkout."""
    found = (path for path in (BASE_DIR / "clerksync").rglob("*") if path.is_file())
    return {path.relative_to(BASE_DIR).as_posix() for path in found if path.suffix != ".pyc"}


def test_wheel__holds_clerksync_alone(wheel: Path) -> None:
    """Every file of the package is in it, whatever its kind, and beside it only what tells about it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    told = {name for name in names if name.startswith(f"clerksync-{__version__}.dist-info/")}
    assert names - told == package_files()
    assert {"clerksync/py.typed", "clerksync/migrations/0001_initial.py"} <= names
    assert f"clerksync-{__version__}.dist-info/licenses/LICENSE" in told
    # Without entry points pytest cannot load the plugin on its own.
    assert not any(name.endswith("entry_points.txt") for name in told)


def test_wheel__requires_what_is_declared(wheel: Path) -> None:
    """Who installs it without extras gets the dependencies of the core."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"clerksync-{__version__}.dist-info/METADATA").decode()
    required = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    core = [requirement for requirement in required if "extra ==" not in requirement]
    assert sorted(core) == sorted(PROJECT["dependencies"])


def test_sdist__holds_the_package(sdist: Path) -> None:
    """It is made of the package and its papers, without tests and project."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    papers = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == package_files() | papers


@dataclass(frozen=True)
class Sample:
    """The sample project in a directory of its own, and a Python that it runs with."""

    folder: Path
    python: str

    def run(self, *arguments: str, **variables: str) -> str:
        """Run Python in it and return what it says; every warning is an error."""
        command = (self.python, "-W", "error", *arguments)
        return run(*command, cwd=self.folder, DJANGO_SETTINGS_MODULE="sample.settings", **variables)

    def manage(self, *arguments: str, **variables: str) -> str:
        """Run a command of Django's."""
        return self.run("-m", "django", *arguments, **variables)


def check_set_up(sample: Sample) -> None:
    """Migrations and system checks have nothing to add."""
    sample.manage("makemigrations", "--check", "--dry-run")
    keys = {"CLERK_SECRET_KEY": "sk_test_of_the_sample", "CLERK_WEBHOOK_SIGNING_SECRET": WEBHOOK_SECRET}
    assert "no issues" in sample.manage("check", "--fail-level", "WARNING", **keys)


def check_sync(sample: Sample, clerk: FakeClerk) -> None:
    """It reads the fake Clerk, once all and once nothing new."""
    clerk.create_users(600)
    sample.manage("migrate", "--verbosity", "0")
    keys = {"CLERK_SECRET_KEY": clerk.secret_key, "CLERK_API_URL": conf.settings.CLERK_API_URL}
    for told in (r"created +600\b", r"unchanged +600\b"):
        assert re.search(told, sample.manage("sync_clerk_users", "--no-progress", **keys))


def check_unittest(sample: Sample) -> None:
    """Its tests pass with the mixin."""
    assert "OK" in sample.manage("test", "sample.test_with_unittest")


def check_pytest(sample: Sample) -> None:
    """Its tests pass with the plugin, that of unittest among them."""
    told = sample.run("-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-q", "sample")
    assert re.search(r"^3 passed", told, re.MULTILINE), told


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """The sample with the clerksync of this environment."""
    shutil.copytree(BASE_DIR / "tests" / "sample", tmp_path / "sample")
    return Sample(tmp_path, sys.executable)


def test_sample__is_set_up(sample: Sample) -> None:
    """A project that uses clerksync is in order."""
    check_set_up(sample)


def test_sample__tests_itself(sample: Sample) -> None:
    """The plugin serves it, and the mixin."""
    check_pytest(sample)


def test_sample__with_the_wheel(wheel: Path, sample: Sample, clerk: FakeClerk) -> None:
    """All of that goes with the wheel, the dependencies of its core and nothing else of ours."""
    python = install(wheel, sample.folder)
    names = ["clerksync", "tests", "project", "rest_framework", "psycopg", "environ"]
    search = f"from importlib.util import find_spec; print([name for name in {names} if find_spec(name)])"
    assert run(python, "-c", search, cwd=sample.folder) == "['clerksync']\n"
    installed = Sample(sample.folder, python)
    check_set_up(installed)
    check_sync(installed, clerk)
    check_unittest(installed)
    check_pytest(installed)


def install(wheel: Path, folder: Path) -> str:
    """A Python with a wheel, what that requires and a user's test runners; the others are linked from here."""
    venv.create(folder / "venv", with_pip=False)
    scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)  # noqa: S202  # ours
    requirements = Distribution.at(packages / f"clerksync-{__version__}.dist-info").requires or []
    for one in required([*requirements, *RUNNERS]).values():
        for name in {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (packages / name).symlink_to(str(one.locate_file(name)))
    return str(folder / "venv" / "bin" / "python")


def required(requirements: Iterable[str]) -> dict[str, Distribution]:
    """What is installed here of these requirements without extras, and of all that they require."""
    found: dict[str, Distribution] = {}
    left = [(Requirement(text), frozenset[str]()) for text in requirements]
    while left:
        requirement, extras = left.pop()
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": name}) for name in extras | {""}
        ):
            continue
        here = distribution(requirement.name)
        assert requirement.specifier.contains(here.version, prereleases=True), requirement
        name = canonicalize_name(requirement.name)
        if name not in found or requirement.extras:
            found[name] = here
            left += [(Requirement(text), frozenset(requirement.extras)) for text in here.requires or ()]
    return found


@pytest.mark.parametrize("name", ["conftest", "test_with_pytest", "test_with_unittest"])
def test_readme__shows_the_sample(name: str) -> None:
    """What the README tells users to write is what the sample consists of."""
    _, _, code = (
        (BASE_DIR / "tests" / "sample" / f"{name}.py").read_text().partition("import annotations\n\n")
    )
    assert f"```python\n{code}```\n" in (BASE_DIR / "README.md").read_text()
