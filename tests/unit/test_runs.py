from dataclasses import replace

import numpy as np
import pandas
import pytest

import bayes_scaling as bs
from bayes_scaling.noise import noise_of
from bayes_scaling.suiting import usable_runs


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "runs.csv"
        path.write_text(text)
        return path

    return write


GOOD = "params,tokens,loss\n1e8,2e9,3.1\n1e9,2e10,2.5\n"


@pytest.mark.parametrize("header", ["params,tokens,loss", "n_params,n_tokens,val_loss", "N,D,loss", "Num Params,train-tokens,Eval Loss"])
def test_common_names(write, header):
    runs = bs.read_runs(write(GOOD.replace("params,tokens,loss", header)))
    assert runs["params"].tolist() == [1e8, 1e9]
    assert runs["tokens"].tolist() == [2e9, 2e10]
    assert runs["loss"].tolist() == [3.1, 2.5]
    assert np.allclose(runs["compute"], 6 * runs["params"] * runs["tokens"])
    assert any("taken as 6 x params x tokens" in note for note in runs.notes)


def test_mapping_units_and_standard_errors(write):
    path = write("size_b,data,bits,loss_se,C\n0.1,2,4.4,0.01,1.4e-2\n1,20,3.6,0.01,1.4\n")
    runs = bs.read_runs(
        path,
        map={"params": "size_b", "tokens": "data", "loss": "bits"},
        units={"params": "billion", "tokens": "billion", "loss": "bit", "compute": "PF-day"},
    )
    assert np.allclose(runs["params"], [1e8, 1e9])
    assert np.allclose(runs["loss"], np.array([4.4, 3.6]) * np.log(2))
    assert np.allclose(runs["loss_se"], 0.01 * np.log(2))
    assert np.allclose(runs["compute"], np.array([1.4e-2, 1.4]) * 8.64e19)


def test_perplexity_becomes_its_logarithm(write):
    path = write("params,tokens,perplexity\n1e8,2e9,30\n1e9,2e10,12\n")
    runs = bs.read_runs(path, map={"loss": "perplexity"}, units={"loss": "perplexity"})
    assert np.allclose(runs["loss"], np.log([30, 12]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params,tokens,loss\n0.1,2e9,3.1\n7,2e10,2.5\n", "look like billions or millions, not params; declare the unit"),
        ("params,tokens,loss\n1e8,2,3.1\n1e9,20,2.5\n", "look like billions or millions, not tokens"),
        ("params,tokens,flops,loss\n1e8,2e9,0.01,3.1\n1e9,2e10,1.4,2.5\n", "look like PF-day"),
        ("params,tokens,loss\n1e8,2e9,31\n1e9,2e10,22\n", "looks like perplexity"),
        ("params,tokens,flops,loss\n1e8,2e9,1e9,3.1\n1e9,2e10,1e9,2.5\n", "units do not agree"),
        ("params,n_params,tokens,N,loss\n1e8,1e8,2e9,1,3\n", None),
        ("n_params,N,tokens,loss\n1e8,1e8,2e9,3\n", "columns n_params, N could each be params; choose with map={'params': 'n_params'}"),
        ("params,tokens,loss\n1e8,2e9,\n1e9,2e10,2.5\n", "1 of 2 rows cannot be used: line 2: loss is missing"),
        ("params,tokens,loss\n1e8,2e9,-3\n1e9,2e10,0\n", "line 2: loss = -3 must be finite and positive; line 3: loss = 0"),
        ("params,tokens,loss\n1e8,2e9,nan\n1e9,inf,2.5\n", "line 2: loss is missing; line 3: tokens = inf"),
        ("params,tokens,loss\n1e8,2e9,3\n-1e9,2e10,2.5\n", "line 3: params = -1e\\+09 must be finite and positive"),
        ("params,tokens,loss\n1e8,2e9,3\n1e8,2e9,50\n1e8,2e9,3\n", "line 3: loss = 50 is above 20"),
        ("params,tokens,loss\n100,2e9,3.1\n10000,2e10,2.5\n", "tokens a param: is 'params' or 'tokens' in millions"),
        ("params,tokens,loss\n0.5,2e9,3\n1e9,2e10,2.5\n1e9,3e10,2.5\n", "params = 0.5 is below 1"),
    ],
)
def test_values_that_cannot_be_used(write, text, message):
    if message is None:
        assert bs.read_runs(write(text))["params"].tolist() == [1e8]
        return
    with pytest.raises(bs.InputError, match=message):
        bs.read_runs(write(text))


