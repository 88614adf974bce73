"""Every block of Python in the documentation runs and prints what the page says.

The pages of the tutorials run in the order of the site's menu, in one folder: the first one saves
the pipeline that the others load. A page has one namespace. Commands that begin with `python` run
in this process, others in a shell; blocks in other languages (configurations, containers) do not
run.
"""

import contextlib
import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import run_here
from tests.support.paths import ROOT
from tests.support.tutorials import BLOCK, MENU


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "assets" / "encoder").exists():
        pytest.skip("assets/encoder is not there: `make setup` fetches it")
    folder = tmp_path_factory.mktemp("docs")
    (folder / "assets").symlink_to(ROOT / "assets")
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'href="install/"' in home and 'href="contributing/"' in home
    reference = tmp_path / "site" / "reference" / "component" / "index.html"
    assert "marginals" in reference.read_text(encoding="utf-8")


def test_the_menu_has_all_tutorials() -> None:
    pages = {f"tutorials/{path.name}" for path in (ROOT / "docs" / "tutorials").glob("*.md")}
    assert pages == set(MENU)


@pytest.mark.parametrize("page", MENU)
def test_tutorial(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "tutorials/production.md":
        pytest.importorskip("fastapi")
    monkeypatch.chdir(folder)
    names: dict = {"__name__": page}
    blocks = list(BLOCK.finditer((ROOT / "docs" / page).read_text(encoding="utf-8")))
    assert blocks
    for block in blocks:
        if block["language"] == "bash":
            printed = shell(block["code"])
        else:
            printed = run(block["code"], page, names)
        if block["output"] is not None:
            assert printed == block["output"]


def run(code: str, page: str, names: dict) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), names)
    return printed.getvalue()


def shell(code: str) -> str:
    printed = ""
    for command in code.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(command, comments=True) or [""]
        if program == "python":
            printed += run_here(arguments)
        elif program:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr + done.stdout
            printed += done.stdout
    return printed
