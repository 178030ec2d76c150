import pytest
import torch

from trlkit.bench import gpus


def test_the_table_compares_with_one_device(monkeypatch, capsys, tmp_path):
    def measured(count, accelerator, samples, epochs, batch_size, workers):
        assert (accelerator, samples, epochs, batch_size, workers) == ("cpu", 600, 3, 8, 5)
        return {name: {"seconds": [99.0, 6 / count, 6 / count]} for name in gpus.RECIPES}

    monkeypatch.setattr(gpus, "measure", measured)
    options = ["--samples", "600", "--epochs", "3", "--batch", "8", "--workers", "5"]
    options += ["--accelerator", "cpu"]
    gpus.main([*options, "--most", "5", "--out", str(tmp_path / "found.md")])
    text = (tmp_path / "found.md").read_text("utf-8")
    assert text.strip() == capsys.readouterr().out.strip()
    for name in gpus.RECIPES:
        found = [row.split("|")[2:-1] for row in text.splitlines() if row.startswith(f"| {name}")]
        assert [[int(a), float(b), float(c)] for a, b, c in found] == [
            [1, 100, 1], [2, 200, 2], [4, 400, 4]
        ]  # fmt: skip


def test_without_a_gpu_it_says_what_can_be_tried(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SystemExit, match="--accelerator cpu --most 2"):
        gpus.main([])
