"""Carries jobs on whose supervisor has died."""

from __future__ import annotations

from companion.context import Context
from companion.supervisor.spawn import ensure_supervisor


def revive(context: Context, workspace: str) -> None:
    """Start the missing supervisor of every server that still has a job of this workspace to do."""
    for server in {job.server for job in context.store.jobs(workspace=workspace, active=True)}:
        ensure_supervisor(context.data_dir, workspace, server)
