"""SECURITY.md names tests that exist, and every requirement of its chapters."""

from __future__ import annotations

import re

from tests.support import ROOT

TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
}
# How many requirements each section of ASVS 5.0.0 has.
SECTIONS = {
    **{"6.1": 3, "6.2": 12, "6.3": 8, "6.4": 6, "6.5": 8, "6.6": 4, "6.7": 2, "6.8": 4},
    **{"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 3, "7.6": 2},
    **{"8.1": 4, "8.2": 4, "8.3": 3, "8.4": 2},
    **{"9.1": 3, "9.2": 4},
    **{"10.1": 2, "10.2": 3, "10.3": 5, "10.4": 16, "10.5": 5, "10.6": 2, "10.7": 3},
}


def mentioned() -> list[str]:
    """The requirements in the first column of its tables, those of a range too."""
    found: list[str] = []
    for row in re.findall(r"^\| (\d[^|]*)", TEXT, re.MULTILINE):
        for first, last in re.findall(r"(\d+\.\d\.\d+)(?: to (\d+\.\d\.\d+))?", row):
            section, _, number = first.rpartition(".")
            until = int(last.rpartition(".")[2]) if last else int(number)
            found += [f"{section}.{each}" for each in range(int(number), until + 1)]
    return found


def test_every_test_and_every_file_it_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    files = set(re.findall(r"\b((?:tests|docs)/[\w/.-]+\w)", TEXT))

    assert len(named) > 50
    assert named - TESTS == set()
    assert {file for file in files if not (ROOT / file).exists()} == set()


def test_every_requirement_has_its_place_once() -> None:
    assert sorted(mentioned()) == sorted(
        f"{section}.{number + 1}" for section, count in SECTIONS.items() for number in range(count)
    )


def test_every_risk_of_the_api_top_ten_has_its_place() -> None:
    assert re.findall(r"^\| (API\d+) ", TEXT, re.MULTILINE) == [f"API{n}" for n in range(1, 11)]
