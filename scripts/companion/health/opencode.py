"""opencode's side: the program, the user's config, the provider, the server."""

from __future__ import annotations

import base64
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

from companion.context import Context
from companion.errors import CompanionError
from companion.health import programs
from companion.health.check import Finding, fail, ok, warn
from companion.health.work import store_to_look
from companion.opencode import binary, userconfig

VERSION_LIMIT_S = 30
PROBE_LIMIT_S = 2.0
# The user name of a managed server.
MANAGED_USER = "opencode"
# Text turns never end in this release (#46858).
BROKEN_VERSIONS = ("1.18.25",)
# Keys in the environment that opencode takes for its commonest providers.
PROVIDER_KEYS = (
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "OPENROUTER_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "DEEPSEEK_API_KEY",
    "XAI_API_KEY",
    "AWS_BEARER_TOKEN_BEDROCK",
    "OPENCODE_API_KEY",
)


class Program(NamedTuple):
    """An opencode that runs: where it is, and what it says of its version."""

    path: str
    version: str


def find_program(context: Context) -> Program:
    """The opencode program, asked for its version here and now. CompanionError as in `binary`."""
    path = binary.find(context.env, context.data_dir)
    try:
        said = programs.ask([path, "--version"], {**context.env, "OPENCODE_DISABLE_AUTOUPDATE": "1"}, VERSION_LIMIT_S)
    except OSError as error:
        raise binary.NoOpenCode(
            f"{path} cannot be run ({error.strerror}); reinstall opencode or set OPENCODE_BIN."
        ) from error
    if said.code is None:
        raise CompanionError(f"{path} --version did not end within {VERSION_LIMIT_S} s; check OPENCODE_BIN.")
    if said.code != 0:
        raise CompanionError(f"{path} --version ended with {said.code}: {(said.err or said.out).strip()[-200:]}")
    return Program(path, ".".join(map(str, binary.check_version(said.out or said.err))))


def program(context: Context) -> list[Finding]:
    """Where opencode is found, and whether its version is supported."""
    upgrade = f"npm install -g {binary.NPM_PACKAGE}@{binary.NPM_VERSION}"
    try:
        found = find_program(context)
    except binary.NoOpenCode as error:
        chosen = context.env.get("OPENCODE_BIN")
        return [fail(str(error), "unset OPENCODE_BIN" if chosen else context.command("setup", "--install"))]
    except CompanionError as error:
        return [fail(str(error), upgrade)]
    if found.version in BROKEN_VERSIONS:
        return [warn(f"opencode {found.version} ({found.path}): text turns never end in this release.", upgrade)]
    return [ok(f"opencode {found.version}, {_how(context, found.path)}: {found.path}.")]


def _how(context: Context, path: str) -> str:
    if context.env.get("OPENCODE_BIN"):
        return "named by OPENCODE_BIN"
    on_path = shutil.which("opencode", path=context.env.get("PATH"))
    return "found on PATH" if on_path else "installed in the data folder"


def config(context: Context) -> list[Finding]:
    """Whether the user's global config can be read, and what its permissions mean for jobs."""
    paths = userconfig.files(context.env)
    if not paths:
        return [ok(f"There is none in {userconfig.folder(context.env)}; opencode's defaults hold.")]
    try:
        whole = userconfig.merged(context.env)
    except userconfig.ConfigError as error:
        return [fail(str(error), "correct that file; opencode does not start with it")]
    relay = context.settings.text("OPENCODE_COMPANION_PERMISSIONS") == "relay"
    findings = [ok(f"{', '.join(paths)} can be read.")]
    findings += _permissions(whole.get("permission"), "", relay, context)
    agents = whole.get("agent")
    for name, agent in agents.items() if isinstance(agents, dict) else ():
        own = agent.get("permission") if isinstance(agent, dict) else None
        if own is not None:
            findings += _permissions(own, f"Agent {name}: ", relay, context)
    return findings


def _permissions(permission: Any, whose: str, relay: bool, context: Context) -> list[Finding]:
    asked, denied, partly = [], [], []
    for name in userconfig.HEADLESS:
        said = userconfig.action(permission, name, "any such request")
        actions = userconfig.actions(permission, name)
        if said == userconfig.DENY:
            denied.append(name)
        elif userconfig.DENY in actions:
            partly.append(name)
        if userconfig.ASK in actions and said != userconfig.DENY:
            asked.append(name)
    findings = []
    if denied:
        findings.append(
            warn(f"{whose}{', '.join(denied)} denied: your config keeps jobs from it, and they go without.")
        )
    if partly:
        findings.append(ok(f"{whose}{', '.join(partly)} denied in part: jobs keep to it."))
    if asked and relay:
        fix = context.command("permissions", "list")
        findings.append(
            warn(
                f"{whose}{', '.join(asked)} on `ask`: with OPENCODE_COMPANION_PERMISSIONS=relay jobs wait for you.", fix
            )
        )
    elif asked:
        findings.append(ok(f"{whose}{', '.join(asked)} on `ask`: jobs are allowed it all the same (auto)."))
    return findings


