"""Imports point one way, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ORDER = [
    *(
        "errors",
        "grammar",
        "progress",
        "quantities",
        "units",
        "numeric",
        "fractions",
        "student",
        "correlated",
        "files",
        "netcdf",
        "cache",
        "priors",
        "law",
        "loss_law",
        "curves",
        "bends",
        "table",
        "foreign",
        "trajectories",
        "datasets",
        "plausibility",
        "runs",
        "reading",
        "noise",
        "suiting",
        "model",
        "engine",
    ),
    *(
        "extrapolation",
        "uniformity",
        "pointwise",
        "identification",
        "parabola",
        "unused",
        "diagnose",
        "fitted",
        "fitting",
        "calibration",
        "bench",
        "refitting",
        "hierarchy",
        "storage",
        "export",
        "point",
        "drift",
        "prediction",
        "scores",
        "problems",
        "decision",
        "comparison",
        "criticism",
        "forward",
        "cost",
        "limits",
        "risk",
        "optimum",
        "sharing",
        "splitting",
        "allocation",
        "targets",
        "recipes",
        "preposterior",
        "design",
        "robustness",
        "averaging",
        "sensitivity",
        "checking",
        "sheet",
        "records",
        "text",
        "answer_text",
        "trust_text",
        "axes",
        "rank_plot",
        "bench_plot",
        "parameter_plot",
        "plan_plot",
        "plot",
        "words",
        "page",
        "notebook",
        "report",
        "batch",
        "cli",
    ),
]
PACKAGES = ("engine", "extrapolation", "batch", "cli")


def imports(path):
    """Return the package's modules that a file imports when it is loaded (imports inside functions load later, and may point up)."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bayes_scaling"):
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names if alias.name != "__version__"}
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("bayes_scaling.")}
    return found


def test_every_module_has_its_place():
    modules = {path.stem for path in (ROOT / "bayes_scaling").glob("*.py")} - {"__init__", "__main__"}
    assert modules | set(PACKAGES) == set(ORDER)


def test_no_import_points_up():
    for path in (ROOT / "bayes_scaling").rglob("*.py"):
        name = path.parent.name if path.parent.name in PACKAGES else path.stem
        if name in ("__init__", "__main__"):
            continue
        for imported in imports(path):
            assert imported == name or ORDER.index(imported) < ORDER.index(name), f"{path.name} imports {imported}"


def test_laws_know_only_laws_units_and_numerics():
    for path in (ROOT / "models").glob("*.py"):
        assert imports(path) <= {"law", "loss_law", "curves", "bends", "units", "numeric", "noise", "fractions"}, path.name


def test_importing_the_package_starts_nothing_heavy():
    code = "import bayes_scaling, sys; print(sorted({'jax', 'arviz', 'matplotlib', 'pandas', 'xarray', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_functions_win_over_modules_of_like_names():
    code = "import bayes_scaling as bs; bs.predict; bs.allocate; bs.load_fit; print(callable(bs.fit) and callable(bs.regret))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "True"


def test_laws_are_not_loaded_twice():
    done = subprocess.run([sys.executable, "-c", "import models"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert "bayes_scaling.models" in done.stderr


def test_every_public_name_exists_and_speaks():
    import bayes_scaling as bs

    for name in bs.__all__:
        assert getattr(bs, name) is not None
        assert name in ("__version__",) or getattr(bs, name).__doc__, name
