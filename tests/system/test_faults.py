"""Faults of disk, network and people; `benchmarks/faults.py` prints the table of all of them. Those of batches are in test_batch."""

import subprocess
import sys

import pytest
from faults import FAULTS

QUICK = ("read-only folder", "no network")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in FAULTS])
def test_nothing_is_lost(name, tmp_path):
    assert "LOST" not in FAULTS[name](tmp_path)


def test_an_interruption_that_python_drops_comes_again():
    """As one within a callback of the garbage collector, of which jax has one: the command would go on as if nothing had been asked."""
    code = """
import gc, signal, time
import bayes_scaling.__main__ as entry
import bayes_scaling.cli as cli

def interrupted(phase, info):
    gc.callbacks.clear()
    signal.raise_signal(signal.SIGINT)

def main():
    gc.callbacks[:] = [interrupted]
    gc.collect()
    for _ in range(500):
        time.sleep(0.02)
    return 0

cli.main = main
raise SystemExit(entry.run())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "bayes-scaling: interrupted\n")
