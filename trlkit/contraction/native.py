"""A captured pass as one step of autograd in C++, in which Python takes no part.

``trlkit native`` builds it, once for each torch and Python, with a C++ compiler and ninja. Where
it is not built the layers give the same without it, only later: see :func:`module`.
"""

import functools
import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
import types
import warnings
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("native.cpp")
# Set to 0, the layers do without what is built.
VARIABLE = "TRLKIT_NATIVE"


@functools.cache
def module() -> types.ModuleType | None:
    """What was built for this torch and Python; None where nothing was, or it is not wanted.

    Where it could be built on a machine with a GPU, a warning says so, once.

    Examples
    --------
    >>> module() is module()
    True
    """
    if os.environ.get(VARIABLE) == "0":
        return None
    library = path()
    if not library.is_file():
        if torch.cuda.is_available() and _lacks() is None:
            warnings.warn(
                "a small step of a trlkit layer on a GPU takes half as long again as it need: "
                "run `trlkit native` once, which compiles its C++ part in half a minute "
                f"({VARIABLE}=0 does without, and without these words)",
                stacklevel=2,
            )
        return None
    try:
        spec = importlib.util.spec_from_file_location(library.stem, library)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    except Exception as error:
        warnings.warn(
            f"trlkit goes on without {library}, which does not load: {error}. "
            f"Delete it and run `trlkit native` again",
            stacklevel=2,
        )
        return None
    return found


def path() -> Path:
    """Where the library for this torch, Python, processor and source is, or would be.

    Examples
    --------
    >>> path().suffix
    '.so'
    """
    python = sysconfig.get_config_var("EXT_SUFFIX")  # and of which processor
    what = f"{torch.__version__} {python} ".encode() + SOURCE.read_bytes()
    name = f"trlkit_{hashlib.sha256(what).hexdigest()[:16]}"
    cache = os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions"
    return Path(cache) / f"{name}.so"


def build(verbose: bool = False) -> Path:
    """Build the library, if it is not there.

    Parameters
    ----------
    verbose : bool
        Show what the compiler says.

    Returns
    -------
    Path
        In ``TORCH_EXTENSIONS_DIR``, or in ``~/.cache/torch_extensions``.

    Raises
    ------
    RuntimeError
        If something that building needs is missing, or the compiler fails.
    """
    library = path()
    if library.is_file():
        return library
    if lacks := _lacks():
        raise RuntimeError(lacks)
    from torch.utils import cpp_extension

    on_gpu, usual = torch.version.cuda is not None, os.environ.get("PATH")
    library.parent.mkdir(parents=True, exist_ok=True)
    # Aside, and then moved at once: another process sees the whole library or none.
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=library.stem) as aside:
        os.environ["PATH"] = _tools()
        try:
            cpp_extension.load(
                library.stem,
                [str(SOURCE)],
                extra_cflags=["-O2", *(["-DTRLKIT_CUDA"] if on_gpu else [])],
                extra_ldflags=["-ltorch_cuda", "-lc10_cuda"] if on_gpu else [],
                build_directory=aside,
                is_python_module=False,
                verbose=verbose,
            )
        except RuntimeError as error:
            said = [line for line in str(error).splitlines() if "error" in line.lower()]
            raise RuntimeError(
                f"{SOURCE.name} does not compile here, with torch {torch.__version__}: "
                f"{(said[1:] or said or [str(error)])[0].strip()}. "
                f"`trlkit native --verbose` shows all that the compiler says"
            ) from error
        finally:
            if usual is None:
                del os.environ["PATH"]
            else:
                os.environ["PATH"] = usual
        (Path(aside) / library.name).replace(library)
    module.cache_clear()
    return library


def _tools() -> str:
    """Where programs are looked for: beside Python too, where an environment is not activated."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


def _lacks() -> str | None:
    """What building needs and is not here, with the mend."""
    compiler = os.environ.get("CXX", "c++")
    if sys.platform != "linux":
        return f"it is built on Linux, and this is {sys.platform}: the layers do without it"
    if torch.version.hip is not None:
        return "it is built for CUDA, and this torch is for ROCm: the layers do without it"
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler}: install g++, or set CXX to the one there is"
    if shutil.which("ninja", path=_tools()) is None:
        return "there is no ninja: pip install ninja"
    return None