def test_many_bad_rows_are_counted_not_flooded(write):
    path = write("params,tokens,loss\n" + "1e8,2e9,0\n" * 50 + "1e8,2e9,3\n")
    with pytest.raises(
        bs.InputError, match="50 of 51 rows cannot be used.*and 42 more. Mend them, or leave them out with drop_invalid=True"
    ):
        bs.read_runs(path)
    runs = bs.read_runs(path, drop_invalid=True)
    assert len(runs) == 1
    assert any("50 rows left out as asked" in note for note in runs.notes)


def test_duplicates_are_reported_and_kept_unless_asked(write):
    path = write(GOOD + "1e8,2e9,3.1\n")
    runs = bs.read_runs(path)
    assert len(runs) == 3
    assert any("1 exact duplicate (kept" in note and "line 4 repeats line 2" in note for note in runs.notes)
    assert len(bs.read_runs(path, drop_duplicates=True)) == 2


def test_unknown_names_get_the_nearest(write):
    path = write(GOOD)
    with pytest.raises(bs.InputError, match="no column 'lss'.*did you mean 'loss'"):
        bs.read_runs(path, map={"loss": "lss"})
    with pytest.raises(bs.InputError, match="unknown unit 'bilion' for params; did you mean 'billion'"):
        bs.read_runs(path, units={"params": "bilion"})
    with pytest.raises(bs.InputError, match="a unit is given for 'tokns'.*did you mean 'tokens'"):
        bs.read_runs(path, units={"tokns": "billion"})
    with pytest.raises(bs.InputError, match="meets the condition"):
        bs.read_runs(path, where="loss > 9")


def test_missing_column_names_what_is_there(write):
    runs = bs.read_runs(write("params,foo,loss\n1e8,1,3\n1e9,2,2\n"))
    with pytest.raises(bs.InputError, match="no column for 'tokens'; columns not recognised: foo"):
        bs.fit("chinchilla", runs)


def test_a_map_of_what_no_law_takes_is_noted():
    """It may be of another law's; that it is misspelt cannot be told where nothing is missing."""
    frame = pandas.DataFrame({"params": [1e8, 1e9], "D": [2e9, 2e10], "seen": [2e9, 2e10], "loss": [3.1, 2.5]})
    law = bs.get_law("chinchilla")
    taken = usable_runs(law, noise_of(law), replace(bs.read_runs(frame), reading={"map": {"token": "seen", "steps": "seen"}}))
    said = "'token', which map names, is nothing that law 'chinchilla' takes; did you mean 'tokens'?"
    assert [note for note in taken.notes if "nothing" in note] == [said]
    assert usable_runs(law, noise_of(law), taken).notes == taken.notes


@pytest.mark.parametrize("header", ["num_correct,num_samples", "n_correct,n_samples", "correct,total", "Successes,Trials"])
def test_counts_of_solved_problems_go_by_common_names(write, header):
    runs = bs.read_runs(write(f"problem,{header}\na,3,100\nb,7,100\n"))
    law = bs.get_law("pass_at_k")
    taken = usable_runs(law, noise_of(law), runs)
    assert taken["successes"].tolist() == [3, 7]
    assert taken["trials"].tolist() == [100, 100]
    assert taken["accuracy"].tolist() == [0.03, 0.07]


def test_training_loss_is_the_loss_where_no_other_is(write):
    text = "params,tokens,{}\n1e8,2e9,3.1,{}\n1e9,2e10,2.5,2.4\n"
    runs = bs.read_runs(write(text.format("train/loss,lr", 0.1)))
    assert runs["loss"].tolist() == [3.1, 2.5]
    assert any("loss from column 'train/loss'" in note for note in runs.notes)
    assert bs.read_runs(write(text.format("eval/loss,train/loss", 3.0)))["loss"].tolist() == [3.1, 2.5]
    with pytest.raises(bs.InputError, match="columns eval/loss, val/loss could each be loss; choose with map={'loss': 'eval/loss'}"):
        bs.read_runs(write(text.format("eval/loss,val/loss", 3.0)))
    unusable = bs.read_runs(write(text.format("error,train/loss", "")), units={"error": "percent"})
    with pytest.raises(bs.InputError, match="no usable column for 'loss': column 'train/loss' is not used as loss: line 2: .* missing"):
        unusable["loss"]


