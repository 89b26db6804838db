"""The code in docs/clients.md, which is tried as it stands there."""

import re

from tests.support import ROOT


def example(title: str) -> str:
    """The code that begins with this comment, or with this line."""
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    [code] = re.findall(rf"```\w+\n((?:// )?{re.escape(title)}.*?)```", text, re.DOTALL)
    return str(code)
