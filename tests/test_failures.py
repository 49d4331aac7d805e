"""What servers, providers and the system say becomes a reason, a sentence and no secret."""

from __future__ import annotations

import pytest

from companion.failures import classify, mask, one_line
from companion.observation import Failure


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Failure("APIError", "Unauthorized", 401), "provider_auth"),
        (Failure("ProviderAuthError", "no key"), "provider_auth"),
        (Failure("APIError", "Too Many Requests", 429), "provider_quota"),
        (Failure("APIError", "insufficient_quota", 403), "provider_quota"),
        (Failure("APIError", "Internal", 500), "provider_error"),
        (Failure("APIError", "maximum context length is 8192 tokens", 400), "context_overflow"),
        (Failure("APIError", "connect ECONNREFUSED 127.0.0.1:1"), "provider_unreachable"),
        (Failure("UnknownError", "Model not found: a/b."), "unknown_model"),
        (Failure("UnknownError", 'Agent not found: "x". Available agents: build'), "unknown_agent"),
        (Failure("UnknownError", "ENOSPC: no space left on device"), "disk_full"),
        (Failure("UnknownError", "something odd"), "opencode_error"),
    ],
)
def test_reasons(failure: Failure, reason: str) -> None:
    assert classify(failure).reason == reason


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdef123456",
        "Bearer abc.def.ghi123",
        'api_key: "0123456789"',
        "https://user:hunter22@example.org/v1",
        "token=ghp_0123456789abcdef",
        "ghp_0123456789abcdefABCD",
        "AIzaSyA0123456789012345678901",
        "password=correcthorse",
    ],
)
def test_secrets_are_masked(secret: str) -> None:
    shown = classify(Failure("APIError", f"request failed with {secret} in it", 401)).message
    hidden = ("abcdef123456", "def.ghi", "0123456789", "hunter22", "correcthorse")
    assert not any(part in shown for part in hidden), shown
    assert "***" in shown


def test_ordinary_words_are_not_masked() -> None:
    text = "the token limit is 8192; the password field of the form is empty"
    assert mask(text) == text


def test_a_long_message_is_cut_to_one_line() -> None:
    assert one_line("a\nb " * 400, 20) == "a b a b a b a b a b…"
