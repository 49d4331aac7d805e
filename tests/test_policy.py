"""Permission rules: a job gets what it needs, the user's denies stay, and delegating on is impossible."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobfactory import make_job

from companion.observation import Ask
from companion.policy import ALLOW, ASK, DELEGATION, DENY, GRANTED, READING, Rule, reply_to, session_rules

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


@pytest.mark.parametrize("permissions", ["auto", "relay"])
def test_a_session_that_was_allowed_less_gets_the_rules_of_the_job_that_goes_on_in_it(permissions: str) -> None:
    user = (*DEFAULTS, Rule("bash", "git push*", DENY))
    for before in (make_job(type="review"), make_job(read_only=True)):
        job = make_job(permissions=permissions)
        rules = (*user, *session_rules(before, user), *session_rules(job, user))
        fresh = (*user, *session_rules(job, user))
        for permission in (*GRANTED, "read", "webfetch", "todowrite", "question", "task", "their_tool"):
            for value in ("x", "git push", ".env"):
                assert decide(rules, permission, value) == decide(fresh, permission, value), (permission, value)


# Reviews

EVERYTHING = (
    *("bash", "edit", "write", "apply_patch", "webfetch", "websearch", "task", "skill", "todowrite", "question"),
    *("external_directory", "doom_loop", "lsp", "their_tool", "mcp_write"),
)


@pytest.mark.parametrize("permissions", ["auto", "relay"])
@pytest.mark.parametrize("name", EVERYTHING)
def test_a_review_may_do_nothing_but_read_whatever_the_user_allows(permissions: str, name: str) -> None:
    user = (
        *DEFAULTS,
        Rule("*", "*", ALLOW),
        Rule(name, "*", ALLOW),
        Rule("bash", "git diff*", ALLOW),
        Rule("m*", "*", ALLOW),
    )
    review = (*user, *session_rules(make_job(type="review", permissions=permissions), user))
    assert decide(review, name, "git diff") == DENY
    assert [rule for rule in review if fnmatchcase(name, rule.permission)][
        -1
    ].pattern == "*"  # so it is not even offered
    assert {decide(review, reading, "a.py") for reading in READING} == {ALLOW}


def test_a_review_reads_its_own_folder_outside_the_workspace_and_no_other() -> None:
    rules = (*DEFAULTS, *session_rules(make_job(type="review"), DEFAULTS, "/data/reviews/change-x"))
    assert decide(rules, "external_directory", "/data/reviews/change-x/*") == ALLOW
    assert decide(rules, "external_directory", "/data/reviews/change-y/*") == DENY
    assert decide(rules, "external_directory", "/data/*") == DENY


def test_the_users_denies_of_reading_stay_in_a_review() -> None:
    user = (*DEFAULTS, Rule("read", "secret/*", DENY), Rule("gr*", "*", DENY), Rule("edit", "*", ALLOW))
    rules = (*user, *session_rules(make_job(type="adversarial-review"), user, "/data/x"))
    assert decide(rules, "read", "secret/key") == DENY
    assert decide(rules, "read", "a.py") == ALLOW
    assert decide(rules, "read", "a.env") == ASK
    assert decide(rules, "grep", "x") == DENY
    assert decide(rules, "glob", "x") == ALLOW
    assert decide(rules, "edit", "a.py") == DENY


@pytest.mark.parametrize("permissions", ["auto", "relay"])
@pytest.mark.parametrize("permission", ["read", "bash", "edit", "external_directory", "doom_loop", "question"])
def test_nobody_is_asked_on_behalf_of_a_review(permissions: str, permission: str) -> None:
    kind = "question" if permission == "question" else "permission"
    reply = reply_to(make_job(type="review", permissions=permissions), Ask("per_1", "ses_1", kind, permission, "x"))
    assert reply is not None
    assert (reply.reply, bool(reply.message)) == ("reject", True)


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


names = st.sampled_from(["*", "bash", "edit", "read", "grep", "re*", "their_*", "external_directory"])
user_rules = st.lists(
    st.builds(Rule, names, st.sampled_from(["*", "a*"]), st.sampled_from([ALLOW, ASK, DENY])), max_size=6
)


@given(user_rules.map(tuple), st.sampled_from([*EVERYTHING, *READING]), st.sampled_from(["abc", "xyz"]))
def test_a_review_is_never_allowed_more_than_the_user_allows(user: tuple[Rule, ...], name: str, value: str) -> None:
    user = (Rule("*", "*", ALLOW), *user)
    decided = decide((*user, *session_rules(make_job(type="review"), user)), name, value)
    assert decided == (decide(user, name, value) if name in READING else DENY)
