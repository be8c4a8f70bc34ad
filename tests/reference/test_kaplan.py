"""Kaplan's, Henighan's and Zhai's laws against calculations of their own, and where the sources disagree."""

import jax
import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

import bayes_scaling as bs
from bayes_scaling.decision import decide
from bayes_scaling.units import PF_DAY

C_LAW, NS, ND = (bs.get_law(name) for name in ("kaplan_c", "kaplan_ns", "kaplan_nd"))
TABLE_3 = {"alpha_N": 0.077, "alpha_S": 0.76, "Nc": 6.5e13, "Sc": 2.1e3}
ALPHA_B, B_STAR = 0.21, 2.1e8


def answers(law, given, published):
    found = decide(law, given, published=published)
    return {name: values.values.squeeze() for name, values in found.items() if not name.startswith("given")}


# --- appendix B of Kaplan et al. 2020 -------------------------------------------------------------------------------------------


def implicit_loss(log_params, compute):
    """Loss at a size when S_min = C / (6 N B_crit(L)): L stands on both sides, so it is searched for."""
    size = (TABLE_3["Nc"] / np.exp(log_params)) ** TABLE_3["alpha_N"]

    def excess(loss):
        steps = compute / (6 * np.exp(log_params) * B_STAR) * loss ** (1 / ALPHA_B)
        return size + (TABLE_3["Sc"] / steps) ** TABLE_3["alpha_S"] - loss

    return brentq(excess, size, 1e6, xtol=1e-14, rtol=8.9e-16)


@pytest.mark.parametrize("compute", [1e17, PF_DAY, 1e24])
def test_closed_form_of_kaplan_is_the_best_by_brute_force(compute):
    """Two unknowns (N, S_min) under C = 6 N B_crit S_min: root search for L within a search over N. Tolerance: that of the search."""
    grid = np.linspace(np.log(1e3), np.log(1e14), 400)
    start = grid[np.argmin([implicit_loss(u, compute) for u in grid])]
    best = minimize_scalar(implicit_loss, (start - 0.1, start, start + 0.1), args=(compute,), options={"xtol": 1e-10})
    found = answers(NS, {"compute": compute}, "kaplan")
    assert found["loss"] == pytest.approx(best.fun, rel=1e-10)
    assert found["params"] == pytest.approx(np.exp(best.x), rel=1e-5)
    assert 6 * found["params"] * found["batch_tokens"] * found["steps_min"] == pytest.approx(compute, rel=1e-9)


def test_closed_form_of_kaplan_is_the_best_of_a_grid_in_two_dimensions():
    """All (N, S_min) on a grid 0.2 % fine that cost at most C_min: the least loss, and where it is. Tolerances follow from the grid."""
    found = answers(NS, {"compute": PF_DAY}, "kaplan")
    params = found["params"] * np.exp(np.linspace(-4, 4, 4001))[:, None]
    steps = found["steps_min"] * np.exp(np.linspace(-4, 4, 4001))
    size = (TABLE_3["Nc"] / params) ** TABLE_3["alpha_N"]
    loss = size + (TABLE_3["Sc"] / steps) ** TABLE_3["alpha_S"]
    compute = 6 * params * B_STAR / loss ** (1 / ALPHA_B) * steps
    affordable = np.where(compute <= PF_DAY * (1 + 1e-9), loss, np.inf)
    i, j = np.unravel_index(np.argmin(affordable), affordable.shape)
    assert affordable[i, j] == pytest.approx(found["loss"], rel=1e-5)
    assert params[i, 0] == pytest.approx(found["params"], rel=0.05)  # flat: 5 % in N cost 1e-5 in loss
    assert steps[j] == pytest.approx(found["steps_min"], rel=0.05)
    # Training stops alpha_N / alpha_S = 10 % above the loss at convergence.
    assert found["loss"] / (TABLE_3["Nc"] / found["params"]) ** TABLE_3["alpha_N"] == pytest.approx(1 + 0.077 / 0.76, rel=1e-9)


