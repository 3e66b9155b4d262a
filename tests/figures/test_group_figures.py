"""Figures of irreps, matrices, logits and spectra, on networks whose right picture is known."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_runs import remeasured, tiny_run

from marginlens.figures import feature_color, heatmap_figure, irreps_figure, matrices_figure
from marginlens.figures.run.clock_pizza_plane import plane_figure
from marginlens.figures.run.heatmap import MOST_NEURONS, sorted_neurons
from marginlens.figures.run.logits import logits_figure
from marginlens.figures.run.wheel import wheel_figure
from marginlens.figures.theory.atlas import atlas_figure
from marginlens.groups import group
from marginlens.measures import displacement, logit_spectrum, measure
from marginlens.measures.logits.mechanism import IRRELEVANT, SYMMETRIC
from marginlens.measures.neurons.irrep_matrices import coefficient_matrix, rank_one_share
from marginlens.networks import MLP, construct
from marginlens.tasks import task


def random_network(known, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shapes = {**dict.fromkeys(known.slots, known.size), "w": known.classes}
    network = construct(known)
    return MLP(
        {n: torch.randn(1, s, 9, generator=draw, dtype=torch.float64) for n, s in shapes.items()},
        network.activation,
    )


def run_of(network, known):
    """A finished run of a network that nobody trained."""
    weights = {name: p.detach().numpy() for name, p in network.tensors.items()}
    return SimpleNamespace(
        task=known,
        measurement=measure(network, known),
        displacement=displacement(network, known),
        snapshots=weights,
        snapshot_steps=np.array([0]),
        training=SimpleNamespace(network=network),
    )


# --- heat map, wheel ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["C11", "C7", "parity"])
def test_the_heat_map_holds_the_spectrum_in_the_features_colours(name):
    run = tiny_run(name)
    figure = heatmap_figure(run)
    (cells,) = figure.data
    neurons = [int(name) for name in cells.y]
    assert neurons == list(sorted_neurons(run.measurement))[: len(neurons)]
    dominant = run.measurement.dominant[neurons]
    assert (np.diff(dominant) >= 0).all()
    spectrum = run.measurement.spectrum["all"][neurons]
    reach = spectrum.max() if run.task.kind == "parity" else 1
    assert f"full colour: {reach:.0%}" in figure.layout.title.text.replace("<br>", " ")
    # a cell's colour, read back from the colour scale as a browser would
    stops = np.array([place for place, _ in cells.colorscale]) * cells.zmax
    colors = [color for _, color in cells.colorscale]
    for row, column in itertools.product(range(0, len(neurons), 7), range(spectrum.shape[1])):
        upper = int(np.searchsorted(stops, cells.z[row, column] - 1e-6))
        upper += upper % 2 == 0  # the stop of the feature's full colour
        red, green, blue, _ = colors[upper].removeprefix("rgba(").split(", ")
        expected = feature_color(column, spectrum.shape[1])
        assert "#" + "".join(f"{int(c):02x}" for c in (red, green, blue)) == expected
        opacity = (cells.z[row, column] - stops[upper - 1]) / (stops[upper] - stops[upper - 1])
        assert opacity == pytest.approx(spectrum[row, column] / reach, abs=1e-3)


def test_of_many_neurons_the_heat_map_says_how_many_it_draws():
    run = tiny_run("C11")
    m, times = run.measurement, 1 + MOST_NEURONS // len(run.measurement.live)
    many = {
        name: np.tile(getattr(m.neurons, name), (times, *[1] * (getattr(m.neurons, name).ndim - 1)))
        for name in (
            "masses",
            "neuron_norms",
            "live",
            "dominant",
            "max_power",
            "agrees",
            "phases",
            "phase_error",
            "cosine_fit",
        )
    }
    spectrum = {slot: np.tile(shares, (times, 1)) for slot, shares in m.spectrum.items()}
    run = remeasured(run, **many, spectrum=spectrum)
    m = run.measurement
    figure = heatmap_figure(run)
    assert len(figure.data[0].y) == MOST_NEURONS
    words = figure.layout.title.text.replace("<br>", " ")
    assert f"{MOST_NEURONS} of {m.live.sum()} live neurons" in words


def test_the_wheel_has_every_neuron_on_its_ring():
    run = tiny_run("C11")
    figure = wheel_figure(run)
    dots = [t for t in figure.data if t.mode == "markers" and t.marker.symbol is None]
    circles = [t for t in figure.data if t.mode == "markers" and t.marker.symbol == "circle-open"]
    drawn = np.concatenate([t.customdata for t in dots])
    assert sorted(drawn) == list(np.flatnonzero(run.measurement.live))
    radii = [t.r[0] for t in dots]
    assert radii == sorted(radii)
    for dot, circle in zip(dots, circles, strict=True):
        neurons = list(dot.customdata)
        k = {run.task.features[int(f)].name for f in run.measurement.dominant[neurons]}
        assert k == {dot.name}
        u, v, w = np.exp(1j * run.measurement.phases[neurons]).T
        np.testing.assert_allclose(np.exp(1j * np.radians(dot.theta)), w, atol=1e-9)
        np.testing.assert_allclose(np.exp(1j * np.radians(circle.theta)), u * v, atol=1e-9)


# --- logits ---------------------------------------------------------------------------------------


def test_displacements_are_those_of_a_loop_over_all_triples():
    s3 = task("S3")
    network = random_network(s3)
    found = displacement(network, s3)
    logits = network.logits(s3)[0].numpy()
    values = [[] for _ in range(6)]
    for (a, b), row in zip(s3.inputs, logits - logits.mean(1, keepdims=True), strict=True):
        for c in range(6):
            g = s3.group.table[s3.group.table[a, b], s3.group.inverses[c]]
            values[g].append(row[c])
    np.testing.assert_allclose(found.mean, [np.mean(v) for v in values], atol=1e-12)
    np.testing.assert_allclose(found.deviation, [np.std(v) for v in values], atol=1e-12)


@pytest.mark.parametrize("name", ["C7", "S3", "Q8", "A4"])
def test_the_parts_are_orthogonal_and_explain_what_the_logit_spectrum_says(name):
    known = task(name)
    network = random_network(known, 3)
    found = displacement(network, known)
    gram = found.parts @ found.parts.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-10 * gram.max())
    spectrum = logit_spectrum(network.logits(known).numpy(), known)
    np.testing.assert_allclose(found.explained, spectrum.explained[0], atol=1e-12)


@pytest.mark.parametrize("name", ["C7", "C6", "S3"])
def test_the_sum_of_characters_passes_through_a_maximum_margin_networks_logits(name):
    known = task(name)
    figure = logits_figure(run_of(construct(known), known))
    total, points = figure.data[-2:]
    places = total.x0 + total.dx * np.arange(len(total.y))
    found = np.interp(points.x, places, total.y)
    np.testing.assert_allclose(found, points.y, atol=1e-5 * np.abs(points.y).max())
    assert np.max(points.error_y.array) < 1e-6 * points.y.max()
    assert points.customdata[np.argmax(points.y), 0] == known.group.identity


# --- matrices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["S3", "A4", "Q8", "SL(2,3)", "C7"])
def test_neurons_of_maximum_margin_are_of_rank_one(name):
    known = task(name)
    network = construct(known)
    found = measure(network, known)
    for neuron in range(0, network.width, 7):
        irrep = known.features[found.dominant[neuron]].irrep
        for p in network.tensors.values():
            matrix = coefficient_matrix(p[0, :, neuron].numpy(), irrep)
            assert rank_one_share(matrix, irrep) > 1 - 1e-9


def test_a_random_neuron_is_not_of_rank_one():
    irrep = group("S5").irrep_classes[-1]
    noise = np.random.default_rng(0).normal(size=120)
    assert rank_one_share(coefficient_matrix(noise, irrep), irrep) < 0.7
    assert np.isnan(rank_one_share(np.zeros((2, 2)), irrep))


@pytest.mark.parametrize("name", ["S3", "D5", "S4"])
def test_a_matrix_gives_the_isotypic_part_back(name):
    known = group(name)
    f = np.random.default_rng(1).normal(size=known.order)
    for irrep in known.irrep_classes:
        matrix = coefficient_matrix(f, irrep)
        part = np.einsum("gij,ij->g", irrep.orthogonal, matrix)
        np.testing.assert_allclose(part, irrep.project(f), atol=1e-10)


def test_the_irreps_figure_has_a_homomorphism_and_the_character_table():
    s4 = group("S4")
    figure = irreps_figure(s4)
    classes, irreps = len(s4.class_sizes), len(s4.irrep_classes)
    matrices = [np.asarray(trace.z) for trace in figure.data]
    assert len(matrices) == classes * irreps
    for row in range(irreps):
        for matrix in matrices[row * classes : (row + 1) * classes]:
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-6)
    traces = np.array([np.trace(m) for m in matrices]).reshape(irreps, classes)
    np.testing.assert_allclose(traces.T @ traces, np.diag(24 / s4.class_sizes), atol=1e-4)
    words = [a.text for a in figure.layout.annotations]
    for value in traces.round().astype(int).ravel():
        assert str(value).replace("-", "−") in words


def test_trained_neurons_are_drawn_as_matrices_with_their_rank():
    known = task("S3")
    figure = matrices_figure(run_of(construct(known), known))
    assert len(figure.data) % 3 == 0
    assert all(np.linalg.matrix_rank(trace.z, tol=1e-4) == 1 for trace in figure.data)
    assert [a.text for a in figure.layout.annotations].count("rank one: 100.0%") == len(figure.data)


# --- plane, atlas ---------------------------------------------------------------------------------


def measured(x, y, verdict):
    return SimpleNamespace(
        gradient_symmetricity=x, symmetricity_error=0.01, distance_irrelevance=y, verdict=verdict
    )


def test_the_plane_has_every_network_by_verdict_and_the_thresholds():
    networks = [
        ("<b>a", measured(0.99, 0.2, "pizza")),
        ("b", measured(0.3, 0.9, "clock")),
        ("c", measured(0.98, 0.22, "pizza")),
    ]
    figure = plane_figure(networks)
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["pizza"].x) == [0.99, 0.98]
    assert list(traces["clock"].y) == [0.9]
    lines = {(shape.x0, shape.y0) for shape in figure.layout.shapes}
    assert lines == {(SYMMETRIC, 0), (0, IRRELEVANT)}
    assert "<b>a" not in json.dumps(json.loads(figure.to_json()))
    with pytest.raises(ValueError, match="b: expected a network with weights"):
        plane_figure([("b", measured(None, 0.2, "unknown"))])
    with pytest.raises(ValueError, match="expected at least one network to draw"):
        plane_figure([])


def test_the_atlas_figure_has_every_group_once_with_its_kind():
    kinds = {
        "an irrep cannot be used": {"cannot": 1, "theorem9": False, "may": 0},
        "Theorem 9 applies": {"cannot": 0, "theorem9": True, "may": 0},
        "every irrep must be used": {"cannot": 0, "theorem9": False, "may": 0},
        "shares are not unique": {"cannot": 0, "theorem9": False, "may": 2},
    }
    rows = [
        {"order": 9, "number": i + 1, "structure": "<b>", "margin": 0.01 * (i + 1), "must": 3}
        | kind
        for i, kind in enumerate(kinds.values())
    ]
    figure = atlas_figure(rows)
    assert [trace.name for trace in figure.data] == [f"{name} (1)" for name in kinds]
    heights = [float(trace.y[0]) for trace in figure.data]
    np.testing.assert_allclose(heights, [0.27, 0.54, 0.81, 1.08], rtol=1e-6)
    assert all(8.5 < float(trace.x[0]) < 9.5 for trace in figure.data)
    assert len({round(float(trace.x[0]), 4) for trace in figure.data}) == 4
    assert "<b><b>" not in json.dumps(json.loads(figure.to_json()))
    with pytest.raises(ValueError, match="an atlas with rows"):
        atlas_figure([])
