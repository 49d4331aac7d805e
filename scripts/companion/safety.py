"""The safety header: what a model that works for a job must know. The one text; hooks read the same file."""

from __future__ import annotations

import os

HEADER_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "safety_header.txt")


def safety_header() -> str:
    """The header's text, without the line end of the file."""
    with open(HEADER_PATH, encoding="utf-8") as file:
        return file.read().rstrip("\n")
