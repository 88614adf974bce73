"""Ray's workers write what this machine writes, and go on after one that dies."""

import pickle
from pathlib import Path

import pytest
from spacy.language import Language

from spacy_bio_crf.bulk import AnnotateError, Counts, annotate, annotate_rows
from spacy_bio_crf.bulk.inputs import Input
from spacy_bio_crf.bulk.outputs import Output
from spacy_bio_crf.bulk.parts_folder import PartsFolder
from spacy_bio_crf.bulk.work import PartResult, Work
from tests.support.annotate_tools import make_ruler
from tests.support.ray_tools import Workshop, cluster, rows_of  # noqa: F401

pytest.importorskip("ray")

import pyarrow as pa
import ray.data

from spacy_bio_crf.bulk import on_ray
from spacy_bio_crf.bulk.on_ray import RayCluster, annotate_dataset

# ruff: noqa: F811

TEXTS = [f"Ana Ruiz {i} in Rio{' !' * (i % 5)}" for i in range(60)]
OPTIONS = {"docs_per_file": 5, "one_file": True}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


class Two:
    """One input, annotated here and by Ray."""

    def __init__(self, shop: Workshop, texts: list[str], **options: object) -> None:
        shop.save(**options)
        self.shop, self.load = shop, shop.load()
        self.nlp: Language = self.load()
        self.path = shop.path / "a.txt"
        self.path.write_text("\n".join(texts))

    def on_ray(self, output: str = "ray.jsonl", **options):
        seen: list = []
        engine = options.pop("engine", RayCluster(workers=2))
        options = {**OPTIONS, "load": self.load, "code": self.shop.code, **options}
        target = self.shop.path / output
        counts = annotate(self.nlp, self.path, target, engine=engine, report=seen.append, **options)
        return target, counts, seen

    def here(self, output: str = "here.jsonl", **options) -> Path:
        target = self.shop.path / output
        annotate(self.nlp, self.path, target, **{**OPTIONS, "code": self.shop.code, **options})
        return target


def test_two_workers_write_what_one_process_writes(shop, cluster):
    two = Two(shop, [*TEXTS, "poison", *TEXTS], crowd=2)
    target, counts, seen = two.on_ray(skip_bad=True)
    assert len(shop.pids()) == 2
    assert counts.documents == 120 and counts.skipped == 1
    assert [bad.place for progress in seen for bad in progress.skipped] == [f"{two.path}, line 61"]
    assert seen[0].done == 0 and seen[-1].done == seen[-1].total and len(seen) == 26
    assert sorted(p.done for p in seen) == [p.done for p in seen]
    # Nothing is left beside the file.
    assert not list(shop.path.glob("*.parts"))
    assert target.read_bytes() == two.here(skip_bad=True).read_bytes()


@pytest.mark.parametrize("suffix", ["parquet", pytest.param("spacy", marks=pytest.mark.long)])
def test_workers_with_gpus_and_relative_paths(shop, cluster, monkeypatch, suffix):
    """With GPUs, other tasks read. The rows of .spacy have the paths in them."""
    two = Two(shop, TEXTS)
    monkeypatch.chdir(shop.path)
    two.path, shop.path = Path("a.txt"), Path()
    target, _, _ = two.on_ray(
        f"ray.{suffix}", load=shop.load(), engine=RayCluster(num_gpus=0.5, workers=1)
    )
    assert target.read_bytes() == two.here(f"here.{suffix}").read_bytes()


def test_a_bad_record_ends_a_run_that_any_engine_takes_up(shop, cluster):
    two = Two(shop, [*TEXTS[:30], "poison", *TEXTS[30:]])
    with pytest.raises(AnnotateError) as caught:
        two.on_ray()
    assert str(caught.value) == (
        f"{two.path}, line 31: the pipeline failed: RuntimeError: can't read poison; `skip_bad` "
        "leaves such records out"
    )
    done = list((shop.path / "ray.jsonl.parts").glob("part-*"))
    assert len(done) < 13
    before = {path.name: path.stat().st_mtime_ns for path in done}
    # The parts are joined in the end: before that, they are those of the first run.
    two.here("ray.jsonl", skip_bad=True, shard=(1, 1))
    after = {p.name: p.stat().st_mtime_ns for p in (shop.path / "ray.jsonl.parts").glob("part-*")}
    assert before.items() <= after.items() and len(after) == 13
    target, counts, _ = two.on_ray(skip_bad=True)
    assert counts.skipped == 1
    assert [row["text"] for row in rows_of(target)] == TEXTS


