"""Notebooks: what is cheap to know without running them (`python benchmarks/notebooks.py` runs them all)."""

import ast
import json
from pathlib import Path

import pytest

import bayes_scaling as bs

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_whole_and_use_what_exists(path):
    assert path.stat().st_size < 1_000_000
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert any(cell["outputs"] for cell in code)
    for cell in code:
        assert cell["execution_count"], "a cell that was never run"
        assert not any(output["output_type"] == "error" for output in cell["outputs"])
        source = "".join(line for line in cell["source"] if not line.startswith("%"))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bs":
                assert hasattr(bs, node.attr), node.attr
