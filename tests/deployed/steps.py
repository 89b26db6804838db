"""What is driven: facts, each a function of that name, in the order in which they are written.

    STEPS = Steps("The main job")

    @STEPS.step
    def what_was_sent_plays(job: Job) -> None:
        ...

So what comes to the API is driven by one more function beside those that are there.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

On = TypeVar("On")
Step = Callable[[On], None]


class Failed(AssertionError):
    """Something was not as it has to be."""


@dataclass
class Steps(Generic[On]):
    """Steps that belong together; `shared` by all of them is what they are functions of."""

    title: str
    steps: list[Step[On]] = field(default_factory=list)

    def step(self, fact: Step[On]) -> Step[On]:
        """Have it be driven."""
        self.steps.append(fact)
        return fact

    def drive(self, on: On) -> list[str]:
        """Drive them all, whichever fail, and say how each went; the names of those that failed."""
        say(f"\n{self.title}")
        failed = []
        for step in self.steps:
            began, fact = time.monotonic(), step.__name__.replace("_", " ")
            try:
                step(on)
            except Exception as error:  # noqa: BLE001 - the next step may tell what is wrong
                failed.append(fact)
                say(f"  FAILED {fact}")
                say(re.sub("^", "    ", _told(error), flags=re.MULTILINE))
            else:
                say(f"  {time.monotonic() - began:5.1f} s  {fact}")
        return failed


def say(what: str) -> None:
    """Tell who is waiting."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _told(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-3:]
    where = " <- ".join(f"{each.name}:{each.lineno}" for each in reversed(last))
    return f"{type(error).__name__}: {error}"[:3000] + f"\n{where}"
