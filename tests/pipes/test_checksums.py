"""Saved components whose files are damaged, missing, or of another pipeline."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc

from spacy_bio_crf.pipes.checksums import find_damage
from tests.support.components import component, initialized
from tests.support.pipelines import SENTENCES, MakeNlp, make_examples, spans_of, train

FILES = [
    *("cfg", "model", "encoder/config.json", "encoder/model.safetensors"),
    *("encoder/tokenizer.json", "encoder/tokenizer_config.json"),
]


@pytest.fixture(scope="module")
def saved(trained: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved pipeline. Copy it, do not change it."""
    folder = tmp_path_factory.mktemp("saved") / "pipeline"
    trained.to_disk(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def answers(nlp: Language) -> list:
    docs = [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]
    scores = [s.numpy().tolist() for s in component(nlp).lattice(docs).scores]
    return [scores, component(nlp).labels, [spans_of(doc) for doc in nlp.pipe(docs)]]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", r"0 of [\d,]+ bytes"),
    "half": (half, r"[\d,]+ of [\d,]+ bytes"),
    "flipped": (flipped, "other content"),
    "pointer": (
        lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "a pointer of Git LFS: run git lfs pull",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(copy: Path, name: str, damage: str):
    change, looks = DAMAGES[damage]
    path = copy / "bio_ner" / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(OSError, match=rf"copy/bio_ner: expected .* got {name} \({looks}\); "):
        spacy.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str):
    (copy / "bio_ner" / name).unlink()
    with pytest.raises(OSError, match=rf"bio_ner: expected .* got {name} \(no such file\); save"):
        spacy.load(copy)


@pytest.mark.parametrize("damage", ["empty", "half"])
def test_damaged_checksums(copy: Path, damage: str):
    path = copy / "bio_ner" / "checksums.json"
    path.write_bytes(DAMAGES[damage][0](path.read_bytes()))
    with pytest.raises(OSError, match=r"bio_ner: .* got checksums.json \(damaged\); .* delete"):
        spacy.load(copy)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"files": 1}', '{"files": {"cfg": 1}}', "[" * 10**6]
)
def test_checksums_of_another_form(copy: Path, content: str):
    (copy / "bio_ner" / "checksums.json").write_text(content)
    assert find_damage(copy / "bio_ner") == ["checksums.json (damaged)"]


