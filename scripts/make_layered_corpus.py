"""Write the corpus of overlapping entities, `assets/layered-train.jsonl` and `layered-dev.jsonl`.

    python scripts/make_layered_corpus.py [--out FOLDER] [--seed N]

300 sentences in English and Portuguese, written for this project as templates with slots. A slot
takes a name (`{PER}`), or is an entity around other ones (`{ORG:University of {LOC}}`). ORG, EVENT
and ROLE make the outer layer, PER and LOC the inner one. The same seed gives the same bytes.
"""

import argparse
import json
import random
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = {"train": 200, "dev": 100}  # sentences
OUTER, INNER = ("ORG", "EVENT", "ROLE"), ("PER", "LOC")

TEMPLATES = {
    "en": [
        "The {ORG:University of {LOC}} hired {PER} last spring.",
        "{PER} left {LOC} for the {ORG:{LOC} City Council}.",
        "The {ORG:{PER} Foundation} pays for the {EVENT:{LOC} Marathon}.",
        "{PER}, {ROLE:mayor of {LOC}}, opened the {EVENT:{LOC} Book Fair}.",
        "She was {ROLE:director of the Bank of {LOC}} until May.",
        "A train from {LOC} to {LOC} was late again.",
        "The {ORG:Port of {LOC}} closed before the storm.",
        "{PER} and {PER} met at the {EVENT:{LOC} Jazz Festival}.",
        "Nobody answered the telephone on Monday.",
        "The {ORG:{LOC} Chamber of Commerce} thanked {PER} for the report.",
        "Students of the {ORG:{PER} School} visited {LOC}.",
        "In {LOC}, the {ROLE:bishop of {LOC}} spoke for an hour.",
        "The {ORG:{PER} Museum in {LOC}} is free on Sundays.",
        "We waited for rain, and then it rained all week.",
        "{PER} won the {EVENT:{LOC} Chess Open} twice.",
        "The {ROLE:ambassador to {LOC}} wrote to {PER}.",
    ],
    "pt": [
        "A {ORG:Universidade de {LOC}} contratou {PER} na primavera.",
        "{PER} trocou {LOC} pela {ORG:Câmara Municipal de {LOC}}.",
        "A {ORG:Fundação {PER}} paga a {EVENT:Maratona de {LOC}}.",
        "{PER}, {ROLE:presidente da Câmara de {LOC}}, abriu a {EVENT:Feira do Livro de {LOC}}.",
        "Foi {ROLE:diretora do Banco de {LOC}} até maio.",
        "O comboio de {LOC} para {LOC} voltou a atrasar-se.",
        "O {ORG:Porto de {LOC}} fechou antes da tempestade.",
        "{PER} e {PER} encontraram-se no {EVENT:Festival de Jazz de {LOC}}.",
        "Ninguém atendeu o telefone na segunda-feira.",
        "A {ORG:Associação Comercial de {LOC}} agradeceu a {PER} o relatório.",
        "Os alunos da {ORG:Escola {PER}} visitaram {LOC}.",
        "Em {LOC}, o {ROLE:bispo de {LOC}} falou durante uma hora.",
        "O {ORG:Museu {PER} de {LOC}} é gratuito ao domingo.",
        "Esperámos pela chuva, e depois choveu a semana toda.",
        "{PER} venceu duas vezes o {EVENT:Torneio de Xadrez de {LOC}}.",
        "O {ROLE:embaixador em {LOC}} escreveu a {PER}.",
    ],
}
FIRST = {
    "train": ["Ana", "Rui", "Marta", "Paul", "Helen", "Tiago", "Inês", "Oscar", "Nora", "Simon"],
    "dev": ["Clara", "Hugo", "Judith", "Mário", "Ruth", "Vasco"],
}
LAST = {
    "train": ["Costa", "Faria", "Baker", "Morris", "Lopes", "Teles", "Hughes", "Prado", "Stone"],
    "dev": ["Nunes", "Carver", "Seabra", "Whitman", "Alves"],
}
PLACES = {
    "train": [
        "Porto", "Braga", "Leeds", "Bristol", "Évora", "Faro", "Dover", "Salvador", "Recife",
        "Boston", "Viseu", "York", "New Haven", "Vila Real", "Santa Cruz", "Coimbra",
    ],
    "dev": ["Lisbon", "Aveiro", "Oxford", "Natal", "Glasgow", "Belém", "Castelo Branco", "Hull"],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "assets")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    for part, size in PARTS.items():
        lines = [json.dumps(make_record(rng, part, i), ensure_ascii=False) for i in range(size)]
        path = arguments.out / f"layered-{part}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def make_record(rng: random.Random, part: str, number: int) -> dict[str, object]:
    """Fill a template with names of a part: a text with its spans, in the form of Prodigy."""
    lang = ("en", "pt")[number % 2]
    text, spans = fill(rng, part, rng.choice(TEMPLATES[lang]))
    found = [{"start": s, "end": e, "label": label} for s, e, label in sorted(spans)]
    return {"text": text, "spans": found, "meta": {"document_id": f"{part}-{number}", "lang": lang}}


def fill(rng: random.Random, part: str, template: str) -> tuple[str, list[tuple[int, int, str]]]:
    """Fill the slots of a template.

    RETURNS (tuple): The text, and start, exclusive end and label of each entity, in characters.
    """
    text = ""
    spans: list[tuple[int, int, str]] = []
    open_slots: list[tuple[int, str]] = []
    at = 0
    while at < len(template):
        char = template[at]
        if char == "{":
            end = next(i for i in range(at, len(template)) if template[i] in ":}")
            label = template[at + 1 : end]
            open_slots.append((len(text), label))
            if template[end] == "}":
                text += name_of(rng, part, label)
                end -= 1
            at = end
        elif char == "}":
            start, label = open_slots.pop()
            spans.append((start, len(text), label))
        else:
            text += char
        at += 1
    return text, spans


def name_of(rng: random.Random, part: str, label: str) -> str:
    """Draw a name of a person or a place."""
    if label == "LOC":
        return rng.choice(PLACES[part])
    return f"{rng.choice(FIRST[part])} {rng.choice(LAST[part])}"


if __name__ == "__main__":
    main()
