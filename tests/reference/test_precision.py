"""Precision and parallel streams: decisions against brute force, what the papers print and what is right, published values on the runs."""

import csv

import jax
import numpy as np
import pytest
from scipy.optimize import brentq, least_squares

import bayes_scaling as bs
from bayes_scaling.decision import decide

BITS = np.geomspace(0.05, 64, 400_001)


def published(law, name):
    return bs.get_law(law).published[name].values


def ask(law, name, **given):
    found = decide(law, given, published=name)
    return {item.name: float(found[item.name][0, 0, 0]) for item in bs.get_law(law).decision.answers}


def ask_values(law, values, **given):
    """Answers for parameters that nobody published: numbers, or arrays of one shape."""
    decision = bs.get_law(law).decision
    with jax.enable_x64(True):
        values = {name: np.asarray(value, float) for name, value in values.items()}
        found = decision.answer(values, {name: np.asarray(value, float) for name, value in {**decision.optional, **given}.items()})
    return {name: np.asarray(value) for name, value in found.items()}


def least_loss(law, values, inputs_at, compute, bits):
    """Least loss over 20001 sizes at each precision with (6/16) N D P = compute, and where: nothing but the formula."""
    params = np.geomspace(1e3, 1e19, 20_001)[:, None]
    loss = bs.get_law(law).predict({"params": params, "tokens": 16 * compute / (6 * params * bits), **inputs_at(bits)}, values)
    best = np.argmin(loss, axis=0)
    return loss[best, np.arange(len(bits))], params[best, 0]


def all_parts(bits):
    return dict.fromkeys(("weight_bits", "activation_bits", "kv_bits"), bits)


def one(bits):
    return {"bits": bits}


@pytest.mark.parametrize(
    ("law", "name", "inputs_at", "low"),
    [
        ("precision", "kumar", all_parts, 1.0),
        ("precision:offsets", "kumar", all_parts, 1.0),
        ("precision:offsets", "kumar", all_parts, 0.1),
        ("precision:joint", "kumar_mean_gamma", one, 1.0),
        ("precision:joint", "kumar_mean_gamma", one, 6.0),
        ("precision:multipliers", "quest", one, 1.0),
        ("precision:multipliers", "quest_weight_only", one, 1.0),
        ("precision:multipliers", "quest_weight_only", one, 4.0),
    ],
)
@pytest.mark.parametrize("compute", [1e18, 1e22])
def test_best_precision_against_a_grid(law, name, inputs_at, low, compute):
    """Precision, size and loss against the best of a grid over precisions and sizes."""
    bits = np.unique(np.r_[low, np.arange(np.ceil(low), 17), np.geomspace(low, 16, 60)])
    got = ask(law, name, compute=compute, min_bits=low)
    loss, params = least_loss(law, published(law, name), inputs_at, compute, bits)
    best = np.argmin(loss)
    assert got["loss"] <= loss[best] * (1 + 1e-12)
    assert got["loss"] == pytest.approx(loss[best], rel=3e-5)
    assert got["bits"] == pytest.approx(bits[best], rel=0.06)
    loss, params = least_loss(law, published(law, name), inputs_at, compute, np.array([got["bits"], 16.0]))
    assert got["params"] == pytest.approx(params[0], rel=2e-3)
    assert got["params"] * got["tokens"] * got["bits"] * 6 / 16 == pytest.approx(compute)
    assert got["loss_16"] == pytest.approx(loss[1], rel=1e-7)
    # What 16 bits need: the same loss from that much more compute.
    assert ask(law, name, compute=compute * got["compute_gain"], min_bits=16.0)["loss"] == pytest.approx(got["loss"], rel=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.1), (0.4965, 0.4965), (0.2, 0.7), (1.1, 0.3)])
