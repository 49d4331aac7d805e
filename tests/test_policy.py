"""Permission rules: a job gets what it needs, the user's denies stay, and delegating on is impossible."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobfactory import make_job

from companion.policy import ALLOW, ASK, DELEGATION, DENY, GRANTED, Rule, session_rules

DEFAULTS = (Rule("*", "*", ALLOW), Rule("external_directory", "*", ASK), Rule("read", "*.env", ASK))


def decide(rules: tuple[Rule, ...], permission: str, value: str) -> str:
    """What opencode decides: the last rule that matches, else ask."""
    for rule in reversed(rules):
        if fnmatchcase(permission, rule.permission) and fnmatchcase(value, rule.pattern):
            return rule.action
    return ASK


@pytest.mark.parametrize("permission", GRANTED)
def test_a_job_may_work(permission: str) -> None:
    user = (*DEFAULTS, Rule("*", "*", ASK))
    assert decide((*user, *session_rules(make_job(), user)), permission, "anything") == ALLOW


def test_the_users_denies_stay_and_so_do_their_exceptions() -> None:
    user = (
        *DEFAULTS,
        Rule("bash", "*", ASK),
        Rule("bash", "git push*", DENY),
        Rule("bash", "git push --dry-run", ALLOW),
    )
    rules = (*user, *session_rules(make_job(), user))
    assert decide(rules, "bash", "ls") == ALLOW
    assert decide(rules, "bash", "git push origin") == DENY
    assert decide(rules, "bash", "git push --dry-run") == ALLOW


@pytest.mark.parametrize("permissions", ["auto", "relay"])
@pytest.mark.parametrize("name", ["opencode", "opencode:rescue", "opencode-rescue", "other:agent"])
def test_delegating_on_is_denied(permissions: str, name: str) -> None:
    user = (*DEFAULTS, Rule("task", "*", ALLOW), Rule("skill", "*", ALLOW))
    rules = (*user, *session_rules(make_job(permissions=permissions), user))
    assert {kind for kind, _ in DELEGATION} == {"task", "skill"}
    assert decide(rules, "task", name) == DENY
    assert decide(rules, "skill", name) == DENY
    assert decide(rules, "task", "explore") == ALLOW


@pytest.mark.parametrize("permissions", ["auto", "relay"])
def test_read_only_is_enforced(permissions: str) -> None:
    rules = (*DEFAULTS, *session_rules(make_job(read_only=True, permissions=permissions), DEFAULTS))
    assert decide(rules, "edit", "a.py") == DENY
    assert decide(rules, "bash", "git diff") == DENY
    assert decide(rules, "read", "a.py") == ALLOW


def test_relay_leaves_the_users_asks_alone() -> None:
    user = (*DEFAULTS, Rule("bash", "*", ASK))
    assert decide((*user, *session_rules(make_job(permissions="relay"), user)), "bash", "ls") == ASK


rules = st.builds(
    Rule,
    st.sampled_from(["*", "bash", "edit", "webfetch", "external_directory", "read"]),
    st.sampled_from(["*", "git *", "git push*", "a*"]),
    st.sampled_from([ALLOW, ASK, DENY]),
)


@given(st.lists(rules, max_size=6).map(tuple), st.sampled_from(GRANTED), st.sampled_from(["git push x", "git", "abc"]))
def test_only_asks_change_and_only_into_allow(user: tuple[Rule, ...], permission: str, value: str) -> None:
    before = decide(user, permission, value)
    after = decide((*user, *session_rules(make_job(), user)), permission, value)
    assert after == (ALLOW if before == ASK else before)
