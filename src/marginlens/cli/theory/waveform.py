"""The command ``theory waveform``: best neuron of addition modulo a prime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from marginlens.cli.app import err, out, theory_commands
from marginlens.cli.arguments import AsJson
from marginlens.cli.tables import Table
from marginlens.cli.text_output import print_json

if TYPE_CHECKING:
    from marginlens.measures import WaveformFit
    from marginlens.theory import BestNeuron

_GREATEST_ORDER = 2000
_MOST_HARMONICS = 7


@theory_commands.command(
    examples=("theory waveform 71", 'theory waveform 23 --activation "|x|^1.5" --starts 100'),
    notes="The neuron is the best one that the search found. For a trained network: marginlens analyze "
    "waveform RUN.",
)
def waveform(
    order: Annotated[
        int, typer.Argument(metavar="P", min=3, max=_GREATEST_ORDER, help="Odd prime, the modulus.")
    ],
    activation: Annotated[
        str, typer.Option(help="Activation: relu, abs, leaky_relu(0.1), relu^q, |x|^q or x^k.")
    ] = "relu",
    starts: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of ascents from random neurons.", show_default="by the size of P"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random starts.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Find the best single neuron of addition modulo a prime by gradient ascent."""
    from marginlens.theory import best_neuron

    with err.status("climbing from many starts ..."):
        neuron = best_neuron(order, activation, starts=starts, seed=seed)
    print_waveform(neuron, as_json=as_json)


def print_waveform(neuron: BestNeuron, fit: WaveformFit | None = None, *, as_json: bool) -> None:
    """Print the best neuron with its power spectra, and the share of a run that it explains.

    Parameters
    ----------
    neuron
        Best neuron that the search found.
    fit
        Fit of the neuron to the live neurons of a run, if the command is about a run.
    as_json
        Whether to print JSON in place of a table.
    """
    from marginlens.theory import harmonics

    powers = {slot: harmonics(getattr(neuron, slot), 1) for slot in "uvw"}
    if as_json:
        record = neuron.to_dict() | {
            "power": {slot: found.power.tolist() for slot, found in powers.items()}
        }
        if fit is not None:
            record |= {
                "explained": fit.total(),
                "explained_by_cosine": fit.total("cosine"),
                "live": int(fit.live.sum()),
            }
        print_json(record)
        return
    title = f"addition modulo {neuron.order}, {neuron.activation}: best neuron"
    table = Table("quantity", "value", title=title)
    table.add_row("value: γ* if no neuron is better", f"{neuron.value:.12g}")
    table.add_row("search", neuron.describe())
    table.add_row("stationarity", f"{neuron.stationarity:.1e}")
    table.add_row("pairs with preactivation 0", f"{neuron.kinks} of {neuron.order**2}")
    shown = range(1, min(_MOST_HARMONICS, (neuron.order - 1) // 2) + 1)
    for slot in "uvw":
        power = powers[slot].power
        cells = (f"{'' if m == 1 else m}k {power[m - 1]:.4f}" for m in shown)
        table.add_row(f"power of {slot}", ", ".join(cells))
    if fit is not None:
        live = int(fit.live.sum())
        table.add_row(
            f"variance of {live} live neurons explained by this neuron", f"{fit.total():.4%}"
        )
        table.add_row("variance explained by pure cosines", f"{fit.total('cosine'):.4%}")
    out.print(table)
