"""What a text looks like to the learned judgement in `placeholder`: the features that it is weighed by.

The text is masked first: code, quotations, paths, ids and numbers become one word each, since what they say is
seldom what makes a report. Its clauses are then described twice, by their words and by their words' roles. A role
says what a word stands for when somebody speaks about a delegated job (`act`: handed over, `state`: still open,
`answer`, `promise`, `finding`: only a report says this; none: any other word), the same in every language, so that
what is learned in one language holds in another. `tools/placeholder/words.txt` has the words and the roles.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost a hook's start some milliseconds
    from collections.abc import Iterator, Mapping

Token = tuple[str, str]

WORD_BUCKETS, ROLE_BUCKETS = 1 << 20, 1 << 17
HEAD, TAIL = 4_000, 2_000  # characters of a longer text that are looked at
BLOCK_LIMIT = 600  # characters; a longer block without a language is code, not the status of a job
STEM_LIMIT, RUN_LIMIT = 14, 8  # letters of a stem; of a word in a script without spaces

CODE_LANGUAGES = frozenset(
    [
        "python",
        "py",
        "diff",
        "patch",
        "ts",
        "tsx",
        "js",
        "jsx",
        "typescript",
        "javascript",
        "go",
        "rust",
        "rs",
        "java",
        "c",
        "cpp",
        "sql",
        "ruby",
        "php",
        "css",
        "html",
        "swift",
        "kotlin",
        "nginx",
        "dart",
        "toml",
        "dockerfile",
    ]
)
STATES = frozenset(
    [
        "queued",
        "pending",
        "running",
        "starting",
        "started",
        "in_progress",
        "in-progress",
        "waiting",
        "busy",
        "working",
        "done",
        "completed",
        "failed",
        "ready",
    ]
)
NOT_NAMES = STATES | frozenset(["opencode", "json", "eta", "ok", "id", "pid", "lgtm", "terminal"])
MARKS = {
    **dict.fromkeys(("[ ]", "☐", "⬜", "◻"), " xtodo "),
    **dict.fromkeys(("[x]", "[X]", "✅", "✔️", "✔", "☑"), " xdone "),
    **dict.fromkeys(("⏳", "🔄", "⌛"), " xwait "),
    **dict.fromkeys(("❌", "⚠️"), " xfail "),
}
MASKS = {
    "xid": "id",
    "xcmd": "cmd",
    "xcode": "code",
    "xpath": "code",
    "xname": "code",
    "xquote": "quote",
    "xcite": "quote",
    "xfence": "fence",
    "xblock": "block",
    "xtime": "time",
    "0": "number",
    "xtodo": "todo",
    "xdone": "ticked",
    "xwait": "state",
    "xfail": "crossed",
}

FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([^\n`]*)\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.S | re.M)
CITED = re.compile(r"(?:^[ \t]*>.*\n?)+", re.M)
COMMAND = re.compile(
    r"(?:node )?\S{0,80}opencode[-_]companion\S{0,20}(?:[ \t]+[\w-]+)?(?:[ \t]+--?[\w-]+)*|/opencode:\w+|"
    r"\bopencode[ \t]+(?:run|serve)\b[^\n`→]*"
)
SHELL = re.compile(r"\b(?:sleep|tail|nohup)\b")
ID = re.compile(
    r"\b(?:task|review|adversarial-review|adversarial|rescue|job|ses|oc|bg|session|per|run|bash|shell|t)[-_]"
    r"(?=[\w-]{0,40}\d)[\w-]{2,40}|\b(?=[a-z]{0,12}\d)(?=\d{0,12}[a-z])[0-9a-z]{5,12}\b",
    re.A,
)
QUOTED = re.compile(
    r"\"\"\".{0,6000}?\"\"\"|\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|„[^“”\"\n]{1,400}[“”\"]|«[^»\n]{1,400}»|"
    r"「[^」\n]{1,400}」|『[^』\n]{1,400}』|(?<!\w)'[^'\n]{2,200}'(?!\w)|(?<!\w)‘[^’\n]{2,200}’(?!\w)",
    re.S,
)
TICKED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(
    r"https?://\S+|[~.\w@-]{0,80}/[\w./*@-]*[\w*](?::\d+)*|"
    r"\b[\w-]+\.(?:[a-z]{1,4}|json|yaml|toml|swift|plist|output)\b(?::\d+)*",
    re.A,
)
NAME = re.compile(
    r"\b(?:[A-Za-z]+_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z0-9]+[A-Z]\w*|\w+\(\)|\w+(?:\.\w+)+\(\)?|[A-Z]{2,}\d*\w*|\w+::\w+)",
    re.A,
)
DURATION = re.compile(
    r"\b\d+(?:[.,:]\d+)*[ \t]?(?:ms|s|sec|secs|seconds?|m|mins?|minutes?|h|hours?|Sekunden|Minuten|segundos|minutos|"
    r"secondes|minuti|秒|分钟|分|초|분|секунд\w*|минут\w*)(?![^\W\d_])(?:[ \t]?\d+[ \t]?s\b)?"
)
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
ITEM = re.compile(r"(?:[-*+•·]|\(?\w[.)、])[ \t]+|(?=xtodo|xdone|xwait|xfail)")
CLAUSE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|[。！？；;]|\s[–—→-]+\s|——|·")
WORD = re.compile(
    r"[㐀-鿿々぀-ヿ]+|[가-힣]+|[^\W\d_㐀-鿿々぀-ヿ가-힣]+(?:['’-][^\W\d_㐀-鿿々぀-ヿ가-힣]+)*|\d+|"
    r"[:?!…+−%()→]|[^\w\s,.;\"'`*_|#>-]"
)
PARTS = re.compile(r"['’-]")


class Roles:
    """The roles of words, of all languages at once; a word that ends with "*" is a stem."""

    def __init__(self, words_by_role: Mapping[str, str]) -> None:
        self._words: dict[str, set[str]] = {}
        self._stems: dict[str, set[str]] = {}
        self._known: dict[str, str] = {}
        for role, words in words_by_role.items():
            for word in words.split():
                table = self._stems if word.endswith("*") else self._words
                table.setdefault(word.rstrip("*"), set()).add(role)

    def of(self, word: str) -> str:
        """The roles of a lower-case word, joined by "+"; empty for a word that has none."""
        if word not in self._known:
            found = set(self._words.get(word, ()))
            for end in range(2, min(len(word), STEM_LIMIT) + 1):
                found |= self._stems.get(word[:end], set())
            if not found:
                found.update(*(self._words.get(part, ()) for part in PARTS.split(word)[:8]))
            if len(found) > 1:
                found.discard("filler")
            self._known[word] = "+".join(sorted(found))
        return self._known[word]

    def cut(self, run: str) -> Iterator[Token]:
        """Cut letters written without spaces into the longest known words.

        What is between them has no role, but for hiragana alone, which is grammar.
        """
        rest, at = "", 0
        while at < len(run):
            size = next((n for n in range(min(RUN_LIMIT, len(run) - at), 0, -1) if self.of(run[at : at + n])), 0)
            if size and rest:
                yield rest, _leftover(rest)
                rest = ""
            if size:
                yield run[at : at + size], self.of(run[at : at + size])
            else:
                rest += run[at]
            at += size or 1
        if rest:
            yield rest, _leftover(rest)


def bare(text: str) -> str:
    """The text without the marks that only dress it."""
    return text.replace("**", "").replace("__", "").strip().strip("*_").strip()


def mask(text: str) -> str:
    """A text in lower case, with one word for each piece of code, quotation, path, id, duration and number."""
    text = FENCE.sub(_fence, bare(text))
    for mark, word in MARKS.items():
        text = text.replace(mark, word)
    text = COMMAND.sub(" xcmd ", CITED.sub("\nxcite\n", text))
    text = QUOTED.sub(
        lambda found: _state_or(found[0].strip("\"'“”„«»「」『』‘’ "), "xquote"), TICKED.sub(_ticked, text)
    )
    text = DURATION.sub(" xtime ", PATH.sub(" xpath ", ID.sub(" xid ", text)))
    text = NAME.sub(lambda found: found[0] if found[0].lower() in NOT_NAMES else " xname ", text)
    return NUMBER.sub("0", text).lower()


def features(masked: str, roles: Roles) -> tuple[set[str], set[str]]:
    """The features of a masked text: those of its words, and those of its words' roles."""
    by_word: set[str] = set()
    by_role: set[str] = set()
    clauses = tokens_seen = foreign_seen = 0
    atoms: list[str] = []
    for line, kind, is_heading in _lines(masked):
        for clause in CLAUSE_END.split(line):
            spoken = list(tokens(clause, roles))
            if not spoken:
                continue
            kinds = (kind, kind + "H") if is_heading else (kind,)
            words = [word for word, _ in spoken]
            parts = [role or "F" for _, role in spoken]
            foreign = sum(role in ("F", "code", "quote") for role in parts)
            atoms = sorted({atom for role in parts for atom in role.split("+")})
            by_word.update(_word_features(words, "H" if is_heading else ""))
            if is_heading:
                by_word.update(_word_features(words, ""))
            for name in kinds:
                by_role.update(_role_features(parts, atoms, foreign, name))
            if not clauses:
                by_word.update("1" + word for word in words[:3])
                by_role.update("1" + atom for atom in atoms)
            clauses += 1
            tokens_seen += len(spoken)
            foreign_seen += 0 if kind == "I" else foreign
    by_role.update("$" + atom for atom in atoms)
    by_role.update(
        (
            f"foreign {min(foreign_seen, 12)}",
            f"share {10 * foreign_seen // max(tokens_seen, 1)}",
            f"tokens {min(tokens_seen // 3, 15)}",
            f"clauses {min(clauses, 8)}",
        )
    )
    return by_word, by_role