@pytest.mark.parametrize("lives", [2, pytest.param(9, marks=pytest.mark.long)])
def test_a_worker_that_dies(shop, cluster, lives):
    two = Two(shop, [*TEXTS[:30], "deadly", *TEXTS[30:]], lives=lives)
    if lives == 2:
        target, _, _ = two.on_ray()
        assert [row["text"] for row in rows_of(target)] == [*TEXTS[:30], "deadly", *TEXTS[30:]]
        assert len(list(shop.marks.glob("life-*"))) == 2
    else:
        with pytest.raises(AnnotateError) as caught:
            two.on_ray()
        assert str(caught.value) == (
            "a.txt, records 31 to 35: expected a process that annotates it, got 3 that died, maybe "
            "for want of memory"
        )
        assert len(list(shop.marks.glob("life-*"))) == 3


def test_workers_with_another_pipeline_or_none(shop, cluster):
    two = Two(shop, TEXTS)
    shop.save("other", pause=0.001)
    with pytest.raises(AnnotateError) as caught:
        two.on_ray(load=shop.load("other"))
    told = str(caught.value)
    assert f": {shop.path}/other: expected the pipeline with which the run began, '" in told
    assert told.endswith("; `restart` begins anew")
    with pytest.raises(AnnotateError, match="/none: expected a pipeline: "):
        two.on_ray(load=shop.load("none"))


def test_input_that_changes_during_a_run(shop, cluster):
    two = Two(shop, TEXTS)
    content = two.path.read_text()

    class Changing(RayCluster):
        def run(self, work, load, parts):
            two.path.write_text(content.replace("Ruiz 7 ", "Ruis 7 "))
            return super().run(work, load, parts)

    with pytest.raises(AnnotateError, match="records 6 to 10: the content has changed since the"):
        two.on_ray(engine=Changing())
    # As every engine says it.
    with pytest.raises(AnnotateError) as caught:
        two.path.write_text(content.replace("Ruiz", "Ruis"))
        two.here("ray.jsonl")
    assert "expected the content of an earlier run, got another" in str(caught.value)


def test_a_finished_run_needs_no_cluster(shop, monkeypatch):
    two = Two(shop, TEXTS)
    two.here("out", one_file=False)
    monkeypatch.setattr(RayCluster, "_connected", None)
    _, counts, _ = two.on_ray("out", one_file=False)
    assert counts.documents == 60


# -- datasets -------------------------------------------------------------------------------------


def test_a_dataset(shop, cluster):
    two = Two(shop, TEXTS)
    rows = [{"id": i, "text": text} for i, text in enumerate([*TEXTS, "poison"])]
    options = {"code": shop.code, "entities_key": "ents", "workers": 1}
    dataset = ray.data.from_items(rows, override_num_blocks=3)
    found = annotate_dataset(dataset, shop.path / "model", skip_bad=True, **options)
    expected = annotate_rows(two.nlp, rows, entities_key="ents", skip_bad=True).rows
    got = sorted(found.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in got] == [*range(60)]
    for row, wanted in zip(got, expected, strict=True):
        entities = [{k: v for k, v in e.items() if v is not None} for e in row.pop("ents")]
        assert {**row, "ents": entities} == wanted
    with pytest.raises(Exception, match="poison"):
        annotate_dataset(dataset, shop.path / "model", **options).take_all()


def test_a_dataset_whose_workers_have_another_pipeline(shop, cluster, monkeypatch):
    shop.save()
    monkeypatch.setattr(on_ray, "pipeline_digest", lambda nlp, code: "another")
    dataset = ray.data.from_items([{"text": "Rio"}])
    found = annotate_dataset(dataset, shop.path / "model", code=shop.code)
    with pytest.raises(
        Exception, match="expected the pipeline with which the run began, 'another'"
    ):
        found.take_all()


# -- without a cluster ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers: expected 1 or more, got 0"),
        ({"cores": 0}, "cores: expected 1 or more, got 0"),
        ({"num_gpus": -0.5}, "num_gpus: expected 0 or more, got -0.5"),
    ],
)
def test_what_a_worker_can_not_get(options, message):
    with pytest.raises(AnnotateError) as caught:
        RayCluster(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "cpus", "gpus"),
    [
        ({}, 1, None),
        ({"cores": 4}, 4, None),
        ({"num_gpus": 0.5}, 0, 0.5),
        ({"num_gpus": 1, "cores": 2}, 2, 1),
    ],
)
def test_what_a_worker_gets(options, cpus, gpus):
    found = RayCluster(workers=7, **options)._resources()
    assert (found["num_cpus"], found["num_gpus"]) == (cpus, gpus)
    assert (found["compute"].min_size, found["compute"].max_size) == (1, 7)


