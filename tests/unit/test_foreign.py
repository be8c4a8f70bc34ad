"""Tables of other libraries and tools, in the layouts that these write."""

import json

import numpy as np
import pandas
import polars
import pyarrow
import pytest

import bayes_scaling as bs
from bayes_scaling.diagnose import dependence_problems

COLUMNS = {"params": [1e8, 1e9, 2e9], "tokens": [2e9, 2e10, 3e10], "loss": [3.1, 2.5, 2.4], "group": ["a", "b", "b"]}
PANEL = (
    '"Step","small-1 - val/loss","small-1 - val/loss__MIN","small-1 - val/loss__MAX","big - 2 - val/loss","big - 2 - val/loss__MIN",'
    '"big - 2 - val/loss__MAX"\n'
    '"1000","3.50","3.50","3.50","3.10","3.10","3.10"\n"2000","3.20","3.20","3.20","","",""\n"3000","3.25","3.25","3.25","2.60","2.60","2.60"\n'
)
TABLE = (
    '"Name","State","Created","Runtime","n_params","batch_tokens","val/loss"\n'
    '"small-1","finished","2025-01-01T00:00:00.000Z","100","10000000","500000","3.25"\n'
    '"big - 2","crashed","2025-01-02T00:00:00.000Z","200","100000000","500000","2.60"\n'
)


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_frames_of_any_library_are_the_same_runs(make):
    runs = bs.read_runs(make(COLUMNS))
    assert runs.group.tolist() == ["a", "b", "b"]
    assert runs.data_hash == bs.read_runs(pandas.DataFrame(COLUMNS)).data_hash


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_nothing_in_a_cell_of_a_frame_is_a_missing_value(make):
    with pytest.raises(bs.InputError, match="line 2: tokens is missing"):
        bs.read_runs(make({**COLUMNS, "tokens": [2e9, None, 3e10]}))
    assert bs.read_runs(make({**COLUMNS, "kind": ["x", None, "y"]}), where="kind != ''")["params"].tolist() == [1e8, 2e9]


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_lists_in_cells_tell_rows_apart(make):
    """They are no quantities; two runs that differ in them alone are two runs."""
    columns = {"params": [1e8, 1e8, 2e9], "tokens": [2e9, 2e9, 3e10], "loss": [3.1, 3.1, 2.4]}
    assert len(bs.read_runs(make({**columns, "layers": [[2, 3], [2, 4], []]}), drop_duplicates=True)) == 3
    assert len(bs.read_runs(make({**columns, "layers": [[2, 3], [2, 3], [1, 2]]}), drop_duplicates=True)) == 2
    with pytest.raises(bs.InputError, match="is not a number"):
        bs.read_runs(make({**columns, "tokens": [[2e9], [3e9], [4e9]]}))


def test_frames_that_hold_no_rows_are_refused():
    with pytest.raises(bs.InputError, match="collect it first"):
        bs.read_runs(polars.LazyFrame(COLUMNS))
    with pytest.raises(bs.InputError, match="has no rows"):
        bs.read_runs(pandas.DataFrame({"params": [], "loss": []}))


def test_tabs(tmp_path):
    path = tmp_path / "runs.tsv"
    path.write_text("params\ttokens\tloss\n1e8\t2e9\t3.1\n1e9\t2e10\t2.5\n")
    assert bs.read_runs(path)["loss"].tolist() == [3.1, 2.5]
    other = tmp_path / "runs.csv"
    other.write_text(path.read_text())
    with pytest.raises(bs.InputError, match=r"the header has tabs and no comma.*name the file \.tsv"):
        bs.read_runs(other)


@pytest.fixture
def wandb(tmp_path):
    (tmp_path / "panel.csv").write_text(PANEL)
    (tmp_path / "table.csv").write_text(TABLE)
    return tmp_path


