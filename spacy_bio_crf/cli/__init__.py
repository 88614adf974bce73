"""Commands: `python -m spacy bio-ner …`, and the same as `spacy-bio-crf …`.

spaCy imports this module whenever its command line starts, through the entry point group
"spacy_cli". Each command therefore imports its requirements when it runs. A new command is a
function in a module of its own, registered below.
"""

import typer
from spacy.cli._util import app as spacy_app

from ..installed import warn_of_clash
from .annotate import annotate_cli
from .calibrate import calibrate_cli
from .convert import convert_cli
from .debug import debug_cli
from .evaluate import evaluate_cli
from .from_hf import from_hf_cli
from .push import push_cli
from .to_hf import to_hf_cli
from .transitions import transitions_cli

warn_of_clash()
app = typer.Typer(name="bio-ner", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bio_ner_cli() -> None:
    """Named-entity recognition with BIO tags: data in, evaluation out."""


app.command("convert")(convert_cli)
app.command("annotate")(annotate_cli)
app.command("evaluate")(evaluate_cli)
app.command("calibrate")(calibrate_cli)
# Values of a config, as for spaCy's own commands, are not known as options beforehand.
app.command("debug", context_settings={"ignore_unknown_options": True})(debug_cli)
app.command("transitions")(transitions_cli)
app.command("from-hf")(from_hf_cli)
app.command("to-hf")(to_hf_cli)
app.command("push")(push_cli)

# spaCy only imports an entry point, which has to add itself to the commands.
spacy_app.add_typer(app)


def main() -> None:
    """Run the console script."""
    app(prog_name="spacy-bio-crf")
