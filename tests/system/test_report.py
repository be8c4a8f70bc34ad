"""The report: what is on the page, and the page in a real browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import simulated_runs

import bayes_scaling as bs

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FIGURES = {"frontier", "profiles", "split", "regret", "residuals", "published"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text without style and script."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.text, self.stack = [], "", []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "path", "use", "br", "rect", "circle"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag in self.stack:
            while self.stack.pop() != tag:
                pass

    def handle_data(self, data):
        if self.stack[-1:] not in (["style"], ["script"]):
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def written(stored, tmp_path_factory):
    """The report of the small fit at two budgets, by the command."""
    from bayes_scaling import cli

    path = tmp_path_factory.mktemp("report") / "report.html"
    assert cli.main(["report", str(stored), "--compute", "1e22", "--compute", "5.76e23", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def untrusted(tmp_path_factory):
    """The report of runs that all have 20 tokens a param, from a file whose name, like the title, is markup."""
    from bayes_scaling import cli

    folder = tmp_path_factory.mktemp("untrusted")
    name = "<img src=x onerror=alert(1)>$x_.csv"
    runs = simulated_runs()
    rows = zip(runs["params"].tolist(), (20 * runs["params"]).tolist(), runs["loss"].tolist(), strict=True)
    (folder / name).write_text("params,tokens,loss\n" + "".join(f"{n!r},{d!r},{loss!r}\n" for n, d, loss in rows))
    fit = bs.fit("chinchilla", bs.read_runs(folder / name), draws=500)
    assert not fit.diagnosis.ok
    fit.save(folder / "fit.nc")
    title = "<script>document.title='owned'</script>"
    code = cli.main(["report", str(folder / "fit.nc"), "--compute", "1e22", "--out", str(folder / "report.html"), "--title", title])
    assert code == 3
    return folder / "report.html"


def test_the_answer_comes_first_and_is_the_plan(run, written, stored):
    text = Page(written.read_text()).text
    _, out, _ = run("allocate", stored, "--compute", "5.76e23", "--json")
    (row,) = json.loads(out)["allocations"]
    decided = bs.units.count_text(row["decision"]["params"])
    assert f"With 5.76 × 10²³ FLOP, train {decided} params on {bs.units.count_text(row['decision']['tokens'])} tokens" in text
    low, high = (bs.units.count_text(row["params"][key]) for key in ("q05", "q95"))
    assert f"the best size lies between {low} and {high} params" in text
    assert text.index("How to spend") < text.index("Figures", text.index("How to spend")) < text.index("Beside published values")
    for part in ("This posterior can be trusted", "Can it be trusted?", "What it rests on", "Reporting sheet", "Made by bayes-scaling"):
        assert part in text
    assert "besiroglu: E 1.817" in text


def test_figures_have_text_alternatives_and_values_to_point_at(written, small_fit):
    source = written.read_text()
    page = Page(source)
    assert {figure["id"] for figure in page.all("figure")} == FIGURES
    drawings = page.all("svg")
    assert len(drawings) == len(FIGURES)
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 40 for svg in drawings)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    run = small_fit.runs
    first = f"line 1: params {bs.units.quantity_text(run['params'][0])}, tokens {bs.units.quantity_text(run['tokens'][0])}"
    assert source.count(f"<title>{first}") == 3  # frontier, profiles, residuals


def test_the_page_asks_nothing_of_a_network(written):
    source = written.read_text()
    assert "default-src 'none'" in source
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", source):
        assert address.startswith(("#", "data:")), address


def test_an_untrustworthy_posterior_says_so_at_the_top(untrusted):
    page = Page(untrusted.read_text())
    assert page.text.index("Do not trust these numbers") < page.text.index("Not to be trusted (see above)")
    assert page.text.index("Not to be trusted (see above)") < page.text.index("With 10²² FLOP, train")
    assert any(attrs.get("role") == "alert" for attrs in page.all("div"))


def test_text_of_others_is_not_markup(untrusted):
    source = untrusted.read_text()
    page = Page(source)
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert html.escape("<script>document.title='owned'</script>") in source
    assert "onerror=alert(1)" in page.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "nowhere/report.html"), "no folder 'nowhere'"),
        (("--out", "report.html", "--compute", "much"), "--compute: 'much' is not a number"),
        (("--out", "report.html", "--compute", "5.76e23", "--memory", "80e9", "--min-params", "70e9"), "no plan keeps the limits"),
    ],
)
def test_what_cannot_be_reported_is_one_line(run, stored, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("report", stored, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_law_without_budgets_answers_its_own_question(ladder_runs, tmp_path):
    fit = bs.fit("power_law_floor", ladder_runs, input="compute", draws=250)
    page = Page(Path(bs.report(fit, tmp_path / "report.html", given={"target": 2.2})).read_text())
    assert "How much compute does a target loss need?" in page.text
    assert re.search(r"Training compute: [\d.]+ × 10\S+ FLOP", page.text)
    assert {figure["id"] for figure in page.all("figure")} == {"curve", "residuals", "published"}


# What the page says about itself once it is drawn: errors, widths, figures, and whether a mark answers to a touch.
LISTEN = """<script>
var wrong = [];
addEventListener("error", event => wrong.push(event.message));
addEventListener("securitypolicyviolation", event => wrong.push(event.blockedURI));
addEventListener("load", () => {
  const mark = document.querySelector("circle"); mark.dispatchEvent(new MouseEvent("click", {bubbles: true}));
  const figures = [...document.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect());
  const text = [...document.querySelectorAll("p, li, td, figcaption")];
  parent.document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  parent.document.querySelector("#found").textContent = JSON.stringify({
    wrong, wide: document.documentElement.scrollWidth, window: innerWidth, title: document.title,
    figures: figures.map(box => [box.left, box.right, box.height]), shown: mark.closest("figure").querySelector("output").textContent,
    small: Math.min(...text.map(element => parseFloat(getComputedStyle(element).fontSize))),
  });
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: .ci/run installs it where it can")
@pytest.mark.parametrize(("page", "width"), [("written", 390), ("written", 1280), ("untrusted", 390)])
def test_in_a_browser(page, width, request, tmp_path):
    """In a frame of that width: a browser's own window cannot be as narrow as a phone's."""
    source = request.getfixturevalue(page).read_text().replace("<head>", f"<head>{LISTEN}", 1)
    frame = f'<iframe style="border: 0" width="{width}" height="844" srcdoc="{html.escape(source)}"></iframe>'
    (tmp_path / "page.html").write_text(f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body>{frame}</body>')
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}")
    done = subprocess.run(
        [CHROMIUM, *options, "--enable-logging=stderr", "--window-size=1400,900", "--dump-dom", (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    (text,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    found = json.loads(html.unescape(text))
    assert found["wrong"] == []
    assert ":CONSOLE" not in done.stderr, done.stderr
    assert found["window"] == width
    assert found["wide"] <= width
    assert len(found["figures"]) == len(FIGURES)
    assert all(0 <= left < right <= width and height > 100 for left, right, height in found["figures"])
    assert found["shown"].startswith("line ")
    assert found["small"] >= 12
    assert found["title"] != "owned"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: .ci/run installs it where it can")
def test_on_paper(written, tmp_path):
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer")
    subprocess.run([CHROMIUM, *options, f"--print-to-pdf={tmp_path / 'report.pdf'}", written.as_uri()], capture_output=True, timeout=60)
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 14


def test_a_notebook_shows_parameters_and_the_verdict(small_fit):
    page = Page(small_fit._repr_html_())
    assert "This posterior can be trusted" in page.text
    for name, row in small_fit.summary().items():
        assert name in page.text
        assert f"{row['rhat']:.3f}" in page.text
    assert len(page.all("svg")) == len(small_fit.summary())
