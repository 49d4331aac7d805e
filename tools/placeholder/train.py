"""Learn the weights of the judgement of placeholders, and say how good they are.

    python3 -m venv .cache/train && .cache/train/bin/pip install scikit-learn==1.7.2
    .cache/train/bin/python tools/placeholder/train.py           # writes scripts/companion/hooks/placeholder.model
    .cache/train/bin/python tools/placeholder/train.py --check   # figures alone; --errors lists what is misjudged

It learns from `train_*.jsonl` in `tests/corpus/placeholder_judgement`. The figures are cross-validated twice: over
shuffled cases, and with each file judged by what was learned from the others, for a file is one author's way to write.
The threshold is the one at which `MOST_FALSE` of the shuffled reports were taken for placeholders. The parts
`held_out_*.jsonl` are never read here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zlib
from pathlib import Path
from random import Random

import numpy as np
from scipy.sparse import csr_matrix, diags
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from companion.hooks.placeholder import MODEL, certainty, hashed, in_words  # noqa: E402
from companion.hooks.placeholder_features import (  # noqa: E402
    ROLE_BUCKETS,
    WORD_BUCKETS,
    Roles,
    bare,
    features,
    mask,
)

CORPUS = ROOT / "tests" / "corpus" / "placeholder_judgement"
WORDS = Path(__file__).with_name("words.txt")
SEED = 7
FOLDS = 8
STRENGTH = 0.016  # logistic regression's C: larger trusts the cases more
TELLING = 2  # the power of a feature's inverse document frequency by which it counts
ROLE_SHARE = 0.7  # of the roles' features beside the words'
JOINED_WEIGHT = 0.05  # all the joined texts together, compared with the corpus
RARE = 2  # features of fewer texts are left out
MOST_FALSE = 0.01  # of reports that are mostly meant to be hard; of others it is half of that
SURE = 99.0
# What subagents say most often instead of a report, alone or after one.
USUAL = (
    "Monitor started.",
    "Monitor started. I'll report back when it's done.",
    "The job is running in the background.",
    "Task dispatched, polling.",
    "The rest is still running, I'll let you know.",
)
Case = tuple[str, bool]


def words_by_role() -> dict[str, str]:
    """The words of all languages by role, from lines of `role: word word`, continued by lines without a role."""
    found: dict[str, set[str]] = {}
    role = ""
    for line in WORDS.read_text("utf-8").splitlines():
        if not line.startswith(("#", "[")):
            for word in line.split():
                if word.endswith(":"):
                    role = word[:-1]
                else:
                    found.setdefault(role, set()).add(word)
    return {role: " ".join(sorted(words)) for role, words in sorted(found.items())}


def read_corpus() -> dict[str, list[Case]]:
    """The training parts: bare texts, and whether each is a placeholder."""
    parts = {}
    for path in sorted(CORPUS.glob("train_*.jsonl")):
        cases = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        parts[path.name] = [(bare(case["text"]), case["label"] == "placeholder") for case in cases]
    return parts


def joined(cases: list[Case], random: Random) -> list[Case]:
    """Reports with a placeholder after them, which stay reports; two placeholders, which stay one."""
    waiting = [text for text, label in cases if label and len(text) < 200]
    found = [(text, True) for text in USUAL]
    for text, label in cases:
        last = random.choice((*USUAL, *random.choices(waiting, k=len(USUAL))))
        if len(text) < 200 if label else len(text) > 60:
            found.append((f"{text}\n\n{last}", label))
    return found


class Learner:
    """Turns texts into rows of features, once each, and learns from some of them."""

    def __init__(self) -> None:
        self._roles = Roles(words_by_role())
        self._rows: dict[str, tuple[list[int], list[float]]] = {}

    def rows(self, texts: list[str]) -> csr_matrix:
        """One row a text; the roles' columns come after the words'."""
        found = [self._row(text) for text in texts]
        ends = np.cumsum([0] + [len(columns) for columns, _ in found])
        columns = np.concatenate([columns for columns, _ in found])
        values = np.concatenate([values for _, values in found])
        return csr_matrix((values, columns, ends), shape=(len(texts), WORD_BUCKETS + ROLE_BUCKETS))

    def learn(self, cases: list[Case]) -> tuple[np.ndarray, float]:
        """The weights and the bias."""
        glued = joined(cases, Random(SEED))
        everything = cases + glued
        share = JOINED_WEIGHT * len(cases) / len(glued)
        rows = self.rows([text for text, _ in everything])
        texts_with = np.bincount(rows.indices, minlength=rows.shape[1])
        kept = np.flatnonzero(texts_with >= RARE)
        # Else the many features that are common in every text would drown those that tell something.
        telling = np.log(1 + len(everything) / texts_with[kept]) ** TELLING
        model = LogisticRegression(C=STRENGTH, max_iter=300)
        model.fit(
            rows[:, kept] @ diags(telling),
            [label for _, label in everything],
            np.repeat([1.0, share], [len(cases), len(glued)]),
        )
        weights = np.zeros(rows.shape[1])
        weights[kept] = model.coef_[0] * telling
        return weights, float(model.intercept_[0])

    def scores(self, cases: list[Case], weights: np.ndarray, bias: float) -> np.ndarray:
        """How much each text looks like a placeholder, `SURE` where that is plain to see."""
        learned = self.rows([text for text, _ in cases]) @ weights + bias
        sure = [certainty(text) for text, _ in cases]
        return np.array(
            [own if is_sure is None else SURE * (2 * is_sure - 1) for own, is_sure in zip(learned, sure, strict=True)]
        )

    def _row(self, text: str) -> tuple[list[int], list[float]]:
        if text not in self._rows:
            by_word, by_role = features(mask(in_words(text)), self._roles)
            columns: list[int] = []
            values: list[float] = []
            for found, start, buckets, share in (
                (by_word, 0, WORD_BUCKETS, 1.0),
                (by_role, WORD_BUCKETS, ROLE_BUCKETS, ROLE_SHARE),
            ):
                at = sorted(hashed(found, buckets))
                columns += [start + bucket for bucket in at]
                values += [share * max(len(found), 1) ** -0.5] * len(at)
            self._rows[text] = columns, values
        return self._rows[text]


def cross_validated(learner: Learner, folds: list[list[Case]]) -> list[np.ndarray]:
    """The scores of each fold, by what was learned from the others."""
    return [
        learner.scores(fold, *learner.learn([case for other in folds if other is not fold for case in other]))
        for fold in folds
    ]


def figures(name: str, cases: list[Case], scores: np.ndarray, least: float) -> str:
    """Recall and false positives at a threshold."""
    truth = np.array([label for _, label in cases])
    recall, false = (scores[truth] > least).mean(), (scores[~truth] > least).mean()
    return f"{name}: recall {recall:.3f}, false positives {false:.4f} of {len(cases)} cases"


def validate(learner: Learner, parts: dict[str, list[Case]], errors: bool) -> float:
    """The threshold; prints what cross-validation says."""
    shuffled = [case for cases in parts.values() for case in cases]
    Random(SEED).shuffle(shuffled)
    folds = [shuffled[at::FOLDS] for at in range(FOLDS)]
    scores = np.concatenate(cross_validated(learner, folds))
    cases = [case for fold in folds for case in fold]
    reports = np.sort(scores[[not label for _, label in cases]])[::-1]
    least = float(reports[int(MOST_FALSE * len(reports))]) + 1e-6
    print(figures("shuffled", cases, scores, least))
    for (name, own), found in zip(parts.items(), cross_validated(learner, list(parts.values())), strict=True):
        print(figures(f"{name} unseen", own, found, least))
    if errors:
        for (text, label), score in zip(cases, scores, strict=True):
            if (score > least) != label:
                print(f"{'missed' if label else 'false'} {score - least:+.2f} {text[:250]!r}")
    return least


def write_model(path: Path, weights: np.ndarray, bias: float) -> int:
    """Write words and weights in the form that companion.hooks.placeholder reads; returns the file's size in bytes."""
    weights = np.concatenate([weights[:WORD_BUCKETS], weights[WORD_BUCKETS:] * ROLE_SHARE])
    scale = float(np.abs(weights).max()) / 127 or 1.0
    words = zlib.compress(json.dumps(words_by_role(), ensure_ascii=False).encode(), 9)
    header = {"bias": round(bias, 6), "scale": scale, "packed": len(words)}
    packed = zlib.compress(np.rint(weights / scale).astype(np.int8).tobytes(), 9)
    path.write_bytes(json.dumps(header).encode() + b"\n" + words + packed)
    return path.stat().st_size


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=re.sub(r"\n.*", "", __doc__ or "", flags=re.DOTALL))
    parser.add_argument("--check", action="store_true", help="only say how good it is")
    parser.add_argument("--errors", action="store_true", help="list what is misjudged")
    options = parser.parse_args()
    if not options.check:  # what is plain to see depends on the words in the model
        write_model(MODEL, np.zeros(WORD_BUCKETS + ROLE_BUCKETS), 0.0)
    learner, parts = Learner(), read_corpus()
    least = validate(learner, parts, options.errors)
    if not options.check:
        weights, bias = learner.learn([case for cases in parts.values() for case in cases])
        print(f"{MODEL.name}: {write_model(MODEL, weights, bias - least):,} bytes")


if __name__ == "__main__":
    main()
