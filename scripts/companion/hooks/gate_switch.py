"""The review gate's switch, apart from the gate: while it is off everywhere, nothing else is loaded."""

import os

# As `setup` writes it: `"reviewGate": {WORKSPACE: true}` in this file of the data dir.
SETTINGS = "settings.json"


def may_be_on(data_dir: str) -> bool:
    """Whether `setup --enable-review-gate` has switched the gate on for some workspace."""
    try:
        with open(os.path.join(data_dir, SETTINGS), "rb") as file:
            settings = file.read()
    except OSError:
        return False
    return b'"reviewGate"' in settings and b"true" in settings
