"""Makes the pictures in docs/images from real terminal sessions: `python tests/screens.py [FOLDER]`.

The program runs in a real terminal, called by its name from a shell, with real jobs on the real opencode; only the
model plays a script. Needs OPENCODE_TEST_BIN, and scripts/ on PYTHONPATH. Paths of the machine are shown as those of a
user called `me`.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from machine import ROOT, Machine
from rich.console import Console
from rich.style import Style
from rich.text import Text
from terminals import Terminal

from companion.demo.scripted_model import ChatRequest, Script, Wire, provider_config
from companion.plaintext import width

IMAGES = ROOT / "docs" / "images"
PROMPT = "$ "
PROGRAM = "opencode-companion"
# Dollars for a million tokens.
PRICE = {"input": 3, "output": 15}
FILES = {
    "cart.py": "def total(prices, discount):\n    return sum(prices) - discount * sum(prices)\n",
    "test_cart.py": (
        "import time\nimport unittest\n\nfrom cart import total\n\n\n"
        "class TotalTest(unittest.TestCase):\n"
        "    def test_discount(self):\n        time.sleep(600)\n        self.assertEqual(total([10, 5], 0.1), 13.5)\n"
    ),
    "messages.po": 'msgid "Your cart is empty"\nmsgstr ""\n',
}
JOBS = {
    "Explain": ("Explain how discounts are rounded", [("read", {"filePath": "cart.py"})]),
    "翻译": ("翻译购物车的提示 (translate the cart's messages)", [("read", {"filePath": "messages.po"})]),
    "Find out": (
        "Find out why the discount test fails, and mend it",
        [
            ("read", {"filePath": "cart.py"}),
            ("edit", {"filePath": "cart.py", "oldString": "discount * sum(prices)", "newString": "round(discount)"}),
            ("bash", {"command": "python3 -m unittest -v", "description": "Run the tests"}),
        ],
    ),
    "Upgrade": (
        "Upgrade the dependencies and clean up",
        [
            ("read", {"filePath": "cart.py"}),
            ("bash", {"command": "rm -rf node_modules package-lock.json", "description": "Clean up"}),
        ],
    ),
}


def main(folder: Path) -> int:
    """Play the sessions and write what the screens showed."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root, shop(Path(root)) as machine:
        play_jobs(machine)
        with session(machine, 110, 28) as terminal:
            enter(terminal, "status")
            terminal.until(lambda: "Read one: " in terminal.text and terminal.text.endswith(f"\n{PROMPT.strip()}"))
            write(terminal, machine, folder / "status.svg")
        for name, columns, lines in (("watch", 110, 24), ("watch-narrow", 40, 30)):
            with session(machine, columns, lines) as terminal:
                enter(terminal, "watch")
                terminal.shows("Ctrl-C ends")
                write(terminal, machine, folder / f"{name}.svg")
        with session(machine, 110, 42) as terminal:
            enter(terminal, "demo")
            terminal.until(lambda: "Nothing keeps" in terminal.text and terminal.text.endswith(f"\n{PROMPT.strip()}"))
            write(terminal, machine, folder / "demo.svg")
    return 0


def shop(root: Path) -> Machine:
    """A user with a small project in the home folder, and a model that has a price."""
    home = root.resolve() / "home"
    machine = Machine(root.resolve(), os.environ["OPENCODE_TEST_BIN"])
    machine.workspace = home / "shop"
    machine.data = home / ".local" / "share" / PROGRAM
    machine.workspace.mkdir()
    for name, text in FILES.items():
        (machine.workspace / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(machine.workspace)], check=True)
    bin_folder = home / "bin"
    bin_folder.mkdir()
    (bin_folder / "opencode").symlink_to(os.environ["OPENCODE_TEST_BIN"])
    (bin_folder / PROGRAM).symlink_to(ROOT / "bin" / PROGRAM)
    machine.env.update(
        OPENCODE_COMPANION_DATA=str(machine.data),
        OPENCODE_COMPANION_PERMISSIONS="relay",
        PATH=os.pathsep.join([str(bin_folder), os.path.dirname(sys.executable), machine.env["PATH"]]),
        TERM="xterm-256color",
        PS1=PROMPT,
    )
    del machine.env["OPENCODE_BIN"]
    return machine


