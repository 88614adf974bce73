"""Errors planted in annotation, and those found: by span posteriors, and by cleanlab's tokens.

    BIO_NER_CORPORA=FOLDER python -m benchmarks.suspects run --output FILE.json [--gpu 0] [--jobs 5]
    python -m benchmarks.suspects score FILE.json      # needs cleanlab, and neither spaCy nor torch

`run` draws sentences of each corpus, plants errors in 5 % of their entities (a quarter each of
wrong boundaries, wrong labels, entities removed and entities on tokens that have none), trains a
model for each of five folds as `bio-ner suspects` does, and writes what the models say of the
documents that they have not seen: our suspects, and the probability of each tag at each token. A
finished fold is not trained again. The output has each corpus as soon as its folds are done; and,
for WNUT 17, the suspects of the unaltered development set by a model of the training set.

`score` ranks both and prints, for N planted errors, the precision of the first N places and the
average precision. A place is right if it shares a token with a planted error that no earlier place
has found; one that finds an error again counts for nothing. cleanlab has the same probabilities of
the same models. Its tokens count as they are and, more kindly, joined: those of an annotated entity
and neighbors that the model takes for an entity are one place, with the lowest quality of a token.
"""

import argparse
import base64
import json
import os
import random
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from . import MINILM

ROOT = Path(__file__).parents[1]
# Name: the language, and the files in the folder of corpora.
CORPORA = {
    "Bosque": ("pt", "uner_pt_bosque/train.iob2"),
    "LeNER-Br": ("pt", "lener_br/leNER-Br/train/train.conll"),
    "BC5CDR": ("en", "bc5cdr/IOB/train.tsv"),
}
UNALTERED = "WNUT 17"
WNUT = ("wnut17/wnut17train.conll", "wnut17/emerging.dev.conll")
SHARE = 0.05  # of entities with an error
KINDS = ("boundary", "label", "missed", "spurious")
FOLDS, RATE, WARM_UP = 5, 3e-4, 0.1
SHOWN = 100  # suspects of the unaltered corpus

Span = tuple[int, int, str]
Place = tuple[int, int, int]  # document, first token, exclusive end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--output", type=Path, required=True)
    running.add_argument("--corpora", type=Path, default=os.environ.get("BIO_NER_CORPORA", "."))
    names = [*CORPORA, UNALTERED]
    running.add_argument("--names", nargs="*", default=names, choices=names)
    running.add_argument("--sentences", type=int, default=3000, help="of each corpus, at the most")
    running.add_argument("--steps", type=int, default=300)
    running.add_argument("--words", type=int, default=1000, help="in a batch")
    running.add_argument("--seeds", type=int, nargs="*", default=[0])
    running.add_argument("--encoder", default=str(ROOT / "assets" / "encoder"))
    running.add_argument("--gpu", type=int, default=-1)
    running.add_argument("--jobs", type=int, default=FOLDS, help="trainings at once")
    running.add_argument("--folder", type=Path, default=None, help="of the models; a temporary one")
    scoring = commands.add_parser("score")
    scoring.add_argument("results", type=Path, nargs="+")
    scoring.add_argument("--json", type=Path, default=None, help="write the figures here too")
    args = parser.parse_args()
    if args.command == "run":
        with tempfile.TemporaryDirectory() as temporary:
            run(args, args.folder or Path(temporary))
    else:
        show(args.results, args.json)