def provider(context: Context) -> list[Finding]:
    """Whether a model of the user's is configured, as far as files and environment tell."""
    login = "opencode auth login"
    whole: dict[str, Any] = {}
    try:
        whole = userconfig.merged(context.env)
    except userconfig.ConfigError:
        pass  # the config check tells
    model = whole.get("model")
    configured = [*whole["provider"]] if isinstance(whole.get("provider"), dict) else []
    path = auth_path(context.env)
    try:
        logins = _logins(path)
    except (OSError, ValueError) as error:
        return [fail(f"{path} cannot be read ({type(error).__name__}).", login)]
    keys = [name for name in PROVIDER_KEYS if context.env.get(name)]
    known = [
        *([f"model {model}"] if isinstance(model, str) else []),
        *(f"provider {name}" for name in configured),
        *(f"login for {name}" for name in logins),
        *keys,
    ]
    if not known:
        return [warn("No provider is configured: no login, no model in the config, no key in the environment.", login)]
    return [ok(f"Configured: {', '.join(known)}.")]


def auth_path(env: Mapping[str, str]) -> str:
    """Where opencode keeps the logins."""
    home = env.get("HOME") or os.path.expanduser("~")
    return os.path.join(env.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share"), "opencode", "auth.json")


def _logins(path: str) -> list[str]:
    """The names of the providers that somebody logged in to; their keys are not looked at."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except FileNotFoundError:
        return []
    if not isinstance(value, dict):
        raise ValueError("no object")
    return list(value)


# The server


class Answer(NamedTuple):
    """What a server said: `ok` with its version, `denied`, `silent`, `gone`, or `odd` with what it was instead."""

    kind: str
    said: str = ""


def probe(url: str, username: str, password: str) -> Answer:
    """Ask a server for its health, twice at most: what is asked before it listens is never answered."""
    answer = _ask(url, username, password)
    return _ask(url, username, password) if answer.kind == "silent" else answer


def _ask(url: str, username: str, password: str) -> Answer:
    request = urllib.request.Request(f"{url}/global/health")
    token = base64.b64encode(f"{username}:{password}".encode()).decode()
    request.add_header("Authorization", f"Basic {token}")
    # No proxy: a server of ours is on this machine, and one of the user's is asked without one by the supervisor, too.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PROBE_LIMIT_S) as response:
            value = json.loads(response.read(100_000))
        return Answer("ok", str(value["version"]))
    except urllib.error.HTTPError as error:
        return Answer("denied" if error.code in (401, 403) else "odd", f"HTTP {error.code}")
    except (ValueError, KeyError, TypeError):
        return Answer("odd", "no opencode")
    except urllib.error.URLError as error:
        silent = isinstance(error.reason, TimeoutError)
        return Answer("silent" if silent else "gone", str(error.reason))
    except TimeoutError:
        return Answer("silent", "no answer")
    except OSError as error:
        return Answer("gone", error.strerror or str(error))
    except Exception as error:  # http.client's own, which have no common ground with the others
        return Answer("odd", type(error).__name__)


def server(context: Context) -> list[Finding]:
    """The server that the user named, or the managed one of this workspace."""
    return _named_server(context, context.server_url) if context.server_url else _managed_server(context)


def _named_server(context: Context, url: str) -> list[Finding]:
    username = context.settings.text("OPENCODE_SERVER_USERNAME")
    answer = probe(url, username, context.settings.text("OPENCODE_SERVER_PASSWORD"))
    unset = "unset OPENCODE_SERVER_URL"
    if answer.kind == "denied":
        fix = "set OPENCODE_SERVER_USERNAME and OPENCODE_SERVER_PASSWORD to that server's"
        return [fail(f"{url} refuses the login.", fix)]
    if answer.kind != "ok":
        why = {"gone": "cannot be reached", "silent": "does not answer"}.get(answer.kind, "is no opencode 1.x server")
        return [fail(f"OPENCODE_SERVER_URL={url} {why} ({answer.said}).", f"start it, or {unset}")]
    try:
        binary.check_version(answer.said)
    except CompanionError as error:
        return [fail(f"{url}: {error}", unset)]
    return [ok(f"{url} answers: opencode {answer.said}.")]


def _managed_server(context: Context) -> list[Finding]:
    with store_to_look(context) as store:
        known = store.server(context.workspace) if store else None
    if known is None:
        return [ok("None runs for this workspace; a job starts one.")]
    where = f"{known['url']} (pid {known['pid']})"
    answer = probe(known["url"], MANAGED_USER, known["password"])
    if answer.kind == "ok":
        return [ok(f"{where} is ours and answers: opencode {answer.said}.")]
    if answer.kind == "denied":
        return [ok(f"The recorded server is gone; {known['url']} is another program's by now. A job starts a new one.")]
    if answer.kind == "silent":
        return [warn(f"{where} does not answer.", context.command("heal"))]
    return [ok(f"The recorded server {where} is gone; a job starts a new one.")]
