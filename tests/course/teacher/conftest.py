"""A warm sandbox for the tests that grade single submissions, and rules that soon stop a loop."""

import pytest
from filled import ROOT

from trlkit.course.teacher.grade import Rules
from trlkit.course.teacher.letters import letters
from trlkit.course.teacher.sandbox import Limits, NoSandbox, Sandbox, probe

LIMITS = Limits(memory=1_000_000_000, disk=32_000_000, seconds=60)
SECONDS = {"cell_seconds": 6.0, "exercise_seconds": 6.0, "submission_seconds": 120.0}


@pytest.fixture(scope="module")
def rules():
    return Rules("a secret of this test", letters(ROOT / "solutions"), LIMITS, **SECONDS)


@pytest.fixture(scope="module")
def sandbox():
    try:
        probe()
    except NoSandbox as error:
        pytest.skip(str(error))
    with Sandbox(LIMITS) as made:
        yield made
