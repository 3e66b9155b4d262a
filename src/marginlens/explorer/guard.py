"""What every answer of the explorer says to browsers, and whom it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, abort, request

if TYPE_CHECKING:
    from flask import Response

__all__ = ["LOOPBACK", "connect_guard"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine to itself."""

_HEADERS = {
    # scripts of this page alone; Dash writes some into the page, and Plotly compiles a few
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def connect_guard(server: Flask, host: str) -> None:
    """Refuse other names than this machine's, and tell browsers to load nothing from elsewhere.

    Where the explorer listens to this machine alone, a request under another name comes from a page
    whose name was made to point here (DNS rebinding); one with another page's ``Origin`` is not ours
    either.

    Parameters
    ----------
    server
        The application's Flask server.
    host
        Where it listens.
    """
    local = host in LOOPBACK

    @server.before_request
    def refuse_strangers() -> None:
        asked = urlsplit(f"//{request.host}").hostname or ""
        if local and asked not in LOOPBACK:
            abort(403)
        origin = request.headers.get("Origin")
        if origin and request.method == "POST" and urlsplit(origin).netloc != request.host:
            abort(403)

    @server.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response
