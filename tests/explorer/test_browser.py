"""The explorer as visitors see it, in a real Chromium."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from explorer_threads import until

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("dash", reason="the explorer's libraries are not installed")
CHROME = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROME is None, reason="no Chromium is installed"),
]

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PAGES = {
    "tour": "/",
    "tour-groups": "/?step=4",
    "predict": "/predict?task=A5",
    "predict-wrong": "/predict?task=nix",
    "watch": "/watch?task=C7",
    "runs": "/runs",
    "run": "/run?name=first",
    "compare": "/compare?runs=first,second",
    "atlas": "/atlas",
    "measure": "/measure",
    "missing": "/nowhere",
}


class Lenient(urllib.request.HTTPErrorProcessor):
    """Gives answers back whatever their status."""

    def http_response(self, request, response):
        return response


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from marginlens.runs import execute

    runs = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("first", "second")):
        execute("C7", out=runs / name, width=40, steps=300, strength=1e-3, seed=seed)
    (runs.parent / "secret.txt").write_text("not for visitors")
    return runs


@pytest.fixture(scope="module")
def served(folder):
    command = [sys.executable, "-m", "marginlens", "explore", str(folder)]
    process = subprocess.Popen(
        [*command, "--no-browser", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    )
    lines = []
    found = threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line)
            if "http://" in line:
                found.set()
        found.set()

    threading.Thread(target=read, daemon=True).start()
    assert found.wait(600), lines
    address = re.search(r"http://\S+:\d+", "".join(lines))
    assert address, lines
    yield address[0]
    process.terminate()
    assert process.wait(600) == 0, "".join(lines)
    assert not any("Traceback" in line for line in lines), "".join(lines)
    assert not list(folder.glob(".live*")) or not any((folder / ".live").iterdir())


@pytest.fixture(scope="module")
def chrome():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROME, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """A page, with what went wrong in it."""

    def __init__(self, chrome, served, **settings):
        self.base, self.problems, self.elsewhere = served, [], []
        self.context = chrome.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(600_000)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._asked)

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def _asked(self, request):
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def go(self, path):
        self.page.goto(self.base + path)
        self.page.wait_for_selector("main h1")
        self.settle()

    def settle(self):
        """Until nothing is being loaded and every figure is drawn."""
        self.page.wait_for_function(
            "() => !document.querySelector('[data-dash-is-loading=\"true\"], .pending, .waiting')"
            " && document.title && document.querySelector('main h1')"
        )

    def text(self, selector):
        return self.page.inner_text(selector)

    def stands_still(self, selector):
        """Whether a text is the same half a second later."""
        before = self.text(selector)
        time.sleep(0.5)
        return self.text(selector) == before

    def shot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        drawn = "Array.from(document.querySelectorAll('.dash-graph')).every(place => !place.offsetParent"
        self.page.wait_for_function(f"() => {drawn} || place.querySelector('.main-svg'))")
        self.page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.context.close()
        if problem[0] is None:
            assert not self.problems
            assert not self.elsewhere


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_loads_without_complaints_and_fits(chrome, served, scheme):
    size = {"width": 1280, "height": 900} if scheme == "light" else {"width": 400, "height": 800}
    with Visitor(chrome, served, color_scheme=scheme, viewport=size) as visitor:
        for name, path in PAGES.items():
            visitor.go(path)
            page = visitor.page
            wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            assert wide <= 1, f"{name} is {wide} pixels wider than the window"
            assert page.evaluate("document.documentElement.dataset.mantineColorScheme") == scheme
            visitor.shot(f"{name}-{scheme}")
        if scheme == "dark":  # figures as well
            visitor.go(PAGES["predict"])
            visitor.page.wait_for_selector(".js-plotly-plot .main-svg")
            ground = visitor.page.evaluate(
                "document.querySelector('.js-plotly-plot')._fullLayout.paper_bgcolor"
            )
            from marginlens.figures import DARK

            assert ground == DARK.card


def test_a_training_reaches_the_maximum_on_screen_over_a_reload(chrome, served, folder):
    with Visitor(chrome, served, viewport={"width": 1280, "height": 1000}) as visitor:
        visitor.go("/watch")
        page = visitor.page
        for field, value in (("task", "C23"), ("width", "200"), ("steps", "1500")):
            page.fill(f"#watch-{field}", value)
        page.click("#watch-train")
        page.wait_for_url(re.compile("id="))
        page.wait_for_function(_words("step [1-9]"))
        page.wait_for_function("() => window.marginlensLoop.frames > 3")
        page.reload()
        page.wait_for_selector("#watch-words")
        page.wait_for_function(_words("all steps are taken"))
        ratio = float(re.search(r"([\d.]+) % of γ\*", visitor.text("#watch-words"))[1])
        assert ratio > 99.9
        plot = 'document.getElementById(\'{"name":"growing-margin","part":"graph"}\')'
        curve = f"{plot}?.querySelector('.js-plotly-plot')?.data?.[0].y"
        page.wait_for_function(f"() => {curve}?.length > 50")
        from marginlens.tasks import task
        from marginlens.theory import predict

        last = page.evaluate(f"{curve}.at(-1)")
        assert last == pytest.approx(predict(task("C23")).margin, rel=2e-3)
        visitor.shot("watch-finished")
        page.fill("#watch-name", "../secret")
        page.click("#watch-save")
        page.wait_for_selector("#watch-answer [role=alert]")
        page.fill("#watch-name", "from-the-page")
        page.click("#watch-save")
        page.click("#watch-answer a")
        page.wait_for_url(re.compile("name=from-the-page"))
        visitor.settle()
        held = (
            "() => /guaranteed claims pass/.test(document.querySelector('#run-head')?.textContent)"
        )
        page.wait_for_function(held)
    assert (folder / "from-the-page" / "parameters.safetensors").is_file()


def test_a_training_is_paused_changed_and_stopped(chrome, served):
    with Visitor(chrome, served) as visitor:
        visitor.go("/watch?task=C11&steps=100000&strength=1e-3")
        page = visitor.page
        page.click("#watch-train")
        page.wait_for_function(_words("step [1-9]"))
        page.click("#watch-pause")
        page.wait_for_function(_status("paused"))
        until(lambda: visitor.stands_still("#watch-words"))
        page.fill("#watch-new-strength", "nonsense")
        page.click("#watch-change")
        page.wait_for_selector("#watch-answer [role=alert]")
        predicted = {strength: _predicted_loss("C11", strength) for strength in (1e-3, 0.002)}
        page.wait_for_function(_label(predicted[1e-3]))
        page.fill("#watch-new-strength", "0.002")
        page.click("#watch-change")
        page.wait_for_function(
            "() => /0.002/.test(document.querySelector('#watch-answer').textContent)"
        )
        page.wait_for_function(_label(predicted[0.002]))
        page.click("#watch-pause")
        page.wait_for_function(_status("running"))
        page.click("#watch-stop")
        page.wait_for_function(_status("stopped"))
        page.click("nav a[href='/predict']")  # and back, by the list of one's own
        page.wait_for_selector("#predict-task")
        page.click("nav a[href='/watch']")
        page.click("#watch-mine a")
        page.wait_for_function(_status("stopped"))
        page.fill("#watch-name", "stopped")
        page.click("#watch-save")
        page.click("#watch-answer a")
        page.wait_for_selector("#run-step-words")
        assert visitor.text("h1").startswith("C11")


def test_a_network_is_measured_again_with_what_was_missing(chrome, served, tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"u": (6, 4), "v": (6, 4), "w": (6, 4)}
    np.savez(tmp_path / "six.npz", **{slot: rng.normal(size=s) for slot, s in shapes.items()})
    with Visitor(chrome, served) as visitor:
        visitor.go("/measure")
        page = visitor.page
        said = "() => /{}/.test(document.querySelector('#measure-answer').textContent)"
        choose = "#measure-upload button"
        with page.expect_file_chooser() as chooser:
            page.click(choose)
        chooser.value.set_files(tmp_path / "six.npz")
        for group, words in ((None, "C6"), ("C7", "order 6"), ("S3", "S3")):
            if group is not None:
                page.fill("#measure-group", group)
                page.keyboard.press("Enter")
            page.wait_for_function(said.format(words))
        with (
            page.expect_response(lambda answer: "_dash-update-component" in answer.url),
            page.expect_file_chooser() as chooser,
        ):
            page.click(choose)
            chooser.value.set_files(tmp_path / "six.npz")  # the same file is measured again


def test_a_step_and_neurons_are_in_the_address(chrome, served, folder):
    with Visitor(chrome, served, viewport={"width": 1280, "height": 900}) as visitor:
        visitor.go("/run?name=first&step=0&neurons=3,5")
        page = visitor.page
        page.wait_for_selector("#run-step-words")
        assert visitor.text("#run-step-words").startswith("step 0")
        page.focus("[role=slider]")
        page.keyboard.press("End")
        page.wait_for_function(
            "() => document.querySelector('#run-step-words').textContent.startsWith('step 300')"
        )
        page.wait_for_function("() => location.search.includes('step=300')")
        heights = page.evaluate(
            _moment("data.map((trace) => Array.from(trace.y._inputArray || trace.y))")
        )
        from marginlens.runs import load_run

        run = load_run(folder / "first")
        last = run.snapshots["u"][-1]
        assert heights[1] == pytest.approx(last[:, 3], rel=2e-3, abs=1e-6)
        assert heights[4] == pytest.approx(last[:, 5], rel=2e-3, abs=1e-6)
        page.fill("#run-neurons", "99")
        page.wait_for_selector("#run-problem [role=alert]")


def test_bad_input_is_answered_in_words(chrome, served, tmp_path):
    with Visitor(chrome, served) as visitor:
        page = visitor.page
        visitor.go("/predict?task=Q9")
        assert "order 8, 16, 32" in visitor.text("[role=alert]")
        visitor.go("/predict?task=/etc/passwd")
        assert "upload the table" in visitor.text("[role=alert]")
        for content, name, words in (
            (b"0" * 5_000_000, "large.npy", "larger than 4 MB"),
            (b"0,1\n1,1\n", "no-group.csv", "no-group.csv|table"),
            (b"\x80\x04K\x00.", "pickle.npy", "pickle.npy"),
        ):
            path = tmp_path / name
            path.write_bytes(content)
            page.set_input_files("#predict-upload input", path)
            shown = f"() => /{words}/.test(document.querySelector('#predict-problem').textContent)"
            page.wait_for_function(shown)
        path = tmp_path / "mine.csv"
        path.write_text("0,1,2\n1,2,0\n2,0,1\n")
        page.set_input_files("#predict-upload input", path)
        page.wait_for_function("() => location.search.includes('table%3A')")
        page.wait_for_function(
            "() => /0.0785674/.test(document.querySelector('.headlines')?.textContent)"
        )
        visitor.go("/run?name=../secret")
        assert "expected a path" in visitor.text("[role=alert]")
        visitor.go("/run?name=nothing")
        assert "expected the name of a finished run" in visitor.text("[role=alert]")


@pytest.mark.parametrize(
    "path",
    [
        "/download/../secret.txt",
        "/download/..%2f../secret.txt",
        "/download/first/..%2F..%2Fsecret.txt",
        "/download/first/%2e%2e/secret.txt",
        "/download/.live/x",
        "/download/first/table.npy",
        "/assets/../app.py",
        "/assets/..%2fapp.py",
        "/live/..%2f..%2fsecret.txt/x",
    ],
)
def test_no_path_leads_out_of_the_folder(served, path):
    opener = urllib.request.build_opener(Lenient)
    with opener.open(served + path) as answer:
        content = answer.read()
    assert answer.status in (200, 400, 404, 405)
    assert b"not for visitors" not in content
    assert b"def make_app" not in content


def test_too_large_a_request_is_refused_by_the_server_too(served):
    request = urllib.request.Request(f"{served}/_dash-update-component", data=b"0" * 9_000_000)
    with pytest.raises((urllib.error.HTTPError, urllib.error.URLError, ConnectionError)) as caught:
        urllib.request.urlopen(request)
    if isinstance(caught.value, urllib.error.HTTPError):
        assert caught.value.code == 413
    with urllib.request.urlopen(served) as answer:  # and it goes on
        assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example", "Content-Type": "application/json"},
    ],
)
def test_pages_of_others_are_not_answered(served, headers):
    body = b"{}" if "Origin" in headers else None
    path = "/_dash-update-component" if body else "/"
    opener = urllib.request.build_opener(Lenient)
    request = urllib.request.Request(served + path, data=body, headers=headers)
    with opener.open(request) as answer:
        assert answer.status == 403
    with opener.open(served) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_downloads_are_the_runs_own_files(served, folder):
    with urllib.request.urlopen(f"{served}/download/first/recipe.toml") as answer:
        assert answer.read() == (folder / "first" / "recipe.toml").read_bytes()
    with urllib.request.urlopen(f"{served}/download/first/report.html") as answer:
        assert b"MarginLens" in answer.read()


def test_ten_visitors_at_once(chrome, served):
    pages = [chrome.new_page() for _ in range(10)]
    tasks = ("C5", "C7", "S3", "D4", "Q8", "A4", "C11", "D5", "C13", "S4")
    for page, task in zip(pages, tasks, strict=True):
        page.goto(f"{served}/predict?task={task}", wait_until="commit")
    from marginlens.figures.style import number
    from marginlens.tasks import task as task_of
    from marginlens.theory import predict

    for page, task in zip(pages, tasks, strict=True):
        page.wait_for_selector(".headlines dd.value", timeout=600_000)
        shown = page.inner_text(".headlines dd.value >> nth=0")
        assert shown == number(predict(task_of(task)).margin, 6)
        page.close()


def test_by_keyboard_alone(chrome, served):
    with Visitor(chrome, served, viewport={"width": 1280, "height": 900}) as visitor:
        visitor.go("/predict?task=S3")
        page = visitor.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#page"
        page.focus("#predict-task")
        page.keyboard.press("Control+A")
        page.keyboard.type("D4")
        page.keyboard.press("Enter")
        page.wait_for_function("() => location.search.includes('task=D4')")
        page.wait_for_function("() => document.activeElement.id === 'predict-task'")
        page.focus("#scheme")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => document.documentElement.dataset.mantineColorScheme === 'dark'"
        )


def _predicted_loss(spec, strength):
    from marginlens.figures.style import number
    from marginlens.tasks import task
    from marginlens.theory import Penalty, predict

    return number(predict(task(spec), penalty=Penalty("homogeneous", strength)).at_penalty.loss)


def _label(text):
    notes = (
        "Array.from(document.querySelectorAll('.annotation-text')).map((each) => each.textContent)"
    )
    return f"() => {notes}.some((note) => note.includes('predicted loss: {text}'))"


def _words(pattern):
    return f"() => /{pattern}/.test(document.querySelector('#watch-words')?.textContent)"


def _status(status):
    return f"() => document.querySelector('#watch-status')?.textContent === '{status}'"


def _moment(expression):
    place = 'document.getElementById(\'{"name":"moment","part":"graph"}\')'
    return f"{place}.querySelector('.js-plotly-plot').{expression}"