def _fence(found: re.Match[str]) -> str:
    """What stands for a fenced block: a command, the lines of a status, or code."""
    _, language, body = found.groups()
    if language.strip().lower() in CODE_LANGUAGES:
        return "\nxfence\n"
    if COMMAND.search(body) or SHELL.search(body):
        return "\nxcmd\n"
    return f"\nxblock\n{body}\n" if len(body) < BLOCK_LIMIT else "\nxfence\n"


def _state_or(inner: str, other: str) -> str:
    return f" {inner if inner.lower() in STATES else other} "


def _ticked(found: re.Match[str]) -> str:
    inner = found[1].strip()
    return " xcmd " if "xcmd" in inner else " xid " if ID.fullmatch(inner) else _state_or(inner, "xcode")


def _lines(masked: str) -> Iterator[tuple[str, str, bool]]:
    """The lines with words in them, their kind ("I" an item, "T" a table's row), and whether more belongs to them."""
    if len(masked) > HEAD + TAIL:
        masked = masked[:HEAD] + "\n" + masked[-TAIL:]
    for raw in masked.split("\n"):
        line = raw.strip()
        if any(map(str.isalnum, line)):
            item = ITEM.match(line)
            kind = "T" if line.startswith("|") else "I" if item else ""
            line = (line[item.end() :] if item else line).strip("|# \t")
            yield line, kind, line.endswith((":", "：")) or raw.startswith("#")


