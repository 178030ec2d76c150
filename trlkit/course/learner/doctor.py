"""Say whether this environment is ready for the course, a line for each thing."""

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from trlkit.course.learner.lab import find_notebooks

ROOT = Path(__file__).parents[3]
# A line of the metadata: the standard library reads none, and packaging may be missing.
ASKED = re.compile(r"""([\w.-]+)(?:.*;.*\bextra == ['"]([\w-]+)['"])?""")
LEFT_OUT = re.compile(
    r"(nvidia|cuda|triton|trlkit$|pip$|setuptools$)"
)  # chosen by torch, or by pip


def examine(strict: bool = False) -> int:
    """Print the lines; the number of failures is the exit code's meaning: 0 for none."""
    failures = 0
    for verdict, text in findings(strict):
        print(f"[{verdict}] {text}")
        failures += verdict == "FAIL"
    print("ready" if not failures else f"{failures} to mend")
    return min(failures, 1)


def findings(strict: bool = False) -> Iterator[tuple[str, str]]:
    """What was found: pairs of a verdict ("OK", "NOTE" or "FAIL") and a line."""
    version = platform.python_version()
    yield _verdict(sys.version_info >= (3, 10)), f"Python {version} (3.10 or newer is needed)"
    pins, needed = pinned(), requirements("course")
    if not needed:
        yield "FAIL", 'trlkit is not installed: pip install -e ".[course]"'
    for name in needed:
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield "FAIL", f'{name} is missing: pip install -e ".[course]"'
            continue
        tested = pins.get(name, found)
        same = found.split("+")[0] == tested
        other = "" if same else f", tested with {tested}: pip install -c constraints.txt {name}"
        yield ("OK" if same else "FAIL" if strict else "NOTE"), f"{name} {found}{other}"
    yield from _torch()
    notebooks = find_notebooks()
    yield (
        _verdict(notebooks is not None),
        f"notebooks: {notebooks or 'none from this folder upwards'}",
    )


def requirements(*extras: str) -> list[str]:
    """The names of the packages that trlkit with these extras asks for directly."""
    names = set()
    try:
        lines = metadata.requires("trlkit") or ()
    except metadata.PackageNotFoundError:  # run from its source
        return []
    for line in lines:
        name, extra = ASKED.match(line).groups()
        if extra in (None, *extras):
            names.add(re.sub(r"[-_.]+", "-", name).lower())
    return sorted(names - {"trlkit"})


def pinned(file: Path = ROOT / "constraints.txt") -> dict[str, str]:
    """The tested versions by package; empty where the course is installed without its source."""
    if not file.exists():
        return {}
    lines = file.read_text(encoding="utf-8").splitlines()
    pins = [line.split(";")[0].split("==") for line in lines if "==" in line]
    return {name.strip(): version.strip() for name, version in pins}


def freeze() -> Iterator[str]:
    """The lines of constraints.txt for this environment: all that trlkit[dev] leads to."""
    from packaging.specifiers import SpecifierSet

    yield "# The versions the course is tested with. Made by: make constraints"
    seen: set[tuple[str, str]] = set()
    waiting = [("trlkit", "dev"), ("trlkit", "course")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in _asked(name, (extra,)):
            waiting += [(requirement.name, wanted) for wanted in ("", *requirement.extras)]
    for name in sorted({name for name, _ in seen if not LEFT_OUT.match(name)}, key=str.lower):
        distribution = metadata.distribution(name)
        needs = SpecifierSet(distribution.metadata.get("Requires-Python") or "")
        marker = next((f"3.{n}" for n in range(10, 20) if needs.contains(f"3.{n}.99")), "3.10")
        only = "" if marker == "3.10" else f' ; python_version >= "{marker}"'
        yield f"{name}=={distribution.version.split('+')[0]}{only}"


def _asked(name: str, extras: tuple[str, ...]) -> Iterator:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            requirement.name = canonicalize_name(requirement.name)
            yield requirement


def _torch() -> Iterator[tuple[str, str]]:
    try:
        import torch

        total = (torch.ones(8, 8) @ torch.ones(8, 8)).sum().item()
    except Exception as error:
        yield "FAIL", f"torch does not compute: {type(error).__name__}: {error}"
        return
    yield _verdict(total == 512), f"torch computes, on {torch.get_num_threads()} CPU threads"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the CPU is enough"
    yield "OK", f"GPU: {gpu}"


def _verdict(good: bool) -> str:
    return "OK" if good else "FAIL"


if __name__ == "__main__":
    print("\n".join(freeze()))
