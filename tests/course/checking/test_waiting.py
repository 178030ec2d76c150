"""What a notebook shows while a check takes long."""

import threading

import IPython.display
import pytest

from trlkit.course.checking.waiting import BLANK, waiting


class Screen:
    """What stands where the sign is shown, and a way to wait until something does."""

    def __init__(self):
        self.shown, self.drawn = [], threading.Event()

    def display(self, data, raw, display_id):
        self.update(data, raw)
        return self

    def update(self, data, raw):
        self.shown.append(data)
        self.drawn.set()


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(IPython.display, "display", screen.display)
    return screen


def test_what_takes_long_is_said_and_taken_away_at_the_end(screen):
    with waiting("checking `unfold`", patience=0.0):
        assert screen.drawn.wait(60)
    first, *_, last = screen.shown
    assert first["text/plain"].startswith("checking `unfold` ... ") and last == BLANK


def test_it_is_taken_away_where_the_check_fails(screen):
    with pytest.raises(ZeroDivisionError), waiting("checking", patience=0.0):
        assert screen.drawn.wait(60)
        raise ZeroDivisionError
    assert screen.shown[-1] == BLANK


def test_what_is_quick_says_nothing(screen):
    with waiting("checking", patience=600.0):
        pass
    assert screen.shown == []
