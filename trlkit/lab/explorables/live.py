"""An explorable in JupyterLab, VS Code or Colab: sliders above a picture, by ipywidgets.

All three bring the code of its core widgets along, so that nothing is fetched.
"""

import base64
from functools import cache
from html import escape

from ipywidgets import HTML, Image, SelectionSlider, VBox

from trlkit.lab.explorables.explorable import Explorable


def show(explorable: Explorable, **own) -> VBox:
    """The sliders and the picture; where no browser shows them, the picture alone.

    Parameters
    ----------
    explorable : Explorable
    **own
        As its ``draw`` takes them.

    Notes
    -----
    Only the state that is shown is drawn, each once. Not by ``ipywidgets.interact``: where no
    browser listens, its Output widget keeps nbclient 0.11 (nbconvert, nbgrader) waiting until the
    cell's time limit, in two of three runs.
    """

    @cache
    def drawn(*values) -> tuple[dict, dict]:
        return explorable(*values, **own)._repr_mimebundle_()

    def turned(change=None) -> None:
        data, _ = drawn(*(slider.value for slider in sliders))
        picture.value = base64.b64decode(data["image/png"])
        words.value = f"<details><summary>in words</summary>{escape(data['text/plain'])}</details>"

    sliders = [
        SelectionSlider(
            options=[(knob.said(option), option) for option in knob.options],
            value=knob.start,
            description=knob.label,
            style={"description_width": "initial"},
            layout={"width": "100%", "max_width": "600px"},
        )
        for knob in explorable.knobs
    ]
    picture = Image(layout={"max_width": "100%", "align_self": "flex-start"})
    words = HTML()
    turned()
    for slider in sliders:
        slider.observe(turned, "value")

    class Explored(VBox):
        def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
            still, alt = drawn(*explorable.start)
            return {**still, **super()._repr_mimebundle_(**options)}, alt

    return Explored([*sliders, picture, words])
