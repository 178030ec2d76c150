"""What can be explored: a function that draws, and the knobs that it is drawn for."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import matplotlib.pyplot as plt

from trlkit.lab.plotting import Picture


@dataclass(frozen=True)
class Knob:
    """One thing to turn.

    Attributes
    ----------
    label : str
    options : tuple
        The values it stops at.
    start : object
        One of the options.
    """

    label: str
    options: tuple
    start: object

    def said(self, option) -> str:
        """An option as it is shown.

        Examples
        --------
        >>> Knob("numbers", (500, 8000), 500).said(8000)
        '8,000'
        """
        return f"{option:,}" if type(option) is int else str(option)


@dataclass(frozen=True)
class Explorable:
    """A picture of a chapter that depends on knobs.

    Attributes
    ----------
    name : str
    chapter : str
    knobs : tuple of Knob
    draw : callable
        Takes a value of each knob, and the learner's own results by name where there are any;
        returns a picture. It takes no longer than a second or two, whatever the values.
    """

    name: str
    chapter: str
    knobs: tuple[Knob, ...]
    draw: Callable[..., Picture]

    def __call__(self, *values, **own) -> Picture:
        """The picture for a value of each knob; without values that of the start."""
        with plt.rc_context({"font.size": 11}):
            return self.draw(*(values or self.start), **own)

    @property
    def start(self) -> tuple:
        """The values that it is first shown for."""
        return tuple(knob.start for knob in self.knobs)

    def states(self) -> Iterator[tuple]:
        """Every combination of the knobs' values, the last knob turning first."""
        return itertools.product(*(knob.options for knob in self.knobs))


def explorable(name: str, chapter: str, *knobs: Knob) -> Callable[..., Explorable]:
    """Make what a function draws explorable; see :class:`Explorable`."""
    return lambda draw: Explorable(name, chapter, knobs, draw)


def sized(picture: Picture, width: float, height: float, says: str = "") -> Picture:
    """A picture in inches, small enough for a phone, with a headline that is part of its words."""
    picture.set_size_inches(width, height)
    if says:
        picture.what = says
        picture.suptitle(says, fontsize=11)
    return picture
