"""What a job may do: its permission rules, and the answers to what opencode asks on its behalf.

Rules are ours here (`permission`, `pattern`, `action`); the adapter writes them in its server's form. In both, the last
rule that matches decides, so a session's rules come after the user's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from companion.jobs import Job
from companion.observation import Ask

ALLOW, ASK, DENY = "allow", "ask", "deny"
# What a job needs to work without anybody at the keyboard.
GRANTED = ("bash", "edit", "webfetch", "external_directory")
# Claude Code's own agents and skills, and this plugin's: a job that could reach them would delegate in a circle.
DELEGATION = (("task", "*:*"), ("task", "opencode*"), ("skill", "*:*"), ("skill", "opencode*"))
WRITING = ("edit", "bash")
# All that a review may do. Whatever else there is, also by the user's plugins and MCP servers, could write.
READING = ("read", "grep", "glob", "list")


@dataclass(frozen=True)
class Rule:
    """One permission rule; `pattern` is a glob over what is asked for, `action` allow, ask or deny."""

    permission: str
    pattern: str
    action: str


@dataclass(frozen=True)
class Reply:
    """An answer to an ask: `once` or `reject`. A reject always says something, else opencode ends the whole turn."""

    reply: str
    message: str = ""


def session_rules(job: Job, agents_rules: Iterable[Rule], readable: str | None = None) -> tuple[Rule, ...]:
    """The rules of a job's session, given those that its agent has from defaults and the user's config.

    `readable`: a folder of ours outside the workspace that a review may read. `auto` repeats the agent's own rules with
    `ask` turned into `allow` for what a job needs: so every deny of the user stays where it was, also one for a few
    patterns only.
    """
    if job.is_review:
        return _review_rules(agents_rules, readable)
    rules: list[Rule] = []
    if job.permissions == "auto":
        rules += [Rule(name, "*", ALLOW) for name in GRANTED]
        for rule in agents_rules:
            rules += _granting(rule)
        rules.append(Rule("question", "*", DENY))
    else:
        rules += agents_rules  # the session may go on from a job that was allowed less
    rules += [Rule(permission, pattern, DENY) for permission, pattern in DELEGATION]
    if job.read_only:
        rules += [Rule(name, "*", DENY) for name in WRITING]
    return tuple(rules)


def reply_to(job: Job, ask: Ask) -> Reply | None:
    """The answer that policy gives to an ask, or None where the user must answer."""
    if job.permissions == "relay" and not job.is_review:
        return None
    if ask.kind == "question":
        return Reply("reject", "Nobody is there to answer. Decide yourself and say in your answer what you assumed.")
    if not job.is_review and ask.permission in GRANTED and not (job.read_only and ask.permission in WRITING):
        return Reply("once")
    return Reply("reject", f"This job may not do that ({ask.permission}). Go on without it, and say so in your answer.")


def _review_rules(agents_rules: Iterable[Rule], readable: str | None) -> tuple[Rule, ...]:
    """Nothing but reading; of the agent's own rules only those that take from it. No subagents: nothing to inherit."""
    rules = [Rule("*", "*", DENY), *(Rule(name, "*", ALLOW) for name in READING)]
    for rule in agents_rules:
        names = [name for name in READING if fnmatchcase(name, rule.permission)]
        rules += [Rule(name, rule.pattern, rule.action) for name in names]
    if readable is not None:
        rules.append(Rule("external_directory", f"{readable}/*", ALLOW))
    return tuple(rules)


def _granting(rule: Rule) -> list[Rule]:
    if rule.action != ASK:
        return [rule]
    if rule.permission == "*":
        return [rule, *(Rule(name, rule.pattern, ALLOW) for name in GRANTED)]
    return [Rule(rule.permission, rule.pattern, ALLOW)] if rule.permission in GRANTED else [rule]
