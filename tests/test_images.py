"""Figures and films as files, by the browser that is there; and what is said where there is none."""

import io
import json
import re
import sys

import numpy as np
import plotly.graph_objects as go
import pytest

import marginlens as ml
from marginlens import films, images
from marginlens.figures import DARK, FIGURES, neurons_figure

PIL = pytest.importorskip("PIL.Image", reason="needs pip install 'marginlens[images]'")
drawn_here = pytest.mark.skipif(
    images.missing(".gif") is not None, reason=f"images cannot be drawn: {images.missing('.gif')}"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "C5"
    return ml.run("C5", width=12, steps=60, snapshots=4, compile="never", out=folder)


def png(color, size=(21, 11)):
    target = io.BytesIO()
    PIL.new("RGB", size, color).save(target, format="PNG")
    return target.getvalue()


# --- with a browser ---------------------------------------------------------------------------------


@pytest.mark.system
@drawn_here
def test_a_figure_is_drawn_at_the_size_and_in_the_theme_asked_for(call, run, tmp_path):
    file = tmp_path / "phases.png"
    code, printed, error = call(
        "figure",
        "draw",
        "phases",
        run.folder,
        "--out",
        file,
        "--dark",
        "--width",
        420,
        "--height",
        300,
        "--scale",
        1.5,
    )
    assert (code, error) == (0, "")
    assert str(file) in printed.replace("\n", "")
    picture = PIL.open(file).convert("RGB")
    assert picture.size == (630, 450)
    assert "#" + "".join(f"{c:02x}" for c in picture.getpixel((2, 2))) == DARK.card
    assert len(set(picture.getdata())) > 100
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.system
@drawn_here
def test_svg_shows_what_the_records_say_at_each_frame(run):
    figure = neurons_figure(run, chosen=[0])
    moments = [films.at_frame(figure, index) for index in (0, len(figure.frames) - 1)]
    first, last = (text.decode() for text in images.figure_images(moments, ".svg"))
    for step, svg in ((0, first), (run.snapshot_steps[-1], last)):
        words = re.sub(r"<[^>]+>", "", svg)
        assert "C5: weights u of 1 neurons" in words
        assert f"training step {step}" in words
    bars = [re.findall(r'class="point"><path d="([^"]+)"', svg) for svg in (first, last)]
    assert bars[0] != bars[1]
    assert len(bars[0]) == len(bars[1]) == 2


# --- without one ------------------------------------------------------------------------------------


def test_a_gif_has_every_frame_for_its_time():
    film = PIL.open(io.BytesIO(films._gif([png("red"), png("blue"), png("white")], 0.3)))
    times, colors = [], []
    for index in range(film.n_frames):
        film.seek(index)
        times.append(film.info["duration"])
        colors.append(film.convert("RGB").getpixel((3, 3)))
    assert times == [300, 300, 1300]
    assert film.size == (20, 10)  # even sides
    assert len(set(colors)) >= 2


def test_a_film_has_a_frame_a_snapshot(run, monkeypatch, tmp_path):
    colors = [
        ((250, 0, 0), (0, 250, 0), (0, 0, 250), (9, 9, 9))[i]
        for i in range(len(run.snapshot_steps))
    ]
    drawn = []

    def draw(figures, suffix, **options):
        drawn.extend(figures)
        return [png(color) for color in colors]

    monkeypatch.setattr(films, "figure_images", draw)
    films.write_film(neurons_figure(run, chosen=[1]), tmp_path / "film.gif", seconds=2.0)
    film = PIL.open(tmp_path / "film.gif")
    assert film.n_frames == len(run.snapshot_steps) >= 3
    assert film.info["duration"] == round(2000 / film.n_frames)
    for figure, weights in zip(drawn, run.snapshots["u"][:, :, 1], strict=True):
        np.testing.assert_array_equal(figure.data[1].y, weights)
        assert not figure.layout.sliders
        assert not figure.layout.updatemenus


@pytest.mark.system
def test_an_mp4_lasts_as_long_as_asked(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    content = films._mp4([png("red", (65, 33)), png("blue", (65, 33))], 1.0)
    assert content[4:8] == b"ftyp"
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    reader = ffmpeg.read_frames(str(path))
    about = next(reader)
    frames = [np.frombuffer(frame, np.uint8).reshape(-1, 3).mean(0) for frame in reader]
    assert about["size"] == (64, 32)
    assert len(frames) == 25 * 3  # a second each, and one more for the last
    assert frames[12].argmax() == 0
    assert frames[40].argmax() == 2


def test_a_page_of_a_film_has_its_frames_and_its_pace(run, tmp_path, call):
    code, _, error = call(
        "figure",
        "animate",
        run.folder,
        "--out",
        tmp_path / "film.html",
        "--seconds",
        8,
        "--neurons",
        2,
        "--dark",
    )
    assert (code, error) == (0, "")
    page = (tmp_path / "film.html").read_text()
    steps = re.findall(r'"name":"(\d+)"', page)
    assert steps == [str(step) for step in run.snapshot_steps]
    paces = {float(pace) for pace in re.findall(r'"duration":([\d.]+)', page)}
    assert 8000 / len(steps) in paces
    assert f"background: {DARK.card}" in page


def test_without_the_extra_or_a_browser_it_is_said_what_to_do(monkeypatch, call, run, tmp_path):
    monkeypatch.setattr(images, "_browser", lambda: None)
    for verb in (("figure", "draw", "loss", run.folder), ("figure", "animate", run.folder)):
        suffix = "svg" if verb[1] == "draw" else "gif"
        code, _, error = call(*verb, "--out", tmp_path / f"a.{suffix}")
        assert code == 2
        assert "BROWSER_PATH" in error
        assert "end the file's name in .html" in error
    monkeypatch.setitem(sys.modules, "kaleido", None)
    assert "pip install 'marginlens[images]'" in images.missing(".pdf")
    assert images.missing(".html") is None
    assert not list(tmp_path.iterdir())


def test_an_interrupted_film_leaves_nothing(monkeypatch, run, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(films, "figure_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        films.write_film(neurons_figure(run), tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_titles_are_broken_for_the_width():
    words = "a title of quite a few words, with θ<sub>u</sub> + θ<sub>v</sub> and &lt;b&gt; in it"
    figure = go.Figure(layout={"title": {"text": words}, "height": 400, "margin": {"t": 60}})
    wide, narrow = images.fitted(figure, 1000), images.fitted(figure, 300)
    assert wide.layout.title.text == words
    lines = narrow.layout.title.text.split("<br>")
    assert " ".join(lines) == words
    assert len(lines) == 3
    assert narrow.layout.height - 400 == narrow.layout.margin.t - 60 == 2 * images.LINE
    assert figure.layout.title.text == words


# --- the verbs --------------------------------------------------------------------------------------


def test_figures_are_listed_and_drawn_by_name(call, run, tmp_path):
    code, printed, _ = call("figure", "list", "--json")
    assert code == 0
    assert set(json.loads(printed)) == {*FIGURES, "margins", "plane", "atlas"}
    code, printed, _ = call("figure", "draw", "wheel", run.folder, "--json", "--width", 500)
    found = json.loads(printed)
    assert found["layout"]["width"] == 500
    assert "C5" in found["layout"]["title"]["text"]
    code, _, _ = call("figure", "draw", "plane", run.folder, "--out", tmp_path / "plane.html")
    assert code == 0
    assert "Clock or pizza: 1 network" in (tmp_path / "plane.html").read_text()
    code, printed, _ = call("figure", "draw", "shares", "S3", "--json")
    assert code == 0
    assert json.loads(printed)["layout"]["xaxis2"]["title"]["text"] == "feature"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["neuron", "RUN", "--out", "a.html"],
            "expected a figure, got 'neuron'; did you mean neurons",
        ),
        (
            ["matrices", "RUN", "--out", "a.html"],
            "figure matrices expects a run with a group that is not",
        ),
        (
            ["waveform", "RUN", "--out", "a.html"],
            "expects a run with an activation without a closed form",
        ),
        (
            ["phases", "RUN"],
            "expected --out FILE or --json, got neither; for example marginlens figure",
        ),
        (
            ["phases", "--out", "a.svg"],
            "expected RUN; for example marginlens figure draw neurons runs/C23",
        ),
        (["phases", "RUN", "RUN", "--out", "a.html"], "figure phases expects one run, got 2"),
        (["phases", "RUN", "--out", "a.bmp"], "that ends in .html, .svg, .pdf or .png"),
        (["phases", "nowhere", "--out", "a.html"], "marginlens run C23"),
        (["shares", "nowhere", "--out", "a.html"], "unknown task 'nowhere'"),
        (["shares", "runs/nowhere", "--out", "a.html"], "marginlens run C23"),
        (["atlas", "nowhere", "--out", "a.html"], "build one with: marginlens atlas"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(
    call, run, tmp_path, monkeypatch, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    words = [str(run.folder) if word == "RUN" else word for word in arguments]
    code, _, error = call("figure", "draw", *words)
    assert code == 2
    assert expected in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
