"""The house as it is shipped: built-in data, wheel contents, README, cross-platform lowering."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

import bayes_scaling as bs

ROOT = Path(__file__).resolve().parent.parent.parent


def test_ladder_is_what_it_says(ladder_runs):
    assert len(ladder_runs) >= 60
    params, tokens = ladder_runs["params"], ladder_runs["tokens"]
    assert params.min() < 3e3
    assert params.max() > 1e6
    assert tokens.min() <= 1.1e5
    assert tokens.max() >= 9e6
    assert np.ptp(np.log10(tokens / params)) > 3
    import csv

    rows = list(csv.DictReader((ROOT / "bayes_scaling" / "data" / "ladder.csv").open()))
    seeds = {}
    for row in rows:
        seeds.setdefault((row["params"], row["tokens"]), set()).add(row["seed"])
    assert sum(len(found) - 1 for found in seeds.values()) >= 6
    assert all(float(row["flops"]) > 6 * int(row["params_non_embedding"]) * int(row["tokens"]) for row in rows)


def test_ladder_fit_can_be_trusted(ladder_fit):
    assert ladder_fit.diagnosis.ok, str(ladder_fit)
    assert ladder_fit.diagnosis.explained > 0.95


def test_wheel_holds_laws_and_data(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    expected = {f"bayes_scaling/{path.relative_to(ROOT / 'bayes_scaling')}" for path in (ROOT / "bayes_scaling").rglob("*.py")}
    expected |= {f"bayes_scaling/models/{path.name}" for path in (ROOT / "models").glob("*.py")}
    expected |= {"bayes_scaling/data/ladder.csv", "bayes_scaling/data/ladder.json", "bayes_scaling/py.typed"}
    assert expected <= names
    assert not any(name.startswith(("models/", "tests/")) for name in names)


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_the_programs_lower_for_accelerators(platform, small_fit, monkeypatch):
    """CI has no GPU; that the programs of a fit (search, sampler, values of parameters) lower for one is what can be tested without."""
    from bayes_scaling import engine
    from bayes_scaling.engine import chains, modes, programs
    from bayes_scaling.model import build_model

    lowered = []

    def lower(name, function, arguments, identity, device, **how):
        lowered.append((name, jax.export.export(jax.jit(function), platforms=[platform])(*arguments).platforms))

    monkeypatch.setattr(programs, "prepare", lower)
    runs = small_fit.runs
    with jax.enable_x64(platform != "tpu"):
        columns, weight = engine.pad({name: runs[name].astype(jax.numpy.result_type(float)) for name in ("params", "tokens", "loss")})
        weight = weight.astype(jax.numpy.result_type(float))
        density = engine.Density(build_model(small_fit.law, small_fit.noise), columns, weight)
        lower("locate", lambda z, *data: modes.locate(density, z, *data), (np.zeros((2, density.size)), columns, weight), (), None)
        chains.Lanes(density, (columns, weight), chains=4, lanes=3, device=None)
        chains.Sites(density, (columns, weight), chains=4, device=None)
    assert lowered == [(name, (platform,)) for name in ("locate", "advance", "constrain")]


def test_readme_examples_run(tmp_path, monkeypatch):
    """The README's Python examples and its job, as printed."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    (job,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    (tmp_path / "job.toml").write_text(job)
    rng = np.random.default_rng(0)
    rows = [
        f"curve {curve},context,{x},{(1 + 5 * x**-0.3) * np.exp(0.01 * rng.normal())}"
        for curve in (7, 8)
        for x in np.geomspace(1e2, 1e5, 30)
    ]
    (tmp_path / "curves.csv").write_text("\n".join(["curve,split,x,y", *rows]))
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_links_of_the_guides_lead_somewhere():
    def anchors(path):
        heads = re.findall(r"(?m)^#+ (.*)", re.sub(r"```.*?```", "", path.read_text(), flags=re.S))
        return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

    seen = 0
    for page in (ROOT / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if link.startswith("http"):
                continue
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), (page.name, link)
            assert not anchor or anchor in anchors(target), (page.name, link)
            seen += 1
    assert seen > 20


def test_readme_commands_are_what_ci_runs():
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_files_stay_readable():
    for path in [*(ROOT / "bayes_scaling").rglob("*.py"), *(ROOT / "models").glob("*.py")]:
        assert len(path.read_text().splitlines()) <= 520, path.name


def test_versions_agree():
    assert bs.__version__ in (ROOT / "pyproject.toml").read_text()
    assert bs.__version__ in (ROOT / "CHANGELOG.md").read_text()
