"""The embedded backend by itself: `python -m local.embedded FOLDER`, or `memory` in its place.

It prints the environment that leads to it, as a line of JSON, and serves until its input ends.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from local.embedded import backend
from local.embedded.disk import NotUsable


def main() -> None:
    """Serve."""
    folder = None if sys.argv[1] == "memory" else Path(sys.argv[1])
    try:
        data = backend.listen(folder=folder)
    except NotUsable as error:
        sys.exit(str(error))
    data.serve(lambda _: None)
    print(json.dumps(data.environment()), flush=True)
    sys.stdin.read()
    data.stop()


if __name__ == "__main__":
    main()
