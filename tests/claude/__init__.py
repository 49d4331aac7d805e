"""The real Claude Code, run offline against a scripted Messages API.  See `runner` for how to use it."""
