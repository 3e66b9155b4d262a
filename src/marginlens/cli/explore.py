"""The verb explore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.app import app, out


@app.command(
    epilog="Examples:\n\n  marginlens explore\n\n  marginlens explore runs --port 8051\n\n"
    "  marginlens explore runs --no-browser\n\n"
    "Ctrl-C ends it. Needs: pip install 'marginlens[explorer]'."
)
def explore(
    folder: Annotated[
        Path, typer.Argument(help="Folder of runs; new ones are saved there.")
    ] = Path("runs"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8050,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but 127.0.0.1 lets other machines in.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another host name to answer to, for example a proxy's; repeatable.",
            show_default="none",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Predict, watch training and look at runs in a local web page."""
    from marginlens.explorer.server import explore as serve

    def ready(url: str) -> None:
        out.print(f"the explorer is at {url} (Ctrl-C ends it)", soft_wrap=True)
        if host not in ("127.0.0.1", "localhost", "::1"):
            out.print(
                "anybody who reaches this address can train and save runs there", style="yellow"
            )

    serve(folder, host=host, port=port, browser=browser, allowed=allow_host or (), ready=ready)
