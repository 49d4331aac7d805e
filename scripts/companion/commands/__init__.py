"""The subcommands, a module each: `configure(parser)` declares its options, `run(context, options)` does it."""

from __future__ import annotations

# Name to one line of help, in the order that the help shows. A module is imported only when its command is run.
SUMMARIES: dict[str, str] = {
    "task": "delegate a task to OpenCode and get the answer back",
    "wait-and-result": "wait for a job to end and print its report",
    "status": "show this session's jobs: what runs, what has ended",
    "watch": "watch jobs live: what each does right now, until interrupted",
    "result": "print the stored answer of a job that has ended",
    "cancel": "stop a job",
    "monitor": "follow jobs, for an agent: a line for every event, and each answer once",
    "review": "let OpenCode review the changes of this workspace",
    "adversarial-review": "let OpenCode question the design and the assumptions of the changes",
    "task-resume-candidate": "show which OpenCode session `task --resume-last` would continue",
    "heal": "carry on, or end with the truth, jobs that nobody drives any more",
    "permissions": "show what running jobs wait for, and answer it",
    "setup": "see whether everything is there; install opencode; switch the review gate",
    "doctor": "check the installation, and mend it with --fix",
    "config": "show every variable that is recognised, and where things are",
    "demo": "try the whole path on this machine, with a scripted model and no account",
}

# Called by the plugin's own hooks, not by people; the help does not show them.
INTERNAL = ("review-gate",)


def module_name(command: str) -> str:
    """The module in which a command lives."""
    return f"companion.commands.{command.replace('-', '_')}"