def test_every_flipped_byte_of_small_files_is_seen_or_changes_nothing(
    copy: Path, trained: Language
):
    """At a byte in a hundred; in the checksums themselves a flip may change a word of a warning."""
    expected = answers(trained)
    for name in ("cfg", "checksums.json", "encoder/config.json"):
        path = copy / "bio_ner" / name
        data = path.read_bytes()
        for place in range(0, len(data), max(1, len(data) // 10)):
            path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = answers(spacy.load(copy))
            except (OSError, ValueError) as error:
                assert str(copy / "bio_ner") in str(error)
            else:
                assert name == "checksums.json" and found == expected
        path.write_bytes(data)


def test_files_that_were_not_there(copy: Path):
    (copy / "bio_ner" / "encoder" / "added_tokens.json").write_text("{}")
    (copy / "bio_ner" / "encoder" / ".hidden").write_text("")
    (copy / "bio_ner" / "README.md").write_text("Not read, and no business of anybody.")
    with pytest.raises(OSError, match=r"got encoder/added_tokens.json \(was not there\); "):
        spacy.load(copy)


@pytest.mark.parametrize("name", ["cfg", "model", "encoder"])
def test_a_part_of_another_pipeline(copy: Path, make_nlp: MakeNlp, tmp_path: Path, name: str):
    other = make_nlp(encoder_options={"dropout": 0.0})
    train(other, make_examples(other), steps=3)
    component(other).temperature = 2.0
    other.to_disk(tmp_path / "other")
    place = copy / "bio_ner" / name
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    (tmp_path / "other" / "bio_ner" / name).rename(place)
    with pytest.raises(OSError, match=rf"got {name}.*\(other content\)"):
        spacy.load(copy)


def test_a_tokenizer_of_another_pipeline(copy: Path, tmp_path: Path):
    spacy.blank("pt").to_disk(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "tokenizer", copy / "tokenizer")
    with pytest.raises(OSError, match=r"got /.*copy/tokenizer \(of another pipeline\); "):
        spacy.load(copy)


def test_labels_of_another_pipeline_in_meta_json(copy: Path):
    meta = json.loads((copy / "meta.json").read_text())
    meta["labels"]["bio_ner"] = ["PER"]
    (copy / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(OSError, match=r"copy/meta.json \(with labels of another pipeline\)"):
        spacy.load(copy)


def test_settings_that_were_changed_count_and_are_said(copy: Path, trained: Language):
    path = copy / "config.cfg"
    text = path.read_text()
    assert text.count("threshold = 0.0") == text.count("window = null") == 1
    path.write_text(text.replace("threshold = 0.0", "threshold = 0.75"))
    message = "config.cfg: expected the settings that 'bio_ner' was .* got another threshold, which"
    with pytest.warns(UserWarning, match=message):
        nlp = spacy.load(copy)
    assert component(nlp).threshold == 0.75
    nlp.to_disk(copy)
    path.write_text(path.read_text().replace("window = null", "window = 20"))
    with pytest.warns(UserWarning, match="got another model.encoder.window, which"):
        spacy.load(copy)
    path.write_text(path.read_text().replace("window = 20", "window = null"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spacy.load(copy)
        # What is set while loading is nobody's mistake.
        changed = {"components": {"bio_ner": {"threshold": 0.5}}}
        assert component(spacy.load(copy, config=changed)).threshold == 0.5


def test_a_component_by_itself_has_no_pipeline_to_compare(trained, make_nlp, tmp_path: Path):
    for place in (tmp_path / "ner", tmp_path):
        component(trained).to_disk(place)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            component(make_nlp()).from_disk(place)


def test_a_copy_without_checksums_is_loaded_as_it_is(copy: Path, trained: Language):
    (copy / "bio_ner" / "checksums.json").unlink()
    assert answers(spacy.load(copy)) == answers(trained)
    cfg = copy / "bio_ner" / "cfg"
    cfg.write_text(cfg.read_text().replace('"PER"', '"WHO"'))
    assert component(spacy.load(copy)).labels == ("LOC", "WHO")


@pytest.mark.parametrize("name", ["cfg", "model"])
@pytest.mark.parametrize("damage", ["empty", "half"])
def test_damage_without_checksums_names_the_component(copy: Path, name: str, damage: str):
    (copy / "bio_ner" / "checksums.json").unlink()
    path = copy / "bio_ner" / name
    path.write_bytes(DAMAGES[damage][0](path.read_bytes()))
    with pytest.raises(OSError, match="copy/bio_ner: expected its files as saved, got .*; save"):
        spacy.load(copy)


def test_no_component_at_all(copy: Path):
    shutil.rmtree(copy / "bio_ner")
    with pytest.raises(OSError, match="copy/bio_ner: expected a component, got no such folder"):
        spacy.load(copy)


def test_another_kind_of_head(copy: Path, make_nlp: MakeNlp):
    make_nlp("softmax").config.to_disk(copy / "config.cfg")
    with pytest.raises(ValueError, match="head: expected the kind that the weights were trained"):
        spacy.load(copy)


def test_upstream_weights_belong_to_a_component_without_an_encoder(make_nlp, tmp_path: Path):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
    encoder = {"@architectures": "spacy-bio-crf.Tok2VecEncoder.v1", "tok2vec": listener}
    head = {"@architectures": "spacy-bio-crf.SoftmaxHead.v1"}
    model = {"@architectures": "spacy-bio-crf.BioTagger.v1", "encoder": encoder, "head": head}
    nlp.add_pipe("bio_ner", config={"model": model})
    initialized(nlp)
    nlp.to_disk(tmp_path / "one")
    assert spacy.load(tmp_path / "one")
    for node in nlp.get_pipe("tok2vec").model.walk():
        for param in node.param_names:
            node.set_param(param, node.get_param(param) + np.float32(1))
    nlp.to_disk(tmp_path / "two")
    shutil.copy(tmp_path / "two/tok2vec/model", tmp_path / "one/tok2vec/model")
    with pytest.raises(OSError, match=r"one/tok2vec/model \(of another pipeline\)"):
        spacy.load(tmp_path / "one")


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["LOC"]}, "labels: expected labels for the 5 tags of .*, got 1 labels, which"),
        ({"labels": ["A", "B", "C"]}, "labels: expected labels for the 5 tags .*, got 3 labels"),
        ({"labels": [f"L{i}" for i in range(20_000)]}, "labels: .* got 20000 labels, which have"),
        ({"labels": []}, "labels: .* got 0 labels, which have 1 tags in BIO"),
        ({"labels": ["PER", "PER"]}, "labels: expected each label once, got 'PER' more than once"),
        ({"labels": ["PER", 7]}, "label: expected a string, not empty, got 7"),
        ({"labels": "PE"}, "labels: expected a list, got 'PE'"),
        ({"labels": None}, "labels: expected a list, got None"),
        ({"scheme": "BILUO"}, "labels: .* got 2 labels, which have 9 tags in BILUO"),
        ({"scheme": "IOB"}, "scheme: expected one of 'BIO', 'BILUO', got 'IOB'"),
        ({"scheme": None}, "scheme: expected one of 'BIO', 'BILUO', got None"),
        *(
            ({"temperature": value}, "temperature: expected a number above 0, got ")
            for value in (0, -1, float("nan"), float("inf"), "1.0", None, [1.0], True)
        ),
    ],
)
def test_what_does_not_fit_the_network(copy: Path, change: dict, message: str, checksums: bool):
    if not checksums:
        (copy / "bio_ner" / "checksums.json").unlink()
    path = copy / "bio_ner" / "cfg"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=f"copy/bio_ner/cfg, {message}") as caught:
        spacy.load(copy)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content", ["[]", "1", "null", '"labels"', "{", ""])
def test_a_cfg_of_another_form(copy: Path, content: str):
    (copy / "bio_ner" / "checksums.json").unlink()
    (copy / "bio_ner" / "cfg").write_text(content)
    with pytest.raises((OSError, ValueError), match="copy/bio_ner"):
        spacy.load(copy)


@pytest.mark.parametrize("threshold", ["90", "-1.0", '"high"', "null"])
def test_a_threshold_out_of_range_in_the_config(copy: Path, threshold: str):
    path = copy / "config.cfg"
    path.write_text(path.read_text().replace("threshold = 0.0", f"threshold = {threshold}"))
    with pytest.raises(ValueError, match="threshold"):
        spacy.load(copy)


def test_bytes_with_labels_that_do_not_fit(trained: Language, make_nlp: MakeNlp):
    data = srsly.msgpack_loads(component(trained).to_bytes())
    data["cfg"] = srsly.json_dumps({"labels": ["PER"], "scheme": "BIO", "temperature": 1.0})
    with pytest.raises(ValueError, match="cfg, labels: expected labels for the 5 tags"):
        component(make_nlp()).from_bytes(srsly.msgpack_dumps(data))


def test_a_scheme_that_was_changed_does_not_count(copy: Path):
    path = copy / "config.cfg"
    path.write_text(path.read_text().replace('scheme = "BIO"', 'scheme = "BILUO"'))
    with pytest.warns(UserWarning, match="got another scheme, which counts, but for the scheme; "):
        assert component(spacy.load(copy)).scheme == "BIO"


def test_a_component_that_is_saved_while_it_is_loaded(copy: Path, trained: Language, monkeypatch):
    """The files before and after belong to two saves, each of them whole."""
    from spacy_bio_crf.encoders.transformer.layer import TransformerEncoder

    load = TransformerEncoder.load

    def slow(encoder: TransformerEncoder, folder: Path) -> None:
        trained.to_disk(copy)
        load(encoder, folder)

    monkeypatch.setattr(TransformerEncoder, "load", slow)
    with pytest.raises(OSError, match="got another one, saved in the meantime; load it again"):
        spacy.load(copy)