def _leftover(run: str) -> str:
    return "filler" if all("぀" <= letter <= "ゟ" for letter in run) else ""


def _is_unspaced(word: str) -> bool:
    return "㐀" <= word[0] <= "鿿" or "぀" <= word[0] <= "ヿ" or word[0] == "々"


def tokens(clause: str, roles: Roles) -> Iterator[Token]:
    """The words of a clause and their roles; what `mask` put there has the role that it stands for."""
    for word in WORD.findall(clause):
        if word in MASKS:
            yield word, MASKS[word]
        elif not word[0].isalnum():
            yield word, word
        elif _is_unspaced(word) or "가" <= word[0] <= "힣":
            yield from roles.cut(word)
        else:
            yield word, roles.of(word)


def _ngrams(prefix: str, parts: list[str], longest: int) -> Iterator[str]:
    whole = ["^", *parts, "$"]
    for at in range(len(whole)):
        for size in range(1, min(longest, len(whole) - at) + 1):
            yield prefix + " ".join(whole[at : at + size])


def _word_features(words: list[str], prefix: str) -> Iterator[str]:
    """Runs of words, or of letters where words aren't spaced; pairs over a gap; how words begin and end."""
    pieces: list[str] = []
    for word in words:
        pieces.extend(word if _is_unspaced(word) or "가" <= word[0] <= "힣" else [word])
    yield from _ngrams(prefix + "w", pieces, 4 if any(map(_is_unspaced, pieces)) else 3)
    yield from (f"{prefix}w{first}_{third}" for first, third in zip(pieces, pieces[2:]))  # noqa: B905
    for word in words:
        if len(word) > 4 and word[0].isalpha() and not _is_unspaced(word):
            yield from (f"{prefix}#{word[:4]}", f"{prefix}#{word[:6]}", f"{prefix}~{word[-3:]}")


def _role_features(parts: list[str], atoms: list[str], foreign: int, kind: str) -> Iterator[str]:
    """Runs of roles, with and without the fillers; pairs of roles in a clause; how much of it has no role."""
    spoken = [role for role in parts if role != "filler"]
    yield from _ngrams(kind + "r", parts, 3)
    yield from _ngrams(kind + "s", [role for at, role in enumerate(spoken) if at == 0 or role != spoken[at - 1]], 3)
    yield from (f"{kind}{atom}&{other}" for at, atom in enumerate(atoms) for other in atoms[at:])
    if not foreign:
        yield from (f"{kind}0{atom}" for atom in atoms)
    yield f"{kind}f{min(foreign, 6)}"
    yield f"{kind}g{min(foreign, 6)}/{min(len(parts) // 3, 6)}"