@pytest.mark.parametrize("gamma", [0.9578, 1.9482, 4.0])
def test_best_precision_of_one_gamma_is_not_the_printed_equation(alpha, beta, gamma):
    """Kumar et al., equation 7: 3 alpha x e^-x = 1 - e^-x as printed; brute force gives the equation with 3, whatever alpha and beta."""
    values = {**published("precision:joint", "kumar_mean_gamma"), "alpha": alpha, "beta": beta, "gamma": gamma}
    got = ask_values("precision:joint", values, compute=1e20, min_bits=0.05)["bits"]
    assert got == pytest.approx(1.903814 * gamma, rel=1e-6)
    near = got * np.linspace(0.9, 1.1, 41)
    loss, _ = least_loss("precision:joint", values, one, 1e20, near)
    assert abs(near[np.argmin(loss)] / got - 1) < 0.02
    if 3 * alpha > 1:
        printed = gamma * brentq(lambda x: 3 * alpha * x * np.exp(-x) - 1 + np.exp(-x), 1e-6, 20)
        assert abs(printed / got - 1) > 0.05
        assert least_loss("precision:joint", values, one, 1e20, np.array([printed]))[0] > loss.min()


def test_bits_of_table_2():
    """Three gammas 3.47 bits, their mean 3.71; the 7 to 8 bits of the paper take gamma = 4 (7.62)."""
    assert ask("precision", "kumar", compute=1e21)["bits"] == pytest.approx(3.47, abs=0.005)
    assert ask("precision:joint", "kumar_mean_gamma", compute=1e21)["bits"] == pytest.approx(3.71, abs=0.005)
    values = {**published("precision:joint", "kumar_mean_gamma"), "gamma": 4.0}
    assert ask_values("precision:joint", values, compute=1e21)["bits"] == pytest.approx(7.62, abs=0.005)


def test_best_precision_of_unequal_gammas():
    """Against the greatest of prod_x (1 - e^(-P / gamma_x)) / P on a fine grid."""
    gammas = np.exp(np.random.default_rng(0).normal(0.7, 0.7, (3, 40)))
    values = {**published("precision", "kumar"), **dict(zip(("gamma_w", "gamma_a", "gamma_kv"), gammas, strict=True))}
    expected = [BITS[np.argmax(np.sum(np.log(-np.expm1(-BITS / three[:, None])), axis=0) - np.log(BITS))] for three in gammas.T]
    assert ask_values("precision", values, compute=1e20, min_bits=0.01)["bits"] == pytest.approx(np.array(expected), rel=1e-4)
    assert ask_values("precision", values, compute=1e20, min_bits=4.0)["bits"] == pytest.approx(np.maximum(expected, 4.0), rel=1e-4)


def test_exponents_of_equation_6():
    """N* ~ f^(-3a/(a+b)) P^(-b/(a+b)) and D* ~ f^(3a/(a+b)) P^(-a/(a+b)); the printed exponents of P (-a and +b) miss N* by far."""
    values = {**published("precision:joint", "kumar_mean_gamma"), "alpha": 0.3, "beta": 0.6}
    a, b, gamma = 1 / 3, 2 / 3, values["gamma"]
    low, high = (ask_values("precision:joint", values, compute=1e20, min_bits=bits) for bits in (4.0, 12.0))
    assert (low["bits"], high["bits"]) == (4, 12)
    f = (1 - np.exp(-12 / gamma)) / (1 - np.exp(-4 / gamma))
    assert high["params"] / low["params"] == pytest.approx(f ** (-3 * a) * 3**-b, rel=1e-9)
    assert high["tokens"] / low["tokens"] == pytest.approx(f ** (3 * a) * 3**-a, rel=1e-9)
    _, params = least_loss("precision:joint", values, one, 1e20, np.array([4.0, 12.0]))
    assert params[1] / params[0] == pytest.approx(f ** (-3 * a) * 3**-b, rel=2e-3)
    assert abs(params[1] / params[0] / (f ** (-3 * a) * 3**-a) - 1) > 0.2


