"""Transfer, fine-tuning and vocabulary: decisions against independent calculation, identities, and what papers and data say."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, fsolve, least_squares

import bayes_scaling as bs
from bayes_scaling.decision import decide
from bayes_scaling.drift import decades_beyond
from bayes_scaling.scores import forecasts, score

TRANSFER = bs.get_law("transfer")
LOSS = bs.get_law("transfer:loss")
RECTIFIED = bs.get_law("finetune_rectified")
CHARACTERS = bs.get_law("vocabulary")
TOKENS = bs.get_law("vocabulary:tokens")


def answers(law, given, parameters):
    """Answers of a law's question for one set of values, as floats."""
    with jax.enable_x64(True):
        wide = {name: jnp.asarray([value], float) for name, value in law.complete(law.sampled(parameters)).items()}
        found = law.decision.answer(wide, {name: jnp.asarray([value], float) for name, value in given.items()})
    return {name: float(value[0]) for name, value in found.items()}


# Effective data transferred


def test_multiplier_of_the_papers_example_is_475_not_1000():
    """Hernandez et al. 2021: 4e7 params, 3e5 characters. Their figure says about 1000; neither set of coefficients does."""
    given = {"finetune_characters": 3e5, "params": 4e7, "target": 1e9}
    text = answers(TRANSFER, given, TRANSFER.published["text"].values)
    assert text["multiplier"] == pytest.approx(1 + 1.9e4 * 3e5**0.18 * 4e7**0.38 / 3e5, rel=1e-12)
    assert text["multiplier"] == pytest.approx(475.6, abs=0.05)
    assert answers(TRANSFER, given, TRANSFER.published["mix"].values)["multiplier"] == pytest.approx(1819.4, abs=0.05)


def test_ten_times_the_size_is_worth_a_hundred_times_the_data_in_what_is_transferred():
    """10^(beta/alpha): 129 from text. It holds for D_T; in effective data, which count D_F itself, less is enough (next test)."""
    values = TRANSFER.published["text"].values
    exponent = answers(TRANSFER, {"finetune_characters": 3e5, "params": 4e7, "target": 1e9}, values)["data_exponent"]
    assert 10**exponent == pytest.approx(10 ** (0.38 / 0.18))
    more_data = TRANSFER.predict({"finetune_characters": 3e5 * 10**exponent, "params": 4e7}, values)
    assert more_data == pytest.approx(TRANSFER.predict({"finetune_characters": 3e5, "params": 4e8}, values), rel=1e-10)


@pytest.mark.parametrize("name", ["text", "mix"])
@pytest.mark.parametrize("characters", [1e5, 3e7])
def test_characters_for_effective_data_against_a_root_finder(name, characters):
    p = TRANSFER.published[name].values

    def effective(data, params):
        return data + p["k"] * data ** p["alpha"] * params ** p["beta"]

    found = answers(TRANSFER, {"finetune_characters": characters, "params": 1e8, "target": 5e9}, p)
    assert found["needed_characters"] == pytest.approx(brentq(lambda d: effective(d, 1e8) - 5e9, 1.0, 5e9, xtol=1e-3), rel=1e-6)
    larger = effective(characters, 1e9)
    expected = brentq(lambda d: effective(d, 1e8) - larger, 1.0, larger, xtol=1e-3)
    assert found["same_as_10x_params"] == pytest.approx(expected, rel=1e-6)
    assert found["same_as_10x_params"] < characters * 10 ** found["data_exponent"]


def test_a_target_that_pretraining_alone_reaches_needs_no_data():
    found = answers(TRANSFER, {"finetune_characters": 1e6, "params": 1e9, "target": 1e4}, TRANSFER.published["text"].values)
    assert found["needed_characters"] == pytest.approx(1.0)


# Loss after fine-tuning

JOINT = {"Nc": 8.8e13, "Dc_per_k": 1e10, "alpha_N": 0.076, "alpha_D": 0.095, "alpha_F": 0.18, "beta_F": 0.38}


def joint(characters, params):
    """The paper's equation, as printed."""
    size = (JOINT["Nc"] / params) ** (JOINT["alpha_N"] / JOINT["alpha_D"])
    return (size + JOINT["Dc_per_k"] / (characters ** JOINT["alpha_F"] * params ** JOINT["beta_F"])) ** JOINT["alpha_D"]


