"""The row of badges in the README: what they say is counted. ``make picture`` draws them."""

import re
import sys
from pathlib import Path

from trlkit.course.chapters import manifest
from trlkit.course.chapters.bank import mistakes


def texts() -> dict[str, tuple[str, str]]:
    """What each badge says, by its file's name: a label and a value."""
    names = [item.name for chapter in manifest.chapters() for item in chapter.exercises]
    return {
        "python": ("Python", "3.10 or newer"),
        "license": ("license", "BSD-3-Clause"),
        "chapters": ("chapters", str(len(manifest.chapters()))),
        "exercises": ("checked exercises", str(len(names))),
        "mistakes": ("mistakes with a message", str(sum(len(mistakes(name)) for name in names))),
    }


def draw() -> dict[str, str]:
    """The badges as SVG, by their files' names."""
    from anybadge import Badge

    drawn = {}
    for name, (label, value) in texts().items():
        svg = Badge(label, value, default_color="#005a9c").badge_svg_text
        drawn[name] = re.sub(r"anybadge_\d+", name, svg)  # anybadge counts those of a process
    return drawn


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for name, svg in draw().items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