def test_offsets_leave_no_optimum_but_the_lowest_bits():
    """f(0) > 0, so that f(P) / P grows without bound as P goes to 0; with small offsets a hump remains, and both ends must be compared."""
    lowest = [ask("precision:offsets", "kumar", compute=1e20, min_bits=bits) for bits in (0.01, 0.1, 1.0, 2.0)]
    assert [answers["bits"] for answers in lowest] == pytest.approx([0.01, 0.1, 1.0, 2.0])
    assert np.all(np.diff([answers["loss"] for answers in lowest]) > 0)
    small = {**published("precision:offsets", "kumar"), "n_w": 0.02, "n_a": 0.02, "n_kv": 0.02}
    gammas = np.array([small["gamma_w"], small["gamma_a"], small["gamma_kv"]])[:, None]
    for low in (1e-7, 0.3, 1.0, 5.0):
        bits = np.geomspace(low, 16, 400_001)
        expected = bits[np.argmax(np.sum(np.log(-np.expm1(-bits / gammas - 0.02)), axis=0) - np.log(bits))]
        assert ask_values("precision:offsets", small, compute=1e20, min_bits=low)["bits"] == pytest.approx(expected, rel=1e-4)
    # Without offsets it is the law without offsets.
    none = {**small, "n_w": 0.0, "n_a": 0.0, "n_kv": 0.0}
    found = ask_values("precision:offsets", none, compute=1e20)
    for name, expected in ask("precision", "kumar", compute=1e20).items():
        assert found[name] == pytest.approx(expected, rel=1e-7), name


def test_best_precision_of_multipliers_is_at_a_level():
    """Of any eff, the best of 1601 precisions with eff between the levels is one of the levels: ln eff is linear in ln P."""
    law, random = bs.get_law("precision:multipliers"), np.random.default_rng(1)
    bits, inputs = np.geomspace(1, 16, 1601), {"params": 1e9, "tokens": 1e10}
    for _ in range(20):
        eff = dict(zip(("eff_1", "eff_2", "eff_3", "eff_4", "eff_8"), np.exp(random.normal(-0.7, 0.7, 5)), strict=True))
        values = {**published("precision:multipliers", "quest"), **eff}
        # From the formula: N eff = (A / (L - E - B / D^beta))^(1/alpha).
        size = law.predict({**inputs, "bits": bits}, values) - values["E"] - values["B"] / 1e10 ** values["beta"]
        share = (values["A"] / size) ** (1 / values["alpha"]) / 1e9
        got = ask_values("precision:multipliers", values, compute=1e20)["bits"]
        assert got in (1, 2, 3, 4, 8, 16)
        assert np.interp(np.log(got), np.log(bits), share) / got == pytest.approx(np.max(share / bits), rel=2e-2)


def rows(folder, name):
    with (folder / name).open() as lines:
        return list(csv.DictReader(lines))


def test_published_multipliers_on_the_runs(shared_data):
    """RMSE of ln L 0.0038 over all 104 runs, FP4 and 2:4 sparse INT4 (0.6296 and 0.3812) among them."""
    law = bs.get_law("precision:multipliers")
    quest = published("precision:multipliers", "quest")
    sets = {
        "quest": quest,
        "bf16": quest,
        "no_hadamard": published("precision:multipliers", "quest_no_hadamard"),
        "weight_only": published("precision:multipliers", "quest_weight_only"),
        "fp4": {**quest, "eff_4": 0.6296},
        "sparse24_int4": {**quest, "eff_4": 0.3812},
    }
    residuals = []
    for row in rows(shared_data, "precision_qat_quest2025.csv"):
        group = row["fit_group"]
        bits = 4.0 if group == "fp4" else float(row["w_bits"])  # the file gives FP4 runs 16
        inputs = {"params": float(row["n_params_non_embedding"]), "tokens": float(row["tokens"]), "bits": bits}
        residuals.append(np.log(float(law.predict(inputs, sets[group])) / float(row["final_val_loss"])))
    assert len(residuals) == 104
    assert np.sqrt(np.mean(np.square(residuals))) == pytest.approx(0.0038, abs=5e-5)


