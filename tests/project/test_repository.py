"""Files around the package agree with one another: metadata, versions, workflows, citation."""

import re
from pathlib import Path
from typing import Any

import pytest
import srsly
from packaging.requirements import Requirement
from packaging.version import Version
from setuptools._distutils.filelist import FileList

from spacy_bio_crf import __version__
from tests.support.paths import ROOT

SETS = ["constraints.txt", "constraints-next.txt", "constraints-lowest.txt"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    found: dict[str, Any] = {}
    names: dict[str, Any] = {"__file__": str(ROOT / "setup.py"), "__name__": "setup"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("setuptools.setup", lambda **values: found.update(values))
        exec(compile((ROOT / "setup.py").read_text(encoding="utf8"), "setup.py", "exec"), names)
    return found


def requirements(metadata: dict[str, Any]) -> list[Requirement]:
    extras = [line for lines in metadata["extras_require"].values() for line in lines]
    return [Requirement(line) for line in metadata["install_requires"] + extras]


def pins(name: str) -> dict[str, set[Version]]:
    """The versions of a set: several where they depend on Python's."""
    found: dict[str, set[Version]] = {}
    for line in (ROOT / name).read_text(encoding="utf8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            (specifier,) = pin.specifier
            assert specifier.operator == "==", line
            found.setdefault(pin.name, set()).add(Version(specifier.version))
    return found


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_within_the_ranges_of_setup(metadata: dict[str, Any], name: str):
    pinned = pins(name)
    for requirement in requirements(metadata):
        for version in pinned.get(requirement.name, ()):
            assert version in requirement.specifier, f"{requirement} and {version} of {name}"


def test_the_lowest_set_is_the_lower_bounds(metadata: dict[str, Any]):
    bounds = {
        requirement.name: {Version(s.version) for s in requirement.specifier if s.operator == ">="}
        for requirement in map(Requirement, metadata["install_requires"])
    }
    lowest = pins("constraints-lowest.txt")
    assert {name: bound for name, bound in bounds.items() if bound} == {
        name: versions for name, versions in lowest.items() if name in bounds
    }


def test_the_sets_differ_in_what_they_are_for():
    (older,), (newer,) = pins(SETS[0])["transformers"], pins(SETS[1])["transformers"]
    assert older < Version("4.53.3") and newer >= Version("5")
    assert "spacy-transformers" in pins(SETS[0]) and "spacy-transformers" not in pins(SETS[1])


def test_spacy_transformers_is_an_extra(metadata: dict[str, Any]):
    names = {
        group: {Requirement(line).name for line in lines}
        for group, lines in metadata["extras_require"].items()
    }
    assert "spacy-transformers" not in {
        Requirement(line).name for line in metadata["install_requires"]
    }
    assert names["shared"] == {"spacy-transformers"}
    notebooks = {"ipykernel", "jupytext", "nbmake"}
    assert names["dev"] - names["test"] == {"spacy-transformers", "ray", *notebooks}
    assert names["parquet"] | names["report"] < names["test"]
    assert [group for group, packages in names.items() if "pyspark" in packages] == ["spark"]


def test_every_python_is_named_and_tested(metadata: dict[str, Any]):
    named = [c.rpartition(" :: ")[2] for c in metadata["classifiers"] if "Python :: 3." in c]
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf8")
    matrix = srsly.yaml_loads(workflow)["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == named
    assert metadata["python_requires"] == f">={named[0]}"
    assert set(matrix["constraints"]) == {each["constraints"] for each in matrix["include"]}
    assert f"Python {named[0]} or newer" in (ROOT / "README.md").read_text(encoding="utf8")


def test_the_sdist_has_what_the_folders_have():
    fetched = {"e5", "encoder", "__pycache__"}
    names = {
        str(path.relative_to(ROOT))
        for folder in ("assets", "benchmarks", "configs", "docs", "scripts", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not fetched & {*path.relative_to(ROOT).parts}
    }
    packed = FileList()
    packed.allfiles = sorted(names)
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf8").splitlines():
        # Other lines are about files that are not in these folders.
        if not line.startswith("global-exclude"):
            packed.process_template_line(line)
    assert names == {*packed.files}


def test_the_version_is_one(metadata: dict[str, Any]):
    citation = srsly.yaml_loads((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert citation["version"] == metadata["version"] == __version__
    assert citation["license"] == metadata["license"]


def test_tools_have_one_version():
    hooks = srsly.yaml_loads((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf8"))
    (ruff,) = (repo["rev"] for repo in hooks["repos"] if "ruff" in repo["repo"])
    assert {Version(ruff)} == pins(SETS[0])["ruff"] == pins(SETS[1])["ruff"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_files_that_are_there(path: Path):
    text = path.read_text(encoding="utf8")
    named = re.findall(r"(?:scripts|tests)/[\w/]+(?:\.\w+)?|constraints[\w-]*\.txt", text)
    assert len(named) > 1
    for name in named:
        assert (ROOT / name).exists(), name
    # Of several, pytest takes the last one.
    assert not re.search(r" -m \"not [^\n]* -m \"not ", text)