def test_compute_gives_tokens_and_disagreement_with_6nd_is_said(write):
    runs = bs.read_runs(write("params,flops,loss\n1e8,1.2e18,3.1\n1e9,1.2e20,2.5\n"))
    assert np.allclose(runs["tokens"], [2e9, 2e10])
    runs = bs.read_runs(write("params,tokens,flops,loss\n1e8,2e9,1.8e18,3.1\n1e9,2e10,1.2e20,2.5\n"))
    assert any("1 to 1.5 times 6 x params x tokens" in note for note in runs.notes)


def test_empty_cells_of_compute_are_6nd(write):
    runs = bs.read_runs(write("params,tokens,flops,loss\n1e8,2e9,,3.1\n1e9,2e10,1.2e20,2.5\n"))
    assert np.allclose(runs["compute"], [1.2e18, 1.2e20])
    assert any("compute is missing in 1 rows" in note for note in runs.notes)


def test_declared_units_settle_an_unusual_ratio(write):
    path = write("params,tokens,loss\n2000,2e9,3.1\n3000,2e10,2.5\n")
    assert len(bs.read_runs(path, units={"params": "count", "tokens": "count"})) == 2


def test_dataframe_and_arrays_and_hash():
    frame = pandas.DataFrame({"params": [1e8, 1e9], "tokens": [2e9, 2e10], "loss": [3.1, 2.5], "group": ["a", "b"]})
    runs = bs.read_runs(frame)
    assert runs.group.tolist() == ["a", "b"]
    same = bs.runs_from_columns({"loss": [3.1, 2.5], "tokens": [2e9, 2e10], "params": [1e8, 1e9]})
    assert same.data_hash == bs.read_runs(frame.drop(columns="group")).data_hash
    assert same.data_hash != runs.data_hash
    assert runs.subset(np.array([1]))["loss"].tolist() == [2.5]
    assert runs.subset(np.array([1])).group.tolist() == ["b"]
    for wrong, said in (([1e8, 1e9], "an object of type list"), (None, "None"), (runs, "Runs, which are read already")):
        with pytest.raises(bs.InputError, match=f"runs cannot be read from {said}: give a file"):
            bs.read_runs(wrong)
    with pytest.raises(bs.InputError, match="differ in length"):
        bs.runs_from_columns({"params": [1e8], "loss": [1.0, 2.0]})


def test_a_fit_takes_what_can_be_read():
    """Where nothing is to be declared, a table need not be read first; what is no table, or a law in the wrong place, is said so."""
    columns = {"tokens": [2e9, 5e9, 2e10, 5e10, 1e11], "loss": [3.1, 2.9, 2.5, 2.4, 2.3]}
    found = {bs.maximum_likelihood("power_law", data, input="tokens").log_likelihood for data in (columns, pandas.DataFrame(columns))}
    assert len(found) == 1
    with pytest.raises(bs.InputError, match="cannot be read from None"):
        bs.maximum_likelihood("power_law", None)
    with pytest.raises(bs.InputError, match=r"data set 1 \(list\): runs cannot be read"):
        bs.fit_many("power_law", [columns, [3.1]], input="tokens")
    with pytest.raises(bs.LawError, match="the law comes first: bs.fit"):
        bs.fit(pandas.DataFrame(columns), columns)


def test_a_million_rows(tmp_path):
    n = 10**6
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"params": 10 ** rng.uniform(7, 9, n), "tokens": 10 ** rng.uniform(9, 11, n), "loss": rng.uniform(2, 4, n)})
    assert len(bs.read_runs(frame)) == n


def test_quantities_of_few_laws_are_read_where_they_make_sense(tmp_path):
    """A column that only looks like such a quantity is left out with a note, unless it was asked for."""
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss,steps,experts\n1e8,1e9,3.1,0,8\n1e9,1e10,2.6,500,64\n")
    runs = bs.read_runs(path)
    assert "experts" in runs.columns
    assert "steps" not in runs.columns
    assert any("'steps' is not used as steps: line 2: steps = 0 must be" in note for note in runs.notes)
    with pytest.raises(bs.InputError, match="line 2: steps = 0"):
        bs.read_runs(path, map={"steps": "steps"})


