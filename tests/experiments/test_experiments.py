"""Experiments: what is done stays done, rivals are of one size, the report is one of the rows."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trlkit.experiments import features, found, report, rows
from trlkit.experiments import plan as plans
from trlkit.experiments.heads import RIVALS, Head, make, parameters
from trlkit.experiments.networks import activation
from trlkit.experiments.run import run_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Random JPEG files in one npz."""
    draw, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 400), ("test", 100)):
        files = []
        for _ in range(count):
            file = io.BytesIO()
            Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(file, "JPEG")
            files.append(np.frombuffer(file.getvalue(), np.uint8))
        arrays[f"{part}_bytes"] = np.concatenate(files)
        arrays[f"{part}_offsets"] = np.cumsum([0, *map(len, files)])
        arrays[f"{part}_labels"] = (np.arange(count) % 10).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, **arrays)
    return path


def test_a_stopped_plan_goes_on_and_repeats_its_numbers(pictures, tmp_path):
    plan = plans.load("samples", smoke=True)
    whole, out = tmp_path / "whole.csv", tmp_path / "rows.csv"
    assert run_plan(plan, pictures, whole, tmp_path) == (0, 0)
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    out.write_text("".join(lines[:-2]) + lines[-2][:20], encoding="utf-8")  # killed while writing
    assert run_plan(plan, pictures, out, tmp_path) == (0, 0)
    accuracies = [
        {rows.key(row): (row["accuracy"], row["validation"]) for row in rows.read(path)}
        for path in (whole, out)
    ]
    assert len(accuracies[0]) == len(list(plans.runs(plan)))
    assert accuracies[0] == accuracies[1]


def test_no_run_begins_after_the_time_is_up(pictures, tmp_path):
    plan = plans.load("samples", smoke=True)
    left, failed = run_plan(plan, pictures, tmp_path / "rows.csv", tmp_path, seconds=0)
    assert (left, failed) == (len(list(plans.runs(plan))), 0)


@pytest.mark.parametrize("name", plans.NAMES)
def test_rivals_have_the_parameters_of_the_trl(name):
    plan = plans.load(name)
    for case in plan.cases:
        backbone = plan.backbone_of(case)
        shape = case.shape if backbone == "none" else activation(backbone)
        with torch.device("meta"):
            size = parameters(make(plan.head("CP"), shape, case.classes))
        for kind in RIVALS:
            assert parameters(make(Head(kind, kind), shape, case.classes)) == pytest.approx(
                size, rel=0.05
            ), (case.name, kind)


def test_the_report_twice_gives_the_same_bytes(tmp_path):
    table = rows.Table(tmp_path / "rows.csv")
    for name in plans.NAMES:
        plan = plans.load(name)
        for run in (run for run in plans.runs(plan) if run.stage == "final" and run.seed < 2):
            made = {column: 0.1 + len(run.head) / 100 for column in rows.ATTACKS}
            made |= {"accuracy": 0.5 + len(run.head) / 100 + run.seed / 10, "ece": 0.1}
            key = dict(zip(("plan", "stage", "case", "head", "seed"), run.key, strict=True))
            table.add({**key, **made, "parameters": 10 + len(run.head)})
    first, second = (report.write(table.path, tmp_path / name) for name in ("a", "b"))
    assert len(first) == 10
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert "CP beats all three nowhere." in first[0].read_text(encoding="utf-8")


def test_features_are_balanced_and_of_pictures_that_the_backbone_has_not_seen(pictures, tmp_path):
    out = features.make(pictures, tmp_path / "f.npz", tmp_path, "r", each=1, small=True)
    with np.load(out) as found:
        assert found["train"].shape == found["test"].shape == (10, 512, 4, 4)
        assert found["train"].dtype == np.float16
        assert sorted(found["train_labels"]) == sorted(found["test_labels"]) == list(range(10))
        assert str(found["about"]).startswith("CIFAR-10, ")
    with pytest.raises(ValueError, match="has . pictures, 9 were asked for"):
        features.make(pictures, tmp_path / "f.npz", tmp_path, "r", each=9, small=True)


@pytest.mark.parametrize(
    "middle, half, relations",
    [(0.02, 0.01, ">"), (-0.02, 0.01, "< <="), (0.003, 0.001, "> ="), (-0.001, 0.002, "= <=")],
)
def test_a_claim_holds_where_the_interval_says_so(middle, half, relations):
    off = found.Difference(middle, half, 5)
    for relation in (">", "<", "=", "<="):
        claim = plans.Claim("all", "CP", relation, "FC")
        assert claim.holds(off) is (relation in relations.split()), relation
        assert claim.holds(found.Difference(middle, 0.1, 5)) is None


def test_every_claim_of_a_plan_is_of_its_cases_and_heads():
    for name in plans.NAMES:
        plan = plans.load(name)
        cases, heads = {case.name for case in plan.cases}, {head.name for head in plan.heads}
        for sentence in plan.expected:
            assert sentence.claims, sentence
            for claim in sentence.claims:
                assert claim.case in cases, claim
                assert {claim.head, claim.other} <= heads, claim
                assert claim.column in rows.COLUMNS, claim


def test_the_page_and_the_quoted_numbers_are_those_of_the_table(tmp_path):
    written = report.write(ROOT / "results" / "experiments.csv", tmp_path)
    kept = ROOT / "docs" / "results" / "experiments.md"
    assert written[0].read_text(encoding="utf-8") == kept.read_text(encoding="utf-8")
    assert {path.name for path in written[1:]} == {p.name for p in kept.parent.glob("exp*.svg")}
    table = rows.read(ROOT / "results" / "experiments.csv")
    quoting = found.quoting(ROOT)
    assert quoting
    for path in quoting:
        text = path.read_text(encoding="utf-8")
        assert found.quote(text, table) == text, f"{path}: trlkit experiments report mends it"


def test_a_number_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="no number for 'heads; all; CPP; accuracy'"):
        found.quote("<!--fact heads; all; CPP; accuracy-->1<!--/fact-->", [])
