"""Check the package: sizes, names, tests and docstrings of its modules, and American spelling.

    python scripts/check_house.py

Exit code 1 if anything is wrong.
"""

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "spacy_bio_crf"
MOST_LINES = 400
BRITISH = re.compile(
    "behaviour|centre|colour|favour|grey|licence|learnt|neighbour|can not|cannot|"
    "[a-z]+(?:al|im|in|gn|ken)is(?:e|ing|ation)",
    re.IGNORECASE,
)
# Names of checks in the JSON of `bio-ner debug`, as users have them, and Python's own words.
KEPT = re.compile('[`"](?:neighbours|unlearnt_labels)[`"]|cannot import name')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the project")
    arguments = parser.parse_args()
    modules = find_modules(arguments.root)
    faults = [fault for check in CHECKS for fault in check(arguments.root, modules)]
    for fault in faults:
        print(f"error: {fault}")
    print(f"{PACKAGE}: {len(modules)} modules, {sum(map(count_lines, modules)):,} lines")
    return int(bool(faults))


def find_modules(root: Path) -> list[Path]:
    """Find all modules of the package.

    root (Path): The project's folder.
    RETURNS (list[Path]): Their files, in order.
    """
    return sorted((root / PACKAGE).rglob("*.py"))


def long_modules(root: Path, modules: list[Path]) -> Iterator[str]:
    """Modules with too many lines."""
    for path in modules:
        if (found := count_lines(path)) > MOST_LINES:
            yield f"{path.relative_to(root)}: expected {MOST_LINES} lines at the most, got {found}"


def equal_modules(root: Path, modules: list[Path]) -> Iterator[str]:
    """Modules that share their name with another one, in whatever room."""
    places = defaultdict(list)
    for path in modules:
        if path.stem != "__init__":
            places[path.stem].append(str(path.relative_to(root)))
    for name, files in places.items():
        if len(files) > 1:
            yield f"module {name}: expected one, got {', '.join(files)}"


def equal_names(root: Path, modules: list[Path]) -> Iterator[str]:
    """Public classes, functions and constants that share their name with another one."""
    places = defaultdict(list)
    for path in modules:
        for name in public_names(ast.parse(path.read_text(encoding="utf-8"))):
            places[name].append(str(path.relative_to(root)))
    for name, files in places.items():
        if len(files) > 1:
            yield f"name {name}: expected one definition, got {', '.join(files)}"


def missing_tests(root: Path, modules: list[Path]) -> Iterator[str]:
    """Modules without a test file of their name in the folder of their room."""
    for path in modules:
        if path.stem == "__init__":
            continue
        room = path.relative_to(root / PACKAGE).parts[:-1][:1]
        test = Path("tests", *room, f"test_{path.stem}.py")
        if not (root / test).is_file():
            yield f"{path.relative_to(root)}: expected its tests in {test}, got no such file"


def vague_docstrings(root: Path, modules: list[Path]) -> Iterator[str]:
    """Modules whose docstring is missing, or begins with a question word."""
    for path in modules:
        text = path.read_text(encoding="utf-8")
        first = (ast.get_docstring(ast.parse(text)) or "").partition(" ")[0]
        if (text and not first) or first.lower() in ("how", "that", "what", "where", "which"):
            got = first or "none"
            yield f"{path.relative_to(root)}: expected a docstring with a noun or verb, got {got}"


def british_spelling(root: Path, modules: list[Path]) -> Iterator[str]:
    """Words of the package and its documentation in British spelling."""
    documents = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    for path in [*modules, *sorted(documents)]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for found in BRITISH.findall(KEPT.sub("", line)):
                place = f"{path.relative_to(root)}, line {number}"
                yield f"{place}: expected American spelling, got {found}"


CHECKS: list[Callable[[Path, list[Path]], Iterator[str]]] = [
    long_modules,
    equal_modules,
    equal_names,
    missing_tests,
    vague_docstrings,
    british_spelling,
]


def public_names(module: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level, imported ones and those with _ apart."""
    names: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                names |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
    return (name for name in sorted(names) if not name.startswith("_"))


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    sys.exit(main())