def test_loss_is_the_printed_equation_and_its_question_is_answered():
    sampled = LOSS.sampled(JOINT)
    again = LOSS.complete(sampled)
    for name, value in JOINT.items():
        assert again[name] == pytest.approx(value, rel=1e-9), name
    for characters, params in [(1e5, 1e6), (1e7, 1e9), (1e9, 1e11)]:
        assert LOSS.predict({"finetune_characters": characters, "params": params}, again) == pytest.approx(
            joint(characters, params), rel=1e-10
        )
    target = 0.9 * joint(1e6, 1e9)
    found = answers(LOSS, {"finetune_characters": 1e6, "params": 1e9, "target": target}, JOINT)
    assert found["loss"] == pytest.approx(joint(1e6, 1e9), rel=1e-10)
    assert joint(1e6, found["needed_params"]) == pytest.approx(target, rel=1e-8)
    assert joint(found["needed_characters"], 1e9) == pytest.approx(target, rel=1e-8)


def test_no_data_make_up_for_a_model_too_small():
    limit = (JOINT["Nc"] / 1e8) ** JOINT["alpha_N"]
    given = {"finetune_characters": 1e6, "params": 1e8}
    assert answers(LOSS, {**given, "target": 0.999 * limit}, JOINT)["needed_characters"] == np.inf
    assert answers(LOSS, {**given, "target": 1.001 * limit}, JOINT)["needed_characters"] < np.inf


# Rectified law

CURVE = {"E": 0.8, "B": 3932.0, "D_l": 1694.0, "beta": 0.7}


def test_rectified_curve_is_the_printed_equation_with_a_zero_shot_end():
    values = RECTIFIED.complete(RECTIFIED.sampled(CURVE))
    examples = np.array([0.0, 1.0, 200.0, 1e4, 1.6e6])
    expected = CURVE["E"] + CURVE["B"] / (CURVE["D_l"] + examples ** CURVE["beta"])
    assert RECTIFIED.predict({"finetune_examples": examples}, values) == pytest.approx(expected, rel=1e-12)


def test_without_prelearned_size_it_is_the_plain_power_law():
    plain = bs.get_law("power_law_floor").with_input("examples")
    values = RECTIFIED.complete({"L_ref": 2.3, "share": 0.8 / 2.3, "transition": 1e-9, "beta": 0.4})
    examples = np.geomspace(200, 2e6, 9)
    expected = plain.predict({"examples": examples}, {"E": 0.8, "a": 1.5 * 1e3**0.4, "c": 0.4})
    assert RECTIFIED.predict({"finetune_examples": examples}, values) == pytest.approx(expected, rel=1e-4)


def test_gradients_at_no_examples_are_finite():
    with jax.enable_x64(True):
        sampled = {name: jnp.asarray(value) for name, value in RECTIFIED.sampled(CURVE).items()}
        slope = jax.grad(lambda p: RECTIFIED.formula({"finetune_examples": jnp.asarray(0.0)}, p))(sampled)
    assert all(np.isfinite(value) for value in slope.values())
    assert float(slope["transition"]) < 0  # the more examples pre-training was worth, the lower the curve begins


def test_examples_for_a_target():
    start = CURVE["E"] + CURVE["B"] / CURVE["D_l"]
    for target in (0.9, 1.5, 0.999 * start):
        found = answers(RECTIFIED, {"finetune_examples": 1e5, "target": target}, CURVE)
        expected = (CURVE["B"] / (target - CURVE["E"]) - CURVE["D_l"]) ** (1 / CURVE["beta"])
        assert found["needed_examples"] == pytest.approx(expected, rel=1e-9)
        assert found["prelearned_examples"] == pytest.approx(CURVE["D_l"] ** (1 / CURVE["beta"]), rel=1e-12)
    assert found["loss_before"] == pytest.approx(start, rel=1e-12)
    assert answers(RECTIFIED, {"finetune_examples": 1e5, "target": 1.01 * start}, CURVE)["needed_examples"] == 0
    assert answers(RECTIFIED, {"finetune_examples": 1e5, "target": CURVE["E"]}, CURVE)["needed_examples"] == np.inf


def test_decades_beyond_runs_of_sizes_that_may_be_zero():
    """Positive ones differ by factors; none at all is not infinitely far from some."""
    runs = bs.runs_from_columns({"finetune_examples": [0.0, 200.0, 1600.0], "loss": [3.0, 2.5, 2.0]})
    found = decades_beyond(runs, {"finetune_examples": np.array([0.0, 20.0, 400.0, 1.6e5])})
    assert found == pytest.approx([0.0, 1.0, 0.0, 2.0])