def test_decision_is_consistent_with_the_formula_and_the_critical_batch():
    for ratio in (0.1, 1.0, 7.0):
        found = answers(NS, {"compute": 1e21, "batch_ratio": ratio}, "kaplan")
        assert NS.predict({"params": found["params"], "steps": found["steps_min"]}, TABLE_3) == pytest.approx(found["loss"], rel=1e-9)
        run = {"loss": found["loss"], "params": found["params"], "batch_tokens": found["batch_tokens"], "steps": found["steps"]}
        needed = answers(NS.variants["critical_batch"], run, "table")
        assert needed["compute_min"] == pytest.approx(1e21, rel=1e-9)
        assert needed["compute"] == pytest.approx(found["compute_spent"], rel=1e-9)
        assert needed["steps_min"] == pytest.approx(found["steps_min"], rel=1e-9)
        assert needed["critical_batch"] * ratio == pytest.approx(found["batch_tokens"], rel=1e-9)
        assert found["tokens"] == pytest.approx(found["batch_tokens"] * found["steps"], rel=1e-9)


def test_at_the_critical_batch_twice_the_least_of_both_is_spent():
    critical = answers(NS.variants["critical_batch"], {"loss": 2.5, "params": 1e9, "batch_tokens": 1e6, "steps": 1e4}, "text")
    run = {"loss": 2.5, "params": 1e9, "batch_tokens": float(critical["critical_batch"]), "steps": 1e4}
    needed = answers(NS.variants["critical_batch"], run, "text")
    assert needed["steps_min"] == pytest.approx(5e3, rel=1e-12)
    assert needed["compute_min"] == pytest.approx(needed["compute"] / 2, rel=1e-12)


def test_theory_sets_are_the_decision_of_the_fit_they_come_from():
    """Two ways to the same numbers: constants of kaplan_c in plain Python, and the decision of kaplan_ns in jax."""
    for compute in (1e18, PF_DAY, 1e24):
        found = answers(NS, {"compute": compute}, "kaplan")
        for variant, name in (("allocation", "params"), ("batch", "batch_tokens"), ("steps", "steps_min"), ("tokens", "tokens")):
            law = C_LAW.variants[variant]
            assert law.predict({"compute": compute}, law.published["theory"].values) == pytest.approx(found[name], rel=1e-9)
        assert C_LAW.predict({"compute": compute}, C_LAW.published["theory"].values) == pytest.approx(found["loss"], rel=1e-9)


def test_theory_and_fit_of_the_frontier_disagree_as_recorded():
    """Kaplan et al. 2020: 0.050, 3.1e8 PF-day, 1.3e9 C^0.73 fitted; 0.0525, 1.61e8, 5.84e8 C^0.681 from tables 3 and 5."""
    theory, fitted = (C_LAW.published[name].values for name in ("theory", "compute_efficient"))
    assert theory["alpha_C"] == pytest.approx(0.052453, abs=5e-7)
    assert theory["Cc"] / PF_DAY == pytest.approx(1.61e8, rel=2e-3)
    assert fitted["alpha_C"] == 0.050
    sizes = C_LAW.variants["allocation"].published
    assert sizes["theory"].values["p_N"] == pytest.approx(0.681, abs=5e-4)
    assert sizes["empirical"].values["N_pf_day"] / sizes["theory"].values["N_pf_day"] == pytest.approx(2.22, abs=0.01)
    # The losses that both predict at 1 PF-day are nevertheless within 1.4 %.
    loss = [float(C_LAW.predict({"compute": PF_DAY}, values)) for values in (theory, fitted)]
    assert loss[0] / loss[1] == pytest.approx(1.0137, abs=1e-4)
    # Exponents of N, B and S_min sum to 1, as C_min = 6 N B S_min demands: for the theory exactly, for table 6 as printed.
    for name, tolerance in (("theory", 1e-12), ("empirical", 1e-9)):
        parts = zip(("allocation", "batch", "steps"), ("p_N", "p_B", "p_S"), strict=True)
        assert sum(C_LAW.variants[variant].published[name].values[key] for variant, key in parts) == pytest.approx(1.0, abs=tolerance)


