"""Run the notebooks from top to bottom, all with one command, and say how long each takes.

``python benchmarks/notebooks.py`` (with ``pip install -e '.[notebooks]'``) leaves them as they are; ``--write`` keeps what they print and
draw.
"""

from __future__ import annotations

import argparse
import os
import time
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
    options = parser.parse_args()
    failed = []
    for path in sorted(FOLDER.glob("*.ipynb")):
        if options.names and path.stem not in options.names:
            continue
        start = time.perf_counter()
        reason = run(path, options.write)
        failed += [path.stem] if reason else []
        print(f"{path.stem:32}{time.perf_counter() - start:8.1f} s  {reason or 'ran through'}", flush=True)
    if failed:
        raise SystemExit(1)


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
