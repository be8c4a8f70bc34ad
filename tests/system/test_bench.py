"""The benchmark of a machine: what it measures, what it leaves out and says so, and where two devices cross."""

import json

import pytest

import bayes_scaling as bs
from bayes_scaling.bench import Point
from bayes_scaling.bench_plot import bench_figure
from bayes_scaling.engine import devices


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small run: one size of each, and one that would take too long."""
    from bayes_scaling import cli

    folder = tmp_path_factory.mktemp("bench")
    sizes = ["--chains", "4,4096", "--sets", "1", "--runs", "1e2", "--draws", "1000", "--limit", "9"]
    code = cli.main(["bench", *sizes, "--out", str(folder / "bench.json"), "--figure", str(folder / "bench.png")])
    return code, json.loads((folder / "bench.json").read_text()), folder


def test_what_is_measured_is_written(measured):
    code, record, folder = measured
    assert code == 0
    sizes = [(point["axis"], point["size"]) for point in record["points"]]
    assert sizes == [("chains", 4), ("chains", 4096), ("data sets", 1), ("runs", 100)]
    for point in record["points"]:
        if point["size"] != 4096:
            assert point["ess_per_second"] == pytest.approx(point["ess"] / point["seconds"])
            assert point["first_seconds"] > 0
            assert point["converged"] == 1
    assert record["gradient_us"]["cpu"] > 0  # which of them is larger is a question of what else the machine does
    assert record["driver_us"]["cpu"] > 0
    assert record["versions"]["jax"]
    assert (folder / "bench.png").read_bytes()[1:4] == b"PNG"


def test_what_would_take_too_long_is_said(measured):
    (point,) = [point for point in measured[1]["points"] if point["size"] == 4096]
    assert point["seconds"] is None
    assert "more than the limit of 9 s" in point["why"]


def two_devices(gpu, cpu=(0.1, 1.0, 10.0), names=("cpu", "gpu")):
    points = [
        Point(name, "data sets", 10**i, seconds, seconds, 1000.0 * 10**i, 1.0, 7.0, 1.0)
        for name, times in (("cpu", cpu), ("gpu", gpu))
        for i, seconds in enumerate(times)
        if name in names
    ]
    machine = {"cpu": "a processor", "cores": 2, "memory_gb": 8.0, "devices": {name: f"a {name}" for name in names}}
    return bs.Bench("chinchilla", "runs.csv", 4, 1000, 64, "2026", machine, {}, {}, {}, tuple(points))


@pytest.mark.parametrize(
    ("gpu", "at", "said"),
    [
        ((1.0, 1.0, 1.0), 10.0, "the GPU is faster from about 10"),
        ((0.4, 2.0, 2.5), 10**1.3333, "the GPU is faster from about 22"),  # ln 2 above at 10, ln 4 below at 100
        ((0.01, 0.02, 0.03), 0.0, "the GPU is faster at every size measured"),
        ((1.0, 10.0, 20.0), None, "the CPU is faster at every size measured"),
        ((0.01, 2.0, 1.0), 10 ** (1 + 0.30103 / 1.30103), "the GPU is faster from about 17"),  # the last crossing counts
    ],
)
def test_where_the_devices_cross(gpu, at, said):
    found = two_devices(gpu)
    assert found.crossover("data sets") == (None if at is None else pytest.approx(at, rel=1e-3))
    assert f"data sets: {said}" in str(found)


def test_without_a_gpu_nothing_crosses():
    found = two_devices((1.0, 1.0, 1.0), names=("cpu",))
    assert found.crossover("data sets") is None
    assert "no GPU was measured" in str(found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chains", "1"], "chains: 1 must be between 2 and 4096"),
        (["--runs", "1e12"], "sizes: 1000000000000 must be between 10 and 10000000"),
        (["--sets", "2.5"], "--sets: 2.5 is no whole number"),
        (["--limit", "0"], "limit = 0.0 must be more than 0 seconds"),
        (["--chains", "", "--sets", "", "--runs", ""], "nothing to measure"),
        (["--figure", "bench.txt"], "'bench.txt' is no picture"),
        (["--device", "gpu"], "jax sees no GPU here"),
    ],
)
def test_what_cannot_be_measured_is_refused(run, arguments, said):
    code, _, err = run("bench", *arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


class Device:
    def __init__(self, platform):
        self.platform = platform


def test_a_small_fit_belongs_on_the_cpu_and_a_large_one_on_the_gpu(monkeypatch):
    """Of two devices; this machine may have one."""
    import jax

    both = {"cpu": [Device("cpu")], "gpu": [Device("gpu")]}
    monkeypatch.setattr(jax, "devices", lambda name="gpu": both[name])
    assert devices.choose_device("auto", 4 * 256).platform == "cpu"
    assert devices.choose_device("auto", 256 * 4 * 256).platform == "gpu"
    assert devices.choose_device("auto").platform == "gpu"
    assert devices.choose_device("gpu", 4 * 256).platform == "gpu"


def test_where_no_fit_converged_the_figure_says_so():
    points = tuple(
        Point("cpu", axis, 100, 0.1, 0.2, ess, converged, 7.0, 1.0)
        for axis, ess, converged in (("chains", 900.0, 1.0), ("runs", None, 0.3))
    )
    machine = {"cpu": "a processor", "cores": 2, "memory_gb": 8.0, "devices": {"cpu": "cpu"}}
    axes = bench_figure(bs.Bench("chinchilla", "runs.csv", 4, 1000, 64, "2026", machine, {}, {}, {}, points))
    axes[0].figure.canvas.draw()  # a logarithmic axis without values stops here
    assert [[text.get_text() for text in ax.texts] for ax in axes] == [[], [], [], ["no fit converged"]]
