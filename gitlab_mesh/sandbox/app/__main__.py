"""``python -m gitlab_mesh.sandbox.app``: run the shop as a process; its image's behaviour comes as JSON."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from gitlab_mesh.sandbox.app.behaviour import Behaviour
from gitlab_mesh.sandbox.app.server import Shop, serve


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(prog="shop", description="The sandbox's shop application.")
    parser.add_argument("--version", required=True, help="tag of the image")
    parser.add_argument("--behaviour", type=Behaviour.from_json, default=Behaviour(), help="JSON of its fields")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: the system chooses; it is printed as JSON")
    parser.add_argument("--seed", type=int, help="for errors and latencies that repeat; default: honest randomness")
    options = parser.parse_args()
    if options.behaviour.exits_on_start is not None:
        sys.stderr.write(f"shop {options.version}: panic: cannot read its configuration\n")
        return int(options.behaviour.exits_on_start)
    shop = Shop(options.version, options.behaviour, random.Random(options.seed))
    asyncio.run(serve(shop, options.host, options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