def test_quest_runs_hardly_tell_floor_from_exponent(shared_data):
    """Main group and unquantised runs, E held at -1, 0 and 0.5: alpha moves by two thirds, residuals by 0.0005, the multipliers by 4 %."""
    part = [row for row in rows(shared_data, "precision_qat_quest2025.csv") if row["fit_group"] in ("quest", "bf16")]
    names = ("n_params_non_embedding", "tokens", "w_bits", "final_val_loss")
    params, tokens, bits, loss = (np.array([float(row[name]) for row in part]) for name in names)
    assert (len(part), set(bits)) == (54, {1, 2, 3, 4, 8, 16})
    level = np.searchsorted([1, 2, 3, 4, 8], bits)
    found = []
    for floor in (-1.0, 0.0, 0.5):

        def gap(t, floor=floor):
            log_params = np.log(params / 1.8e7) + np.append(t[4:], 0.0)[level]
            curve = floor + np.exp(t[0] - t[1] * log_params) + np.exp(t[2] - t[3] * np.log(tokens / 7e8))
            return np.log(np.maximum(curve, 0.1) / loss) / 0.003

        fit = least_squares(gap, [1.0, 0.06, 0.0, 0.3, -4, -2, -1, -0.4, 0], loss="soft_l1", max_nfev=5000)
        found.append((fit.cost, 0.003 * np.std(gap(fit.x)), fit.x[1], np.exp(fit.x[4:])))
    cost, scatter, alpha, eff = (list(item) for item in zip(*found, strict=True))
    assert cost[0] < cost[1] < cost[2]
    assert alpha == pytest.approx([0.046, 0.063, 0.077], abs=0.001)
    assert scatter == pytest.approx([0.0034, 0.0035, 0.0039], abs=5e-5)
    assert np.ptp(np.log(eff), axis=0).max() < 0.04
    assert [item[0] for item in eff] == pytest.approx([0.0204, 0.0201, 0.0203], abs=1e-4)


def test_multipliers_between_levels():
    """What the module says of interpolation, on the authors' values: each level from its neighbours."""
    eff = {**{level: published("precision:multipliers", "quest")[f"eff_{level}"] for level in (1, 2, 3, 4, 8)}, 16: 1.0}

    def in_logs(bits, low, high):
        return np.exp(np.interp(np.log(bits), np.log([low, high]), np.log([eff[low], eff[high]])))

    assert in_logs(2, 1, 3) / eff[2] - 1 == pytest.approx(-0.08, abs=0.01)
    assert in_logs(8, 4, 16) / eff[8] - 1 == pytest.approx(-0.18, abs=0.01)
    assert abs(in_logs(3, 2, 4) / eff[3] - 1) < 0.18
    assert np.interp(2, [1, 3], [eff[1], eff[3]]) / eff[2] - 1 == pytest.approx(0.5, abs=0.02)


def test_critical_tokens():
    """1.382452e11 at 1.1e8 params and 4 bits (sheet), and the least of B / D^beta + rise on a grid."""
    law = bs.get_law("post_training_quantization")
    assert ask(law.name, "kumar", params=1.1e8, tokens=1e10, post_bits=4.0)["critical_tokens"] == pytest.approx(1.382452e11, rel=1e-6)
    tokens = np.geomspace(1e8, 1e20, 1_000_001)
    for name in law.published:
        for params, bits in ((3e7, 3.0), (1.1e8, 4.0), (1.7e9, 6.0)):
            rise = law.predict({"params": params, "tokens": tokens, "post_bits": bits}, law.published[name].values)
            best = tokens[np.argmin(1.806e4 / tokens**0.4965 + rise)]
            got = ask(law.name, name, params=params, tokens=1e10, post_bits=bits)
            assert got["critical_tokens"] == pytest.approx(best, rel=1e-4)
            assert got["critical_tokens_per_param"] == pytest.approx(best / params, rel=1e-4)
            # At the critical tokens, the bits needed are the bits.
            assert ask(law.name, name, params=params, tokens=got["critical_tokens"], post_bits=bits)["bits_needed"] == pytest.approx(bits)


def test_a_model_that_is_not_rounded_loses_nothing():
    law = bs.get_law("post_training_quantization")
    got = ask(law.name, "kumar", params=1.1e8, tokens=1e10, post_bits=16.0)
    assert got["loss_increase"] == 0
    assert got["critical_tokens"] == np.inf
    # The law's own word at 8 bits, for the size of what the noise is set against.
    assert ask(law.name, "kumar", params=1.1e8, tokens=1e10, post_bits=8.0)["loss_increase"] == pytest.approx(1.6e-5, rel=0.05)


