"""``report``: one self-contained page about a run or a sweep."""

from __future__ import annotations

import html
import json
import re
import time
from html.parser import HTMLParser

import pytest
from command import locked_elsewhere
from reported import BROWSER, look, train_run, train_sweep

import gdframe as gd
from gdframe.cli.guide import PAGES
from gdframe.cli.main import main
from gdframe.cli.report import report
from gdframe.cli.report.run_page import EVIDENCE


class Reader(HTMLParser):
    """Collects the text, headings, tags and external links of a page."""

    def __init__(self, page):
        super().__init__()
        self.text, self.headings, self.tags, self.loads = [], [], [], []
        self._open = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.text.append(data)
        if self._open and self._open[-1] in ("h2", "h3"):
            self.headings.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return train_sweep(tmp_path_factory.mktemp("sweep"))


def test_the_page_of_a_run_is_complete(run, capsys):
    assert main(["report", str(run)]) == 0
    assert "report.html" in capsys.readouterr().out
    page = (run / "report.html").read_text()
    reader = Reader(page)
    text = " ".join(reader.text)
    assert "max_epochs" in text
    assert re.search(r"still descending: needs [\d,]+ more epochs", text)
    assert {
        "Is it descending?", "Is it stable?", "How far from the minimum?", "Is it generalising?",
        "Result", "Stability and theory", "Versions", "The landscape around its path",
        "Run it again",
    } <= set(reader.headings)  # fmt: skip
    assert "python -m gdframe variant=batch lr=0.1 epochs=30" in text
    assert "condition number" in text
    result = json.loads((run / "result.json").read_text())
    assert f"at the end, lowest {result['objective']:,.6g} (31 points)" in text
    assert reader.loads == []
    assert "alt=" in page
    assert len(page) < 1e6


def test_the_page_of_a_sweep_is_complete(sweep, tmp_path):
    path = report(sweep, output=tmp_path / "page.html")
    page = path.read_text()
    reader = Reader(page)
    text = " ".join(reader.text)
    assert re.search("Best: variant=(mini)?batch, lr=0.1, validation_loss", text)
    assert "12 diverged" in text
    launch = "python -m gdframe -m variant=batch,minibatch lr=0.01,0.1,100 'seed=range(6)' epochs=4"
    assert launch in text
    assert re.search(r"The best run: +python -m gdframe variant=\w+ lr=0.1 seed=0", text)
    assert "beyond chance" in text or "could be chance" in text
    assert {"Which is best?", "Could that be chance?", "All runs", "Pictures"} <= set(
        reader.headings
    )
    assert not reader.loads
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert len(data["runs"]) == 36
    assert len(data["groups"]) == 6
    first = data["runs"][0]
    assert set(first["x"]) == {"step", "samples", "seconds"}
    assert {"objective", "validation_loss", "train_loss", "gradient_norm"} <= set(first["y"])
    assert all(len(values) == len(first["x"]["step"]) for values in first["y"].values())


def test_predictions_of_a_classifier_have_tables(tmp_path):
    words = ["data=wine", "data.test=0.2", "lr=0.1", "epochs=3"]
    result = gd.train(*words, folder=tmp_path / "run")
    path = report(result.folder, landscape=False)
    text = " ".join(" ".join(Reader(path.read_text()).text).split())
    head = "metric training validation test test, baseline: most frequent class"
    assert head in text
    row = ", ".join(map(str, result.confusion["test"][0])).replace(",", "")
    assert f"true {result.confusion['classes'][0]} {row}" in text
    largest = max(result.coefficients, key=lambda c: abs(c.standardized))
    assert f"standardised {largest.output} {largest.feature}" in text
    (result.folder / "coefficients.csv").write_text("output,feature\na,b,c\n")
    path = report(result.folder, landscape=False)
    assert "coefficients.csv: line" in path.read_text()


def test_names_are_escaped(tmp_path):
    evil = "</script><script>document.title='evil'</script>"
    rows = "\n".join(f"{i},{i % 7}" for i in range(60))
    (tmp_path / "t.csv").write_text(f'y,"{evil}"\n{rows}\n')
    words = "data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "epochs=2"
    folder = gd.train(*words, f'data.features=["{evil}"]', folder=tmp_path / "<b>run").folder
    page = report(folder).read_text()
    assert evil not in page
    assert html.escape(evil, quote=False).replace("'", "&#39;") in page
    reader = Reader(page)
    assert reader.tags.count("script") == 2
    assert "b" not in reader.tags
    if BROWSER:
        assert look(folder / "report.html")["title"] == "Run <b>run - gdframe"


