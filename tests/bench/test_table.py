import csv
import math

import pytest
import torch
from torch import nn

from trlkit import CPTRL, cli
from trlkit.bench import measure, results, table
from trlkit.bench.measure import Rival, Timing
from trlkit.bench.table import Case, Result
from trlkit.contraction import native
from trlkit.contraction.costs import PATHS

TINY = [Case(name, (6, 3, 2), 4, 2, 3) for name in PATHS]


@pytest.fixture(scope="module")
def found():
    return list(table.bench(TINY, seconds=0))


def rival(module, *shape):
    x = torch.randn(shape, requires_grad=True)
    return Rival(module, x, torch.ones_like(module(x)))


def test_every_case_has_all_rivals_and_their_memory(found):
    for result in found:
        names = {"linear", "tltorch", "auto", *PATHS[result.case.factorization]}
        assert set(result.times) == set(result.peaks) == names
        assert result.path in PATHS[result.case.factorization]
        assert all(0 < t.forward < t.both and t.rounds >= 3 for t in result.times.values())
        assert all(peak > 0 for peak in result.peaks.values())
        assert not result.notes


def test_a_peak_is_what_is_held_at_the_worst_moment():
    class Twice(nn.Module):
        def forward(self, x):
            return x.exp().exp()

    # Two saved results; then, beside both, the gradients of the inner one and of x.
    assert measure.peak_bytes(rival(Twice(), 10, 100)) == 4 * 1000 * 4


def test_memory_of_a_rebuilding_path_counts_the_weight_and_its_gradient():
    layer = CPTRL((512, 7, 7), 10, 4, contraction="rebuild")
    peak = measure.peak_bytes(rival(layer, 1, 512, 7, 7))
    weight = 4 * 25088 * 10
    assert 2 * weight < peak < 2.5 * weight


def test_rivals_take_turns_and_slow_ones_rest(monkeypatch):
    ran, seconds = [], {"fast": 1.0, "slow": 9.0}

    def timed(who):
        ran.append(who)
        return seconds[who] / 2, seconds[who]

    monkeypatch.setattr(measure, "_timed", timed)
    rivals = {name: name for name in seconds}
    timings = measure.interleaved(rivals, "fast", seconds=9, least=2, most=4)
    assert all({*ran[k : k + 2]} == {"fast", "slow"} for k in (0, 2))
    assert ran[4:] == ["fast", "fast"]
    assert timings == {"fast": Timing(500, 1000, 4), "slow": Timing(4500, 9000, 2)}


def test_a_rival_with_other_numbers_is_an_error(monkeypatch):
    class Wrong(CPTRL):
        def to_tltorch(self):
            other = super().to_tltorch()
            other.bias.data += 1
            return other

    monkeypatch.setitem(table.LAYERS, "cp", Wrong)
    with pytest.raises(ArithmeticError, match="the output of tltorch is .* mend this path"):
        table.measure(TINY[0], seconds=0)


