"""Make the font of the formulas: what of a math font the site and the slides can use.

``python -m trlkit.course.author.mathfont FONT [OUT]`` writes OUT, ``fonts/math.woff2`` beside
this module. The one that is kept was made of STIX Two Math, as the npm package
``@fontsource/stix-two-math`` 5.3.0 holds it; its license, the SIL Open Font License, lies beside
it. It needs fonttools and brotli.
"""

import sys
from itertools import chain
from pathlib import Path

KEPT = Path(__file__).parent / "fonts" / "math.woff2"
CHARACTERS = (  # first and last of each block
    (0x20, 0x7E),  # letters and digits
    (0xA0, 0xD7),  # signs, accents
    (0x300, 0x338),  # accents that combine
    (0x391, 0x3F6),  # Greek
    (0x2010, 0x2057),  # dashes, primes, dots
    (0x2102, 0x2135),  # letters that the blocks of styled ones leave out
    (0x2190, 0x21FF),  # arrows
    (0x2200, 0x22FF),  # operators
    (0x2308, 0x230B),  # floor and ceiling
    (0x23DE, 0x23E1),  # braces above and below
    (0x27E6, 0x27EB),  # brackets
    (0x1D400, 0x1D467),  # bold, italic
    (0x1D49C, 0x1D4CF),  # script
    (0x1D538, 0x1D56B),  # double-struck
    (0x1D6A8, 0x1D71B),  # Greek, bold and italic
)
FEATURES = ["ccmp", "dtls", "flac", "ssty"]  # dotless letters, flat accents, small forms


def make(font: Path, out: Path = KEPT) -> None:
    """Write the part of a font that formulas use, as WOFF2.

    Parameters
    ----------
    font : Path
        A font with a MATH table: .otf, .ttf or .woff2.
    out : Path

    Raises
    ------
    ValueError
        If the font has no MATH table: browsers could not set formulas by it.
    """
    from fontTools import subset
    from fontTools.ttLib import TTFont

    whole = TTFont(font)
    if "MATH" not in whole:
        raise ValueError(f"{font} has no MATH table: give a font made for formulas")
    options = subset.Options(flavor="woff2", layout_features=FEATURES, hinting=False)
    subsetter = subset.Subsetter(options)
    blocks = (range(first, last + 1) for first, last in CHARACTERS)
    subsetter.populate(unicodes=list(chain.from_iterable(blocks)))
    subsetter.subset(whole)
    out.parent.mkdir(parents=True, exist_ok=True)
    subset.save_font(whole, out, options)


if __name__ == "__main__":
    make(*map(Path, sys.argv[1:]))