@pytest.mark.parametrize("source", ["checkpoint", "events", "neither"])
def test_curves_come_from_the_checkpoint_or_the_event_file(tmp_path, source):
    off = {"checkpoint": ["logging.tensorboard=false"], "events": ["checkpoint.every=null"],
           "neither": ["logging.tensorboard=false", "checkpoint.every=null"]}[source]  # fmt: skip
    folder = gd.train("variant=minibatch", "epochs=3", *off, folder=tmp_path / source).folder
    page = report(folder, landscape=False).read_text()
    text = " ".join(Reader(page).text)
    assert ("Is it descending?" in text) == (source != "neither")
    assert ("No curves" in text) == (source == "neither")
    assert ("interpolated" in text) == (source == "events")
    if source == "events":
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
        assert data["runs"][0]["x"]["step"][-1] == 36


def test_pages_of_running_killed_and_diverged_runs(tmp_path):
    folder = gd.train("variant=batch", "lr=1e30", "epochs=3", folder=tmp_path / "run").folder
    text = " ".join(Reader(report(folder).read_text()).text)
    assert "diverged" in text
    assert "objective: 29," in text
    (folder / "result.json").unlink()
    assert "The run has no result" in report(folder).read_text()
    with locked_elsewhere(folder):
        assert "The run is in progress" in report(folder).read_text()


def test_a_sweep_with_runs_that_have_not_ended_or_have_other_versions(tmp_path):
    gd.sweep("lr=0.01,0.02,0.03", "epochs=1", folder=tmp_path)
    (tmp_path / "0" / "result.json").unlink()
    other = json.loads((tmp_path / "1" / "result.json").read_text())
    other["versions"]["torch"] = "1.0"
    (tmp_path / "1" / "result.json").write_text(json.dumps(other))
    text = " ".join(Reader(report(tmp_path).read_text()).text)
    assert "1 runs have not ended" in text
    assert "The runs were trained by different versions of torch" in text


def test_a_function_shows_its_last_point(tmp_path):
    folder = gd.train(
        "model=himmelblau", "lr=0.01", "epochs=50", "dtype=float64", folder=tmp_path
    ).folder
    text = " ".join(Reader(report(folder).read_text()).text)
    assert "Last point" in text
    assert "The landscape around its path" in text


def test_a_page_is_written_whatever_its_landscape_raises(run, tmp_path, monkeypatch):
    def landscape(*words, **settings):
        raise KeyError("out of luck")

    monkeypatch.setattr("gdframe.cli.landscape.landscape", landscape)
    page = report(run, output=tmp_path / "page.html").read_text()
    assert "No landscape: KeyError: &#39;out of luck&#39;." in page


def test_a_report_runs_no_query(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(60)))
    folder = gd.train(
        "data=table", f"data.query=\"FROM '{tmp_path}/t.csv'\"", "data.target=y", "lr=0.01",
        "epochs=2", folder=tmp_path / "run",
    ).folder  # fmt: skip
    (tmp_path / "t.csv").unlink()
    page = report(folder).read_text()
    assert "its data come from a query, which a report does not run" in page
    assert "python -m gdframe landscape" in page


def test_other_folders_are_refused(tmp_path, run, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 2
    assert "is not a run folder or sweep folder" in capsys.readouterr().err
    assert main(["report", str(run), "--output", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_thousand_runs_take_seconds_and_megabytes(tmp_path):
    gd.sweep(
        "variant=batch", "lr=choice(" + ",".join(f"{0.0001 * k:.4f}" for k in range(1, 201)) + ")",
        "seed=range(5)", "epochs=50", "checkpoint.every=null", folder=tmp_path,
    )  # fmt: skip
    start = time.perf_counter()
    path = report(tmp_path)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB")
    assert seconds < 20
    assert path.stat().st_size < 5e6
    if BROWSER:
        assert look(path)["errors"] == []


def test_every_figure_of_the_diagnostics_has_a_label():
    page = (PAGES / "files.md").read_text()
    table = page.split("| field of `diagnostics` | meaning |")[1].split("\n\n")[0]
    fields = re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert len(fields) >= 11
    assert set(fields) - set(EVIDENCE) == {"missing"}  # by quantity, not a figure
