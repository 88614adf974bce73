"""Rules of the package that are about calls, not imports: those stand in `pyproject.toml`."""

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "spacy_bio_crf"
FRAGILE = {"ops", "_version", "clear_autocast_cache", "TorchFunctionMode", "TorchDispatchMode"}
Calls = Callable[[ast.AST], bool]


def fragile_torch(node: ast.AST) -> bool:
    """Does torch promise nothing of what stands here? Private names, operators of its backends."""
    if isinstance(node, ast.Import):
        return any(_fragile(alias.name) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return any(_fragile(f"{node.module}.{alias.name}") for alias in node.names)
    if isinstance(node, ast.Attribute):
        return node.attr == "_version" or _fragile(ast.unparse(node))
    return False


def _fragile(name: str) -> bool:
    root, *parts = name.split(".")
    private = [part for part in parts if part.startswith("_") and not part.startswith("__")]
    return root == "torch" and bool(private or FRAGILE.intersection(parts))


def writes_to_docs(node: ast.AST) -> bool:
    """Does this set entities, a group of spans or an extension?"""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in (
            "set_ents",
            "set_extension",
        )
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    return any(map(_of_doc, targets))


def _of_doc(target: ast.expr) -> bool:
    if isinstance(target, ast.Subscript):
        return isinstance(target.value, ast.Attribute) and target.value.attr == "spans"
    return isinstance(target, ast.Attribute) and target.attr == "ents"


def prints(node: ast.AST) -> bool:
    """Does this write to the terminal?"""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "print"
    return isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr")


def places(found: Calls) -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if found(node):
                yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("found", "allowed"),
    [
        (fragile_torch, ("kernels/", "training/optimizer.py:")),
        (
            writes_to_docs,
            # Evaluation writes to copies of its own.
            ("pipes/", "corpora/build.py:", "corpora/corrections.py:", "metrics/documents.py:"),
        ),
        (prints, ("cli/",)),
    ],
)
def test_only_some_modules_do_it(found: Calls, allowed: tuple[str, ...]) -> None:
    everywhere = list(places(found))
    elsewhere = [place for place in everywhere if not place.startswith(allowed)]
    assert not elsewhere


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (fragile_torch, "torch._int_mm(a, b)"),
        (fragile_torch, "torch.ops.mkldnn._linear_pointwise(x)"),
        (fragile_torch, "torch.cpu._is_vnni_supported()"),
        (fragile_torch, "weight._version"),
        (fragile_torch, "from torch.utils._python_dispatch import TorchDispatchMode"),
        (fragile_torch, "from torch.overrides import TorchFunctionMode"),
        (fragile_torch, "import torch._dynamo"),
        (writes_to_docs, "doc.set_ents([])"),
        (writes_to_docs, "doc.spans['a'] = []"),
        (writes_to_docs, "del doc.spans['a']"),
        (writes_to_docs, "doc.ents = []"),
        (writes_to_docs, "Span.set_extension('confidence', default=None)"),
        (prints, "print(1)"),
        (prints, "sys.stderr.write('1')"),
    ],
)
def test_it_is_seen(found: Calls, code: str) -> None:
    assert any(map(found, ast.walk(ast.parse(code))))


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (fragile_torch, "torch.__version__; torch.nn.functional.linear(x, w); self._weight"),
        (writes_to_docs, "ents = doc.ents; group = doc.spans['a']; values['a'] = 1"),
        (prints, "sys.exit(1); self.print(1)"),
    ],
)
def test_nothing_else_is(found: Calls, code: str) -> None:
    assert not any(map(found, ast.walk(ast.parse(code))))


def imported_by(module: str, run_python: Callable[..., str]) -> set[str]:
    return set(run_python(f"import sys, {module}; print(*sys.modules, sep='\\n')").splitlines())


# Rooms, and modules of rooms, that a room which does without the tagger loads.
ALONE = {
    "metrics": {"tags", "io", "errors", "doc_scores"},
    "corpora": {"tags", "io", "errors", "gold", "gold.misfits"},
    "bulk": {"tags", "io", "errors", "doc_scores", "cores"},
}


@pytest.mark.parametrize("room", ALONE)
def test_a_room_loads_nothing_of_the_tagger(room: str, run_python: Callable[..., str]) -> None:
    modules = imported_by(f"spacy_bio_crf.{room}", run_python)
    own = {name.partition(".")[2] for name in modules if name.startswith("spacy_bio_crf.")}
    beside = {name for name in own if name.split(".")[0] != room}
    assert {name for name in beside if name.startswith("gold")} <= ALONE[room]
    assert {name.split(".")[0] for name in beside} <= ALONE[room] and room in own
    assert not {"transformers", "matplotlib", "pyarrow"} & modules


def test_the_engine_imports_torch_alone(run_python: Callable[..., str]) -> None:
    modules = imported_by("spacy_bio_crf.crf", run_python)
    own = {name for name in modules if name.startswith("spacy_bio_crf.")}
    assert {name.split(".")[1] for name in own} == {"crf"}
    assert "torch" in modules and not modules & {"spacy", "thinc", "transformers"}


def test_contributing_has_the_rooms_in_the_order_of_the_contract() -> None:
    # Python 3.10 can't read TOML.
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    layers = settings.partition("\nlayers = [\n")[2].partition("]")[0].splitlines()
    rooms = [set(re.findall(r"\w+", layer)) - {"__main__"} for layer in layers]
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    cells = re.findall(r"^\| (`[^|]+`) \|", page, flags=re.MULTILINE)
    assert [set(re.findall(r"\w+", cell)) for cell in cells] == [own for own in rooms if own]
