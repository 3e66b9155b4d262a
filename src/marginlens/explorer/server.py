"""Server of the explorer on this machine."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["explore", "require_explorer", "url_of"]

_THREADS = 8


def require_explorer() -> None:
    """Raise an error with the install command if a library of the explorer is missing.

    Raises
    ------
    ValueError
        If a library is missing.
    """
    for name in ("dash", "dash_mantine_components", "waitress"):
        if find_spec(name) is None:
            raise ValueError(
                f"the explorer needs {name}; install it with: pip install 'marginlens[explorer]'"
            )


def url_of(host: str, port: int) -> str:
    """Return the address of the server for a browser on this machine.

    Examples
    --------
    >>> url_of("127.0.0.1", 8050), url_of("0.0.0.0", 80), url_of("::1", 81)
    ('http://127.0.0.1:8050/', 'http://127.0.0.1:80/', 'http://[::1]:81/')
    """
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def explore(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8050,
    browser: bool = True,
    allowed: Collection[str] = (),
    ready: Any = None,
) -> None:
    """Serve the explorer until Ctrl-C or SIGTERM, then stop all trainings.

    Parameters
    ----------
    folder
        Folder that runs are read from and saved in.
    host, port
        Address and port to listen on; port 0 takes a free port.
    browser
        Whether to open the page in a browser.
    allowed
        Further accepted host names, such as that of a proxy.
    ready
        Function called with the page's address once the server listens.

    Raises
    ------
    ValueError
        If the port is taken, or ``folder`` is not a folder.
    """
    require_explorer()
    from waitress.server import create_server

    from marginlens.explorer.app import make_app
    from marginlens.explorer.context import Site
    from marginlens.explorer.form_values import Tables
    from marginlens.explorer.jobs.jobs import Trainings
    from marginlens.explorer.library import Library
    from marginlens.explorer.security import connect_guard

    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"expected a folder, got the file {str(folder)!r}; for example: marginlens explore runs"
        )
    listening = _listen(host, port)
    url = url_of(host, listening.getsockname()[1])
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    with contextlib.closing(Trainings(folder)) as trainings:
        app = make_app(Site(folder, Library(folder), trainings, Tables()))
        connect_guard(app.server, host, allowed)
        server = create_server(
            app.server,
            sockets=[listening],
            threads=_THREADS,
            max_request_body_size=8_000_000,
            ident="marginlens",
            channel_timeout=60,
        )
        _stop_on_signals(server)
        if ready is not None:
            ready(url)
        if browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt, SystemExit, OSError):
            server.run()
        server.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot listen on {host}, port {port} ({words}); choose another with: "
            f"marginlens explore --port {port + 1 if 0 < port < 65535 else 8051}"
        ) from None
    return listening


def _stop_on_signals(server: Any) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
