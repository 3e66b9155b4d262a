"""Every failure ends in one line and an exit code; a traceback is shown on request only."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from marginlens import cli, tasks


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MARGINLENS_DEBUG", raising=False)


def library_value_error(spec):
    return np.zeros(3).reshape(2, 2)


def library_key_error(spec):
    return {}[spec]


def own_type_error(spec):
    return len(3)  # pyright: ignore[reportArgumentType]


def own_index_error(spec):
    return [][5]


def assertion(spec):
    raise AssertionError("the sum is 3")


def zero_division(spec):
    return 1 / 0


def floating_point(spec):
    with np.errstate(all="raise"):
        return np.float64(1e308) * np.float64(10)


@pytest.mark.parametrize(
    ("bug", "name"),
    [
        (library_value_error, "ValueError"),
        (library_key_error, "KeyError"),
        (own_type_error, "TypeError"),
        (own_index_error, "IndexError"),
        (assertion, "AssertionError"),
        (zero_division, "ZeroDivisionError"),
        (floating_point, "FloatingPointError"),
    ],
)
def test_a_bug_is_an_internal_error_with_a_traceback_on_request(call, monkeypatch, bug, name):
    monkeypatch.setattr(tasks, "task", bug)
    code, printed, error = call("predict", "C5")
    assert (code, printed) == (70, "")
    assert error.startswith(f"marginlens: Internal error: {name}: ")
    assert "please report it" in error
    assert error.endswith("with the output of the same command with --debug\n")
    assert error.count("\n") == 1
    for arguments in (["predict", "C5", "--debug"], ["--debug", "predict", "C5"]):
        code, _, error = call(*arguments)
        assert code == 70
        assert error.startswith("Traceback")
        assert bug.__name__ in error
        assert error.splitlines()[-1].startswith("marginlens: Internal error")
    monkeypatch.setenv("MARGINLENS_DEBUG", "1")
    assert call("predict", "C5")[2].startswith("Traceback")


CPU_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 9999999 bytes. Error code 12 (Cannot allocate memory)"
)
KINDS = [
    (RuntimeError(CPU_MEMORY), 2, ["not enough memory", "--width"]),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), 2, ["--batch"]),
    (np.linalg.LinAlgError("SVD did not converge"), 70, ["Internal error: LinAlgError"]),
    (MemoryError(), 2, ["not enough memory", "--seeds"]),
    (MemoryError("Unable to allocate 9 TiB for an array"), 2, ["Unable to allocate 9 TiB"]),
    (AssertionError("Torch not compiled with CUDA enabled"), 2, ["--device cpu"]),
    (RuntimeError("No CUDA GPUs are available"), 2, ["GPU", "--device cpu"]),
    (RuntimeError("[W socket.cpp] The client socket has failed to connect"), 2, ["torchrun"]),
    (RuntimeError("Expected all tensors to be of one size"), 70, ["Internal error: RuntimeError"]),
    (RecursionError("maximum recursion depth exceeded"), 2, ["nested too deeply"]),
    (OSError(28, "No space left on device", "runs/C5"), 2, ["no space left", "'runs/C5'", "--out"]),
    (PermissionError(13, "Permission denied", "a[b]"), 2, ["permission denied: 'a[b]'"]),
    (ModuleNotFoundError("No module named 'dash'", name="dash"), 2, ["'marginlens[explorer]'"]),
    (ModuleNotFoundError("No module named 'PIL'", name="kaleido.x"), 2, ["'marginlens[images]'"]),
    (ModuleNotFoundError("No module named 'qqq'", name="qqq"), 70, ["Internal error"]),
    (EOFError("compressed file ended"), 2, ["damaged"]),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2, ["damaged"]),
    (KeyboardInterrupt(), 130, []),
    (BrokenPipeError(32, "Broken pipe"), 141, []),
]


@pytest.mark.parametrize(("failure", "code", "words"), KINDS, ids=[repr(k[0])[:60] for k in KINDS])
def test_known_kinds_of_failures_come_with_advice(call, monkeypatch, failure, code, words):
    def fail(spec):
        raise failure

    monkeypatch.setattr(tasks, "task", fail)
    found, printed, error = call("predict", "C5")
    assert (found, printed) == (code, "")
    assert error.count("\n") == (1 if words else 0)
    assert all(word in error for word in words), error
    assert "Traceback" not in error


EMPTY = [
    ("run", "C5", "--out", ""),
    ("train", "C5", "--out", "  ", "--overwrite"),
    ("train", "--resume", ""),
    ("sweep", "query", "", "select 1"),
    ("theory", "path", "C5", "--figure", ""),
    ("verify", ""),
    ("measure", " "),
    ("sweep", "run", ""),
    ("explore", ""),
    ("atlas", "--out", ""),
    ("theory", "certify", "C5", "--out", ""),
]


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_name_is_not_the_working_folder(call, tmp_path, arguments):
    code, printed, error = call(*arguments)
    assert (code, printed) == (2, "")
    assert error.startswith("marginlens: expected the name of a file or folder for ")
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_without_greek_letters_gets_their_names(tmp_path, monkeypatch):
    with open(tmp_path / "ascii", "w", encoding="ascii") as file:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "argv", ["marginlens", "predict", "C5"])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 0
    printed = (tmp_path / "ascii").read_text("ascii")
    assert "maximum margin gamma*" in printed
    assert "| k=1" in printed  # borders too


def test_output_that_is_closed_or_full_is_no_traceback(monkeypatch, tmp_path, capfd):
    class Full:
        encoding = "utf-8"

        def write(self, text):
            raise OSError(28, "No space left on device")

        def flush(self):
            raise OSError(28, "No space left on device")

        def isatty(self):
            return False

        def fileno(self):
            raise ValueError("no file")

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "argv", ["marginlens", "predict", "C5", "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "no space left on device" in capfd.readouterr().err
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0


def test_where_to_report_comes_from_the_package(monkeypatch):
    from email.message import Message

    from marginlens.cli import failures

    package = Message()
    assert failures.report_address().startswith((" at http", " to the MarginLens"))
    package["Project-URL"] = "Homepage, https://example.org"
    package["Project-URL"] = "Issues, https://example.org/issues"
    monkeypatch.setattr(failures.metadata, "metadata", lambda name: package)
    assert failures.report_address() == " at https://example.org/issues"


@pytest.mark.system
@pytest.mark.skipif(os.name != "posix", reason="pipes as on Unix")
def test_head_ends_a_command_quietly():
    line = f"{sys.executable} -m marginlens predict C71 | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("C71")
    assert done.returncode in (0, 141)


def test_debug_after_two_dashes_is_an_argument():
    without_debug = sys.modules["marginlens.cli.app"]._without_debug
    arguments = ["predict", "--", "--debug"]
    assert without_debug(arguments) == (arguments, False)
    assert without_debug(["--debug", "predict", "C5"]) == (["predict", "C5"], True)


def messages():
    """Texts of the errors that the command line raises, with X for each inserted value."""
    for file in sorted(Path(cli.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            if ast.unparse(node.exc.func) not in ("ValueError", "MarginLensError"):
                continue
            for argument in node.exc.args:
                parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                if all(isinstance(one, ast.Constant | ast.FormattedValue) for one in parts):
                    said = [one.value if isinstance(one, ast.Constant) else "X" for one in parts]
                    yield file.name, "".join(map(str, said))


def test_error_messages_are_short_and_name_what_was_expected():
    texts = list(messages())
    assert len(texts) > 30
    for file, text in texts:
        for sentence in re.split(r"[.;:] ", text):
            assert len(sentence.split()) <= 25, (file, text)
        # a usual error names the expected input; the others say what to add or leave out
        grammar = r"expect(s|ed)? .*(; |see )|; (add|use) |leave .* out|choose"
        assert text == "X" or re.search(grammar, text), (file, text)
