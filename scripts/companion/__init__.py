"""Hands work to OpenCode from Claude Code, and brings the answer back."""

__version__ = "0.1.0"
