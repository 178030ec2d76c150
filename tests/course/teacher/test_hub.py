"""The guide's page about JupyterHub, walked on a real hub."""

import re
from pathlib import Path

import hub
import pytest

from trlkit.course.chapters import manifest

pytestmark = pytest.mark.xdist_group("hub")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    try:
        return hub.walk(tmp_path_factory.mktemp("hub"))
    except hub.NoHub as error:
        pytest.skip(str(error))


def test_every_block_of_the_page_is_somebodys():
    fences = re.findall(r"^```\w+$", hub.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    owners = [owner for owner, _ in hub.Page.read(Path("/srv/trl")).blocks]
    assert len(owners) == len(fences)
    files = {"/srv/trl/jupyterhub_config.py", "/srv/trl/etc/nbgrader_config.py"}
    assert set(owners) == {"administrator", "teacher", "learner"} | files


def test_each_learner_gets_the_points_of_their_own_work(outcome):
    chapter = manifest.chapter(hub.CHAPTER)
    lost = sum(item.points for item in chapter.exercises if item.name in hub.WRONG)
    expected = {"ada": chapter.points, "ben": chapter.points - lost, "cleo": 0}
    assert 0 < lost < chapter.points
    assert {name: float(row["score"]) for name, row in outcome.grades.items()} == expected


def test_the_gradebook_knows_who_was_late(outcome):
    late = {name for name, row in outcome.grades.items() if row["timestamp"] > row["duedate"]}
    assert late == {"ben"}


def test_feedback_arrives_at_its_own_learner_only(outcome):
    assert len(set(outcome.made.values())) == len(hub.LEARNERS)
    assert outcome.feedback == {name: [page] for name, page in outcome.made.items()}
    for name, row in outcome.grades.items():
        [page] = outcome.feedback[name]
        points = f"{float(row['score']):g} of {float(row['max_score']):g}"
        assert f"<strong>{points}</strong> points" in page


def test_a_learner_cannot_open_anothers_server(outcome):
    assert outcome.refused == 403
