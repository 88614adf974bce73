"""Pipelines for `test_crossing.py`: written with one version of transformers, read with another.

    python -m tests.support.crossing write FOLDER
    python -m tests.support.crossing check FOLDER

`write` trains and saves a pipeline on an encoder of each family, and what it predicts; `check`
loads the pipelines and compares. Both print one line for each pipeline.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spacy
import torch
import transformers
from spacy.language import Language

from tests.support.pipelines import HEADS, make_examples, spans_of, train
from tests.support.tiny_models import FAMILIES, write_checkpoint

# The tokenizers' classes as published encoders name them. MPNet's needs a normalizer, which the
# tokenizer here does not have.
CLASSES = {
    "bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "albert": "AlbertTokenizer",
    "deberta": "DebertaTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
}


class Case(NamedTuple):
    """A pipeline: the family of its encoder, options of the encoder and of the network's config,
    and the class that the tokenizer has been saved with."""

    family: str
    options: dict[str, Any] = {}
    config: dict[str, Any] = {}
    tokenizer_class: str | None = None


ANGLES = {"local_rope_theta": 50.0, "global_rope_theta": 777.0}
CASES = {
    **{family: Case(family) for family in FAMILIES},
    **{f"{f}, {name}": Case(f, tokenizer_class=name) for f, name in CLASSES.items()},
    "bert, one layer": Case("bert", {"casing": True, "layers": -1}),
    "modernbert, one layer": Case("modernbert", {"layers": 1}),
    "modernbert, other angles": Case("modernbert", config={**ANGLES, "num_hidden_layers": 4}),
    "xlm-roberta, short windows": Case("xlm-roberta", {"window": 16, "overlap": 4}),
}
ODD = "Ana 🙂 \ufffd met \n Bo in 東京 , ANA . “São Paulo” e\u0301 don't ﬁsh [SEP] </s> x" * 2
# How far numbers may differ: the versions of torch differ, too.
CLOSE = 1e-4


def make(encoder: Path, head: str, options: dict[str, Any]) -> Language:
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-bio-crf.BioTagger.v1",
        "encoder": {
            "@architectures": "spacy-bio-crf.TransformerEncoder.v1",
            "name": str(encoder),
            "dropout": 0.0,
            **options,
        },
        "head": {"@architectures": HEADS[head]},
    }
    nlp.add_pipe("bio_ner", config={"model": model})
    return train(nlp, make_examples(nlp), steps=15)


def answers(nlp: Language) -> dict[str, Any]:
    """The entities of some texts, and their emissions."""
    examples = make_examples(nlp)
    texts = [*(example.reference.text for example in examples), ODD]
    lattice = nlp.get_pipe("bio_ner").lattice([nlp.make_doc(text) for text in texts])
    return {
        "entities": [[list(span) for span in spans_of(doc)] for doc in nlp.pipe(texts)],
        "emissions": lattice.emissions.tolist(),
    }


def write(folder: Path) -> None:
    for i, (name, case) in enumerate(CASES.items()):
        encoder = write_checkpoint(folder / name / "encoder", case.family, **case.config)
        if case.tokenizer_class is not None:
            path = encoder / "tokenizer_config.json"
            settings = json.loads(path.read_text(encoding="utf8"))
            path.write_text(json.dumps({**settings, "tokenizer_class": case.tokenizer_class}))
        nlp = make(encoder, list(HEADS)[i % 2], case.options)
        nlp.to_disk(folder / name / "pipeline")
        (folder / name / "answers.json").write_text(json.dumps(answers(nlp)))
        shutil.rmtree(encoder)
        print(f"{name}: written with transformers {transformers.__version__}")


def check(folder: Path) -> int:
    failed = 0
    for name in CASES:
        expected = json.loads((folder / name / "answers.json").read_text())
        found = answers(spacy.load(folder / name / "pipeline"))
        theirs, ours = (np.array(each["emissions"]) for each in (expected, found))
        same = expected["entities"] == found["entities"]
        far = float(np.abs(theirs - ours).max()) if theirs.shape == ours.shape else float("inf")
        failed += not (same and far < CLOSE)
        n = sum(map(len, found["entities"]))
        print(
            f"{name}: {n} entities, {'the same' if same else 'OTHERS'}; emissions differ by at most"
            f" {far:.1e} with transformers {transformers.__version__}"
        )
    return failed


def main() -> int:
    torch.set_num_threads(1)
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "write":
        write(folder)
        return 0
    return check(folder)


if __name__ == "__main__":
    sys.exit(main())
