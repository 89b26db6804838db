"""`make browser`: has Chromium do what people and web apps do, where there is one."""

from __future__ import annotations

import subprocess
import sys

from tests.browser import chromium, npm
from tests.support import ROOT

# They wait more than they work: for sounds to be recorded, for pages to load.
AT_ONCE = "3"


def main() -> int:
    """Run the tests; 0 also where nothing could be run, which is said."""
    if not chromium.program():
        names = " or ".join(chromium.NAMES)
        sys.stdout.write(
            f"browser: NOT RUN: there is no {names}; on Debian: apt install chromium\n"
        )
        return 0
    if missing := npm.missing():
        sys.stdout.write(f"browser: NOT RUN without {' and '.join(missing)}: Uppy and axe\n")
    else:
        npm.install()  # By one process, before there are several.
    command = [sys.executable, "-m", "pytest", "-q", "tests/browser", "--dist", "loadgroup"]
    return subprocess.run(
        [*command, "--numprocesses", AT_ONCE, *sys.argv[1:]], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
