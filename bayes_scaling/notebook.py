"""What a notebook shows of a fit: verdict, parameters with their intervals drawn, and what is worth knowing."""

from __future__ import annotations

import numpy as np

from bayes_scaling.fitted import Fit
from bayes_scaling.page import prose, text
from bayes_scaling.words import diagnosis_words, number_text, span_text, trust_words

_WIDTH, _HEIGHT = 130, 16  # pixels of a drawn interval
_CELL = 'style="text-align:left;padding:2px 12px 2px 0;vertical-align:middle"'


def fit_html(fit: Fit) -> str:
    """Return a fit as a piece of HTML that stands alone: the parameters' posteriors beside their priors, and the verdict in words."""
    law, good = fit.law, fit.diagnosis.ok
    colour, ground = ("#00704f", "#effaf5") if good else ("#cf222e", "#ffebe9")
    head = "".join(f"<th {_CELL}>{name}</th>" for name in ("", "median", "90 % interval", "", "R-hat", "ESS", "of the prior's width"))
    rows = []
    for name, row in fit.summary().items():
        if name in law.latent_names:
            continue
        width = fit.diagnosis.width.get(name)
        median, low, high = span_text(row["median"], row["q05"], row["q95"])
        cells = (
            f"<b>{text(name)}</b>",
            median,
            f"{low} to {high}",
            _drawn(fit.scalars()[name]),
            f"{row['rhat']:.3f}",
            f"{min(row['ess_bulk'], row['ess_tail']):.0f}",
            "" if width is None else f"{width:.2f}",
        )
        rows.append(f"<tr>{''.join(f'<td {_CELL}>{cell}</td>' for cell in cells)}</tr>")
    held = "".join(f"<p>{text(name)} held at {number_text(value)}</p>" for name, value in fit.fixed.items())
    notes = "".join(f"<li>{prose(said)}</li>" for kind, said in diagnosis_words(fit) if kind != "ok")
    return (
        f'<div style="max-width:60em"><p><b>{text(law.name)}</b>: <code>{text(law.equation)}</code><br>{len(fit.runs)} runs from '
        f"{text(fit.runs.source)}; {text(fit.noise.name)} noise</p>"
        f'<p style="border-left:4px solid {colour};background:{ground};color:#1b1f24;padding:6px 10px">{prose(trust_words(fit))}</p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{held}<ul>{notes}</ul></div>"
    )


def _drawn(draws: np.ndarray) -> str:
    """Draw a posterior's 50 % and 90 % intervals over the range of its draws."""
    least, low, q25, middle, q75, high, most = np.quantile(draws, [0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995])
    if not most > least:
        return ""
    x0, x1, x2, x3, x4 = (4 + (_WIDTH - 8) * (value - least) / (most - least) for value in (low, q25, middle, q75, high))
    y = _HEIGHT / 2
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="posterior, 50 % and 90 %"><g stroke="#0072B2">'
        f'<line x1="{x0:.1f}" x2="{x4:.1f}" y1="{y}" y2="{y}" stroke-width="1.5"/>'
        f'<line x1="{x1:.1f}" x2="{x3:.1f}" y1="{y}" y2="{y}" stroke-width="5" stroke-opacity=".6"/></g>'
        f'<circle cx="{x2:.1f}" cy="{y}" r="3.5" fill="#0072B2"/></svg>'
    )
