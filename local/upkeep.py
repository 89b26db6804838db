"""What `make upkeep` runs, and `make run` every few minutes: upkeep, once, until nothing is due."""

from __future__ import annotations

import msgspec

from chalicelib.wiring import services


def main() -> None:
    """Move what is due, and say how much that was."""
    done = msgspec.structs.asdict(services().upkeep.run())
    done.pop("overdue_seconds")
    said = ", ".join(f"{number} {what}" for what, number in done.items() if number)
    print(f"upkeep: {said or 'nothing was due'}", flush=True)


if __name__ == "__main__":
    main()
