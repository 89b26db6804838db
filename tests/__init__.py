"""The tests. Whatever this shell is set to is none of theirs."""

import os

# Here, because the app reads the settings as it is imported, and this comes before it.
for name in [name for name in os.environ if name.startswith(("AWS_", "RECORDER_"))]:
    del os.environ[name]
