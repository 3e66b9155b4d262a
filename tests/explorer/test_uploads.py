"""What visitors upload and type: bounded, and data alone."""

import base64
import io

import numpy as np
import pytest
import torch

from marginlens.explorer.form_values import Tables, asked_task, asked_whole
from marginlens.explorer.jobs.locks import alone
from marginlens.explorer.pages.measure import _answer
from marginlens.explorer.pages.measure import _answer as answer_page
from marginlens.explorer.uploads import LARGEST_UPLOAD, uploaded_group, uploaded_network
from marginlens.formats import read_network
from marginlens.groups import group
from marginlens.measures import examine_table
from marginlens.networks import construct
from marginlens.tasks import task, task_over


def sent(content: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(content).decode()


def csv(table) -> str:
    return sent("\n".join(",".join(map(str, row)) for row in table.tolist()).encode())


@pytest.mark.parametrize(
    "name",
    [
        "S3.csv",
        "x mod 7.csv",
        "compose(C3,3).csv",
        "..\\..\\a.csv",
        "../b.csv",
        "<b>.csv",
        "S3×C4 ℤ.csv",
    ],
)
def test_a_tables_name_is_never_a_tasks_syntax(name):
    table = group("Q8").table
    found = uploaded_group(csv(table), name)
    assert (found.table == table).all()
    chosen = task(found)
    assert chosen.name == name.replace("\\", "/").rpartition("/")[2]
    again = task_over(chosen.name, found)  # as a saved run is read
    assert again.name == chosen.name
    assert (again.answers == chosen.answers).all()


def test_what_is_no_table_is_said_of_the_visitors_file():
    for content, name, words in (
        (b"0,1\n1,1\n", "mine.csv", "no group"),
        (b"\x80\x04K\x00.", "mine.npy", "mine.npy: not a readable"),
        (b"MZ", "mine.exe", "expected a table file that ends in .csv, .tsv"),
        (b"0" * (LARGEST_UPLOAD + 10), "mine.npy", "mine.npy is larger than 4 MB"),
    ):
        with pytest.raises(ValueError, match=r".") as caught:
            uploaded_group(sent(content), name)
        assert words in str(caught.value)
        assert "/tmp" not in str(caught.value)
    with pytest.raises(ValueError, match="damaged"):
        uploaded_group("data:;base64,%%%", "a.csv")


def test_a_network_is_read_as_by_the_command_line():
    weights = {name: p[0].numpy() for name, p in construct(task("C5")).tensors.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **weights)
    found = uploaded_network(sent(buffer.getvalue()), "mine.npz", "uvw")
    assert found.task.name == "C5"
    assert (found.logits.argmax(1) == found.task.answers).all()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "run/last.ckpt",
            b"version https://git-lfs.github.com/spec/v1\n",
            "last.ckpt is a Git LFS",
        ),
        ("weights.bin", b"<!doctype html>", "weights.bin is a web page (HTML)"),
        ("a.pt", b"cos\nsystem\n(S'true'\ntR.", "a.pt would execute code when it is read"),
        ("a.txt", b"", "expected a network file that ends in .pt, .pth, .ckpt"),
    ],
)
def test_what_is_no_network_is_called_what_it_is(name, content, words):
    with pytest.raises(ValueError, match=r"\S") as error:
        uploaded_network(sent(content), name)
    assert words in str(error.value)
    assert "upload." not in str(error.value)


def test_the_measure_page_says_first_that_a_network_answers_little():
    times = task("xy mod 7")
    sent_file = _logits(np.eye(7)[times.answers])
    found = uploaded_network(sent_file, "x.npz", "npz")
    page = str(_answer(found, examine_table(found.logits, found.task)))
    assert page.index("Low accuracy") < page.index("Accuracy")
    assert "--group" in page
    found = uploaded_network(sent_file, "x.npz", "npz", group="xy mod 7")
    page = str(_answer(found, examine_table(found.logits, found.task)))
    assert "Low accuracy" not in page
    assert "multiply as C6" in page
    carry = (
        np.array([[(a + b) % 8 - 2 * (a % 2 and b % 2) for b in range(8)] for a in range(8)]) % 8
    )
    found = uploaded_network(_logits(np.eye(8)[carry]), "x.npz", "npz", group="C8")
    page = str(_answer(found, examine_table(found.logits, found.task)))
    assert page.index("The network answers another task") < page.index("Accuracy")


def _logits(rows):
    buffer = io.BytesIO()
    np.savez(buffer, logits=rows)
    return sent(buffer.getvalue())


def test_a_few_bytes_that_stand_for_gigabytes_are_refused():
    buffer = io.BytesIO()
    torch.save({"W_E": torch.zeros(1).expand(100, 10_000_000)}, buffer)
    with pytest.raises(ValueError, match=r"tensors of 4.0 GB"):
        uploaded_network(sent(buffer.getvalue()), "a.pt", "nanda")
    packed = io.BytesIO()
    np.savez_compressed(packed, u=np.zeros((6000, 6000)))
    assert len(packed.getvalue()) < LARGEST_UPLOAD
    with pytest.raises(ValueError, match=r"unpacks to 0.3 GB"):
        uploaded_network(sent(packed.getvalue()), "a.npz", "uvw")


@pytest.mark.parametrize(
    "spec",
    ["/etc/passwd", "a.csv", "..\\b", "xy in /x.npy", "C5/../C7", "x" * 201, "", "table:0000"],
)
def test_a_task_is_never_a_file(spec):
    with pytest.raises(ValueError, match=r"upload|type a task|characters"):
        asked_task(spec, Tables())


def test_uploaded_tables_are_named_by_what_they_hold():
    tables = Tables(kept=2)
    first = tables.add(group("S3", name="mine"))
    assert tables.add(group("S3", name="yours")) == first
    assert asked_task(first, tables).size == 6
    others = [tables.add(group(name)) for name in ("C5", "C7")]
    assert len({first, *others}) == 3
    with pytest.raises(ValueError, match="upload the file again"):
        tables.get(first)


def test_numbers_are_whole_and_in_their_range():
    assert asked_whole(" 7 ", "n", least=1, most=9) == 7
    for words in ("0", "10", "1.5", "-3", "seven", "9" * 30):
        with pytest.raises(ValueError, match=r"whole number from 1 to 9|int"):
            asked_whole(words, "n", least=1, most=9)


def test_one_at_a_time():
    with (
        alone("busy"),
        pytest.raises(ValueError, match="busy; try again"),
        alone("busy", wait=0.01),
    ):
        pass
    with alone("busy", wait=0.01):
        pass


def test_the_page_names_the_algorithm_before_the_measures(tmp_path):
    weights = {name: p[0].numpy() for name, p in construct(task("C7")).tensors.items()}
    np.savez(tmp_path / "mine.npz", **weights)
    found = read_network(tmp_path / "mine.npz")
    seen = examine_table(found.logits, found.task, network=found.network)
    page = str(answer_page(found, seen))
    assert page.index(seen.learned.summary) < page.index("Published interpretability metrics")
    assert "one of 3 frequencies" in seen.learned.summary
