"""Build what the end-to-end tier needs: ``python -m tests.e2e.controlplane.build [MODULE…]``.

About 15 minutes and 2.5 GB of downloads and build cache on two cores when nothing is there, seconds afterwards. Each
program is moved to its place when it is whole, so that an interrupted run goes on where it was; a lock per module
lets two runs share the work.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.e2e.controlplane.programs import MODULES, GoModule, cache_root, go_version, why_not

__all__ = ["build_all"]

_BEAT_SECONDS = 20.0


def build_all(wanted: Sequence[str] = ()) -> None:
    """Build the named modules (default: all that are not optional), as far as they are not built yet.

    Raises:
        subprocess.CalledProcessError: Go refused; its words are on stderr.
    """
    started = time.monotonic()
    chosen = [module for module in MODULES if (module.name in wanted if wanted else not module.optional)]
    for module in chosen:
        folder = module.folder(go_version())
        with _locked(cache_root() / f"{folder.name}.lock"):
            folder.mkdir(exist_ok=True)
            for program in module.packages:
                if not (folder / program).exists():
                    _build(module, program, folder)
            for name in module.data or {}:
                if not (folder / name).exists():
                    _copy_data(module, name, folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
        _say(f"{module.name}: {', '.join(module.packages)} in {folder} ({size / 1e6:.0f} MB)")
    _say(f"all there after {time.monotonic() - started:.0f} s")


def _build(module: GoModule, program: str, folder: Path) -> None:
    """Run `go build`, with a sign of life while it compiles."""
    started = time.monotonic()
    _say(f"{module.name}: building {program} with {go_version()} ...")
    partial = folder / f".{program}.{os.getpid()}"
    argv = ["go", "build", "-v", "-ldflags", " ".join(("-s", "-w", *module.link)), "-o", str(partial)]
    packages, beat, others = 0, started, []
    with subprocess.Popen(
        [*argv, module.packages[program]], cwd=module.directory, env=_environment(), stderr=subprocess.PIPE, text=True
    ) as go:
        for line in go.stderr or ():
            if line.startswith(("#", "\t", "go: ")) or " " in line.strip():
                others.append(line)
            packages += 1
            if time.monotonic() - beat >= _BEAT_SECONDS:
                beat = time.monotonic()
                _say(f"  {program}: {packages} packages, {beat - started:.0f} s")
    if go.returncode:
        partial.unlink(missing_ok=True)
        sys.stderr.write("".join(others[-40:]))
        raise subprocess.CalledProcessError(go.returncode, argv)
    partial.replace(folder / program)
    size = (folder / program).stat().st_size
    _say(f"  {program}: {size / 1e6:.0f} MB, {packages} packages, {time.monotonic() - started:.0f} s")


def _copy_data(module: GoModule, name: str, folder: Path) -> None:
    """Take a file (or the YAML files of a folder, joined) out of a module of the build."""
    assert module.data is not None
    origin, path = module.data[name]
    listed = subprocess.run(
        ["go", "mod", "download", "-json", origin],
        cwd=module.directory, env=_environment(), stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    source = Path(json.loads(listed.stdout)["Dir"], path)
    files = [source] if source.is_file() else sorted(source.glob("*.yaml"))
    texts = [file.read_text() for file in files if file.name != "kustomization.yaml"]
    partial = folder / f".{name}.{os.getpid()}"
    partial.write_text("\n---\n".join(texts))
    partial.replace(folder / name)


def _environment() -> dict[str, str]:
    """Return Go's environment: what is checked in decides the versions, and no other toolchain is fetched."""
    return {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another run that builds the same ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.controlplane.build", description=__doc__)
    parser.add_argument("module", nargs="*", choices=[[], *(module.name for module in MODULES)], help="default: all")
    parser.add_argument("--prune", action="store_true", help="remove what other versions left in the cache")
    options = parser.parse_args()
    problem = why_not()
    if problem:
        _say(f"the end-to-end tier cannot run here: {problem}")
        return 1 if os.environ.get("GITLAB_MESH_REQUIRE_E2E") == "1" else 0
    try:
        build_all(options.module)
    except subprocess.CalledProcessError as error:
        _say(f"go ended with status {error.returncode}")
        return 1
    if options.prune:
        current = {module.folder(go_version()).name for module in MODULES}
        for folder in cache_root().iterdir():
            if folder.is_dir() and folder.name not in current:
                shutil.rmtree(folder)
                _say(f"removed {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