def test_decades_beyond_have_the_shape_of_the_question_where_no_input_has_decades():
    runs = bs.runs_from_columns({"day": [0.0, 200.0], "loss": [3.0, 2.5]})
    assert decades_beyond(runs, {"day": np.array([0.0, 1e4])}).tolist() == [0.0, 0.0]


@pytest.mark.long
def test_larger_sizes_are_foretold_better_by_the_rectified_law_alone_and_pooled(shared_data):
    """Fitted to 102 400 examples, up to 16 times more predicted: the first ten of the 30 models on WMT19."""
    from finetuning import LAWS, POOLED, fits, runs_of

    runs = runs_of(shared_data, "wmt19")
    runs = runs.subset(np.isin(runs.group, runs.groups[:10]))
    few = runs["finetune_examples"] <= 102_400
    errors, covered = {}, {}
    for law, fix in LAWS.items():
        for way, of_models in fits(runs.subset(few), fix, POOLED):
            assert all(one.diagnosis.converged for one in of_models.values()), (law, way)
            told = []
            for model, one in of_models.items():
                rest = runs.subset((runs.group == model) & ~few)
                told.append(score("loss", forecasts(one, rest), rest["loss"]))
            errors[law, way] = np.array([np.sqrt(np.mean(each["error"] ** 2)) for each in told])
            covered[law, way] = np.mean([each["covered"].mean() for each in told])
    for way in ("alone", "pooled"):
        assert np.sum(errors["rectified", way] < errors["plain", way]) >= 7, errors
        assert covered["rectified", way] > 0.8, covered


