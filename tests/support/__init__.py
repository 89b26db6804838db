"""What the tests stand on."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
