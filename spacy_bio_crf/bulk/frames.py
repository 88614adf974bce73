"""Pieces of bytes one after another in a file, each with its length before it."""

import struct
from collections.abc import Iterator
from pathlib import Path

_LENGTH = struct.Struct("<Q")


def framed(content: bytes) -> bytes:
    """RETURNS (bytes): A piece with its length before it; nothing for an empty one."""
    return _LENGTH.pack(len(content)) + content if content else b""


def read_frames(path: Path) -> Iterator[bytes]:
    """Stream the pieces of a file.

    path (Path): A file of whole pieces.
    YIELDS (bytes): The pieces, in order.
    RAISES: ValueError if the last one is not whole.
    """
    with path.open("rb") as file:
        while head := file.read(_LENGTH.size):
            length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else _LENGTH.size
            content = file.read(length)
            if len(content) < length:
                raise ValueError(f"{path}: expected {length} bytes at the end, got {len(content)}")
            yield content
