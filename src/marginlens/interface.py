"""Top-level functions of the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from marginlens.errors import MarginLensError
from marginlens.tasks import Task, task_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from marginlens.networks import MLP
    from marginlens.sweeps import Results, SweepProgress
    from marginlens.tasks.task_types import Spec
    from marginlens.theory import Activation, BestNeuron, ParityVerification, Verification

__all__ = ["best_neuron", "certify", "figure", "optimal_network", "sweep"]


def certify(
    task: Task | Spec, *, out: str | Path | None = None
) -> Verification | ParityVerification:
    """Prove the maximum margin of a task from its table alone, without irreps or solvers.

    Parameters
    ----------
    task
        A group's table or a parity; or a certificate's file, which is checked.
    out
        File (.npz) for the table, the network and the distribution, for others to check.

    Returns
    -------
    Verification
        Both bounds of the margin; ``holds()`` says whether they meet. Of a parity a ParityVerification,
        by brute force.

    Raises
    ------
    MarginLensError
        If no theorem gives the margin of the task, or a parity is to be written to a file.

    Examples
    --------
    >>> certify("C5").holds()
    True
    """
    from marginlens.theory import certify_parity, is_certificate_file, predict, verify_file

    if isinstance(task, str | Path) and is_certificate_file(str(task)):
        return verify_file(str(task))
    known = task_of(task)
    if known.subset is not None:
        if out is not None:
            raise MarginLensError("a parity has no file: its certificate is brute force; omit out")
        return certify_parity(known.size, len(known.subset))
    prediction = predict(known)
    if prediction.certificate is None:
        raise MarginLensError(f"no margin can be certified. {prediction.note}")
    found = prediction.certificate.verify()
    if out is not None:
        prediction.certificate.save(out)
    return found


def best_neuron(
    task: Task | Spec | int,
    activation: Activation | str,
    *,
    starts: int | None = None,
    seed: int = 0,
) -> BestNeuron:
    """Search for the best single neuron of addition modulo a prime, for any activation.

    Parameters
    ----------
    task
        Task of addition modulo a prime p, such as ``"C7"``; or p itself.
    activation
        Activation of the neuron, any but x.
    starts
        Number of ascents from random weights; by default enough for the order.
    seed
        Seed of the random weights.

    Returns
    -------
    BestNeuron
        Largest value found, with the weights u, v, w; it is not proved to be the maximum.

    Raises
    ------
    MarginLensError
        The task is not addition modulo a prime.

    Examples
    --------
    >>> best_neuron("C7", "relu", starts=4).activation
    'relu'
    """
    from marginlens.theory import best_neuron as search

    if isinstance(task, int):
        return search(task, activation, starts=starts, seed=seed)
    known = task_of(task)
    if known.group is None or known.group.name != f"C{known.size}" or known.factors != 2:
        raise MarginLensError(f"expected addition modulo a prime, for example C7, got {known.name}")
    return search(known.size, activation, starts=starts, seed=seed)


def optimal_network(task: Task | Spec, *, method: str = "simplex") -> MLP:
    """Return a network with the maximum margin, in closed form.

    Parameters
    ----------
    task
        Group task or parity, with the activation that the theory covers.
    method
        Construction to use: ``"simplex"`` for the fewest neurons known, or another of
        ``marginlens.theory.METHODS``.

    Returns
    -------
    MLP
        Ensemble of one network of norm one in float64.

    Raises
    ------
    MarginLensError
        No theorem gives such a network.

    Examples
    --------
    >>> optimal_network("C5").width
    12
    """
    from marginlens.networks import construct

    return construct(task_of(task), method=method)


def figure(name: str, *of: Any, task: Task | Spec | None = None, dark: bool = False) -> go.Figure:
    """Draw a figure of a run, or of what it needs of one.

    Parameters
    ----------
    name
        Name of the figure, such as ``"neurons"``; ``marginlens figure list`` lists them.
    of
        A run, or its folder; or a prediction, a measurement, a network (also of another project, or
        its file), whichever the figure needs: ``"shares"`` of a prediction alone draws what is
        predicted, of a prediction and a measurement both.
    task
        Task of a network; of a prediction or measurement where its name does not say its table.
    dark
        Whether the background is dark.

    Returns
    -------
    plotly.graph_objects.Figure
        Figure that notebooks show; ``write_html`` and ``write_image`` save it.

    Raises
    ------
    MarginLensError
        If the name is unknown, the figure needs more than was given, or there is nothing to draw.

    Examples
    --------
    >>> import marginlens as ml
    >>> ml.figure("shares", ml.predict("S3", penalty=1e-4)).layout.xaxis2.title.text
    'feature'
    >>> run = ml.run("C5", width=12, steps=40, compile="never")
    >>> ml.figure("loss", run).layout.title.text is not None
    True
    """
    from difflib import get_close_matches

    from marginlens.figures import DARK, FIGURES, template
    from marginlens.figures.subject import MissingPartError, subject_of

    if name not in FIGURES:
        close = get_close_matches(name, FIGURES, n=2, cutoff=0.4) or [*FIGURES][:2]
        raise MarginLensError(
            f"expected the name of a figure, for example {' or '.join(close)}, got {name!r}"
        )
    entry = FIGURES[name]
    try:
        drawn = entry.draw_of(subject_of(*of, task=None if task is None else task_of(task)))
    except MissingPartError as error:
        raise MarginLensError(
            f"the figure {name} {error}; for example ml.figure({name!r}, ml.run('C5'))"
        ) from None
    if drawn is None:
        raise MarginLensError(f"no figure {name} can be drawn: it needs {entry.needs}")
    return drawn.update_layout(template=template(DARK)) if dark else drawn


def sweep(
    task: str | Sequence[str] | None = None,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 1,
    seed: int = 0,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[SweepProgress], None] | None = None,
    **recipe: Any,
) -> Results:
    """Train every combination of a grid from every seed, and tabulate the networks.

    Parameters
    ----------
    task
        Spec of the task, or several of them.
    grid
        Lists of values by the name of a recipe's field: every combination is trained.
    seeds, seed
        Number of networks of each combination, and seed of the first one.
    out
        Folder of the sweep, in which it can be resumed; ``None`` for a temporary one.
    workers
        Number of processes that train; ``None`` for this process alone, which needs no guard in a
        script.
    progress
        Function that is called with the state of the sweep after each piece.
    recipe
        Fields of the recipe that all networks share; ``penalty`` may be a number.

    Returns
    -------
    Results
        Tables ``members`` (one row per network, with the maximum margin and the share of it) and
        ``features``, and ``query`` for SQL; ``to_frame()`` is the members' table.

    Raises
    ------
    MarginLensError
        A field is unknown or invalid; no network is trained then.

    Examples
    --------
    >>> found = sweep("C5", grid={"width": [2, 4]}, seeds=2, steps=20)
    >>> found.members.num_rows, found.members["width"].to_pylist()
    (4, [2, 2, 4, 4])
    """
    from marginlens.sweeps import Results, read_sweep, run_sweep

    lists = {name: list(values) for name, values in (grid or {}).items()}
    shared = dict(recipe)
    if isinstance(task, str):
        shared["task"] = task
    elif task is not None:
        lists = {"task": list(task)} | lists
    asked = read_sweep({"seeds": seeds, "seed": seed, "recipe": shared, "grid": lists})
    temporary = TemporaryDirectory(prefix="marginlens-") if out is None else None
    folder = Path(temporary.name) if temporary is not None else Path(str(out))
    done = run_sweep(asked, folder, workers=0 if workers is None else workers, progress=progress)
    if not done.finished:
        raise MarginLensError(f"no network was trained: {done.failures[0]['reason']}")
    return Results(folder, temporary=temporary)
