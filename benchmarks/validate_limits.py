"""What the worst input does to ``job validate`` and ``security-scan``: 100 MB, broken documents, half documents.

``python benchmarks/validate_limits.py [--documents 10000] [--megabytes 100] [--oracles DIR]`` mutates the examples of
all rules, truncates each file of DIR at 50 points, and reads one large file in a process of its own. It prints the
slowest document, crashes (findings GM0001, tracebacks) and the large file's wall and memory; exit code 1 where a rule
crashed, a document took more than 2 s, or the large file more than 24 bytes of memory for each of its own.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.validate import OBJECTS
from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.inspection import Request, inspect
from gitlab_mesh.core.analysis.ruleset import registered

ODD: list[Any] = [None, "", "*", 0, -1, 1.5, True, [], {}, [None], {"x": None}, "a" * 300, "{{ x }}", [[]], {"": ""}]
POINTS = 50


def mutate(value: Any, chance: random.Random) -> Any:
    """Replace, drop or double one value somewhere inside."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {other: item for other, item in value.items() if other != key}
        return {**value, key: mutate(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        i = chance.randrange(len(value))
        return [*value[:i], mutate(value[i], chance), *value[i:]]
    return chance.choice(ODD)


def damage(text: str, chance: random.Random) -> str:
    """Put a few characters of YAML's own into a text, or take some out."""
    for _ in range(chance.randrange(1, 6)):
        i = chance.randrange(len(text))
        text = (
            text[:i]
            + chance.choice(["", ":", "{", "- ", "\t", "&a ", "*a", "'", "\n", "|", "%", "\x00", "<<: "])
            + text[i + 1 :]
        )
    return text


def mutants(count: int) -> Iterator[str]:
    """Yield documents: two of three with other values, the rest with other characters."""
    chance = random.Random(7)
    examples = [text for rule in registered().values() for text in (rule.bad, rule.good) if text]
    for i in range(count):
        text = chance.choice(examples)
        if i % 3:
            yield yaml.safe_dump_all([mutate(body, chance) for body in yaml.safe_load_all(text)])
        else:
            yield damage(text, chance)


def truncated(folder: Path) -> Iterator[str]:
    """Yield each file of the cases, cut at points that are spread over it."""
    for path in sorted(folder.glob("istio-*/**/*.yaml")):
        if "crds" not in path.parts:
            text = path.read_text(encoding="utf-8")
            yield from (text[: len(text) * i // POINTS] for i in range(POINTS))


def look(texts: Iterator[str]) -> tuple[int, float, list[str]]:
    """Return how many texts were looked at, the slowest one's seconds, and what crashed."""
    count, slowest, crashes = 0, 0.0, []
    for text in texts:
        started = time.perf_counter()
        request = Request(paths=("-",), suites=("validate", "security"), strict=True)
        summary = inspect(FileManifests(text.encode("utf-8", "replace")), request).summary
        slowest = max(slowest, time.perf_counter() - started)
        crashes += [item.message for item in summary.findings if item.code == "GM0001"]
        count += 1
    return count, slowest, crashes


def read_large(megabytes: int) -> tuple[float, float, float]:
    """Return wall and processor time in seconds, and the memory in MB, of a run on one file of this size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.yaml"
        with path.open("w", encoding="utf-8") as file:
            i = 0
            while file.tell() < megabytes * 1_000_000:
                file.write(OBJECTS.format(i=i, n=i % 50))
                i += 1
        started = time.perf_counter()
        command = [sys.executable, "-m", "gitlab_mesh", "job", "validate", str(path), "--fail-on", "never"]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        took = time.perf_counter() - started
        print(done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr[-500:])
        if done.returncode:
            raise SystemExit(f"exit code {done.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--oracles", type=Path)
    arguments = parser.parse_args()
    failed = False
    sources = {"mutated documents": mutants(arguments.documents)}
    if arguments.oracles:
        sources["truncated files"] = truncated(arguments.oracles)
    for name, texts in sources.items():
        count, slowest, crashes = look(texts)
        print(f"{count:,} {name}: {len(crashes)} crashes, slowest {slowest:.2f} s (goals: 0, at most 2)")
        for crash in sorted(set(crashes))[:10]:
            print(f"  {crash}")
        failed |= bool(crashes) or slowest > 2
    if arguments.megabytes:
        took, busy, memory = read_large(arguments.megabytes)
        print(f"{arguments.megabytes} MB in one file: {took:.0f} s ({busy:.0f} s busy), {memory:.0f} MB of memory")
        failed |= memory > 24 * arguments.megabytes
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