def play_jobs(machine: Machine) -> None:
    """Jobs in every state: one answered, one refused by the provider, one at work, one that asks."""
    config = provider_config(machine.model.base_url)
    config["provider"]["scripted"]["models"]["scripted"]["cost"] = PRICE
    config["permission"] = {"bash": {"*": "allow", "rm *": "ask"}}
    machine.config.write_text(json.dumps(config))
    for word, (_, calls) in JOBS.items():
        machine.play(word, priced(calls))
    machine.play("Rewrite", refused)
    for text in (JOBS["Explain"][0], "Rewrite the checkout in Rust", JOBS["翻译"][0]):
        machine.finished(machine.submit(text))
    working = machine.submit(JOBS["Find out"][0])
    machine.until(lambda: (machine.job(working)["lastActivity"] or {}).get("tool") == "bash")
    asking = machine.submit(JOBS["Upgrade"][0])
    machine.until(lambda: machine.job(asking)["blockedOn"])


def priced(calls: list[tuple[str, dict[str, Any]]]) -> Script:
    """A model that calls these tools, and counts tokens as a large one would."""

    def script(request: ChatRequest, wire: Wire) -> None:
        done = len(request.tool_results)
        if done < len(calls):
            wire.tool(*calls[done])
        else:
            wire.text("Done.")
        wire.finish("tool_calls" if done < len(calls) else "stop", 9_400 + 700 * done, 260)

    return script


def refused(request: ChatRequest, wire: Wire) -> None:
    """A provider that does not know the key."""
    wire.error(401, {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}})


def session(machine: Machine, columns: int, lines: int) -> Terminal:
    """A shell of the user's in a terminal of this size."""
    terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], machine.workspace, columns, lines, machine.env)
    terminal.until(lambda: terminal.text.endswith(PROMPT.strip()))
    return terminal


def enter(terminal: Terminal, word: str) -> None:
    """Type a command of the program."""
    terminal.type(f"{PROGRAM} {word}\n")


def write(terminal: Terminal, machine: Machine, path: Path) -> None:
    """The screen as an SVG file."""
    names = {str(machine.home): "/home/me"}
    svg = drawing(screen(terminal, names), f"{PROGRAM} {path.stem.partition('-')[0]}")
    for word in (str(machine.home.parent), str(ROOT), os.environ["OPENCODE_TEST_BIN"]):
        assert word not in svg, f"{path.name} shows {word}"
    path.write_text(svg)
    print(f"{path}: {len(svg) / 1000:.0f} kB")


def screen(terminal: Terminal, names: Mapping[str, str]) -> pyte.Screen:
    """What stands on the terminal's screen, with other names for some paths."""
    raw = terminal.raw
    for name, shown in names.items():
        raw = raw.replace(name.encode(), shown.encode())
    # pyte knows no faint text; bright black looks like it.
    raw = raw.replace(b"\x1b[2m", b"\x1b[90m")
    found = pyte.Screen(terminal.screen.columns, terminal.screen.lines)
    pyte.ByteStream(found).feed(raw)
    return found


def drawing(screen: pyte.Screen, title: str) -> str:
    """The screen as SVG, with the fonts that the reader has."""
    used = [line for line in range(screen.lines) if screen.display[line].strip()]
    console = Console(record=True, width=screen.columns, file=io.StringIO(), force_terminal=True)
    for number in range(used[-1] + 1):
        line = Text(no_wrap=True, end="")
        chars = [screen.buffer[number][column] for column in range(screen.columns)]
        # Each piece of text is placed by itself, so that neither blanks nor another font's wide letters move the rest.
        for (fg, bold, wide), run in groupby(chars, lambda char: (char.fg, char.bold, is_wide(char))):
            for piece in re.split("(^ +|  +)", "".join(char.data for char in run)):
                # A style of its own is what keeps a piece apart: underline2 is one that is not drawn.
                style = Style(color=colour(fg), bold=bold, underline2=wide)
                line.append(piece, Style(color="black") if piece.isspace() else style)
        line.rstrip()
        console.print(line, crop=False, overflow="ignore")
    svg = console.export_svg(title=title, unique_id="screen")
    # rich counts letters here, not columns, which would squeeze the wide ones.
    svg = re.sub(r' textLength="[^"]*"([^>]*>[^<]*[^\x00-\u2e7f][^<]*</text>)', r"\1", svg)
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "Menlo, Consolas, 'DejaVu Sans Mono', monospace")


def is_wide(char: pyte.screens.Char) -> bool:
    """Whether it takes two columns, or is the second of them, which holds nothing."""
    return width(char.data) != 1


def colour(name: str) -> str | None:
    """pyte's name of a colour as rich knows it."""
    if name == "default":
        return None
    if name.startswith("bright"):
        return "bright_" + name.removeprefix("bright").replace("brown", "yellow")
    return "yellow" if name == "brown" else name


if __name__ == "__main__":
    if shutil.which("bash") is None:
        sys.exit("tests/screens.py: bash is needed")
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