def test_fits_of_the_allocation_multiply_to_the_compute():
    """Table 6: 6 N B S_min must be C_min, and D = 2 B S_min; the printed digits allow 3 % and 10 %."""
    fits = {name: (law, law.published["empirical"].values) for name, law in C_LAW.variants.items()}
    at = {name: float(law.predict({"compute": 10 * PF_DAY}, values)) for name, (law, values) in fits.items()}
    assert 6 * at["allocation"] * at["batch"] * at["steps"] == pytest.approx(10 * PF_DAY, rel=0.03)
    assert 2 * at["batch"] * at["steps"] == pytest.approx(at["tokens"], rel=0.1)
    found = answers(C_LAW.variants["allocation"], {"compute": 10 * PF_DAY}, "empirical")
    for name, key in (("params", "allocation"), ("batch_tokens", "batch"), ("steps", "steps"), ("tokens", "tokens")):
        assert found[name] == pytest.approx(at[key], rel=0.12), name


# --- overfitting ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("params", "excess"), [(1e6, 0.02), (1e9, 0.02), (1e9, 0.2), (1e11, 1e-4)])
def test_data_against_overfitting_by_root_search(params, excess):
    values = ND.published["kaplan"].values
    unlimited = (values["Nc"] / params) ** values["alpha_N"]

    def over(log_tokens):
        return float(ND.predict({"params": params, "tokens": np.exp(log_tokens)}, values)) / unlimited - 1 - excess

    tokens = np.exp(brentq(over, 0.0, 80.0, xtol=1e-13))
    found = answers(ND, {"params": params, "excess": excess}, "kaplan")
    assert found["tokens"] == pytest.approx(tokens, rel=1e-8)
    assert found["loss_unlimited"] == pytest.approx(unlimited, rel=1e-12)
    assert found["loss"] == pytest.approx(unlimited * (1 + excess), rel=1e-12)


def test_overfitting_rule_of_the_paper():
    """Kaplan et al. 2020, equation 4.4: D >= 5e3 N^0.74 at an excess of 0.02. One digit of coefficient, two of exponent."""
    small, large = (float(answers(ND, {"params": n}, "kaplan")["tokens"]) for n in (1e6, 1e9))
    exponent = np.log10(large / small) / 3
    assert exponent == pytest.approx(0.74, abs=0.005)
    assert large / 1e9**exponent == pytest.approx(5e3, rel=0.15)


def test_constants_of_different_fits_must_not_be_mixed():
    """L(N, D) with the constants of L(N) and L(D): 2.435 for 2.374. The limits of L(N, D) are its own."""
    own = ND.published["kaplan"].values
    mixed = {**bs.get_law("kaplan_n").published["kaplan"].values, **bs.get_law("kaplan_d").published["kaplan"].values}
    at = {"params": 1e9, "tokens": 2e10}
    assert ND.predict(at, own) == pytest.approx(2.373882, rel=1e-6)
    assert ND.predict(at, mixed) == pytest.approx(2.435431, rel=1e-6)
    assert ND.predict({"params": 1e9, "tokens": 1e40}, own) == pytest.approx((6.4e13 / 1e9) ** 0.076, rel=1e-9)
    assert ND.predict({"params": 1e40, "tokens": 1e9}, own) == pytest.approx((1.8e13 / 1e9) ** 0.103, rel=1e-9)
    with jax.enable_x64(True):  # where one term is 400 orders of magnitude above the other
        slope = jax.grad(lambda n: ND.formula({"params": n, "tokens": 1e7}, own))(1e200)
    assert np.isfinite(slope)


@pytest.mark.parametrize(
    ("name", "column", "published"),
    [("kaplan_n", "params", "kaplan"), ("kaplan_d", "tokens", "kaplan"), ("kaplan_c", "compute", "naive")],
)
def test_laws_without_floor_reach_every_target(name, column, published):
    law = bs.get_law(name)
    for target in (0.5, 2.4, 6.0):
        needed = float(answers(law, {"target": target}, published)[column])
        assert law.predict({column: needed}, law.published[published].values) == pytest.approx(target, rel=1e-9)


# --- Henighan et al. 2020 -------------------------------------------------------------------------------------------------------


def test_two_unit_forms_of_the_generic_optimum():
    """(C / 5e-12 PF-day)^0.7 = 8.14e7 (C / PF-day)^0.7 = 9.019e-7 (C / FLOP)^0.7: retellings that mix the units are 14 decades off."""
    law = bs.get_law("henighan:optimum")
    for compute in (1e18, PF_DAY, 1e23):
        found = float(answers(law, {"compute": compute}, "generic")["params"])
        days = compute / 8.64e19
        assert found == pytest.approx((days / 5e-12) ** 0.7, rel=1e-9)
        assert found == pytest.approx(8.14e7 * days**0.7, rel=5e-4)
        assert found == pytest.approx(9.019062e-7 * compute**0.7, rel=1e-6)