@pytest.mark.parametrize("name", ["pile", "stack"])
def test_streams_against_params(name):
    """Equal loss with the equivalent size; streams and sizes for a target against a root-finder; inf where no number is enough."""
    law, values = bs.get_law("parallel_scaling"), published("parallel_scaling", name)

    def loss(params, streams):
        return float(law.predict({"params": params, "streams": streams}, values))

    params, streams = 1.5e9, 6.0
    target = loss(params, 3.7)
    got = ask(law.name, name, params=params, streams=streams, target=target)
    assert got["loss"] == pytest.approx(loss(params, streams))
    assert loss(got["equivalent_params"], 1) == pytest.approx(got["loss"], rel=1e-12)
    assert got["params_worth"] == pytest.approx(values["k"] * np.log(streams) + 1)
    assert got["weights_saved"] == pytest.approx(1 - params / got["equivalent_params"])
    assert got["arithmetic_factor"] == pytest.approx(streams * params / got["equivalent_params"])
    assert got["streams_for_target"] == pytest.approx(brentq(lambda s: loss(params, s) - target, 1, 100), rel=1e-9)
    for count, answer in ((streams, "params_for_target"), (1, "params_for_target_alone")):
        root = np.exp(brentq(lambda u, s=count: loss(np.exp(u), s) - target, np.log(1e6), np.log(1e14), xtol=1e-13))
        assert got[answer] == pytest.approx(root, rel=1e-9)
    easy = ask(law.name, name, params=params, streams=streams, target=loss(params, 1) + 0.01)
    assert easy["streams_for_target"] == 1
    never = ask(law.name, name, params=params, streams=streams, target=values["E"])
    assert never["streams_for_target"] == never["params_for_target"] == never["params_for_target_alone"] == np.inf


#: R^2 of 8 streams, predicted from 1, 2 and 4 (data/README.md of the shared folder; objective of the authors).
HELD_OUT = {"pile": 0.9970, "stack_v2_python": 0.9961}


@pytest.mark.parametrize("corpus", list(HELD_OUT))
def test_eight_streams_from_up_to_four(shared_data, corpus):
    """The point fit with Laplace noise, which the authors' Huber loss of delta = 1e-3 nearly is; 5e-4 for that difference."""
    names = {"params": "n_params_non_embedding", "streams": "parallel_streams", "loss": "loss"}
    runs = bs.read_runs(shared_data / "parscale_chen2025.csv", where=f"corpus == '{corpus}'", map=names)
    point = bs.maximum_likelihood("parallel_scaling", runs.subset(runs["streams"] <= 4), noise="laplace")
    held_out = runs.subset(runs["streams"] == 8)
    assert len(held_out) == 6
    found = bs.get_law("parallel_scaling").predict({name: held_out[name] for name in ("params", "streams")}, point.parameters)
    explained = 1 - np.sum((found - held_out["loss"]) ** 2) / np.sum((held_out["loss"] - held_out["loss"].mean()) ** 2)
    assert explained == pytest.approx(HELD_OUT[corpus], abs=5e-4)


def test_an_additive_law_fits_the_streams_better(shared_data):
    """What the module says: E + a / N^alpha + c / P^beta has smaller residuals on both corpora (by 2.4 and 1.25 times)."""
    for corpus, name, factor in (("pile", "pile", 2.0), ("stack_v2_python", "stack", 1.1)):
        part = [row for row in rows(shared_data, "parscale_chen2025.csv") if row["corpus"] == corpus]
        params, streams, loss = (
            np.array([float(row[key]) for row in part]) for key in ("n_params_non_embedding", "parallel_streams", "loss")
        )

        def gap(t, params=params, streams=streams, loss=loss):
            return np.log(np.exp(t[0]) + np.exp(t[1]) * (params / 5e8) ** -t[2] + np.exp(t[3]) * streams ** -t[4]) - np.log(loss)

        additive = least_squares(gap, [np.log(0.7 * loss.min()), -1, 0.2, -2, 0.5], x_scale="jac").fun
        law = bs.get_law("parallel_scaling").predict({"params": params, "streams": streams}, published("parallel_scaling", name))
        assert np.std(np.log(law / loss)) > factor * np.std(additive)