@pytest.mark.parametrize("error", [ConnectionError("no cluster"), RuntimeError("no cluster")])
def test_a_cluster_that_is_not_there(shop, monkeypatch, error):
    def refused(*args, **options):
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(AnnotateError, match="^address: expected a cluster of Ray, got no cluster$"):
        Two(shop, TEXTS).on_ray(engine=RayCluster("nowhere"))


def test_what_a_worker_does_after_the_death_of_another(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("Rio\nAna Ruiz")
    source = Input(tmp_path / "a.txt", "auto", "text", "entities")
    work = Work(source, PartsFolder(tmp_path), Output("jsonl", "entities", None), None, False)
    work.folder.begin_run()
    monkeypatch.setattr(on_ray, "_fetch", lambda task: work)
    (part,) = source.parts(10)
    (table,) = on_ray._read_parts(None, [part])

    def do(load):
        (account,) = on_ray._PartWorker(None, load)(table)
        (content,) = account[on_ray.COLUMN].to_pylist()
        return pickle.loads(content)

    for _ in range(3):
        work.folder.begin_part(0)
    died = (
        f"{part}: expected a process that annotates it, got 3 that died, maybe for want of memory"
    )
    assert do(pytest.fail) == died
    work.folder.end_part(0)
    work.folder.begin_part(0)
    result = do(make_ruler)
    assert result == PartResult(part.size, Counts(2, 3, 2, 0), [])
    assert not list(tmp_path.glob(".*"))
    # It had written the part, and died before it told.
    work.folder.begin_part(0)
    (path,) = tmp_path.glob("part-*")
    path.write_text("as it was")
    assert do(pytest.fail) == result and path.read_text() == "as it was"


@pytest.mark.parametrize(
    ("n_parts", "workers", "sizes"),
    [(5, 1, {1}), (64, 1, {8}), (67, 1, {8, 3}), (64, 2, {4}), (1000, 200, {1})],
)
def test_parts_of_a_task(n_parts: int, workers: int, sizes: set[int]):
    groups = on_ray._groups(range(n_parts), workers)
    assert {len(group) for group in groups} == sizes
    assert [part for group in groups for part in group] == list(range(n_parts))


def test_a_bad_record_ends_the_task_of_its_part(tmp_path, monkeypatch):
    """Parts behind it in the task are not begun, and those before it are written."""
    lines = ['{"text": "Rio"}', '{"text": "Ana Ruiz"}', "{}", '{"text": "Bo"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = Input(tmp_path / "a.jsonl", "auto", "text", "entities")
    work = Work(source, PartsFolder(tmp_path), Output("jsonl", "entities", None), None, False)
    work.folder.begin_run()
    monkeypatch.setattr(on_ray, "_fetch", lambda task: work)
    table = pa.concat_tables(on_ray._read_parts(None, list(source.parts(1))))
    accounts = [
        pickle.loads(content)
        for account in on_ray._PartWorker(None, make_ruler)(table)
        for content in account[on_ray.COLUMN].to_pylist()
    ]
    assert [type(account) for account in accounts] == [PartResult, PartResult, str]
    assert "a.jsonl" in accounts[-1]
    assert len(list(tmp_path.glob("part-*"))) == 2


@pytest.mark.parametrize(
    ("options", "room"),
    [
        ({}, 6),
        ({"workers": 4}, 4),
        ({"cores": 4}, 1),
        ({"cores": 9}, 1),
        ({"num_gpus": 1}, 2),
        ({"num_gpus": 0.5, "cores": 2}, 3),
    ],
)
def test_room_for_workers(monkeypatch, options, room):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 6.0, "GPU": 2.0})
    assert RayCluster(**options)._room() == room


class Lost:
    """A dataset that does not come to its end."""

    def __init__(self, error):
        self.error = error

    def map_batches(self, *args, **options):
        return self

    def iter_batches(self, **options):
        if self.error is not None:
            raise self.error
        return iter([])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ray.exceptions.ObjectLostError("00", None, "somewhere"),
            "engine: expected workers that annotate, got ObjectLostError: Failed to retrieve",
        ),
        (None, "engine: expected 12 parts, got 0; the same call goes on"),
    ],
)
def test_a_cluster_that_is_lost(shop, monkeypatch, error, message):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2})
    monkeypatch.setattr(ray.data, "read_datasource", lambda *args, **options: Lost(error))
    with pytest.raises(AnnotateError) as caught:
        Two(shop, TEXTS).on_ray()
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("; the same call goes on")


def test_options_that_do_not_go_with_an_engine(shop):
    two = Two(shop, TEXTS)
    with pytest.raises(AnnotateError, match="^load: expected a function, for the workers of an en"):
        two.on_ray(load=None)
    with pytest.raises(AnnotateError, match="^n_process: expected 1 beside `engine`, got 2; an"):
        two.on_ray(n_process=2)
