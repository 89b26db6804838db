"""`make browser`: has Chromium do what web apps do, where there is one."""

from __future__ import annotations

import subprocess
import sys

from tests.browser import chromium
from tests.support import ROOT


def main() -> int:
    """Run the tests; 0 also where nothing could be run, which is said."""
    if not chromium.program():
        sys.stdout.write(f"browser: nothing was run: there is no {' or '.join(chromium.NAMES)}\n")
        return 0
    command = [sys.executable, "-m", "pytest", "-q", "tests/browser", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
