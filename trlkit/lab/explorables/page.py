"""An explorable on a page without Python: every state drawn beforehand, behind sliders.

The page asks for nothing: pictures, words and the few lines of script stand in it.
"""

import base64
import io
import json
from html import escape

from PIL import Image

from trlkit.lab.explorables.explorable import Explorable
from trlkit.lab.plotting import Picture

LIMIT = 300_000  # bytes of one explorable in a page
COLORS = (256, 128, 64, 32, 16)  # of a picture: as many as the limit allows
SCRIPT = """\
(figure => {
  const {images, states} = JSON.parse(figure.querySelector("script").textContent);
  const picture = figure.querySelector("img"), knobs = [...figure.querySelectorAll("input")];
  const turn = () => {
    let state = 0;
    for (const knob of knobs) {
      const said = JSON.parse(knob.dataset.said);
      state = state * said.length + Number(knob.value);
      knob.nextElementSibling.value = said[knob.value];
      knob.setAttribute("aria-valuetext", said[knob.value]);
    }
    picture.src = "data:image/png;base64," + images[states[state][0]];
    picture.alt = states[state][1];
  };
  for (const knob of knobs) {
    knob.disabled = false;
    knob.addEventListener("input", turn);
    knob.addEventListener("keydown", event => {  // back to the slides' own keys
      if (event.key === "Escape") { knob.blur(); event.stopPropagation(); }
    });
  }
})(document.currentScript.parentElement);
"""


def html(explorable: Explorable) -> str:
    """The explorable as HTML; without JavaScript, the picture of its start.

    Raises
    ------
    ValueError
        If it takes more than 300 kB even in few colors.
    """
    drawn = [_drawn(explorable(*values)) for values in explorable.states()]
    for colors in COLORS:
        text = _html(explorable, drawn, colors)
        if len(text) <= LIMIT:
            return text
    raise ValueError(f"{explorable.name} takes {len(text):,} bytes of {LIMIT:,}: fewer states")


def _html(explorable: Explorable, drawn: list[tuple[Image.Image, str]], colors: int) -> str:
    images, states = {}, []
    for image, alt in drawn:
        png = base64.b64encode(_png(image, colors)).decode("ascii")
        states.append((images.setdefault(png, len(images)), alt))
    first = states[list(explorable.states()).index(explorable.start)]
    sliders = []
    for knob in explorable.knobs:
        said = list(map(knob.said, knob.options))
        start = knob.options.index(knob.start)
        sliders.append(
            f'<label><span>{escape(knob.label)}</span><input type="range" min="0" disabled '
            f'max="{len(said) - 1}" value="{start}" aria-valuetext="{escape(said[start])}" '
            f'data-said="{escape(json.dumps(said))}"><output>{escape(said[start])}</output></label>'
        )
    data = json.dumps({"images": list(images), "states": states}).replace("<", "\\u003c")
    source = f"data:image/png;base64,{list(images)[first[0]]}"
    return (
        f'<figure class="explorable" aria-label="{escape(explorable.name)}">'
        f'{"".join(sliders)}<img src="{source}" alt="{escape(first[1])}">'
        f'<script type="application/json">{data}</script><script>{SCRIPT}</script></figure>'
    )


def _drawn(picture: Picture) -> tuple[Image.Image, str]:
    file = io.BytesIO()
    picture.savefig(file, format="png", dpi=110)
    return Image.open(file).convert("RGB"), picture.alt


def _png(image: Image.Image, colors: int) -> bytes:
    """A picture as a PNG of few colors."""
    file = io.BytesIO()
    image.quantize(colors, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
