"""Saved certificates: whoever damages one is told so in one line, or that the bounds do not meet."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group
from marginlens.tasks import task
from marginlens.theory import predict, verify_bounds, verify_file
from marginlens.theory.group import verification
from marginlens.theory.group.verification import best_neuron_bound, neuron_earnings


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("certificates") / "s3.npz"
    predict(task("S3")).certificate.save(path)
    return path


@pytest.fixture
def arrays(saved):
    return dict(np.load(saved))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_with_wrong_bytes_is_refused_or_does_not_hold_more_than_the_maximum(saved, data):
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = saved.with_name("damaged.npz")
    damaged.write_bytes(content[: data.draw(st.integers(1, len(content)))] or content)
    found, said = None, ""
    try:
        found = verify_file(damaged)
    except ValueError as error:
        said = str(error)
    if found is None:
        assert said
        assert "\n" not in said
    elif found.holds():
        assert found.lower == pytest.approx(predict(task("S3")).margin, rel=1e-9)


CHANGES = {
    "nan in w": (
        lambda a: {"w": a["w"] * np.nan},
        "expected finite numbers, got infinite ones or nan",
    ),
    "infinite u": (lambda a: {"u1": a["u1"] + np.inf}, "expected finite numbers"),
    "nan in tau": (lambda a: {"tau": np.where(a["tau"] > 0, np.nan, 0)}, "6 probabilities"),
    "negative tau": (lambda a: {"tau": a["tau"] - [0, 0.5, -0.5, 0, 0, 0]}, "6 probabilities"),
    "tau on the identity": (lambda a: {"tau": np.eye(6)[0]}, "none on the identity"),
    "tau a number": (
        lambda a: {"tau": np.array(1.0)},
        r"expected real numbers of shape \(6,\) for tau, got float64 of",
    ),
    "tau too short": (
        lambda a: {"tau": a["tau"][:5]},
        r"expected real numbers of shape \(6,\) for tau, got float64 of",
    ),
    "w a vector": (
        lambda a: {"w": a["w"][0]},
        r"expected real numbers of shape \(6, 12\) for w, got float64",
    ),
    "w complex": (
        lambda a: {"w": a["w"] + 1j},
        r"expected real numbers of shape \(6, 12\) for w, got",
    ),
    "w words": (
        lambda a: {"w": a["w"].astype(str)},
        r"expected real numbers of shape \(6, 12\) for w, got <U32 of",
    ),
    "u of other length": (
        lambda a: {"u2": a["u2"][:5]},
        r"expected real numbers of shape \(6, 12\) for u2, got float64",
    ),
    "no neurons": (
        lambda a: {n: a[n][:, :0] for n in ("u1", "u2", "w")},
        r"expected real numbers of shape \(6, 1\) for u1, got float64",
    ),
    "all zero": (lambda a: {n: a[n] * 0 for n in ("u1", "u2", "w")}, "expected a nonzero network"),
    "a gap in the slots": (lambda a: {"u2": None, "u3": a["u2"]}, "expected arrays table, tau, u1"),
    "one array too many": (lambda a: {"v": a["w"]}, "expected arrays table, tau, u1"),
    "no inputs": (lambda a: {"u1": None, "u2": None}, "expected arrays table, tau, u1"),
    "table of floats": (lambda a: {"table": a["table"] + 0.5}, "expected whole numbers"),
    "no group": (lambda a: {"table": a["table"] % 5}, "no group"),
    "trivial group": (
        lambda a: {"table": np.zeros((1, 1), int)},
        r"expected real numbers of shape \(1,\) for tau, got float64 of",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_arrays_that_make_no_sense_are_refused_in_one_line(arrays, tmp_path, name):
    change, words = CHANGES[name]
    changed = {n: a for n, a in {**arrays, **change(arrays)}.items() if a is not None}
    np.savez(tmp_path / "changed.npz", **changed)
    with pytest.raises(ValueError, match=words) as caught:
        verify_file(tmp_path / "changed.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", b"\x80\x04N.", b"\x93NUMPY"])
def test_what_is_no_archive_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable certificate") as caught:
        verify_file(path)
    assert "\n" not in str(caught.value)


def test_one_array_or_a_pickle_or_a_folder_is_no_certificate(tmp_path, arrays):
    buffer = io.BytesIO()
    np.save(buffer, arrays["table"])
    (tmp_path / "one.npz").write_bytes(buffer.getvalue())
    np.savez(tmp_path / "objects.npz", **{**arrays, "w": np.array([{}], dtype=object)})
    (tmp_path / "folder.npz").mkdir()
    for name in ("one", "objects", "folder"):
        with pytest.raises(ValueError, match="not a readable certificate"):
            verify_file(tmp_path / f"{name}.npz")


def test_a_dead_neuron_changes_nothing(arrays, tmp_path):
    wider = {n: np.hstack([arrays[n], np.zeros((6, 2))]) for n in ("u1", "u2", "w")}
    np.savez(tmp_path / "wider.npz", **{**arrays, **wider})
    found = verify_file(tmp_path / "wider.npz")
    assert found.holds()
    assert found.neurons == arrays["w"].shape[1] + 2
    weights = tuple(wider[n] for n in ("u1", "u2", "w"))
    assert neuron_earnings(arrays["table"], weights, arrays["tau"])[-2:].tolist() == [0, 0]


def test_a_certificate_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    certificate = predict(task("S3")).certificate
    path = tmp_path / "s3.npz"
    path.write_bytes(b"an older one")

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        certificate.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["s3.npz"]
    assert path.read_bytes() == b"an older one"
    monkeypatch.undo()
    certificate.save(path)
    assert verify_file(path).holds()


def test_an_ideal_that_falls_together_with_the_constants_is_not_lost(monkeypatch):
    """Were all eigenvalues taken for one, the bound would still be that of no fewer ideals."""
    chosen = group("S4")
    certificate = predict(task("S4")).certificate
    tau = certificate.element_distribution()
    separate, ideals, _ = best_neuron_bound(chosen.table, tau)
    clusters = verification._clusters

    def merged(values):
        parts = list(clusters(values))
        if len(values) < chosen.order:  # inside an ideal
            return parts
        # the constants' eigenvalue stands alone: take it together with the one beside it
        alone = next(i for i, part in enumerate(parts) if part.start == constants)
        low, high = sorted((alone, alone - 1 if alone else 1))
        return [*parts[:low], slice(parts[low].start, parts[high].stop), *parts[high + 1 :]]

    def noted(matrix):
        nonlocal constants
        values, vectors = original(matrix)
        constants = int(np.abs(vectors.sum(axis=0)).argmax())
        return values, vectors

    constants, original = -1, np.linalg.eigh
    monkeypatch.setattr(verification, "_clusters", merged)
    monkeypatch.setattr(np.linalg, "eigh", noted)
    bound, kept, _ = best_neuron_bound(chosen.table, tau)
    assert bound == pytest.approx(separate, rel=1e-9)
    assert sorted(one[0] for one in kept) == sorted(one[0] for one in ideals)


def test_ideals_that_fall_together_show_in_the_residual(monkeypatch):
    """On A5 an ideal is not used: together with another its kappa is no scalar."""
    a5 = group("A5")
    certificate = predict(task("A5")).certificate
    monkeypatch.setattr(verification, "_clusters", lambda values: [slice(0, len(values))])
    found = verify_bounds(a5.table, certificate.network(), certificate.element_distribution())
    assert found.residual > 1e-3
    assert not found.holds()


@pytest.mark.parametrize("spec", ["A5", "compose(S3,3)", "C12"])
def test_the_width_is_that_of_the_network(spec):
    prediction = predict(task(spec))
    assert prediction.certificate.network()[0].shape[1] == prediction.sufficient_width
