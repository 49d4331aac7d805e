"""Tell a placeholder ("Monitor started, I'll report back") from a genuine report, by the text alone.

Where the job store knows the job, the store is the truth. Only where no job is known the text is judged, by
`looks_like_placeholder`. A few certainties come first (nothing said, an id alone, a status in JSON, code alone, a
failure, a text too long to be a placeholder). The rest is weighed by a linear model over the features of
`placeholder_features`. `tools/placeholder/train.py` learns its weights from the corpus in `tests/corpus/` and
writes `placeholder.model`. In doubt a text is a report: it then passes untouched.

Deliberately no placeholder: a failure ("API Error: 400 ..."), since polling would not help; a bare answer ("42").
A text that only says that the turns were used up while the job goes on is one.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from functools import lru_cache
from pathlib import Path

from companion.hooks.placeholder_features import (
    CODE_LANGUAGES,
    FENCE,
    HEAD,
    ID,
    ROLE_BUCKETS,
    TAIL,
    WORD_BUCKETS,
    Roles,
    bare,
    features,
    mask,
    tokens,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost a hook's start some milliseconds
    from collections.abc import Iterator
    from typing import Any

MODEL = Path(__file__).with_name("placeholder.model")
JSON_LIMIT = 100_000  # characters; a longer text is judged as prose
JSON_VALUES = 500  # values looked at
OWN_WORDS_LIMIT = 2 * (HEAD + TAIL)  # characters, code and quotations not counted; a longer text is a report

NOTHING = re.compile(r"\W*(?:empty|no (?:content|response|output|result))?\W*", re.I)
FAILURE = re.compile(r"^\W*OPENCODE_RESCUE_FAILED|\A\W*API Error\b", re.M)
JOB_ID = re.compile(r"(?:(?:task|review|adversarial-review|rescue|job)-|(?:ses|task|job|oc|bg)[-_])", re.A)
STATE_KEY = re.compile(
    r"(?:status|state|estado|situaci|statut|[ée]tat|zustand|stato|状态|状態|상태|статус|состояни)", re.I
)
ANSWER_KEY = re.compile(
    r"(?:result|answer|error|finding|verdict|cause|fix|respuesta|salida|ergebnis|antwort|r[ée]sultat|"
    r"r[ée]ponse|risult|结果|答案|结论|結果|回答|결과|результат|ответ)",
    re.I,
)
END_KEY = re.compile(r"(?:done|finished|completed|ready|ended)", re.I)
ID_KEY = re.compile(r"(?:job|task|session)_?(?:id)?", re.I)


class Model:
    """The learned weights, and the roles of words.

    The file: one line of JSON (`bias`, `scale`: what one unit of a weight counts, `packed`: bytes of the words),
    the words by role as JSON, deflated, then the weights as signed bytes, deflated: those of the words' features,
    those of the roles'.
    """

    def __init__(self, path: Path) -> None:
        header, _, body = path.read_bytes().partition(b"\n")
        about = json.loads(header)
        self.roles = Roles(json.loads(zlib.decompress(body[: about["packed"]])))
        self.weights = array("b", zlib.decompress(body[about["packed"] :]))
        self.bias, self.scale = float(about["bias"]), float(about["scale"])

    def score(self, masked: str) -> float:
        """Above 0 for a placeholder."""
        by_word, by_role = features(masked, self.roles)
        return self.bias + self.scale * (
            self._sum(by_word, 0, WORD_BUCKETS) + self._sum(by_role, WORD_BUCKETS, ROLE_BUCKETS)
        )

    def _sum(self, found: set[str], start: int, buckets: int) -> float:
        """The mean of the features' weights, times the root of their number: long texts don't outweigh short ones."""
        weights = self.weights
        total = sum(weights[start + at] for at in hashed(found, buckets))
        return float(total / max(len(found), 1) ** 0.5)


def hashed(found: set[str], buckets: int) -> set[int]:
    """The buckets of some features."""
    return {zlib.crc32(feature.encode("utf-8", "replace")) % buckets for feature in found}


@lru_cache(maxsize=1)
def model() -> Model:
    """The model, read at the first judgement."""
    return Model(MODEL)


def looks_like_placeholder(text: str) -> bool:
    """Is a subagent's final text only talk about a job that goes on, with nothing of its answer in it?"""
    text = bare(text)
    sure = certainty(text)
    return model().score(mask(in_words(text))) > 0 if sure is None else sure


def certainty(text: str) -> bool | None:
    """Whether a bare text is a placeholder, where that is plain to see; None where it isn't."""
    prose = FENCE.sub("", text).strip()
    blocks = list(FENCE.finditer(text))
    value = _parsed(text)
    if value is not None:
        return _is_open(value)
    if not prose and blocks and any(block[3].strip() for block in blocks):
        return False if all(block[2].strip().lower() in CODE_LANGUAGES for block in blocks) else None
    if NOTHING.fullmatch(prose):
        return True
    if FAILURE.search(prose):
        return False
    if ID.fullmatch(prose.strip("`<>()[] ")) and JOB_ID.match(prose.strip("`<>()[] ")):
        return True
    return False if len(mask(text)) > OWN_WORDS_LIMIT else None


def in_words(text: str) -> str:
    """A JSON value as lines of `key: value`, for its words to be weighed; any other text as it is."""
    value = _parsed(text)
    return text if value is None else "\n".join(f"{key}: {inner}".replace("_", " ") for key, inner in _items(value))


def _parsed(text: str) -> Any:
    """The JSON object or list that a text is, alone or as its only block, or None."""
    block = FENCE.fullmatch(text)
    text = block[3].strip() if block else text
    try:
        return json.loads(text) if text[:1] in ("{", "[") and len(text) < JSON_LIMIT else None
    except (ValueError, RecursionError):
        return None


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of a JSON value, those of inner values after them; a list's values have no key."""
    seen = [value]
    for item in seen:  # grows while it is walked
        for key, inner in list(item.items() if isinstance(item, dict) else (("", inner) for inner in item)):
            if not isinstance(inner, (dict, list)) or not inner:
                yield key, inner
            elif len(seen) < JSON_VALUES:
                seen.append(inner)
                yield key, "…"


def _is_open(value: Any) -> bool | None:
    """Does a JSON value only say that a job isn't over? None where its words must be weighed."""
    open_signs = value in ({}, [])
    unknown = False
    for key, inner in _items(value):
        if ANSWER_KEY.match(key):
            if inner not in (None, "", [], {}):
                return False
            open_signs = True
        elif STATE_KEY.match(key):
            roles = _roles_in(str(inner))
            if roles & {"finding", "end"}:
                return False
            unknown = unknown or not roles & {"state", "act", "queue"}
            open_signs = True
        elif (END_KEY.fullmatch(key) and inner is False) or ID_KEY.fullmatch(key):
            open_signs = True
    return True if open_signs and not unknown else None


def _roles_in(text: str) -> set[str]:
    spoken = tokens(text.lower().replace("_", " ").replace("-", " "), model().roles)
    return {role for _, names in spoken for role in names.split("+")}