def test_without_tltorch_the_rest_is_measured(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tltorch", None)
    result = table.measure(TINY[0], seconds=0)
    assert result.notes == ["no tltorch here"] and result.speed is result.memory is None
    assert result.regret > 0
    page = results.markdown([result], "trlkit bench", "cpu", planned=2)
    assert ", 1 of its 2 cases. " in page
    assert "nothing to compare with" in page and "no tltorch here" in page


def test_what_does_not_fit_is_left_out_and_named(monkeypatch):
    monkeypatch.setattr(table, "_needed", lambda case, layer, name: 2e9 * (name == "khatri_rao"))
    monkeypatch.setattr(table, "_free", lambda device: 1e9)
    result = table.measure(TINY[0], seconds=0)
    assert "khatri_rao" not in result.times
    assert result.notes == ["khatri_rao: needs 2.0 GB, 1.0 GB are free"]


def test_a_case_that_does_not_fit_at_all_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(table, "_free", lambda device: 0)
    assert list(table.bench(TINY[:1], seconds=0)) == []
    assert (
        "B=3 left out; linear: needs 0.0 GB, 0.0 GB are free; tltorch:" in capsys.readouterr().err
    )


def test_a_noisy_case_is_measured_again(monkeypatch):
    asked = []

    def interleaved(rivals, about, seconds):
        asked.append(seconds)
        times = {name: Timing(1, 9 if name == "tltorch" else 2, 5) for name in rivals}
        times["auto"] = Timing(1, 2 if len(asked) > 2 else 3, 5)
        return times

    monkeypatch.setattr(table, "interleaved", interleaved)
    result = table.measure(TINY[0], seconds=1)
    assert asked == [1, table.LONGER, table.LONGER]
    assert result.times["auto"].both == 2 and result.noise == 1


def test_the_grid_has_no_rank_twice_and_none_above_what_the_shape_can_use():
    cases = table.grid()
    assert len({(*case._replace(rank=0), table.rank_of(case)) for case in cases}) == len(cases)
    assert {case.outputs for case in cases if case.rank == 10000} == {10}
    assert table.rank_of(Case("tucker", (64, 13, 13), 7, 1000, 1)) == (64, 13, 13, 7)
    assert table.rank_of(Case("tt", (64, 13, 13), 7, 1000, 1)) == (1, 64, 91, 7, 1)
    assert table.rank_of(Case("cp", (64, 13, 13), 7, 1000, 1)) == 1000


def test_only_names_the_words_that_there_are():
    with pytest.raises(ValueError, match="--only R=9 is in no case: choose from .* R=8"):
        table.only(table.grid(), ["R=9"])


def test_the_summary_has_the_means_and_the_worst_cases():
    def result(speed, regret, memory, batch):
        times = {"tltorch": speed, "linear": 1, "auto": 1, "merged": 2, "rebuild": 1 / regret}
        times = {name: Timing(ms / 2, ms, 9) for name, ms in times.items()}
        peaks = {"tltorch": 100, "linear": 50, "auto": round(100 * memory)}
        case = Case("tt", (512, 7, 7), 1000, 1000, batch)
        return Result(case, (1, 2, 3, 4, 1), "rebuild", times, peaks)

    text = results.summary([result(9, 1.21, 0.1, 1), result(1, 1, 0.2, 128)])
    assert "| all | 2 | 3.00 | 1.00 | 0 | 1.00 | 1.100 | 1.21 | 0.14 | 0.200 |" in text
    assert "Slowest beside tltorch: tt (512, 7, 7) N=1000 R=1000 B=128 (rebuild) 1.00;" in text
    assert "N=1000, R=1000: at most 0.20" in text
    assert "differ by 10 % in the median and 21 % at most" in text


def test_the_command_writes_both_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(table, "grid", lambda quick: TINY)
    options = ["bench", "--quick", "--only", "cp", "tt", "--seconds", "0"]
    assert cli.main([*options, "--out", str(tmp_path / "tables")]) == 0
    page = (tmp_path / "tables" / "cpu.md").read_text(encoding="utf-8")
    assert "`trlkit bench --device cpu --quick --only cp tt --seconds 0`" in page
    assert str(tmp_path) not in page and torch.__version__ in page
    assert page in capsys.readouterr().out
    lines = list(csv.DictReader((tmp_path / "tables" / "cpu.csv").open(encoding="utf-8")))
    assert len(lines) == 2 * 6
    assert all(math.isfinite(float(line["forward_backward_ms"])) for line in lines)
    assert sum(line["chosen"] == "1" for line in lines) == 2
    assert cli.main([*options, "--out", str(tmp_path / "one.csv")]) == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["one.csv"]


def test_an_interrupt_keeps_what_was_measured(monkeypatch, capsys):
    def measure(case, device, seconds, best):
        if case == TINY[1]:
            raise KeyboardInterrupt
        return Result(case, 2, "rebuild", dict.fromkeys(["auto", "rebuild"], Timing(1, 2, 3)), {})

    monkeypatch.setattr(table, "measure", measure)
    assert [result.case for result in table.bench(TINY)] == TINY[:1]
    assert "interrupted after 1 of 3 cases" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_command_says_what_is_wrong_with_its_options(capsys, monkeypatch):
    monkeypatch.setattr(native, "build", lambda: pytest.fail("compiles before it has looked"))
    assert cli.main(["bench", "--device", "cuda"]) == 2
    assert "torch finds no GPU here: use --device cpu" in capsys.readouterr().err
    assert cli.main(["bench", "--only", "cq"]) == 2
    assert "--only cq is in no case" in capsys.readouterr().err


@pytest.mark.gpu
def test_on_a_gpu_graphs_are_timed_too():
    result = table.measure(TINY[0], "cuda", seconds=0)
    assert "graphed" in result.times and "graphed" not in result.peaks
