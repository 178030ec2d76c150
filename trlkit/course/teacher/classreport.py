"""What a teacher reads before the next lecture: one page about all submissions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, median

from trlkit.course.chapters import bank, manifest
from trlkit.course.chapters.manifest import Chapter
from trlkit.course.teacher import story
from trlkit.course.teacher.anonymous import anonymous
from trlkit.course.teacher.markup import line
from trlkit.course.teacher.pages import page as render
from trlkit.course.teacher.record import ERROR, FAILED, GRADED, MISSING, Record, Row

MISTAKES = 10  # of a chapter that are shown
EXAMPLES = 20  # answers that are tried for one that can be shown
NAMES = 1000
BINS = 10


@dataclass(frozen=True)
class Found:
    """One exercise of a chapter as the class met it."""

    title: str
    right: int
    tried: int
    lost: float
    out_of: float
    seconds: float
    longest: float
    minutes: int
    difficulty: int

    @property
    def share(self) -> float:
        """The share of submissions that have it right."""
        return self.right / self.tried


@dataclass(frozen=True)
class Frequent:
    """A named mistake, and how often it was made."""

    title: str
    name: str
    says: str
    count: int
    tried: int
    example: str


@dataclass(frozen=True)
class Part:
    """One chapter of the report."""

    name: str
    title: str
    chapter: Chapter | None
    graded: int
    expected: int
    scores: list[float]
    max_score: float
    found: list[Found]
    mistakes: list[Frequent]
    unnamed: int
    broken: list[tuple[str, int]]
    who_broke: list[tuple[str, str]]
    absent: list[str]
    by_hand: int
    seconds: float

    @property
    def bins(self) -> list[int]:
        """How many scores are in each tenth of the points."""
        width = self.max_score / BINS or 1.0
        counts = Counter(min(max(int(score / width), 0), BINS - 1) for score in self.scores)
        return [counts[number] for number in range(BINS)]

    @property
    def middle(self) -> float:
        return median(self.scores) if self.scores else 0.0

    @property
    def full(self) -> int:
        """How many have all points."""
        return sum(score >= self.max_score for score in self.scores)


def page(
    records: Iterable[Record], roster_names: Mapping[str, str] | Iterable[str] | None = None
) -> str:
    """The class report, as HTML.

    Chapter by chapter: the exercises by the difficulty found, the most frequent named mistakes
    with an anonymous example each, what failed for a technical reason, who has not submitted, and
    the time that grading took beside the minutes that the course plans.

    Names stand in the folded lists alone; the rest can be shown to the class.

    Parameters
    ----------
    records : iterable of Record
        One for each submission; of one that grading saw twice, the last.
    roster_names : mapping or iterable of str, optional
        The students of the class: their names by their ids, or their ids.
    """
    if roster_names is None:
        roster: dict[str, str] = {}
    elif isinstance(roster_names, Mapping):
        roster = dict(roster_names)
    else:
        roster = {student: student for student in roster_names}
    chapters: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:
        chapters[record.chapter][record.student] = record
    order = {chapter.name: place for place, chapter in enumerate(manifest.chapters())}
    names = sorted(chapters, key=lambda name: (order.get(name, len(order)), name))
    parts = [_part(name, list(chapters[name].values()), roster) for name in names]
    return render("class.html", parts=parts, first=_first(parts), roster=roster)


def _part(name: str, records: list[Record], roster: dict[str, str]) -> Part:
    try:
        chapter = manifest.chapter(name)
    except ValueError:
        chapter = None
    graded = [record for record in records if record.status == GRADED]
    handed_in = {record.student for record in records if record.status != MISSING}
    absent = {student for student in roster if student not in handed_in}
    absent |= {record.student for record in records if record.status == MISSING}
    rows = [row for record in graded for row in record.rows]
    wrong = [row for row in rows if row.points < row.out_of]
    broken = [record for record in records if record.status in (FAILED, ERROR)]
    stopped = [(r.student, row) for r in graded for row in r.rows if row.technical]
    reasons = Counter(_reason(record) for record in broken)
    reasons.update(f"{_title(row)}: {line(row.technical, 120)}" for _, row in stopped)
    return Part(
        name=line(name, 100),
        title=chapter.title if chapter else line(name, 100) or "?",
        chapter=chapter,
        graded=len(graded),
        expected=len(handed_in | absent),
        scores=[record.score for record in graded],
        max_score=max((record.max_score for record in graded), default=0.0),
        found=_found(rows, chapter),
        mistakes=_mistakes(graded, wrong),
        unnamed=sum(not row.mistake and not row.technical for row in wrong),
        broken=reasons.most_common(20),
        who_broke=[
            *((_name(record.student, roster), line(record.reason, 200)) for record in broken),
            *((_name(student, roster), f"{_title(row)}: {line(row.technical, 120)}")
              for student, row in stopped),
        ][:NAMES],
        absent=sorted(_name(student, roster) for student in absent),
        by_hand=sum(record.by_hand > 0 for record in graded),
        seconds=sum(record.seconds for record in records),
    )  # fmt: skip


def _found(rows: list[Row], chapter: Chapter | None) -> list[Found]:
    """The exercises, the hardest first."""
    items = {item.name: item for item in chapter.exercises} if chapter else {}
    places = {name: place for place, name in enumerate(items)}
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.exercise].append(row)
    found = []
    for name in sorted(groups, key=lambda name: places.get(name, len(places)))[:100]:
        group, item = groups[name], items.get(name)
        found.append(
            Found(
                title=item.title if item else _title(group[0]),
                right=sum(row.points >= row.out_of for row in group),
                tried=len(group),
                lost=mean(row.out_of - row.points for row in group),
                out_of=max(row.out_of for row in group),
                seconds=median(row.seconds for row in group),
                longest=max(row.seconds for row in group),
                minutes=item.minutes if item else 0,
                difficulty=item.difficulty if item else 0,
            )
        )
    return sorted(found, key=lambda exercise: exercise.share)


def _mistakes(graded: list[Record], wrong: list[Row]) -> list[Frequent]:
    """The named mistakes, the most frequent first."""
    counts = Counter((row.exercise, row.mistake) for row in wrong if row.mistake)
    tried = Counter(row.exercise for record in graded for row in record.rows)
    titles = {row.exercise: _title(row) for row in wrong}
    frequent = []
    for (exercise, name), count in counts.most_common(MISTAKES):
        frequent.append(
            Frequent(
                title=titles[exercise],
                name=story.named(name),
                says=story.sentence(story.explanation(exercise, name)),
                count=count,
                tried=tried[exercise],
                example=_example(graded, exercise, name),
            )
        )
    return frequent


def _example(graded: list[Record], exercise: str, mistake: str) -> str:
    """The shortest answer with a mistake, told of nobody; the bank's own where none can be."""
    answers = []
    for record in graded:
        if any(row.exercise == exercise and row.mistake == mistake for row in record.rows):
            given = record.extra.get("answers")
            source = given.get(exercise) if isinstance(given, dict) else None
            answers += [source] if isinstance(source, str) else []
    shortest = sorted(answers, key=lambda source: (len(source), source))[:EXAMPLES]
    ours = (item.source for item in bank.mistakes(exercise) if item.name == mistake)
    return next((code for code in map(anonymous, [*shortest, *ours]) if code), "")


def _first(parts: list[Part]) -> list[tuple[Part, Frequent]]:
    """The three mistakes that most of the class made, over all chapters."""
    pairs = [(part, mistake) for part in parts for mistake in part.mistakes if mistake.says]
    pairs.sort(key=lambda pair: -pair[1].count)
    return pairs[:3]


def _reason(record: Record) -> str:
    """Why a file was not graded, without its path and whose it is."""
    said = line(record.reason, 300).rpartition(".ipynb: ")[2]
    return said.replace(line(record.student) or " ", "...").strip() or "no reason was noted"


def _title(row: Row) -> str:
    return line(row.title or row.exercise, 120) or "?"


def _name(student: str, roster: dict[str, str]) -> str:
    """A student as the roster calls them, and the id where that is another word."""
    name, known = line(roster.get(student, ""), 80), line(student, 80)
    return f"{name} ({known})" if name and name != known else known
