"""Command `bio-ner push`: a pipeline or a checkpoint to the Hugging Face hub."""

from pathlib import Path

import typer
from wasabi import msg


def push_cli(
    folder: Path = typer.Argument(  # noqa: B008
        ..., help="A checkpoint of to-hf, a pipeline, or a package made by spacy package"
    ),
    repo: str = typer.Argument(..., metavar="REPO", help="OWNER/NAME on the hub; made if missing"),
    private: bool = typer.Option(False, "--private", help="Hide the repository, if it is made"),
    revision: str | None = typer.Option(None, "--revision", help="Branch; else the main one"),
    message: str | None = typer.Option(None, "--message", "-m", help="Message of the commit"),
) -> None:
    """Upload a checkpoint, a pipeline or a package to the hub.

    The token is that of `hf auth login` or of HF_TOKEN; HF_ENDPOINT names another hub.
    """
    from ..errors import BioError
    from ..export.hub_upload import upload_folder

    try:
        url, wheels = upload_folder(
            folder, repo, private=private, revision=revision, message=message
        )
    except BioError as error:
        msg.fail(str(error), exits=1)
    msg.good(f"Uploaded: {url}")
    for wheel in wheels:
        msg.info(f"Install it: pip install {wheel}")
