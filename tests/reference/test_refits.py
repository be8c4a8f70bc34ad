"""Published laws on the real runs behind them: converged, and as near to the published values as each entry states."""

import numpy as np
import pytest
from refits import all_refits, draws_of

from bayes_scaling.decision import decide

#: Laws of which the first re-fit is in the usual test run; the others take minutes together and run with -m long.
USUAL = ("chinchilla", "finetune_rectified", "frontier", "gordon", "gordon:bleu", "moe_routed", "overtraining_error", "pass_at_k")


def entries():
    taken = set()
    for refit in all_refits():
        usual = refit.law in USUAL and refit.law not in taken
        taken.add(refit.law)
        yield pytest.param(refit, id=refit.name, marks=[] if usual else [pytest.mark.long])


@pytest.mark.parametrize("refit", list(entries()))
def test_refit(refit, shared_data):
    fit = refit.fit(shared_data)
    d = fit.diagnosis
    assert d.max_rhat < 1.01
    assert d.min_ess > 400
    assert d.divergences == 0
    assert d.ok or (refit.note and not refit.trusted), [str(problem) for problem in d.problems]
    for item in refit.compare:
        median = float(np.median(draws_of(fit, item.parameter)))
        assert median == pytest.approx(item.published, abs=item.tolerance), item.parameter
    if refit.given and not fit.groups:
        found = decide(fit, refit.given)
        for name in (answer.name for answer in fit.law.decision.answers):
            assert not np.any(np.isnan(found[name])), name