@pytest.mark.parametrize(
    ("model", "rectified", "plain"),
    [("MBZUAI/LaMini-GPT-124M", 0.0108, 0.1151), ("MBZUAI/LaMini-GPT-774M", 0.0093, 0.1074), ("google/mt5-large", 0.0045, 0.0249)],
)
def test_residuals_beside_the_authors(shared_data, model, rectified, plain):
    """RMSD of ln loss over 200 to 1.6e6 examples on WMT19, by least squares, beside the authors' results/rmsd.csv.

    Theirs stop short of the least squares at times; so ours are at most theirs, to 5 % (their objective is another).
    Their plain law has no floor inside a free outer power; ours, with a floor, does no better than two thirds of it.
    """
    with (shared_data / "sft_rectified_lin2024.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["dataset"] == "wmt19" and r["model"] == model and float(r["sft_examples"]) > 0]
    examples = np.array([float(r["sft_examples"]) for r in rows])
    loss = np.log([float(r["test_loss"]) for r in rows])

    def rmsd(curve, starts):
        ends = [least_squares(lambda z: np.log(curve(z)) - loss, start) for start in starts]
        return min(np.sqrt(np.mean(end.fun**2)) for end in ends)

    def bent(z):
        E, R, transition, beta = np.exp(z)
        values = {"L_ref": E + R, "share": E / (E + R), "transition": transition, "beta": beta}
        return RECTIFIED.predict({"finetune_examples": examples}, RECTIFIED.complete(values))

    ours = rmsd(bent, [np.log([0.5, 1.5, t, 0.5]) for t in (1e3, 1e5)])
    straight = rmsd(
        lambda z: np.exp(z[0]) + np.exp(z[1] - np.exp(z[2]) * np.log(examples / 1e4)), [np.log([0.5, 1.5, c]) for c in (0.1, 0.4)]
    )
    assert ours <= 1.05 * rectified
    assert straight > 0.6 * plain
    assert straight > 3 * ours


# Vocabulary


def columns_of(folder):
    with (folder / "tao2024_vocab.csv").open() as file:
        rows = list(csv.DictReader(file))
    take = {
        "vocabulary": "vocab_size",
        "embed_dim": "embed_dim",
        "characters": "num_characters",
        "non_vocab_params": "params_non_vocab",
        "compute": "flops",
        "unigram_loss": "unigram_normalised_loss",
    }
    return {name: np.array([float(row[column]) for row in rows]) for name, column in take.items()}


def fertility(vocabulary):
    log = np.log(np.minimum(vocabulary, 200_000))
    return 0.00639222 * log**2 - 0.15811069 * log + 1.20470122


def test_tokens_of_a_character_are_those_of_the_authors_runs(shared_data):
    """compute = 6 (N_nv + V d) H f(V) in their table, to rounding: the coefficients of f, and what is counted, are right."""
    runs = columns_of(shared_data)
    params = runs["non_vocab_params"] + runs["vocabulary"] * runs["embed_dim"]
    assert runs["compute"] == pytest.approx(6 * params * runs["characters"] * fertility(runs["vocabulary"]), rel=1e-9)


def test_which_units_the_published_coefficients_have(shared_data):
    """Mean residuals that the law's text states, over the checkpoints that the authors fitted: only millions of params come near."""
    runs = columns_of(shared_data)
    fitted = runs["compute"] >= 2.18e17
    inputs = {name: values[fitted] for name, values in runs.items()}
    published = TOKENS.published["tao_code"].values
    billions = {**published, "A1": published["A1"] * 1e3 ** published["beta"], "A2": published["A2"] * 1e3 ** published["alpha2"]}
    for law, values, mean, scatter in [
        (CHARACTERS, published, 0.087, 0.139),
        (TOKENS, published, -0.462, 0.260),
        (CHARACTERS, billions, -6.631, 3.235),
    ]:
        residuals = inputs["unigram_loss"] - law.predict(inputs, values)
        assert residuals.mean() == pytest.approx(mean, abs=5e-4)
        assert residuals.std() == pytest.approx(scatter, abs=5e-4)


@pytest.mark.parametrize(("params", "width"), [(2.87e9, 3200), (7e9, 4096), (1.3e10, 5120), (7e10, 8192), (3e11, 16384)])
def test_best_vocabulary_is_the_authors(params, width):
    """Against a root of the derivative of the authors' approach 3, at the compute that they call optimal for a size."""
    compute = (params / np.exp(-2.4846510161625193)) ** 2
    p = TOKENS.published["tao_code"].values

    def slope(log_vocabulary):
        vocab_params = np.exp(log_vocabulary) * width / 1e6
        tokens = compute / (6e15 * (params / 1e6 + vocab_params))
        data = p["beta"] * p["B"] * tokens ** -p["beta"] * vocab_params / (params / 1e6 + vocab_params)
        return data - p["alpha2"] * p["A2"] * vocab_params ** -p["alpha2"]

    expected = float(np.exp(fsolve(slope, np.log(5e4))[0]))
    found = decide("vocabulary:tokens", {"compute": compute, "non_vocab_params": params, "embed_dim": width}, published="tao_code")
    assert found["vocabulary"].item() == pytest.approx(expected, rel=1e-5)
    if params == 7e10:
        assert expected > 216e3  # "Llama2-70B should have been at least 216K" (abstract)
    # Vocabulary params grow as N_nv^((1 + beta) / (1 + alpha2)) while they are few; the authors' three approaches say 0.83 to 0.87.
    assert found["gamma"].item() == pytest.approx((1 + p["beta"]) / (1 + p["alpha2"]), abs=0.003)
    assert 0.83 < found["gamma"].item() < 0.87


def test_best_vocabulary_in_characters_against_a_grid():
    """Saved tokens count in full here, so the optimum lies higher than in tokens."""
    p = CHARACTERS.published["tao"].values
    given = {"compute": 1.19e21, "non_vocab_params": 2.87e9, "embed_dim": 3200.0}
    vocabulary = np.geomspace(256, 1e7, 200_001)
    tokens = given["compute"] / (6 * (given["non_vocab_params"] + vocabulary * given["embed_dim"]))
    loss = (
        p["A1"] * (given["non_vocab_params"] / 1e6) ** -p["beta"]
        + p["A2"] * (vocabulary * given["embed_dim"] / 1e6) ** -p["alpha2"]
        + p["B"] * (tokens / fertility(vocabulary) / 1e9) ** -p["beta"]
        - p["E"]
    )
    found = decide("vocabulary", given, published="tao")
    assert found["unigram_loss"].item() == pytest.approx(loss.min(), rel=1e-9)
    assert found["vocabulary"].item() == pytest.approx(vocabulary[np.argmin(loss)], rel=1e-3)
    assert found["characters"].item() * fertility(found["vocabulary"].item()) == pytest.approx(found["tokens"].item(), rel=1e-9)
    in_tokens = decide("vocabulary:tokens", given, published="tao")
    assert found["vocabulary"].item() > 2 * in_tokens["vocabulary"].item()
    assert found["unigram_loss"].item() < found["loss_at_32k"].item()
