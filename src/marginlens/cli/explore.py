"""The command ``explore``: local web page of predictions, trainings and saved runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.app import app, out


@app.command(
    examples=("explore", "explore runs --port 8051", "explore runs --no-browser"),
    notes="Ctrl-C ends the server. Needs pip install 'marginlens[explorer]'.",
)
def explore(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder of the saved runs; new runs are written to it too."
        ),
    ] = Path("runs"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the web server; 0 takes a free port.")
    ] = 8050,
    host: Annotated[
        str,
        typer.Option(
            help="Address of the web server; other than 127.0.0.1 it admits other machines."
        ),
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Further host name to accept, for example of a proxy; repeatable.",
            show_default="no other name",
        ),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open the page in a browser at the start."),
    ] = True,
) -> None:
    """Open a local web page that predicts, trains and compares runs."""
    from marginlens.explorer.server import explore as serve

    def ready(url: str) -> None:
        out.print(f"the explorer is at {url} (Ctrl-C ends it)", soft_wrap=True)
        if host not in ("127.0.0.1", "localhost", "::1"):
            out.print("everyone who can reach this address can train and save runs", style="yellow")

    serve(folder, host=host, port=port, browser=browser, allowed=allow_host or (), ready=ready)
