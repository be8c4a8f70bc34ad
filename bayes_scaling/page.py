"""Pieces of one self-contained HTML page: escaped text, tables, figures as SVG with text alternatives and values to point at."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.units import tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_MARKS = 1500  # values to point at in one figure
_MOST_VECTORS = 5000  # points beyond which a figure's dots are a picture: every viewer slows down with so many

STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --blue: #0072b2; --orange: #b54a00; --green: #00704f; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 62rem; color: var(--ink); background: #fff;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
ul { margin: .4rem 0; padding-left: 1.2rem; max-width: 46rem; }
li { margin: .25rem 0; }
.soft { color: var(--soft); font-size: .9rem; }
.verdict { margin: 1rem 0; padding: .7rem .9rem; border-left: .3rem solid var(--green); background: #effaf5; max-width: 46rem; }
.verdict.bad { border-color: #cf222e; background: #ffebe9; font-size: 1.08rem; }
.verdict p { margin: .2rem 0; }
.answer { margin: 1rem 0; padding: .4rem .9rem .6rem; border: 1px solid var(--line); border-radius: .5rem; }
.answer p:first-of-type { font-size: 1.15rem; }
.answer.bad { border-color: #cf222e; color: #82071e; }
.ok::marker { content: "\\2713\\00a0"; color: var(--green); }
.no::marker { content: "!\\00a0\\00a0"; color: #cf222e; font-weight: bold; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.2rem 1.6rem; }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; }
section > figure { max-width: 38rem; }
figcaption { font-size: .88rem; color: var(--soft); }
output { display: block; min-height: 1.5em; font-size: .88rem; color: var(--blue); font-variant-numeric: tabular-nums; }
.marks circle { fill: transparent; stroke: transparent; pointer-events: all; }
.marks circle:hover, .marks circle.on { stroke: #000; stroke-width: 1.2; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { padding: .22rem .7rem .22rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; }
td.n, th.n { text-align: right; }
.n, .s { white-space: nowrap; }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { white-space: pre-wrap; background: #f6f8fa; padding: .7rem .9rem; border-radius: .4rem; margin: .6rem 0; }
nav { font-size: .9rem; margin: .6rem 0; } nav a { margin-right: .9rem; color: var(--blue); }
@media (max-width: 40rem) { body { font-size: .97rem; } th, td { padding-right: .5rem; font-size: .82rem; } }
@media print {
  html { font-size: 9.5pt; } body { max-width: none; padding: 0; } nav, output { display: none; }
  h2, h3 { break-after: avoid; } figure, tr, .answer, .verdict, pre { break-inside: avoid; } .wide { overflow: visible; }
  p:has(+ pre) { break-after: avoid; } section > figure svg { max-height: 22cm; }
  .figures { grid-template-columns: 1fr 1fr; } a { color: inherit; text-decoration: none; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
@page { margin: 16mm; }
"""
#: Shows the value of the point that is touched or pointed at below its figure; without it, browsers show it as a tooltip.
SCRIPT = """
for (const figure of document.querySelectorAll("figure")) {
  const shown = figure.querySelector("output"); let last;
  const show = event => { const title = event.target.closest("circle") && event.target.querySelector("title"); if (!title) return;
    last?.classList.remove("on"); last = event.target; last.classList.add("on"); shown.textContent = title.textContent; };
  if (shown) { figure.addEventListener("pointerover", show); figure.addEventListener("click", show); }
}
"""
# Only this script runs, by its hash: had some text escaped its escaping, it would still be no script.
_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'; img-src data:"


def text(value: Any) -> str:
    """Return anything as text that no browser reads as markup."""
    return html.escape(str(value))


def prose(value: Any) -> str:
    """Return text for people: escaped, with 5.76e23 FLOP written as 5.76 × 10²³ FLOP."""

    def power(found: re.Match[str]) -> str:
        digits, exponent = found[1], found[2].translate(_RAISED)
        return f"{'' if digits == '1' else f'{digits} × '}10{exponent} FLOP"

    return text(re.sub(r"(?<![\w.])(\d(?:\.\d+)?)e(\d+) FLOP", power, tidy(str(value))))


def paragraph(value: Any, kind: str = "") -> str:
    return f"<p{f' class="{kind}"' if kind else ''}>{prose(value)}</p>"


def _item(kind: str, value: Any) -> str:
    return f"<li{f' class="{kind}"' if kind else ''}>{prose(value)}</li>"


