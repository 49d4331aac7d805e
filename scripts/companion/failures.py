"""Turns what the server, the provider or the system says into a reason word, one sentence, and the next step."""

from __future__ import annotations

import re
from dataclasses import dataclass

from companion.observation import Failure


@dataclass(frozen=True)
class Classified:
    """`reason` is a stable machine word; `message` is for a person: what happened, then what to do."""

    reason: str
    message: str


# The message's wording wins over the HTTP status: providers send overflows as 400 and quotas as 403.
_BY_WORDING: tuple[tuple[str, str, str], ...] = (
    (
        r"context (length|window)|contextoverflow|too large to compact|maximum context|prompt is too long",
        "context_overflow",
        "The task and what was read for it do not fit the model's context. Split the task or use a larger model.",
    ),
    (
        r"model not found|no such model|unknown model|model .* does not exist",
        "unknown_model",
        "Run `opencode models` to see the models that are ready.",
    ),
    (r"agent not found", "unknown_agent", "Run `opencode agent list` to see the agents that exist."),
    (
        r"insufficient[_ ](quota|credit|balance)|quota|rate.?limit|too many requests|usage limit|\b429\b",
        "provider_quota",
        "The provider's limit is reached. Wait, or choose another model with --model.",
    ),
    (r"no space left|enospc|disk full", "disk_full", "The disk is full. Free some space, then run the task again."),
    (
        r"econnrefused|unable to connect|connection refused|enotfound|getaddrinfo|network|fetch failed|socket",
        "provider_unreachable",
        "The provider cannot be reached. Check the network and the provider's address in opencode.json.",
    ),
)
_BY_STATUS: tuple[tuple[range, str, str], ...] = (
    (range(401, 402), "provider_auth", "The provider refused the login. Run `opencode auth login`, then try again."),
    (range(402, 403), "provider_quota", "The provider wants payment. Check the account, or use another --model."),
    (range(403, 404), "provider_auth", "The provider refused access. Check the key's rights and the model's name."),
    (range(404, 405), "unknown_model", "Run `opencode models` to see the models that are ready."),
    (range(429, 430), "provider_quota", "The provider's limit is reached. Wait, or choose another --model."),
    (range(500, 600), "provider_error", "The provider has a fault. Try again later, or use another --model."),
)
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 ***"),
    (re.compile(r"\b(sk|pk|rk|ghp|gho|glpat|xox[abp]|AIza)[-_][\w-]{6,}"), r"\1-***"),
    (re.compile(r"\bAIza[\w-]{20,}"), "AIza***"),
    (
        re.compile(r"(?i)(\"?(?:api[-_]?key|token|secret|password|authorization)\"?\s*[:=]\s*\"?)(?!\*)[^\s\",;&]{4,}"),
        r"\1***",
    ),
    (re.compile(r"(?i)(https?://[^\s/:@]+:)[^\s/@]+@"), r"\1***@"),
)
_MESSAGE_CHARS = 500


def mask(text: str) -> str:
    """The text without what looks like a key, a token or a password."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def one_line(text: str, limit: int = _MESSAGE_CHARS) -> str:
    """The text masked, on one line, cut to `limit` characters."""
    line = " ".join(mask(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def classify(failure: Failure) -> Classified:
    """The reason word for an error, and what a person can do."""
    said = one_line(failure.message) or failure.name
    if failure.name == "ProviderAuthError":
        return Classified("provider_auth", f"{said} — Run `opencode auth login`, then try again.")
    wording = f"{failure.name} {failure.message}"
    for pattern, reason, advice in _BY_WORDING:
        if re.search(pattern, wording, re.IGNORECASE):
            return Classified(reason, f"{said} — {advice}")
    for statuses, reason, advice in _BY_STATUS:
        if failure.status is not None and failure.status in statuses:
            return Classified(reason, f"{said} — {advice}")
    return Classified("provider_error" if failure.name == "APIError" else "opencode_error", said)
