"""Commands: `python -m spacy bio-ner …`, and the same as `spacy-bio-crf …`.

spaCy imports this module whenever its command line starts, through the entry point group
"spacy_cli". Each command therefore imports its requirements when it runs. A new command is a
function in a module of its own, registered below.
"""

import os
from collections.abc import Callable

import typer
from spacy.cli._util import app as spacy_app

from ..cores import waiting_settings
from ..installed import warn_of_clash
from .agree import agree_cli
from .annotate import annotate_cli
from .calibrate import calibrate_cli
from .convert import convert_cli
from .debug import debug_cli
from .distill import distill_cli
from .ensemble import ensemble_cli
from .evaluate import evaluate_cli
from .from_hf import from_hf_cli
from .init_config import init
from .push import push_cli
from .select import select_cli
from .suspects import suspects_cli
from .to_hf import to_hf_cli
from .to_tasks import to_tasks_cli
from .train import train_cli
from .transitions import transitions_cli
from .trim import trim_cli

warn_of_clash()
# For the processes that a command starts, those of `spacy project run` among them.
os.environ.update(waiting_settings())
app = typer.Typer(name="bio-ner", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bio_ner_cli() -> None:
    """Named-entity recognition with BIO tags: data in, evaluation out."""


# Each command, and the example that its help ends with.
COMMANDS: dict[Callable[..., None], str] = {
    convert_cli: "convert train.conll corpus/train.spacy --lang pt",
    debug_cli: "debug corpus/train.spacy --dev corpus/dev.spacy --model config.cfg",
    train_cli: "train config.cfg --output training --resume",
    distill_cli: "distill my_ensemble config.cfg --output training --texts texts.jsonl",
    evaluate_cli: "evaluate training/model-best corpus/test.spacy --report report.html",
    calibrate_cli: "calibrate training/model-best corpus/dev.spacy --plot plot.svg",
    agree_cli: "agree anna.spacy bruno.spacy --report agreement.html",
    suspects_cli: "suspects corpus/train.spacy --config config.cfg -o suspects.jsonl -r page.html",
    annotate_cli: "annotate training/model-best texts.jsonl entities.jsonl --n-process 4",
    ensemble_cli: "ensemble seed-0/model-best seed-1/model-best my_ensemble",
    select_cli: "select training/model-best texts.jsonl batch.json -n 500 --to label-studio",
    to_tasks_cli: "to-tasks entities.jsonl tasks.jsonl --to prodigy",
    transitions_cli: "transitions training/model-best --plot transitions.svg",
    trim_cli: "trim training/model-best small --texts corpus/train.spacy",
    from_hf_cli: "from-hf dslim/bert-base-NER my_ner --lang en",
    to_hf_cli: "to-hf training/model-best checkpoint --corpus corpus/dev.spacy",
    push_cli: "push checkpoint someone/my-ner --private",
}
for command, example in COMMANDS.items():
    app.command(
        example.partition(" ")[0],
        epilog=f"\b\nExample:\n  python -m spacy bio-ner {example}",
        # Values of a config, as for spaCy's own commands, are not known as options beforehand.
        context_settings={
            "ignore_unknown_options": command in (debug_cli, distill_cli, suspects_cli, train_cli),
            "allow_extra_args": command in (distill_cli, suspects_cli, train_cli),
        },
    )(command)
app.add_typer(init, name="init")

# spaCy only imports an entry point, which has to add itself to the commands.
spacy_app.add_typer(app)


def main() -> None:
    """Run the console script."""
    app(prog_name="spacy-bio-crf")
