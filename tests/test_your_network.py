"""Scripts of docs/your-network.md, executed as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import marginlens as ml

PAGE = (Path(__file__).parents[1] / "docs" / "your-network.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PRINTED = re.findall(
    r"```\n(?!\n)((?:(?!```).)*?)```\n", PAGE.replace("```python", "~~~"), re.DOTALL
)


@pytest.mark.system
def test_a_plain_loop_on_s4_passes_every_claim(capsys):
    names = {}
    for block in BLOCKS[:3]:
        exec(compile(block, "your-network.md", "exec"), names)
    printed = capsys.readouterr().out.strip()
    assert names["verdict"].count == "10 of 10 guaranteed claims pass"
    assert names["verdict"].status == "passes"
    for line in printed.splitlines():
        assert line in PAGE
    assert len(printed.splitlines()) == 3


def script(name, tmp_path, monkeypatch):
    """Execute the script on a group, with what it leaves to the reader."""
    monkeypatch.chdir(tmp_path)
    group = ml.Task(name)
    logged = []
    best = ml.optimal_network("C5")
    torch.save({n: p[0] for n, p in best.tensors.items()}, tmp_path / "model.pt")

    class MyModule(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.Embedding(group.size, 16)
            self.out = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, group.size))

        def forward(self, rows):
            return self.out(self.embed(rows).flatten(1))

    names = {
        "MyModule": MyModule,
        "log": logged.append,
        "my_rows": np.arange(0, len(group.answers), 2),
    }
    exec(compile(BLOCKS[3].replace('"S5"', repr(name)), "your-network.md", "exec"), names)
    assert [one["accuracy"] for one in logged] == [logged[0]["accuracy"]] * 20
    frame = names["frame"]
    assert len(frame) == 200
    assert set(frame["maximum_margin"]) == {ml.predict("C5").margin}
    share = frame["normalized_margin"] / frame["maximum_margin"]
    np.testing.assert_allclose(frame["margin_share"], share, rtol=1e-12)
    wide = frame[frame["width"] == 8]["margin_share"].mean()
    assert frame[frame["width"] == 2]["margin_share"].mean() < wide <= 1
    return names


@pytest.mark.system
def test_the_script_runs_on_s3(tmp_path, monkeypatch, capsys):
    names = script("S3", tmp_path, monkeypatch)
    assert (tmp_path / "runs/S5/verdict.json").is_file()
    assert "claims are known" in capsys.readouterr().out
    assert names["run"].verdict.task == "S3"


@pytest.mark.slow
def test_the_script_runs_as_it_stands(tmp_path, monkeypatch):
    assert script("S5", tmp_path, monkeypatch)["run"].verdict.status == "passes"
