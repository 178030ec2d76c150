"""A sign of life in a notebook while something takes long."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

PATIENCE = 1.5  # seconds without a sign
BLANK = {"text/plain": ""}


@contextlib.contextmanager
def waiting(what: str, patience: float = PATIENCE) -> Iterator[None]:
    """Say after some seconds what is still on its way, and for how long; take it away at the end.

    Parameters
    ----------
    what : str
        Such as "checking `unfold`".
    patience : float
        Seconds after which the sign appears.
    """
    over, began = threading.Event(), time.monotonic()

    def say() -> None:
        if over.wait(patience):
            return
        from IPython.display import display

        def sign() -> Mapping[str, Any]:
            return {"text/plain": f"{what} ... {time.monotonic() - began:.0f} s"}

        shown = display(sign(), raw=True, display_id=True)
        while not over.wait(1.0):
            shown.update(sign(), raw=True)
        shown.update(BLANK, raw=True)

    teller = threading.Thread(target=say, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
