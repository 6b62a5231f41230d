"""The command line that runs a plan in a process of its own: for a sandbox's background traffic."""

from __future__ import annotations

import sys

from gitlab_mesh.core.load.plan import LoadPlan

__all__ = ["load_command"]


def load_command(plan: LoadPlan, *, interval_seconds: float = 1.0) -> list[str]:
    """Return program and arguments for ``python -m gitlab_mesh.adapters.load``; it prints JSON lines.

    Args:
        plan: What to send; its body must be text.
        interval_seconds: Between two progress lines; 0: only the final one.
    """
    values = {
        "--url": plan.url,
        "--rate": plan.rate,
        "--duration": plan.duration_seconds,
        "--arrivals": plan.arrivals,
        "--connections": plan.connections,
        "--max-requests": plan.max_requests,
        "--timeout": plan.timeout_seconds,
        "--method": plan.method,
        "--body": plan.body.decode() or None,
        "--origin-header": plan.origin_header or None,
        "--seed": plan.seed,
        "--interval": interval_seconds,
    }
    command = [sys.executable, "-m", "gitlab_mesh.adapters.load"]
    command += [f"{name}={value}" for name, value in values.items() if value is not None]
    command += [f"--header={name}:{value}" for name, value in plan.headers.items()]
    return command + [f"--allowed-host={host}" for host in plan.allowed_hosts]