def test_a_panel_joined_with_its_table_of_runs(wandb):
    """The guide's own case: steps and losses in one export, sizes in another; a run's name may hold the panel's separator."""
    how = {"join": wandb / "table.csv", "map": {"tokens": "Step * batch_tokens"}}
    runs = bs.read_runs(wandb / "panel.csv", curve={"run": "last"}, **how)
    assert runs["params"].tolist() == [1e7, 1e8]
    assert runs["tokens"].tolist() == [1.5e9, 1.5e9]
    assert runs["loss"].tolist() == [3.25, 2.6]
    assert any("2 curves of val/loss against Step" in note for note in runs.notes)
    assert any("1 crashed (leave them out with where=\"State == 'finished'\")" in note for note in runs.notes)
    assert any("columns val/loss" in note and "are not used" in note for note in runs.notes)
    best = bs.read_runs(wandb / "panel.csv", curve={"run": "best"}, **how)
    assert best["loss"].tolist() == [3.2, 2.6]
    assert best["tokens"].tolist() == [1e9, 1.5e9]
    kept = bs.read_runs(wandb / "panel.csv", curve={"run": "last"}, where="State == 'finished'", **how)
    assert kept["loss"].tolist() == [3.25]
    with pytest.raises(bs.InputError, match="5 points of 2 training curves: say which point .* with curve={'run': 'last'} "):
        bs.read_runs(wandb / "panel.csv", **how)


def test_a_table_of_runs(wandb):
    runs = bs.read_runs(wandb / "table.csv", map={"tokens": "3000 * batch_tokens"})
    assert runs["loss"].tolist() == [3.25, 2.6]
    assert any("loss from column 'val/loss'" in note for note in runs.notes)


def test_config_and_summary_as_dictionaries(tmp_path):
    """As the API guide's example writes them: Python's words in cells, numbers that are not finite among them."""
    rows = [
        {"summary": {"val_loss": 3.1, "lr": float("nan")}, "config": {"model": {"n_params": 10**8}, "tokens": 2e9}, "name": "a"},
        {"summary": {"val_loss": 2.5, "lr": 0.1}, "config": {"model": {"n_params": 10**9}, "tokens": 2e10}, "name": "b"},
    ]
    pandas.DataFrame(rows).to_csv(tmp_path / "project.csv")
    runs = bs.read_runs(tmp_path / "project.csv", map={"params": "model.n_params"})
    assert runs["params"].tolist() == [1e8, 1e9]
    assert runs["loss"].tolist() == [3.1, 2.5]
    pandas.DataFrame([{**rows[0], "summary": "{'a': __import__('os')}"}]).to_csv(tmp_path / "project.csv")
    with pytest.raises(bs.InputError, match="line 2, column 'summary': not a dictionary"):
        bs.read_runs(tmp_path / "project.csv")


def results(model, right, tasks=("arc_easy", "sciq"), **more):
    """A results file as the harness writes it, with a group's average, which has no count."""
    share = {task: {"alias": task, "acc,none": right / 400, "acc_stderr,none": 0.02, "acc_norm,none": 0.5} for task in tasks}
    share["science"] = {"alias": "science", "acc,none": right / 400, "acc_stderr,none": "N/A"}
    return {
        "results": share,
        "groups": {"science": share["science"]},
        "n-shot": dict.fromkeys(tasks, 0),
        "n-samples": {task: {"original": 2376, "effective": 400} for task in tasks},
        "higher_is_better": {task: {"acc": True, "acc_norm": True} for task in tasks},
        "config": {"model": "hf", "model_args": f"pretrained={model},dtype=float16", "model_num_parameters": 10**8},
        **more,
    }


@pytest.fixture
def harness(tmp_path):
    for name, right in (("org/a", 180), ("org/b", 300)):
        folder = tmp_path / "results" / name.replace("/", "__")
        folder.mkdir(parents=True)
        (folder / "results_2025-01-01T00-00-00.json").write_text(json.dumps(results(name, right, model_name=name)))
        (folder / "samples_arc_easy.jsonl").write_text("{}\n")
    (tmp_path / "models.csv").write_text("model,params,val_loss\norg/b,2e9,2.5\norg/a,1e8,3.1\norg/c,1e9,2.7\n")
    return tmp_path


