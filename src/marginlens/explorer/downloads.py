"""Download of a run's files by the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, abort, send_file

from marginlens.explorer.library import Library
from marginlens.report import report

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as Answer

    from marginlens.runs import Run

__all__ = ["DOWNLOADS", "connect_downloads", "downloads_of"]

DOWNLOADS = (
    "report.html",
    "recipe.toml",
    "history.parquet",
    "verdict.json",
    "prediction.json",
    "parameters.safetensors",
    "snapshots.safetensors",
)
"""Names of the files of a run that can be downloaded; all others are refused."""


def downloads_of(run: Run) -> list[str]:
    """Return the ``DOWNLOADS`` that a run has; the report only if its neurons are measured."""
    folder = run.folder
    there = [name for name in DOWNLOADS[1:] if folder is not None and (folder / name).is_file()]
    return ([DOWNLOADS[0]] if run.is_measured else []) + there


def connect_downloads(server: Flask, library: Library) -> None:
    """Serve ``/download/RUN/FILE``; the HTML report is written at each request."""

    @server.get("/download/<path:name>/<file>")
    def download(name: str, file: str) -> Answer:
        if file not in DOWNLOADS:
            abort(404)
        try:
            folder = library.folder_of(name)
            if file == "report.html":
                page = report(library.run(name))
                return Response(
                    page,
                    mimetype="text/html",
                    headers={"Content-Disposition": "attachment; filename=report.html"},
                )
        except (ValueError, OSError):
            abort(404)
        path = folder / file
        if not path.is_file() or path.is_symlink():
            abort(404)
        return send_file(path.absolute(), as_attachment=True, download_name=file)
