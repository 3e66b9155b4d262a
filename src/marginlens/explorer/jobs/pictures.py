"""Frames of a training as JSON: only the numbers that change from frame to frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from flask import Flask, abort, jsonify, request
from jaxtyping import Float, Int

from marginlens.explorer.jobs.jobs import GoneError, Trainings
from marginlens.figures.run.neuron_snapshot import moment_figure, moment_heights
from marginlens.figures.style import feature_color, number, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from flask import Response

    from marginlens.explorer.jobs.jobs import Live
    from marginlens.tasks import Task

__all__ = ["ROWS", "connect_pictures", "moment_of", "picture"]

ROWS = 3
"""Number of neurons in the figure."""


def moment_of(task: Task, live: Live) -> go.Figure | None:
    """Return the figure of some neurons at this moment, or None before the first frame."""
    if not len(live.neurons):
        return None
    slot = task.slots[0]
    shown, weights = _shown(task, live)
    return moment_figure(
        task,
        weights,
        [int(neuron) for neuron in shown],
        what=f"weights {slot} of {len(shown)} neurons, and their power spectra",
        reach=np.array([_reach(weights[:, row]) for row in range(len(shown))]),
        dominant=np.maximum(live.dominant[shown], 0),
    )


def picture(task: Task, live: Live) -> dict[str, Any]:
    """Return the changing part of a frame as plain JSON values.

    ``moment`` holds heights, in the order of ``moment_heights`` of ``marginlens.figures``, and for
    each row the axis's range, the neuron's label and its colour; ``curves`` holds the history.
    """
    at = live.history
    best = live.maximum
    last = {name: float(values[-1]) for name, values in at.items() if len(values)}
    ratio = None if best is None or not last else last.get("normalized_margin", math.nan) / best
    return {
        "version": live.version,
        "status": live.status,
        "ended": live.ended,
        "words": _words(live, ratio),
        "progress": live.step / max(live.steps, 1),
        "paused": live.held,
        "curves": {name: _rounded(at[name]) for name in _CURVES if name in at},
        "shares": _rounded(live.share),
        "moment": _moment(task, live),
        "best": best,
        "strength": live.recipe.strength,
    }


_CURVES = ("step", "loss", "cross_entropy", "normalized_margin")


def _words(live: Live, ratio: float | None) -> str:
    if live.status == "queued":
        return f"position {live.place} in the queue"
    words = [f"step {live.step:,} of {live.steps:,}"]
    if ratio is not None and math.isfinite(ratio):
        words.append(f"{100 * ratio:.3f} % of γ*" if ratio > -9.99 else "margin far below 0")
    if live.status == "running" and live.steps_per_second:
        words.append(f"{number(live.steps_per_second, 3)} steps per second")
    if live.message:
        words.append(live.message)
    if live.saved_as:
        words.append(f"saved as {live.saved_as}")
    return " · ".join(words)


def _moment(task: Task, live: Live) -> dict[str, Any] | None:
    if not len(live.neurons):
        return None
    shown, weights = _shown(task, live)
    dominant = np.maximum(live.dominant[shown], 0)
    total = len(task.features)
    names = ["" if task.elements is None else plain(task.features[f].name) for f in dominant]
    return {
        "y": [_rounded(trace) for trace in moment_heights(task, weights)],
        "reach": [_reach(weights[:, row]) for row in range(len(shown))],
        "labels": [
            f"<b>neuron {neuron}</b>" + (f" · {name}" if name else "")
            for neuron, name in zip(shown, names, strict=True)
        ],
        "colors": [feature_color(int(feature), total) for feature in dominant],
    }


def _shown(
    task: Task, live: Live
) -> tuple[Int[np.ndarray, " shown"], Float[np.ndarray, "element shown"]]:
    """Return the drawn neurons, of different features where possible, and their weights."""
    features = live.dominant[live.neurons]
    firsts = sorted(np.unique(features, return_index=True)[1].tolist())
    others = [place for place in range(len(features)) if place not in firsts]
    places = (firsts + others)[:ROWS]
    return live.neurons[places], live.weights[task.slots[0]][:, places].astype(np.float64)


def _reach(weights: np.ndarray) -> float:
    """Return half the height of a neuron's axis: one of a few values, so it rarely changes.

    Examples
    --------
    >>> _reach(np.array([0.3, -0.5])), _reach(np.array([0.3, -0.6])), _reach(np.zeros(2))
    (0.6, 0.8, 1.0)
    """
    most = float(np.abs(weights).max(initial=0.0))
    if not (math.isfinite(most) and most > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    steps = (1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
    return next(float(f"{m * power:.2g}") for m in steps if m * power >= 1.06 * most)


def _rounded(values: Any) -> list[float | None]:
    found = np.asarray(values, dtype=np.float64)
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in found.tolist()]


def connect_pictures(server: Flask, trainings: Trainings) -> None:
    """Serve ``/live/ID?version=N``, and the signs of life of tabs: ``/here`` and ``/leave``."""

    @server.get("/live/<name>")
    def live(name: str) -> Response:
        try:
            state = trainings.state(name)
            if request.args.get("version") == str(state.version):
                return jsonify({"version": state.version})
            return jsonify(picture(trainings.task(name), state))
        except GoneError as error:
            return jsonify({"gone": str(error)})

    def owner() -> str:
        if request.content_length is None or request.content_length > 200:
            abort(413)
        return request.get_data(as_text=True)

    @server.post("/leave")
    def leave() -> tuple[str, int]:
        trainings.leaving(owner())
        return "", 204

    @server.post("/here")
    def here() -> tuple[str, int]:
        trainings.alive(owner())
        return "", 204