def test_results_of_the_harness_are_counts(harness):
    how = {"join": harness / "models.csv", "where": "task == 'sciq' and metric == 'acc'"}
    runs = bs.read_runs(harness / "results", **how)
    assert runs["successes"].tolist() == [180, 300]
    assert runs["trials"].tolist() == [400, 400]
    assert runs["accuracy"].tolist() == [0.45, 0.75]
    assert runs["loss"].tolist() == [3.1, 2.5]
    assert runs["params"].tolist() == [1e8, 2e9]  # those of the table that was given, not the harness's
    assert any("no n-samples, and so no counts, for science" in note for note in runs.notes)
    law = bs.get_law("bounded_metric:loss")
    assert {*law.input_names, law.output, "trials"} <= set(runs.columns)


def test_which_task_and_metric_must_be_said(harness):
    with pytest.raises(bs.InputError, match=r"3 of task \(arc_easy, sciq, science\), 2 of metric \(acc, acc_norm\)"):
        bs.read_runs(harness / "results")
    grouped = bs.read_runs(harness / "results", where="metric == 'acc' and task != 'science'", map={"group": "task"})
    assert grouped.groups == ("arc_easy", "sciq")
    again = harness / "results" / "again"
    again.mkdir()
    (again / "results.json").write_text(json.dumps(results("org/a", 181)))  # an older file, which names the model by its arguments
    with pytest.raises(bs.InputError, match=r"of file \(again/results.json, org__a/"):
        bs.read_runs(harness / "results", where="task == 'sciq' and metric == 'acc'")


def test_shares_that_are_no_counts_have_none(tmp_path):
    found = results("m", 200)
    found["results"] = {"sciq": {"f1,none": 0.333333, "word_perplexity,none": 12.5, "acc,none": 0.5}}
    (tmp_path / "results.json").write_text(json.dumps(found))
    from bayes_scaling.foreign import read_harness

    table = read_harness(tmp_path)
    assert dict(zip(table.texts("metric"), table.texts("n_correct"), strict=True)) == {"f1": "", "word_perplexity": "", "acc": "200"}
    assert dict(zip(table.texts("metric"), table.texts("accuracy"), strict=True))["word_perplexity"] == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"results": 3}'])
def test_files_that_are_not_the_harness_s(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(bs.FileError, match=r"not JSON with results|holds no result"):
        bs.read_runs(tmp_path)


def test_joins_that_cannot_be_made(harness, wandb):
    table = harness / "models.csv"
    with pytest.raises(bs.InputError, match="which column of .* names the rows"):
        bs.read_runs(table, join=wandb / "table.csv")
    with pytest.raises(bs.InputError, match="has no column 'modle'.*did you mean 'model'"):
        bs.read_runs(table, join=wandb / "table.csv", on="modle=Name")
    with pytest.raises(bs.InputError, match=r"has no row for 3 of column 'model': org/b, org/a, org/c"):
        bs.read_runs(table, join=wandb / "table.csv", on="model=Name")
    with pytest.raises(bs.InputError, match="^on='model' goes with join: which table should be joined"):
        bs.read_runs(table, on="model")
    table.write_text(table.read_text() + "org/a,1,1\n")
    with pytest.raises(bs.InputError, match="'org/a' stands in 2 rows"):
        bs.read_runs(harness / "results", join=table, where="task == 'sciq' and metric == 'acc'")


CURVES = {"run": ["a"] * 3 + ["b"] * 3, "params": [1e8] * 3 + [1e9] * 3, "tokens": [1e9, 3e9, 2e9, 1e9, 2e9, 3e9]}


def test_curves_give_one_row_a_run():
    frame = pandas.DataFrame({**CURVES, "loss": [3.5, 3.2, 3.1, 3.0, 2.8, np.nan]})
    last = bs.read_runs(frame, curve={"run": "last"})
    assert last.lines.tolist() == [2, 5]  # the furthest in tokens, wherever it stands; a row without a loss is no point
    assert any("5 points of 2 training curves (column run): the last of each by tokens; 1 rows" in note for note in last.notes)
    assert bs.read_runs(frame, curve={"run": "best"}).lines.tolist() == [3, 5]
    (first, second) = (bs.read_groups(frame, ["run"], curve={"run": "last"})[name] for name in "ab")
    assert (first["loss"].tolist(), second["loss"].tolist()) == ([3.2], [2.8])


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ({"run": "first"}, "cannot take 'first'"),
        ({"runs": "last"}, "no column 'runs'.*did you mean 'run'"),
        ({"label": "last"}, "no column 'label'.*did you mean 'run'"),
    ],
)
def test_curves_that_cannot_be_taken(curve, message):
    frame = pandas.DataFrame({**CURVES, "loss": 3.0})
    with pytest.raises(bs.InputError, match=message):
        bs.read_runs(frame, curve=curve)


