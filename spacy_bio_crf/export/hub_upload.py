"""Uploads of pipelines, packages and checkpoints to the Hugging Face hub."""

from pathlib import Path

from huggingface_hub import HfApi

from ..errors import BioError, Plain, describe

# A checkpoint; a pipeline; a package of `spacy package`, which has a wheel in `dist` if asked for.
_CONTENTS = (("config.json", "model.safetensors"), ("config.cfg", "meta.json"), ("setup.py",))
_LEFT_OUT = [".*", "**/.*", "**/__pycache__/**", "build/**", "*.egg-info/**"]


def upload_folder(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> tuple[str, list[str]]:
    """Upload a pipeline, a package made of one, or an exported checkpoint.

    The token is that of `hf auth login` or of the environment variable HF_TOKEN. HF_ENDPOINT names
    another hub than the public one.

    folder (Path): The folder.
    repo (str): The repository, "owner/name"; made if missing.
    private (bool): Hide a repository that is made.
    revision (str | None): An existing branch; None takes the main one.
    message (str | None): The commit's; None makes one.
    RETURNS (tuple[str, list[str]]): The address of the commit, and addresses of wheels to install.
    RAISES: BioError if the folder is none of these, or the hub refuses it.
    """
    if not any(all((folder / name).is_file() for name in names) for names in _CONTENTS):
        expected = "an exported checkpoint, a pipeline, or the folder that has a package's setup.py"
        raise BioError(describe(str(folder), expected=expected, got=Plain("none of them")))
    hub = HfApi()
    try:
        url = hub.create_repo(repo, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=url.repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=message or f"Upload {folder.resolve().name}",
            ignore_patterns=_LEFT_OUT,
        )
    except Exception as error:  # each version of the library has another HTTP client's errors
        remedy = f"log in by `hf auth login` or set HF_TOKEN; the reason given: {error}"
        expected, got = "a repository that can be written to", Plain("an error")
        raise BioError(
            describe(f"repository {repo!r}", expected=expected, got=got, remedy=remedy)
        ) from error
    place = f"{url}/resolve/{revision or 'main'}"
    wheels = [f"{place}/dist/{path.name}" for path in sorted(folder.glob("dist/*.whl"))]
    return commit.commit_url, wheels
