"""What `tests/bench.py` measures: `commands` (short commands and hooks) and `jobs` (jobs on the real opencode)."""
