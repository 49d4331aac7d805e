"""Text from models and files, made fit to be shown: it cannot steer the terminal, and its width is known."""

from __future__ import annotations

# Zero-width joiner and emoji selector: terminals disagree on the width of what they make.
_JOINERS = {0x200D: None, 0xFE0F: None}
# Control characters but tab and line feed, with the sign that Unicode has for them.
_SIGNS: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)}
# DEL, the second set of control characters, what turns the direction of text round, and bytes that are no text.
_SIGNS.update(
    (code, "\N{REPLACEMENT CHARACTER}")
    for codes in (range(0x7F, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A), range(0xDC80, 0xDD00))
    for code in codes
)


def visible(text: str) -> str:
    """The text with every character that a terminal would obey shown as a sign; lines and tabs stay."""
    return text.replace("\r\n", "\n").translate(_SIGNS)


def flat(text: str) -> str:
    """The text as one line that a terminal shows as it is."""
    return " ".join(visible(text).translate(_JOINERS).split())


def width(text: str) -> int:
    """The columns that a flat text takes in a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def fit(text: str, columns: int) -> str:
    """The beginning of a flat text that fits into so many columns."""
    if width(text) <= columns:
        return text
    while text and width(text) >= columns:
        text = text[:-1]
    return text + "…" if columns > 0 else ""
