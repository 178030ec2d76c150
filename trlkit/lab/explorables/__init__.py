"""Pictures with knobs to turn: live in a notebook, precomputed on a page.

``explore("the rank of a photograph")`` shows one. Each is a function of the knobs' values that
returns a :class:`~trlkit.lab.plotting.Picture`; :mod:`.live` gives it sliders in a notebook,
:mod:`.page` draws every state beforehand for the site and the slides.
"""

import difflib
from functools import cache
from importlib import import_module

from trlkit.lab.explorables.explorable import Explorable, Knob

__all__ = ["Explorable", "Knob", "explorables", "explore"]


@cache
def explorables() -> dict[str, Explorable]:
    """All of them by name, one for each chapter, in their order.

    Examples
    --------
    >>> list(explorables())[2]
    'the rank of a photograph'
    """
    modules = [
        import_module(f"{__name__}.{name}") for name in ("counting", "taking_apart", "learning")
    ]
    found = [x for module in modules for x in vars(module).values() if isinstance(x, Explorable)]
    return {x.name: x for x in sorted(found, key=lambda x: x.chapter)}


def explore(name: str, **own):
    """Give a picture knobs to turn, for a notebook.

    Parameters
    ----------
    name : str
    **own
        What it is to be about, where the learner has results of their own, such as ``trials``.

    Returns
    -------
    ipywidgets.VBox or Picture
        Without ipywidgets a still picture.

    Raises
    ------
    ValueError
        If there is none of this name.

    Examples
    --------
    >>> explore("the cheap path")
    Traceback (most recent call last):
    ...
    ValueError: nothing to explore is called 'the cheap path'; is it 'the cheapest path'?
    """
    if name not in explorables():
        near = difflib.get_close_matches(name, explorables(), 1, 0.0)
        raise ValueError(f"nothing to explore is called {name!r}; is it {near[0]!r}?")
    explorable = explorables()[name]
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        print("A still picture: with ipywidgets there are knobs to turn.")
        return explorable(**own)
    from trlkit.lab.explorables import live

    return live.show(explorable, **own)
