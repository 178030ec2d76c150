"""The commands where something is missing: one sentence, and the line that installs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What `pip install torch` brings; numpy is not among it.
BROUGHT = """torch torchgen functorch triton nvidia typing_extensions sympy mpmath
networkx jinja2 markupsafe fsspec filelock setuptools"""
ALONE = f"""
import sys

class Alone:
    brought = {{*sys.stdlib_module_names, *{BROUGHT.split()!r}, "trlkit"}}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.brought and not name.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Alone())
for name in [name for name in sys.modules if name.partition(".")[0] not in Alone.brought]:
    del sys.modules[name]  # what the interpreter's own start brought, as of editable installs

from importlib import metadata

def version(name, found=metadata.version):
    if name not in Alone.brought:
        raise metadata.PackageNotFoundError(name)
    return found(name)

metadata.version = version
"""


def alone(code, folder):
    """Run code with torch alone."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        f"{ALONE}\nsys.path.insert(0, {str(ROOT)!r})\n{code}",
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", str(ROOT / "notebooks/00_welcome/00_welcome.ipynb")],
        ["progress"],
        ["build"],
        ["site"],
        ["lab"],
        ["experiments", "report"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_names_the_package_that_is_missing(arguments, tmp_path):
    done = alone(f"from trlkit.cli import main\nsys.exit(main({arguments!r}))", tmp_path)
    said = done.stderr.strip()
    assert done.returncode in (1, 2) and len(said.splitlines()) == 1, said
    assert re.search(r"(missing|not installed): pip install .*\[(course|dev)\]", said), said


def test_the_doctor_says_all_that_is_missing(tmp_path):
    done = alone("from trlkit.cli import main\nsys.exit(main(['doctor']))", tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    assert "torch computes" in done.stdout and done.stdout.endswith("to mend\n")
    for name in ("jupyterlab", "nbgrader", "tensorly"):
        assert f'{name} is missing: pip install -e ".[course]"' in done.stdout


def test_conversions_name_the_package_that_is_missing(tmp_path):
    calls = {
        "to_tltorch()": "tensorly-torch",
        "from_dense(torch.ones(3, 2, 2), 1)": "tensorly",
        "init_from_linear(torch.ones(2, 6))": "tensorly",
    }
    for call, package in calls.items():
        code = f"import torch, trlkit\ntry: trlkit.TTTRL((3, 2), 2, 1).{call}\n"
        done = alone(f"{code}except ImportError as error: print(error)", tmp_path)
        assert re.fullmatch(rf".* needs {package}: pip install .*\n", done.stdout), done


def test_a_users_script_passes_a_type_checker(tmp_path):
    api = pytest.importorskip("mypy.api")
    script = tmp_path / "script.py"
    script.write_text(
        """
import torch
from torch import Tensor, nn
from trlkit import CPTRL, TCL, TTTRL, TuckerTRL, rank_for_budget, replace_classifier
from trlkit import rank_penalty, tensor_dropout, unfold

trl = CPTRL((8, 3, 3), 10, rank=4, dropout=0.4)
x: Tensor = unfold(torch.ones(2, 3, 4), 1)
error: float = trl.init_from_linear(torch.ones(10, 8), pooling_modes=(1, 2))
smaller: CPTRL = tensor_dropout(trl, 0.2).prune(1e-3)
dense: TTTRL = TTTRL.from_dense(trl.to_dense(), 2)
layers: list[nn.Module] = [trl, TCL((4, 4), 2), TuckerTRL((4, 4), (2,), rank=(2, 2, 2))]
loss: Tensor = rank_penalty(trl) + trl(torch.ones(1, 8, 3, 3)).sum()
report = replace_classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), 10, rank=4)
name: str = report.name
rank = rank_for_budget((8, 3, 3), 10, "cp", max_params=500)
print(trl.explain(batch_size=8).path, trl.rank, rank)
"""
    )
    options = ["--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), str(script)]
    said, errors, code = api.run(options)
    assert code == 0, said + errors
    wrong = script.read_text().replace("rank=4, dropout", "rang=4, dropout")
    script.write_text(wrong)
    said, _, code = api.run(options)
    assert code == 1 and "rang" in said