@pytest.mark.parametrize("name", ["error", "accuracy", "coverage", "win_rate", "reference"])
def test_percent_is_converted_only_as_declared(tmp_path, name):
    path = tmp_path / "runs.csv"
    path.write_text(f"params,{name}\n1e8,31\n1e9,24\n")
    assert name not in bs.read_runs(path).columns
    remedy = f"{name} = 31 must be between 0 \\(included\\) and 1 \\(in percent\\? Then units={{'{name}': 'percent'}}\\)"
    with pytest.raises(bs.InputError, match=f"column '{name}' is not used .*{remedy}; mend it, or leave rows out with where"):
        bs.read_runs(path)[name]
    with pytest.raises(bs.InputError, match=f"line 2: {remedy}; line 3: {name} = 24 must be between 0 \\(included\\) and 1. Mend"):
        bs.read_runs(path, map={name: name})
    assert bs.read_runs(path, units={name: "percent"})[name] == pytest.approx([0.31, 0.24])


@pytest.mark.parametrize("values", ["-31", "0.31,-0.1", "31,101", "0.31,101"])
def test_what_no_percentage_can_be_is_not_offered_as_one(values):
    frame = pandas.DataFrame({"accuracy": [float(value) for value in values.split(",")]})
    with pytest.raises(bs.InputError) as refused:
        bs.read_runs(frame)["accuracy"]
    assert "percent" not in str(refused.value)
    with pytest.raises(bs.InputError, match="accuracy = 31 must be between 0") as refused:
        bs.read_runs(pandas.DataFrame({"accuracy": [3100.0]}), units={"accuracy": "percent"})
    assert "percent" not in str(refused.value)


def test_more_successes_than_trials_are_refused(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("model,n_samples,n_correct\na,100,25\nb,100,101\n")
    with pytest.raises(bs.InputError, match="line 3: n_correct = 101 is more than n_samples = 100"):
        bs.read_runs(path, map={"successes": "n_correct"})
    assert "successes" not in bs.read_runs(path).columns  # unasked, such columns only look like counts; a note says so


def test_signed_quantities_are_read_as_they_are():
    runs = bs.runs_from_columns({"compute": [1e15, 1e16], "board": [9, 9], "elo": [-600.0, -90.0]})
    assert runs["elo"].tolist() == [-600.0, -90.0]
    with pytest.raises(bs.InputError, match="elo = inf must be finite"):
        bs.runs_from_columns({"compute": [1e15, 1e16], "board": [9, 9], "elo": [-600.0, np.inf]})


def test_columns_within_arithmetic_are_used(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("N,D (B tokens),index,batch,train/loss (ema),notes\n1e8,2,1,2,3,x\n2e8,4,2,3,2.5,y\n")
    of_tokens = bs.read_runs(path, map={"tokens": "`D (B tokens)`*1e9", "loss": "train/loss (ema)"})
    assert of_tokens.ignored == ("index", "batch", "notes")
    of_steps = bs.read_runs(path, map={"tokens": "index * batch * 1e9", "loss": "train/loss (ema)"})
    assert of_steps.ignored == ("D (B tokens)", "notes")


def test_tokens_a_param_that_look_like_another_unit_are_noted():
    params = np.geomspace(1e7, 1e9, 9)
    columns = {"params": params, "tokens": 20 * params, "loss": np.linspace(4, 3, 9)}
    assert not any("tokens a param" in note for note in bs.read_runs(pandas.DataFrame(columns)).notes)
    (few,) = [note for note in bs.read_runs(pandas.DataFrame({**columns, "tokens": params / 50})).notes if "tokens a param" in note]
    assert "a median of 0.02 tokens a param is little: if 'params' or 'tokens' is in another unit" in few
    one = np.where(np.arange(9) == 4, 2e-8, 20) * params
    (odd,) = [note for note in bs.read_runs(pandas.DataFrame({**columns, "tokens": np.maximum(one, 1)})).notes if "tokens a param" in note]
    assert "another unit than in the other rows (median 20): line 5 (" in odd
