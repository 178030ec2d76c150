"""Building the native step, and doing without it."""

import subprocess
import sys

import pytest
import torch

from trlkit.cli import main
from trlkit.contraction import native


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A machine where nothing was built."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.delenv(native.VARIABLE, raising=False)
    native.module.cache_clear()
    yield tmp_path
    native.module.cache_clear()


def test_a_library_is_of_one_torch_and_one_source(empty, monkeypatch, tmp_path):
    here = native.path()
    assert here.parent == empty
    monkeypatch.setattr(torch, "__version__", "2.0.0")
    assert native.path() != here
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    assert native.path() == here
    changed = tmp_path / "native.cpp"
    changed.write_text("// another")
    monkeypatch.setattr(native, "SOURCE", changed)
    assert native.path() != here


def test_what_is_built_is_taken_unless_it_is_not_wanted(built, empty, monkeypatch, capsys):
    assert native.module() is None
    native.path().write_bytes(open(built.__file__, "rb").read())
    native.module.cache_clear()
    assert native.module().Program
    assert main(["native"]) == 0  # it is there: nothing to compile
    assert str(native.path()) in capsys.readouterr().out
    monkeypatch.setenv(native.VARIABLE, "0")
    native.module.cache_clear()
    assert native.module() is None


def test_a_library_that_does_not_load_is_told_once(empty):
    native.path().write_bytes(b"no library")
    with pytest.warns(UserWarning, match="does not load.*trlkit native") as told:
        assert native.module() is None
        assert native.module() is None
    assert len(told) == 1


def test_where_it_could_be_built_a_warning_says_so(empty, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(native, "_lacks", lambda: None)
    with pytest.warns(UserWarning, match="run `trlkit native` once"):
        assert native.module() is None
    native.module.cache_clear()
    monkeypatch.setattr(native, "_lacks", lambda: "something")
    assert native.module() is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("platform", "win32"), "this is win32"),
        (("CXX", "no-such-compiler"), "no C\\+\\+ compiler no-such-compiler: install"),
        (("PATH", "/nowhere"), "no C\\+\\+ compiler"),
    ],
)
def test_what_building_lacks_is_said_with_the_mend(empty, change, said, monkeypatch, capsys):
    name, value = change
    if name == "platform":
        monkeypatch.setattr(sys, "platform", value)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match=said):
        native.build()
    assert main(["native"]) == 1
    assert capsys.readouterr().err.startswith("trlkit native: ")
    assert not any(empty.iterdir())


def test_without_ninja_it_says_what_to_install(empty, tmp_path, monkeypatch):
    compiler = tmp_path / "bin" / "c++"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(compiler.parent))
    monkeypatch.setattr(native, "_tools", lambda: str(compiler.parent))
    with pytest.raises(RuntimeError, match="pip install ninja"):
        native.build()


def test_a_source_that_does_not_compile_is_told_and_leaves_nothing(
    empty, tmp_path_factory, monkeypatch
):
    source = tmp_path_factory.mktemp("source") / "native.cpp"
    source.write_text("int f() { return nothing; }\n")
    monkeypatch.setattr(native, "SOURCE", source)
    with pytest.raises(RuntimeError, match="does not compile here, with torch .*nothing"):
        native.build()
    assert not any(empty.iterdir())


def test_a_process_with_it_ends_well(built):
    code = f"""
import importlib.util, torch
spec = importlib.util.spec_from_file_location({built.__name__!r}, {built.__file__!r})
found = importlib.util.module_from_spec(spec); spec.loader.exec_module(found)
from trlkit import CPTRL
from trlkit.contraction import captured, native
native.module = lambda: found
layer = CPTRL((4, 3), 2, rank=3, contraction="khatri_rao")
x = torch.randn(5, 4, 3, requires_grad=True)
weight = layer._weight()
make = captured.of(weight, "khatri_rao", 2, layer.dropout)
layer._programs.contract("khatri_rao", make, weight.tensors, x, layer.bias)
kept = layer._programs.calls.again(layer, x, False)
kept.sum().backward()
print("ends")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "ends"), done.stderr
