"""Whatever comes in from outside is read, or refused with one of the package's errors; what is read means what was written."""

import string

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.batch import read_job
from bayes_scaling.priors import PRIOR_FAMILIES, prior_text
from bayes_scaling.quantities import QUANTITIES
from bayes_scaling.table import Table

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)

cells = st.one_of(
    st.floats(width=64).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.sampled_from(["", " ", "nan", "NA", "1e400", "1,5", "7B", "True", "1_000", "０", "\x00", '"', "=1+1", "5e-324", "-0.0"]),
    st.text(max_size=8),
)
names = st.one_of(st.sampled_from(["params", "tokens", "loss", "N", "flops", "loss_se", "error", "trials", "successes", "group"]), cells)


tables = st.tuples(st.lists(names, min_size=1, max_size=6), st.lists(st.lists(cells, max_size=7), max_size=6))


@given(table=tables, joint=st.sampled_from(",;\t"))
@example(table=(["params", "tokens", "loss"], [["1e8", "1e9", "2\x1e5"]]), joint=",")  # a control character ends no line
@quick
def test_any_table_is_runs_or_an_error_of_ours(tmp_path, table, joint):
    header, rows = table
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(joint.join(row) for row in [header, *rows]), encoding="utf-8", errors="replace")
    try:
        runs = bs.read_runs(path, drop_invalid=True)
    except bs.BayesScalingError:
        return
    assert len(runs) > 0
    assert all(np.all(np.isfinite(values)) for values in runs.columns.values())
    for name, values in runs.columns.items():
        assert np.all(QUANTITIES[name].admits(values)), name


@given(content=st.binary(max_size=300), ending=st.sampled_from([".csv", ".tsv", ".parquet", ".json", ".nc", ".toml"]))
@quick
def test_any_bytes_are_refused_or_read(tmp_path, content, ending):
    path = tmp_path / f"any{ending}"
    path.write_bytes(content)
    for read in (bs.read_runs, bs.load_fit, read_job):
        with pytest.raises(bs.BayesScalingError):
            read(path)


@given(
    values=st.lists(st.tuples(st.floats(1e6, 1e11), st.floats(1e8, 1e12), st.floats(0.5, 8)), min_size=1, max_size=8),
    unit=st.sampled_from([("count", 1.0), ("thousand", 1e3), ("million", 1e6), ("billion", 1e9)]),
)
@quick
def test_units_change_nothing(tmp_path, values, unit):
    name, factor = unit
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n" + "".join(f"{n / factor!r},{d!r},{loss!r}\n" for n, d, loss in values))
    runs = bs.read_runs(path, units={"params": name, "tokens": "count"})
    assert np.allclose(runs["params"], [n for n, _, _ in values], rtol=1e-15)
    assert np.array_equal(runs["loss"], [loss for _, _, loss in values])


numbers = st.floats(-1e3, 1e3).map(lambda value: f"{value:.6g}")
calls = st.builds(
    lambda family, arguments, keys: f"{family}({', '.join(f'{k}={v}' if k else v for k, v in zip(keys, arguments, strict=False))})",
    st.sampled_from(PRIOR_FAMILIES),
    st.lists(numbers, max_size=4),
    st.lists(st.sampled_from(["", "", "loc", "scale", "low", "high", "rate"]), min_size=4, max_size=4),
)


@given(text=st.one_of(calls, st.text(string.printable, max_size=40), st.builds(lambda call, at, what: call[:at] + what + call[at + 1 :],
                      calls, st.integers(0, 30), st.text(string.printable, max_size=2))))  # fmt: skip
@settings(quick, max_examples=200)
def test_any_prior_is_a_distribution_that_can_be_written_or_an_error_of_ours(text):
    try:
        name, prior = bs.parse_prior(f"E={text}")
    except bs.InputError:
        return
    assert name == "E"
    again = bs.parse_prior(f"E={prior_text(prior)}")[1]
    assert type(again) is type(prior)


COLUMNS = {"a": np.array([-1.5, 0.0, 2.0, 1e9]), "b": np.array([3.0, 3.0, -3.0, 0.5])}
atoms = st.one_of(st.sampled_from(["a", "b"]), st.floats(-100, 100).map(lambda value: f"{value:.4g}"))
sums = st.recursive(
    atoms,
    lambda inner: st.one_of(st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner), st.builds("-({})".format, inner)),
    max_leaves=6,
)
comparisons = st.builds("{} {} {}".format, sums, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), sums)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner), st.builds("not ({})".format, inner)
    ),
    max_leaves=4,
)


def table():
    return Table(dict(COLUMNS), np.arange(2, 6), "test")


def by_row(expression, row):
    """Python's own reading, one row at a time, with numpy's arithmetic."""
    return eval(expression, {"__builtins__": {}}, {name: np.float64(values[row]) for name, values in COLUMNS.items()})


@given(expression=conditions)
@quick
def test_conditions_mean_what_python_means(expression):
    with np.errstate(all="ignore"):
        try:
            expected = [bool(by_row(expression, row)) for row in range(4)]
        except ZeroDivisionError:  # of two plain numbers; the table's arithmetic may say so, or go on as numpy does
            return
        found = table().where(expression)
    assert found.tolist() == expected


@given(text=st.one_of(st.text(string.printable, max_size=40), st.builds(lambda one, at, what: one[:at] + what + one[at + 1 :], conditions,
                      st.integers(0, 30), st.text(string.printable, max_size=2))))  # fmt: skip
@example(text="0/0")  # these were once tracebacks, or a gigabyte of text
@example(text="-'a'")
@example(text="'a' * 999999999")
@example(text=f"a < {'9' * 400}")
@example(text="(a < 1) - (b < 1)")
@settings(quick, max_examples=300)
def test_any_expression_is_evaluated_or_refused(text):
    for read in (Table.where, Table.compute):
        try:
            found = read(table(), text)
        except bs.InputError:
            continue
        assert found.shape == (4,)
        assert found.dtype == (bool if read is Table.where else float)


values_of_a_job = st.recursive(
    st.one_of(st.booleans().map(lambda value: str(value).lower()), st.integers(-5, 10**6).map(str), st.sampled_from(["nan", "1.5", "inf"]),
              st.text(string.ascii_letters + "/.:'= ", max_size=8).map(lambda text: f'"{text}"')),
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"), inner.map("{{ E = {} }}".format)),
    max_leaves=3,
)  # fmt: skip
keys_of_a_job = st.sampled_from(["data", "laws", "group", "where", "map", "units", "noise", "input", "fix", "prior", "curve", "join", "on",
                                 "drop_invalid", "sampler", "run", "output", "law", "sampler.draws", "sampler.seed", "run.memory",
                                 "run.device", "run.workers", "output.path", "law.chinchilla.noise", "nothing"])  # fmt: skip


@given(job=st.dictionaries(keys_of_a_job, values_of_a_job, max_size=5))
@settings(quick, max_examples=200)
def test_any_job_is_read_or_refused(tmp_path, job):
    path = tmp_path / "job.toml"
    text = {"data": '"runs.csv"', "laws": '["chinchilla"]', "output.path": '"results"', **job}
    path.write_text("\n".join(f"{key} = {value}" for key, value in text.items()))
    try:
        found = read_job(path)
    except bs.BayesScalingError:
        return
    assert found.laws
    assert [item.name for item in tmp_path.iterdir()] == ["job.toml"]