def bullets(items: Iterable[tuple[str, Any]]) -> str:
    """Return a list of (class of the item, text)."""
    return f"<ul>{''.join(_item(kind, item) for kind, item in items)}</ul>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[int] = ()) -> str:
    """Return a table; columns of numbers are aligned at the right."""
    right = set(numbers)

    def row(cells: Sequence[Any], tag: str) -> str:
        return "".join(f"<{tag}{' class="n"' if place in right else ''}>{prose(cell)}</{tag}>" for place, cell in enumerate(cells))

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return f'<div class="wide"><table><thead><tr>{row(header, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def markdown(source: str) -> str:
    """Return the HTML of the Markdown that `bayes_scaling.sheet` writes: headings, lists, tables, code, and nothing else."""
    parts: list[str] = []
    lines = source.splitlines()
    while lines:
        line = lines.pop(0)
        if line.startswith("```"):
            code = []
            while lines and not lines[0].startswith("```"):
                code.append(lines.pop(0))
            lines[:1] = []
            parts.append(f"<pre>{text(chr(10).join(code))}</pre>")
        elif line.startswith("|"):
            rows = [line]
            while lines and lines[0].startswith("|"):
                rows.append(lines.pop(0))
            cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1])] for row in rows]
            header, *body = [row for place, row in enumerate(cells) if place != 1]
            inner = "".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in body)
            head = "".join(f"<th>{_inline(cell)}</th>" for cell in header)
            parts.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{inner}</tbody></table></div>')
        elif line.startswith("- "):
            items = [line]
            while lines and lines[0].startswith("- "):
                items.append(lines.pop(0))
            parts.append(f"<ul>{''.join(f'<li>{_inline(item[2:])}</li>' for item in items)}</ul>")
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            parts.append(f"<h{level + 1}>{_inline(line.lstrip('# '))}</h{level + 1}>")
        elif line.strip():
            parts.append(f"<p>{_inline(line)}</p>")
    return "\n".join(parts)


def _inline(source: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", text(source))


def figure(
    axes: Axes | Sequence[Axes], name: str, alternative: str, caption: str, marks: Iterable[tuple[Axes, Any, Any, Sequence[str]]] = ()
) -> str:
    """Return the figure that Axes belong to as an HTML figure, and close it.

    Parameters
    ----------
    name : unique on the page; ids of the drawing begin with it
    alternative : what the figure shows, for who cannot see it
    caption : the text below
    marks : points whose values are shown when pointed at: Axes, x, y (arrays in data units) and the texts
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    first: Any = axes if not isinstance(axes, Sequence) else axes[0]
    drawn = first.get_figure(root=True)
    drawn.set_dpi(72)  # then SVG's units are those of the transforms
    for one in drawn.axes:
        for dots in one.collections:
            if hasattr(dots, "get_offsets") and len(dots.get_offsets()) > _MOST_VECTORS:
                dots.set_rasterized(True)
    content = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        drawn.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    width, height = drawn.get_size_inches() * 72
    over = "".join(_marks(*mark, height) for mark in marks)
    plt.close(drawn)
    svg = content.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"font: (\S+) '[^;]*?sans-serif(?=[;\"])", r"font: \1 system-ui, Arial, sans-serif", svg)
    opened = f'<svg role="img" aria-label="{prose(alternative)}" viewBox="0 0 {width:g} {height:g}" xmlns="http://www.w3.org/2000/svg" '
    opened += 'xmlns:xlink="http://www.w3.org/1999/xlink">'
    svg = re.sub(r"<svg\b[^>]*>", lambda _: opened, svg, count=1)  # the text may hold backslashes
    shown = "<output></output>" if over else ""
    svg = svg.replace("</svg>", f'<g class="marks">{over}</g></svg>') if over else svg
    return f'<figure id="{name}">{svg.strip()}{shown}<figcaption>{prose(caption)}</figcaption></figure>'


def _marks(ax: Axes, x: Any, y: Any, said: Sequence[str], height: float) -> str:
    if len(said) > _MOST_MARKS:
        return ""
    places = np.asarray(ax.transData.transform(np.column_stack([x, y])))
    box = ax.get_window_extent()
    return "".join(
        f'<circle cx="{px:.1f}" cy="{height - py:.1f}" r="5"><title>{prose(value)}</title></circle>'
        for (px, py), value in zip(places, said, strict=True)
        if box.x0 - 1 <= px <= box.x1 + 1 and box.y0 - 1 <= py <= box.y1 + 1
    )


def page(title: str, body: str) -> str:
    """Return the whole page; it asks nothing of any network, and a policy inside it forbids that."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
