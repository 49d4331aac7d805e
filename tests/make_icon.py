"""Draws .claude-plugin/icon.png: an arrow that leaves a bracket and one that comes back.

python tests/make_icon.py
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

SIZE = 512
SCALE = 3  # drawn larger and averaged, for smooth edges
GROUND, INK, ACCENT = (24, 26, 32), (236, 238, 242), (224, 122, 79)
ICON = Path(__file__).resolve().parent.parent / ".claude-plugin" / "icon.png"


def colour(x: float, y: float) -> tuple[int, int, int]:
    """The colour at a point; both axes go from 0 to 1."""
    bracket = 0.14 <= x <= 0.24 and 0.16 <= y <= 0.84
    bracket = bracket or (0.14 <= x <= 0.36 and (0.16 <= y <= 0.25 or 0.75 <= y <= 0.84))
    if bracket:
        return INK
    for centre, leftwards, ink in ((0.40, False, INK), (0.60, True, ACCENT)):
        along = 0.86 - x if leftwards else x - 0.34
        off = abs(y - centre)
        if (0.0 <= along <= 0.36 and off <= 0.035) or (0.36 <= along <= 0.52 and off <= (0.52 - along) * 0.55):
            return ink
    return GROUND


def pixel(column: int, row: int) -> bytes:
    """The average of the points in a pixel."""
    steps = [(step + 0.5) / SCALE for step in range(SCALE)]
    points = [colour((column + dx) / SIZE, (row + dy) / SIZE) for dx in steps for dy in steps]
    return bytes(sum(channel) // len(points) for channel in zip(*points, strict=True))


def png(rows: list[bytes]) -> bytes:
    """A PNG file of 8-bit RGB rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


if __name__ == "__main__":
    ICON.write_bytes(png([b"".join(pixel(column, row) for column in range(SIZE)) for row in range(SIZE)]))
