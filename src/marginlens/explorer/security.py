"""Security headers of all responses, and refusal of requests under unknown host names."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, abort, request

if TYPE_CHECKING:
    from flask import Response

__all__ = ["LOOPBACK", "connect_guard"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Host names of the loopback interface."""

_HEADERS = {
    # scripts of this page only; Dash writes some into the page, and Plotly compiles a few
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def connect_guard(server: Flask, host: str, allowed: Collection[str] = ()) -> None:
    """Refuse requests under foreign host names, and set headers that forbid foreign content.

    A request under another host name comes from a page whose name was made to point here (DNS
    rebinding). A request with another site's ``Origin`` is refused too.

    Parameters
    ----------
    server
        Flask server of the application.
    host
        Address that the server listens on. On loopback only loopback names are accepted, else also
        numeric addresses and this machine's host names.
    allowed
        Further accepted host names, such as that of a proxy.
    """
    extra = {name.lower() for name in allowed}
    known = LOOPBACK | extra
    local = host in LOOPBACK
    if not local:
        known |= {socket.gethostname().lower(), socket.getfqdn().lower(), host.lower()}

    def is_known(place: str) -> bool:
        name = (urlsplit(f"//{place}").hostname or "").lower()
        return name in known or (not local and _is_address(name))

    @server.before_request
    def refuse_strangers() -> None:
        if not is_known(request.host):
            abort(403)
        origin = request.headers.get("Origin")
        if origin is None or request.method == "GET":
            return
        place = urlsplit(origin)
        if place.netloc != request.host and (place.hostname or "").lower() not in extra:
            abort(403)

    @server.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