def plant(
    annotation: Sequence[list[Span]], sizes: Sequence[int], *, share: float, seed: int
) -> tuple[list[list[Span]], list[tuple[str, Place]]]:
    """Plant errors in a share of all entities, a quarter of each kind.

    annotation (Sequence[list[Span]]): The entities of each document.
    sizes (Sequence[int]): Its tokens.
    RETURNS (tuple): The altered annotation; and each error's kind, with the tokens that the true
        or the altered entity has.
    """
    chosen = random.Random(seed)
    labels = sorted({span[2] for own in annotation for span in own})
    lengths = [span[1] - span[0] for own in annotation for span in own]
    altered = [sorted(own) for own in annotation]
    order = [(i, span) for i, own in enumerate(annotation) for span in own]
    chosen.shuffle(order)
    errors: list[tuple[str, Place]] = []
    touched: set[tuple[int, int]] = set()  # tokens of errors, and of their neighbors
    wanted = round(share * len(order))
    while len(errors) < wanted:
        kind = KINDS[len(errors) % len(KINDS)]
        if kind == "spurious":
            i, size = chosen.randrange(len(sizes)), chosen.choice(lengths)
            start = chosen.randrange(max(1, sizes[i] - size + 1))
            old, new = None, (start, start + size, chosen.choice(labels))
        else:
            i, old = order.pop()
            new = _changed(old, kind, labels, chosen)
        own = [span for span in altered[i] if span != old]
        low = min(span[0] for span in (old, new) if span)
        high = max(span[1] for span in (old, new) if span)
        near = {(i, t) for t in range(low - 1, high + 1)}
        fits = new is None or (
            0 <= new[0] < new[1] <= sizes[i]
            and not any(new[0] < span[1] and new[1] > span[0] for span in own)
        )
        if fits and not near & touched:
            touched |= near
            altered[i] = sorted([*own, new] if new else own)
            errors.append((kind, (i, low, high)))
    return altered, errors


def _changed(old: Span, kind: str, labels: list[str], chosen: random.Random) -> Span | None:
    start, end, label = old
    if kind == "missed":
        return None
    if kind == "label":
        return start, end, chosen.choice([other for other in labels if other != label])
    moves = [(-1, 0), (0, 1)] + [(1, 0), (0, -1)] * (end - start > 1)
    left, right = chosen.choice(moves)
    return start + left, end + right, label


def run(args: argparse.Namespace, folder: Path) -> None:
    """Train and judge; corpora are trained one after the other while others are judged."""
    import spacy

    from spacy_bio_crf.corpora import read
    from spacy_bio_crf.review.folds import FoldTraining, train_folds

    if args.gpu >= 0:
        spacy.require_gpu(args.gpu)
    training = FoldTraining(ROOT / "configs" / "crf.cfg", _values(args), code=None, gpu_id=args.gpu)
    tasks: dict[str, tuple[list, list, list]] = {}
    for seed in args.seeds:
        for name in args.names:
            place = folder / f"{name.replace(' ', '-')}-{seed}"
            if name == UNALTERED:
                parts = [list(read(Path(args.corpora, path), lang="en")[0]) for path in WNUT]
                tasks[f"{name}, seed {seed}"] = (*_one_fold(*parts, place), [])
                continue
            lang, path = CORPORA[name]
            docs = [doc for doc in read(Path(args.corpora, path), lang=lang)[0] if len(doc)]
            random.Random(seed).shuffle(docs)
            planted = _plant_in(docs[: args.sentences], seed)
            folds = _folds(docs[: args.sentences], place, training, seed)
            tasks[f"{name}, seed {seed}"] = (docs[: args.sentences], folds, planted)
    results = json.loads(args.output.read_text("utf-8")) if args.output.is_file() else {}
    with ThreadPoolExecutor(1) as pool:
        waiting = {
            name: pool.submit(train_folds, folds, training, jobs=args.jobs, say=print)
            for name, (_, folds, _) in tasks.items()
            if name not in results
        }
        for name, trained in waiting.items():
            docs, folds, planted = tasks[name]
            trained.result()
            results[name] = judge(docs, folds, planted)
            args.output.write_text(json.dumps(results), "utf-8")
            print(name, "judged", flush=True)


