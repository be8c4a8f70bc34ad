"""Faults of disk, network and people; `benchmarks/faults.py` prints the table of all of them. Those of batches are in test_batch."""

import pytest
from faults import FAULTS

QUICK = ("read-only folder", "no network")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in FAULTS])
def test_nothing_is_lost(name, tmp_path):
    assert "LOST" not in FAULTS[name](tmp_path)
