"""Damaged files: each is read or refused in one line. `benchmarks/fuzz.py` does this at length, other formats and in a process apart."""

import fuzz
import pytest


@pytest.mark.parametrize(("kind", "numbers"), [("parquet", 300), ("csv", 300), ("json", 300)])
def test_damage_is_read_or_refused(kind, numbers, tmp_path):
    make, harm, name, read = fuzz.KINDS[kind]
    path = tmp_path / "read" / name
    path.parent.mkdir()
    sound = make(tmp_path)
    found = {}
    for content in sound:
        path.write_bytes(content)
        assert fuzz.fate(path, read) == "read"
    for number in range(numbers):
        path.write_bytes(harm(sound[number % len(sound)], number))
        found[number] = fuzz.fate(path, read)
    assert {number: fate for number, fate in found.items() if fate not in ("read", "refused")} == {}
    assert "refused" in found.values()


@pytest.mark.parametrize("number", [2, 15, 595])  # a list in a cell; metadata of pandas without a name; text that is not UTF-8
def test_tables_that_were_once_a_traceback(number, tmp_path):
    sound = fuzz.tables(tmp_path)
    path = tmp_path / "runs.parquet"
    path.write_bytes(fuzz.damaged(sound[number % len(sound)], number))
    assert fuzz.fate(path, fuzz.bs.read_runs) in ("read", "refused")
