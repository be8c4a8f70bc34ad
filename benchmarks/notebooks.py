"""Run the notebooks from top to bottom, all with one command, and say how long each takes.

``python benchmarks/notebooks.py`` (with ``pip install -e '.[notebooks]'``) leaves them as they are; ``--write`` keeps what they print and
draw, ``--jobs 2`` runs two at a time, each on its own half of the cores (processes that share cores wait for each other's threads);
``--small`` takes fewer curves where there are many (BAYES_SCALING_SMALL), as CI does.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[1] / "notebooks"
TIMEOUT = 1800  # seconds that a cell may take


def main() -> None:
    """Run the notebooks; exit code 1 if a cell fails."""
    parser = argparse.ArgumentParser(description="run the notebooks")
    parser.add_argument("names", nargs="*", help="of notebooks; all by default")
    parser.add_argument("--write", action="store_true", help="keep what they print and draw")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time")
    parser.add_argument("--small", action="store_true", help="take fewer curves")
    options = parser.parse_args()
    if options.small:
        os.environ["BAYES_SCALING_SMALL"] = "1"
    paths = [path for path in sorted(FOLDER.glob("*.ipynb")) if not options.names or path.stem in options.names]

    def one(path: Path) -> bool:
        start = time.perf_counter()
        reason = run(path, options.write)
        print(f"{path.stem:32}{time.perf_counter() - start:8.1f} s  {reason or 'ran through'}", flush=True)
        return not reason

    shares = iter(range(options.jobs))
    with ThreadPoolExecutor(options.jobs, initializer=lambda: keep_to_share(next(shares), options.jobs)) as pool:
        if not all(list(pool.map(one, paths))):
            raise SystemExit(1)


def keep_to_share(place: int, of: int) -> None:
    """Leave this thread, and so the kernels that it starts, every so many-th of the cores."""
    if of > 1 and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[place::of] or cores)


def run(path: Path, write: bool = False) -> str:
    """Execute a notebook in its folder; return why it did not run through, in a line, or nothing."""
    notebook: Any = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error).strip().splitlines()[-1]
    if write:
        # Times of cells change with every run, and say nothing to a reader.
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)
    return ""


if __name__ == "__main__":
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # which names a folder of this machine
    main()
