"""Runs and sweeps for tests of reports, and a look at their pages in a headless browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import gdframe as gd

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")


def train_run(folder: Path) -> Path:
    """Train a run with curvature and theory; return its folder."""
    words = ["variant=batch", "lr=0.1", "epochs=30"]
    measured = ["diagnostics.curvature=true", "diagnostics.theory=true"]
    gd.train(*words, *measured, folder=folder)
    return folder


def train_sweep(folder: Path) -> Path:
    """Train a sweep of two variants, three learning rates and six seeds; return its folder."""
    words = ["variant=batch,minibatch", "lr=0.01,0.1,100", "seed=range(6)", "epochs=4"]
    gd.sweep(*words, folder=folder)
    return folder


FIRST = """<script>
window.seen = [];
addEventListener("error", (event) => seen.push(event.message));
addEventListener("securitypolicyviolation", (event) => seen.push(event.violatedDirective));
</script>"""

PROBE = """<script>
const plots = () => [...document.querySelectorAll(".plot")];
const counts = () => plots().map((plot) => plot.querySelectorAll(".curve").length);
const path = () => document.querySelector(".plot .curve")?.getAttribute("points");
const texts = () => document.querySelector(".plot svg").textContent;
const facts = { title: document.title, before: counts(), axis: texts() };
const box = document.querySelector(".plot svg");
facts.shrunk = box.getBoundingClientRect().width / box.viewBox.baseVal.width;
facts.legends = plots().map((plot) => plot.parentElement.querySelectorAll(".legend button").length);
facts.wide = document.documentElement.scrollWidth - innerWidth;
document.querySelectorAll("details").forEach((part) => { part.open = true; });
document.body.style.width = "420px"; // the narrowest window has 500
const isClipped = (part) => part.scrollWidth > part.clientWidth;
facts.clipped = [...document.querySelectorAll(".scroll")].filter(isClipped).length;
document.body.style.width = "";
document.querySelectorAll("details").forEach((part) => { part.open = false; });
facts.pictures = [...document.images].map((image) => image.currentSrc === image.src);
const toggle = document.querySelector(".legend button");
if (toggle) {
  toggle.click();
  facts.hidden = counts();
  facts.pressed = toggle.getAttribute("aria-pressed");
  toggle.click();
}
facts.again = counts();
const seconds = document.querySelector('input[value="seconds"]');
if (seconds) { seconds.click(); facts.seconds = texts(); }
const log = document.querySelector(".tools input");
if (log) { const was = path(); log.click(); facts.bent = path() !== was; }
const svg = document.querySelector(".plot svg");
if (svg) {
  svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  facts.tip = document.querySelector(".tip").textContent;
  facts.label = svg.getAttribute("aria-label");
}
const head = document.querySelector("table.sortable th:nth-child(2) button");
if (head) { head.click(); facts.sorted = head.parentElement.getAttribute("aria-sort"); }
for (const rule of document.styleSheets[0].cssRules) {
  if (rule.media?.mediaText === "print") rule.media.mediaText = "all";
}
const all = (selector) => [...document.querySelectorAll(selector)];
const shown = (selector) => all(selector).filter((node) => node.offsetParent).length;
facts.folded = document.querySelectorAll("details:not([open])").length;
window.dispatchEvent(new Event("beforeprint"));
facts.unfolded = document.querySelectorAll("details:not([open])").length;
window.dispatchEvent(new Event("afterprint"));
facts.printed = [".legend button", ".controls", ".tools input"].map(shown);
facts.errors = window.seen;
document.body.dataset.facts = JSON.stringify(facts);
</script>"""


def look(path, *flags):
    """Open a page in a headless browser, press its buttons, and return the observations."""
    page = (
        path.read_text().replace("<head>", f"<head>{FIRST}").replace("</body>", f"{PROBE}</body>")
    )
    probed = path.with_name("probed.html")
    probed.write_text(page)
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--enable-logging=stderr", f"--user-data-dir={path.parent / 'browser'}",
         "--window-size=1100,1400", *flags, "--dump-dom", probed.resolve().as_uri()],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    match = re.search(r'data-facts="(.*?)"', done.stdout, re.S)
    return json.loads(html.unescape(match[1]))
