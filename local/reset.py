"""What `make reset` runs: forgets what a `make run` kept. `python -m local.reset FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from local.attach import FOLDER
from local.embedded import disk


def main() -> None:
    """Forget the data in the folder that is named, or in that of a plain `make run`."""
    folder = Path(sys.argv[1] or FOLDER)
    try:
        disk.forget(folder)
    except disk.NotUsable as error:
        sys.exit(f"make reset: {error}")
    print(f"make reset: nothing is kept in {folder} any more")


if __name__ == "__main__":
    main()
