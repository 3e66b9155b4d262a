"""Starting the explorer: what it says where it cannot."""

import socket

import pytest

from marginlens.explorer import server
from marginlens.explorer.downloads import DOWNLOADS
from marginlens.explorer.security import connect_guard

HINT = "pip install 'marginlens[explorer]'"


def test_a_missing_library_is_one_line_with_the_command(call, monkeypatch, tmp_path):
    found = server.find_spec
    monkeypatch.setattr(
        server, "find_spec", lambda name: None if name == "waitress" else found(name)
    )
    code, printed, error = call("explore", tmp_path, "--no-browser")
    assert (code, printed) == (2, "")
    assert "waitress" in error
    assert HINT in error


def test_a_port_that_is_taken_is_one_line_with_another(call, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, error = call("explore", tmp_path, "--no-browser", "--port", port)
    assert code == 2
    assert str(port) in error
    assert "--port" in error
    assert error.count("\n") == 1


def test_a_file_is_no_folder(call, tmp_path):
    (tmp_path / "runs").write_text("")
    code, _, error = call("explore", tmp_path / "runs", "--no-browser")
    assert code == 2
    assert "expected a folder, got the file" in error


@pytest.mark.parametrize(
    ("host", "asked", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8050", 200),
        ("127.0.0.1", "localhost", 200),
        ("127.0.0.1", "[::1]:8050", 200),
        ("127.0.0.1", "evil.example", 403),
        ("127.0.0.1", "127.0.0.1.evil.example", 403),
        ("127.0.0.1", "192.168.1.2:8050", 403),
        ("0.0.0.0", "192.168.1.2:8050", 200),
        ("0.0.0.0", "evil.example", 403),
        ("0.0.0.0", "LENS.example.org", 200),
        ("127.0.0.1", "lens.example.org", 200),
    ],
)
def test_which_names_are_answered(host, asked, status):
    from flask import Flask

    app = Flask("guarded")
    app.add_url_rule("/", view_func=lambda: "here", methods=["GET", "POST"])
    connect_guard(app, host, ["lens.example.org"])
    client = app.test_client()
    answer = client.get("/", headers={"Host": asked})
    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if status == 200:
        own = client.post("/", headers={"Host": asked, "Origin": f"http://{asked}"})
        other = client.post("/", headers={"Host": asked, "Origin": "http://evil.example"})
        proxy = client.post("/", headers={"Host": asked, "Origin": "https://lens.example.org"})
        assert (own.status_code, other.status_code, proxy.status_code) == (200, 403, 200)


def test_what_may_be_fetched_is_of_a_run():
    from marginlens.runs.folder import _FILES

    assert set(DOWNLOADS) <= _FILES
    assert "table.npy" not in DOWNLOADS