def test_points_of_curves_that_were_read_as_runs_are_noted():
    """A table with a column of runs, each of one size at many places, is not a table of runs; seeds of a grid are."""
    curves = {"run": np.repeat(["a", "b"], 4), "params": np.repeat([1e8, 1e9], 4), "tokens": np.tile([1e9, 2e9, 4e9, 8e9], 2), "loss": 3.0}
    assert any("8 points of 2 training curves (column 'run')" in note for note in bs.read_runs(pandas.DataFrame(curves)).notes)
    taken = bs.read_runs(pandas.DataFrame(curves), curve={"run": "all"})
    seeds = bs.read_runs(pandas.DataFrame({**curves, "run": np.tile([0, 1], 4)}))
    assert not any("look like" in note for note in (*taken.notes, *seeds.notes))
    exported = bs.read_runs(pandas.DataFrame(curves).rename(columns={"run": "Name", "loss": "train/loss"}))
    assert any("(column 'Name'), and are taken as runs" in note for note in exported.notes)
    assert (exported.curves, taken.curves, seeds.curves) == ("Name", "", "")
    (problem,) = dependence_problems(exported)
    assert problem.serious
    assert not dependence_problems(taken)
    assert "Say curve={'Name': 'last'}, best or all" in str(problem)


def test_curves_that_lack_something():
    for change, message in (
        ({"loss": [np.nan] * 3 + [3.0] * 3}, "run 'a' has no loss"),
        ({"run": ["a", "", "a", "b", "b", "b"]}, r"line 2: no run, .*\(1 such rows\)"),
        ({"tokens": "x"}, "'x' is not a number"),
    ):
        with pytest.raises(bs.InputError, match=message):
            bs.read_runs(pandas.DataFrame({**CURVES, "loss": 3.0, **change}), curve={"run": "last"})
    for names, way in (
        (["x/loss"], r", perhaps with map=\{'loss': 'x/loss'\}"),
        (["x/loss", "y/acc"], r", perhaps with map=\{'loss': 'x/loss'\} or map=\{'accuracy': 'y/acc'\}"),
        (["nll"], r" with map=\{'loss': 'COLUMN'\} \(columns: run, params, tokens, nll\)"),
    ):
        with pytest.raises(bs.InputError, match=f"says what a curve measures; name it{way}"):
            bs.read_runs(pandas.DataFrame({**CURVES, **dict.fromkeys(names, 3.0)}), curve={"run": "last"})
    bare = pandas.DataFrame({"run": ["a", "a"], "params": 1e8, "loss": [3.0, 2.9]})
    with pytest.raises(bs.InputError, match="says how far along a point is"):
        bs.read_runs(bare, curve={"run": "last"})


def test_a_quantity_may_be_arithmetic_over_columns():
    frame = pandas.DataFrame({"params": [1e8, 1e9], "batch size": [256, 512], "step": [1000, 2000], "loss": [3.0, 2.5]})
    runs = bs.read_runs(frame, map={"tokens": "step * `batch size` * 2048"})
    assert runs["tokens"].tolist() == [1000 * 256 * 2048, 2000 * 512 * 2048]
    assert len(bs.read_runs(frame, map={"tokens": "step*1e6"}, where="`batch size` > 300")) == 1
    for text, message in (
        ("step * batch", "'batch', which is no column"),
        ("step * `batch sise`", "did you mean 'batch size'"),
        ("step *", "neither a column"),
        ("__import__('os') * 2", "cannot read"),
    ):
        with pytest.raises(bs.InputError, match=message):
            bs.read_runs(frame, map={"tokens": text})
