"""Which of an object's HTTP routes a release moves, and where they are after others have inserted some."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gitlab_mesh.core.mesh.pair import Json
from gitlab_mesh.errors import UsageError

__all__ = ["choose_routes", "find_again"]


def choose_routes(
    label: str, items: Sequence[Json], candidates: Sequence[int], wanted: Sequence[str], *, host: str, word: str
) -> tuple[int, ...]:
    """Return the indexes of the routes to move; never guesses.

    Args:
        label: The object, for people.
        items: Its routes; each may have a ``name``.
        candidates: Indexes of those that lead to the service; not empty.
        wanted: Names of ``route.http``; empty: the only one.
        host: Where they lead, for people.
        word: What a route is called in this kind of object: "HTTP route", "rule".

    Raises:
        UsageError: Several lead there and none is named, or a named one is missing or there twice.
    """
    names = [str(items[index].get("name", f"#{index}")) for index in candidates]
    if not wanted:
        if len(candidates) > 1:
            raise UsageError(
                f"{label}: {len(candidates)} {word}s lead to {host}: {', '.join(names)}",
                why="which of them the release may move is not ours to guess",
                hint=f"name them in mesh.yaml, for example route: {{http: [{names[-1]}]}}, or all of them to move all",
            )
        return tuple(candidates)
    chosen = []
    for name in wanted:
        hits = [index for index, item in enumerate(items) if item.get("name") == name]
        if len(hits) != 1 or hits[0] not in candidates:
            state = "does not exist" if not hits else "is there more than once"
            if len(hits) == 1:
                state = f"does not lead to {host}"
            raise UsageError(
                f"{label}: the {word} {name!r} {state}",
                why=f"{word}s to {host} are {', '.join(names)}",
                hint="name one of them in route.http",
            )
        chosen.append(hits[0])
    return tuple(sorted(chosen))


def find_again(items: Sequence[Json], index: int, name: str | None, fits: Callable[[Json], bool]) -> int | None:
    """Find a route anew: by its name, else where it was, else the first without name that fits.

    Args:
        items: The object's routes now.
        index: Where it was.
        name: Its name, if it had one.
        fits: Whether a route has both sides of the release.
    """
    if name:
        hits = [at for at, item in enumerate(items) if item.get("name") == name and fits(item)]
    elif index < len(items) and not items[index].get("name") and fits(items[index]):
        hits = [index]
    else:
        hits = [at for at, item in enumerate(items) if not item.get("name") and fits(item)]
    return hits[0] if hits else None
