"""How fast the explorer is to its visitors: first paints, the step slider, frames of a training.

``python benchmarks/explorer.py`` starts it on a folder with a C71 run of 200 snapshots, opens it in a
headless Chromium, and prints medians. The last two numbers compare steps a second of C23 trainings that
are looked at in the browser with others that nobody looks at, alternating.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from marginlens.runs import execute

PAGES = ("/", "/predict?task=A5", "/watch", "/runs", "/run?name=C71", "/compare?runs=C71", "/atlas")
DRAWN = "() => window.benchmarkDrawn.length > 0"
WATCH_FOR_DRAWING = """() => {
  window.benchmarkDrawn = [];
  const plot = document.querySelector('.js-plotly-plot');
  for (const event of ['plotly_animated', 'plotly_afterplot'])
    plot.on(event, () => window.benchmarkDrawn.push(performance.now()));
}"""


def first_paints(page: Page, base: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds to the first paint, and until the page's heading is there, a page."""
    result = {}
    for path in PAGES:
        paints, headings = [], []
        for _ in range(rounds):
            page.goto(base + path)
            page.wait_for_selector("main h1")
            headings.append(page.evaluate("performance.now()"))
            entry = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            paints.append(page.evaluate(entry))
        result[path] = statistics.median(paints), statistics.median(headings)
    return result


def slider(page: Page, base: str, moves: int) -> list[float]:
    """Milliseconds from a key on the step slider to the neurons being drawn."""
    page.goto(f"{base}/run?name=C71")
    page.wait_for_selector("[role=slider]")
    page.wait_for_selector(".pending", state="detached")
    time.sleep(3)
    page.evaluate(WATCH_FOR_DRAWING)
    page.focus("[role=slider]")
    times = []
    for _ in range(moves):
        began = page.evaluate("() => { window.benchmarkDrawn = []; return performance.now(); }")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(DRAWN, polling=5)
        times.append(page.evaluate("window.benchmarkDrawn[0]") - began)
        time.sleep(0.1)
    return times


def steps_of(base: str, name: str) -> tuple[int, float]:
    """Steps that a training has taken, and when; frames are made only while somebody asks."""
    for _ in range(2):  # the first answer may be an old frame
        with urllib.request.urlopen(f"{base}/live/{name}?version=-1") as answer:
            curves = json.load(answer)["curves"]
        now = time.perf_counter()
        time.sleep(0.4)
    return curves["step"][-1], now


def training(page: Page, base: str, steps: int, *, looked_at: bool) -> tuple[float, float]:
    """Frames a second that were drawn, and steps a second over the whole training."""
    page.goto(f"{base}/watch")
    page.wait_for_selector("#watch-train")
    page.wait_for_function("() => sessionStorage.getItem('owner')")
    page.fill("#watch-task", "C23")
    page.fill("#watch-steps", str(steps))
    page.click("#watch-train")
    page.wait_for_function("() => location.search.includes('id=') && window.marginlensLoop")
    name = re.search(r"id=(\w+)", page.evaluate("location.search"))
    assert name
    begun = "() => /step [1-9]/.test(document.querySelector('#watch-words')?.textContent)"
    page.wait_for_function(begun)
    if not looked_at:
        page.goto("about:blank")
        time.sleep(1)
    first, start = steps_of(base, name[1])
    frames = page.evaluate("window.marginlensLoop?.frames || 0")
    began = time.perf_counter()
    time.sleep(6)
    drawn = page.evaluate("window.marginlensLoop?.frames || 0") - frames
    seconds = time.perf_counter() - began
    last, end = steps_of(base, name[1])
    if not looked_at:
        page.goto(f"{base}/watch?id={name[1]}")
        page.wait_for_selector("#watch-stop")
        page.wait_for_function("() => window.marginlensLoop?.frames > 0")
    page.click("#watch-stop")
    page.wait_for_function(
        "() => document.querySelector('#watch-status').textContent === 'stopped'"
    )
    return drawn / seconds, (last - first) / (end - start)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    quick = parser.parse_args().quick
    rounds, moves, pairs = (2, 6, 1) if quick else (5, 30, 5)
    chrome = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        print("training C71 with 200 snapshots ...", flush=True)
        execute("C71", out=Path(folder) / "C71", steps=400, snapshots=200)
        server = subprocess.Popen(
            [sys.executable, "-m", "marginlens", "explore", folder, "--no-browser", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        try:
            assert server.stdout is not None
            base = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
            assert base
            browser = started.chromium.launch(executable_path=chrome, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            report(page, base[0], rounds, moves, pairs)
            browser.close()
        finally:
            server.terminate()
            server.wait(20)


def report(page: Page, base: str, rounds: int, moves: int, pairs: int) -> None:
    """Print everything."""
    page.goto(base)
    page.wait_for_selector("main h1")
    for path, (paint, heading) in first_paints(page, base, rounds).items():
        print(f"{path:22} first paint {paint:5.0f} ms, heading {heading:5.0f} ms", flush=True)
    times = slider(page, base, moves)
    print(
        f"step slider, C71       median {statistics.median(times):.0f} ms, greatest {max(times):.0f} ms"
    )
    watched, alone, rates = [], [], []
    for _ in range(pairs):
        rate, speed = training(page, base, 60_000, looked_at=True)
        rates.append(rate)
        watched.append(speed)
        alone.append(training(page, base, 60_000, looked_at=False)[1])
    print(f"frames a second, C23   median {statistics.median(rates):.1f}")
    ratios = [a / b for a, b in zip(watched, alone, strict=True)]
    print(
        f"steps a second         {statistics.median(watched):.0f} looked at, "
        f"{statistics.median(alone):.0f} not; ratio {statistics.median(ratios):.3f}"
    )


if __name__ == "__main__":
    main()