def test_optima_of_the_modalities_agree_within_a_factor_of_twelve_at_one_pf_day_only():
    law = bs.get_law("henighan:optimum")
    tables = [values for name, values in law.published.items() if name != "generic"]
    at_one, in_flop = ([float(law.predict({"compute": c}, item.values)) for item in tables] for c in (PF_DAY, 1.0))
    assert (min(at_one), max(at_one)) == pytest.approx((1.072526e8, 1.292662e9), rel=1e-6)
    assert (min(in_flop), max(in_flop)) == pytest.approx((3.4e-7, 5.5e-5), rel=0.02)


def test_language_frontier_is_that_of_gpt_3():
    """L = 2.57 (C / PF-day)^-0.048 (Brown et al. 2020); three digits."""
    law = bs.get_law("henighan").with_input("compute")
    for days in (1e-3, 1.0, 1e3):
        loss = float(law.predict({"compute": days * PF_DAY}, law.published["language_compute"].values))
        assert loss == pytest.approx(2.57 * days**-0.048, rel=1e-3)


@pytest.mark.parametrize("published", ["image_32x32", "image_32x32_compute"])
def test_target_of_henighan_is_out_of_reach_below_the_floor(published):
    law = bs.get_law("henighan")
    law = law.with_input("compute") if published.endswith("compute") else law
    values, column = law.published[published].values, law.input_names[0]
    assert np.isinf(answers(law, {"target": values["L_inf"] - 0.01}, published)[column])
    needed = float(answers(law, {"target": values["L_inf"] + 0.2}, published)[column])
    assert law.predict({column: needed}, values) == pytest.approx(values["L_inf"] + 0.2, rel=1e-9)


# --- Zhai et al. 2022 -----------------------------------------------------------------------------------------------------------


def test_fine_tuning_curve_of_zhai_passes_one_where_it_is_limited():
    """The paper's form alone: 1.393087 at C = 0, and 1 at C = 0.01789."""
    law = bs.get_law("zhai")
    values = law.published["finetune"].values

    def unlimited(core_days):
        return 0.09 + 0.26 * (core_days + 0.01) ** -0.35

    assert unlimited(0.0) == pytest.approx(1.393087, rel=1e-6)
    edge = brentq(lambda c: unlimited(c) - 1, 0.0, 1.0)
    assert edge == pytest.approx(0.01789, abs=5e-6)
    assert law.predict({"core_days": 0.99 * edge}, values) == 1.0
    assert law.predict({"core_days": 1.01 * edge}, values) == pytest.approx(unlimited(1.01 * edge), rel=1e-12)
    assert law.predict({"core_days": 1.01 * edge}, values) < 1.0
    with jax.enable_x64(True):  # differentiable on both sides and where nothing has been trained
        for core_days in (0.0, 0.5 * edge, 2 * edge):
            slopes = jax.grad(lambda p, c=core_days: law.formula({"core_days": c}, p))(dict(values))
            assert all(np.isfinite(slope) for slope in slopes.values())


@pytest.mark.parametrize(("published", "target"), [("finetune", 0.15), ("finetune", 0.5), ("10-shot", 0.15), ("10-shot", 0.8)])
def test_compute_for_a_target_error_by_root_search(published, target):
    law = bs.get_law("zhai")
    values = law.published[published].values
    needed = brentq(lambda c: float(law.predict({"core_days": c}, values)) - target, 0.0, 1e9, xtol=1e-12, rtol=1e-14)
    assert answers(law, {"target": target}, published)["core_days"] == pytest.approx(needed, rel=1e-8)


def test_targets_of_zhai_at_and_beyond_the_ends():
    law = bs.get_law("zhai")
    assert np.isinf(answers(law, {"target": 0.09}, "finetune")["core_days"])  # the floor itself
    assert answers(law, {"target": 0.95}, "10-shot")["core_days"] == 0  # 0.897 before any training
    assert answers(law, {"target": 1.0}, "finetune")["core_days"] == 0
    assert answers(law, {"target": 0.2, "budget": 100.0}, "10-shot")["error"] == pytest.approx(0.264085, rel=2e-6)
