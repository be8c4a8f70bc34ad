"""What is known of how far fits can be trusted, written for people."""

from __future__ import annotations

from bayes_scaling.forward import AVERAGE, Forward
from bayes_scaling.units import quantity_text


def forward_text(found: Forward) -> str:
    """Return the table of a forward validation over all cut-offs, then each cut-off, and what it says in words."""
    rows = found.summary
    width = max(len(name) for name in rows)
    count = int(found.scores["covered"].isel(law=0).notnull().sum())
    lines = [
        f"fitted up to a cut-off in {found.by}, all beyond it forecast: {found.scores.sizes['split']} cut-offs, {count} forecasts a law",
        f"{'':{width}}  {'log score':>9} {'(se)':>6}  {'to best':>8} {'(se)':>6}  {'RMSLE':>7} {'(se)':>8}  {'CRPS':>7} {'(se)':>8}  "
        f"{'in 90 %':>7} {'(se)':>6}  {'weight':>6}",
    ]
    for name, row in rows.items():
        weight = "" if name == AVERAGE else f"  {row['weight']:6.2f}"
        lines.append(
            f"{name:{width}}  {row['log_score']:9.2f} {row['log_score_se']:6.2f}  {row['difference']:8.2f} {row['difference_se']:6.2f}  "
            f"{row['rmsle']:7.4f} {row['rmsle_se']:8.4f}  {row['crps']:7.4f} {row['crps_se']:8.4f}  {row['coverage90']:7.2f} "
            f"{row['coverage90_se']:6.2f}{weight}"
        )
    lines.append("share of 90 % intervals that hold the run, at each cut-off (! by its own word not to be trusted; ? by earlier forecasts)")
    for split, cut in enumerate(found.scores["split"].values):
        one = {name: found.of_split(name, split) for name in rows}
        first = next(iter(one.values()))
        cells = ", ".join(f"{name} {row['coverage90']:.2f}{_mark(row)}" for name, row in one.items())
        lines.append(f"  up to {quantity_text(float(cut))} ({first['fitted']} runs, {first['held_out']} beyond): {cells}")
    return "\n".join(lines)


def _mark(row: dict[str, float]) -> str:
    return ("" if row["trusted"] else "!") + ("?" if row["warned"] else "")