def _values(args: argparse.Namespace) -> list[str]:
    values = {
        "paths.encoder": args.encoder,
        **{key: json.dumps(value) for key, value in MINILM.items()},
        "training.max_steps": args.steps,
        "training.eval_frequency": max(1, args.steps // 2),
        "training.batcher.size": args.words,
        "training.optimizer.learn_rate.initial_rate": RATE,
        "training.optimizer.learn_rate.total_steps": args.steps,
        "training.optimizer.learn_rate.warmup_steps": max(1, round(WARM_UP * args.steps)),
        "training.logger.progress_bar": "null",
        # Short trainings need no checkpoint.
        "checkpoint.minutes": 60,
    }
    if args.gpu >= 0:
        values["components.bio_ner.model.encoder.precision"] = "fp32"
    return [text for key, value in values.items() for text in (f"--{key}", str(value))]


def _plant_in(docs: list, seed: int) -> list[tuple[str, Place]]:
    from spacy.tokens import Span as SpacySpan

    annotation = [[(e.start, e.end, e.label_) for e in doc.ents] for doc in docs]
    altered, errors = plant(annotation, [len(doc) for doc in docs], share=SHARE, seed=seed)
    for doc, own in zip(docs, altered, strict=True):
        doc.set_ents([SpacySpan(doc, start, end, label=label) for start, end, label in own])
    return errors


def _folds(docs: list, place: Path, training: Any, seed: int) -> list:
    from spacy_bio_crf.review.folds import prepare_folds

    return prepare_folds(docs, place, training, n_folds=FOLDS, seed=seed)


def _one_fold(train: list, dev: list, place: Path) -> tuple[list, list]:
    """All documents, and one fold that holds out the development set."""
    from spacy_bio_crf.review.folds import Fold, write_fold

    fold = Fold(UNALTERED, place, [*range(len(dev))])
    write_fold(fold, train)
    return dev, [fold]


def judge(docs: list, folds: list, planted: list[tuple[str, Place]]) -> dict[str, Any]:
    """Judge the documents of a corpus by the models of its folds.

    RETURNS (dict[str, Any]): Types that JSON has: `planted`; `suspects`, all of them; `tags`, the
        id of each token's tag by document, and `probabilities` of all tags at all tokens.
    """
    import spacy

    from spacy_bio_crf.pipes.bio_ner import find_component
    from spacy_bio_crf.review.surfaces import count_usage
    from spacy_bio_crf.review.suspicion import rank, review_by, surfaces_of

    suspects, names = [], None
    tags: list[list[int]] = [[] for _ in docs]
    probabilities: list[Any] = [None] * len(docs)
    for fold in folds:
        nlp = spacy.load(fold.model)
        component = find_component(nlp)[1]
        names = names or component.tagset.tags
        if names != component.tagset.tags:
            raise ValueError(f"{fold.name}: expected the tags {names}, got those of another set")
        review = review_by(nlp, docs, fold.held_out)
        suspects += review.suspects
        own = [spacy.tokens.Doc(nlp.vocab, words=[t.text for t in docs[i]]) for i in fold.held_out]
        for i, found in zip(fold.held_out, component.marginals(own), strict=True):
            # Tokens without a sub-word have no row: all tags are as probable.
            probabilities[i] = np.nan_to_num(found, nan=1.0 / len(names))
            spans = [(e.start, e.end, e.label_) for e in docs[i].ents]
            tags[i] = component.tagset.encode(spans, len(docs[i])).tolist()
    rows = [
        {
            "kind": s.kind,
            "place": (s.document, s.span[0], s.span[1]),
            "gold": s.gold,
            "alternative": s.alternative,
            "log_posterior": s.log_posterior,
            "alternative_log_posterior": s.alternative_log_posterior,
        }
        for s in rank(suspects, docs, count_usage(docs, surfaces_of(suspects, docs)))
    ]
    result = {"planted": planted, "names": names, "suspects": rows}
    if planted:
        packed = np.concatenate(probabilities).astype(np.float16).tobytes()
        coded = base64.b64encode(zlib.compress(packed)).decode("ascii")
        return {**result, "tags": tags, "probabilities": coded}
    texts = [[token.text_with_ws for token in docs[row["place"][0]]] for row in rows[:SHOWN]]
    return {**result, "suspects": rows[:SHOWN], "texts": texts}


def show(paths: Sequence[Path], output: Path | None) -> None:
    """Print the figures of each corpus."""
    figures = {}
    for path in paths:
        for name, result in json.loads(path.read_text("utf-8")).items():
            if result["planted"]:
                figures[name] = score(result)
    for name, found in figures.items():
        print(f"\n{name}: {found['planted']} planted errors")
        for way, row in found["ways"].items():
            kinds = ", ".join(f"{kind} {100 * x:.0f}" for kind, x in row["found"].items())
            p, ap = 100 * row["precision"], 100 * row["average_precision"]
            print(f"  {way:44} P@N {p:5.1f}  AP {ap:5.1f}  found at N, %: {kinds}")
    if output is not None:
        output.write_text(json.dumps(figures, indent=1), "utf-8")


def score(result: dict[str, Any]) -> dict[str, Any]:
    """RETURNS (dict): The number of `planted` errors, and the figures of all `ways` to rank."""
    errors = [(kind, tuple(place)) for kind, place in result["planted"]]
    by_error = sorted(result["suspects"], key=lambda row: row["log_posterior"])
    ways = {
        "suspects": [tuple(row["place"]) for row in result["suspects"]],
        "suspects, by the probability of an error": [tuple(row["place"]) for row in by_error],
        **dict(rank_by_cleanlab(result)),
    }
    return {
        "planted": len(errors),
        "ways": {way: figures_of(places, errors) for way, places in ways.items()},
    }


def figures_of(places: Sequence[Place], errors: Sequence[tuple[str, Place]]) -> dict[str, Any]:
    """The figures of a ranking.

    RETURNS (dict): `precision` of the first N places, `average_precision`, and `found`: the share
        of each kind of error that the first N places find.
    """
    at = {
        (document, token): e
        for e, (_, (document, start, end)) in enumerate(errors)
        for token in range(start, end)
    }
    n = len(errors)
    seen: set[int] = set()
    right: list[bool] = []
    found: list[str] = []
    for document, start, end in places:
        hits = {at[document, t] for t in range(start, end) if (document, t) in at}
        if hits and hits <= seen:
            continue
        right.append(bool(hits))
        if len(right) <= n:
            found += [errors[e][0] for e in hits - seen]
        seen |= hits
    ranks = np.flatnonzero(right) + 1
    total = {kind: sum(k == kind for k, _ in errors) for kind in KINDS}
    return {
        "precision": sum(right[:n]) / n,
        "average_precision": float((np.arange(1, len(ranks) + 1) / ranks).sum() / n),
        "found": {kind: found.count(kind) / total[kind] for kind in KINDS if total[kind]},
    }


def rank_by_cleanlab(result: dict[str, Any]) -> Iterator[tuple[str, list[Place]]]:
    """Rank by cleanlab: the filter's list, and all tokens by quality, as they are and joined."""
    from cleanlab.token_classification.filter import find_label_issues
    from cleanlab.token_classification.rank import get_label_quality_scores

    tags, probabilities = unpack(result)
    for by in ("self_confidence", "normalized_margin"):
        found = find_label_issues(tags, probabilities, return_indices_ranked_by=by, n_jobs=1)
        yield f"cleanlab, filter, {by}", [(i, t, t + 1) for i, t in found]
    for by in ("self_confidence", "normalized_margin"):
        _, quality = get_label_quality_scores(tags, probabilities, token_score_method=by)
        own = [np.asarray(q, dtype=np.float64) for q in quality]
        tokens = [(q, (i, t, t + 1)) for i, qs in enumerate(own) for t, q in enumerate(qs)]
        yield f"cleanlab, tokens, {by}", [place for _, place in sorted(tokens)]
        joined = [
            (float(own[i][start:end].min()), (i, start, end))
            for i, start, end in join(result["names"], tags, probabilities)
        ]
        yield f"cleanlab, tokens joined, {by}", [place for _, place in sorted(joined)]


def join(
    names: Sequence[str], tags: Sequence[list[int]], probabilities: Sequence[np.ndarray]
) -> Iterator[Place]:
    """Join the tokens of an annotated entity, and neighbors outside that look like an entity."""
    for i, (own, p) in enumerate(zip(tags, probabilities, strict=True)):
        likely = p.argmax(axis=1)
        start = 0
        for t in range(1, len(own) + 1):
            inside = t < len(own) and names[own[t]].startswith("I-")
            alike = (
                t < len(own)
                and not own[t - 1]
                and not own[t]
                and bool(likely[t - 1])
                and names[likely[t]].startswith("I-")
            )
            if not (inside or alike):
                yield i, start, t
                start = t


def unpack(result: dict[str, Any]) -> tuple[list[list[int]], list[np.ndarray]]:
    """RETURNS (tuple): The tags of each document, and the probabilities of its tokens [n, K]."""
    tags = result["tags"]
    raw = zlib.decompress(base64.b64decode(result["probabilities"]))
    rows = np.frombuffer(raw, dtype=np.float16).reshape(-1, len(result["names"]))
    rows = rows.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    return tags, np.split(rows, np.cumsum([len(own) for own in tags])[:-1])


if __name__ == "__main__":
    main()
