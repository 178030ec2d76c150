"""``trlkit experiments run``: many runs at a time, each finished one a row."""

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from pathlib import Path

import torch
from tqdm import tqdm

from trlkit.experiments import data as source
from trlkit.experiments.plan import Plan, Run, runs
from trlkit.experiments.rows import Table
from trlkit.experiments.worker import Setting, Worker, chosen

SLACK = 1.3  # no run begins that would end late, were it so much longer than the longest
_worker: Worker | None = None


def revision(given: str | None = None) -> str:
    """Give the git revision, with "-dirty" for changes; "unknown" outside a checkout."""
    if given:
        return given
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def run_plan(
    plan: Plan,
    data: Path | None,
    out: Path,
    cache: Path,
    seconds: float | None = None,
    processes: int | None = None,
    given_revision: str | None = None,
    graph: bool = True,
    compiled: bool = False,
) -> tuple[int, int]:
    """Do what is left of a plan.

    Parameters
    ----------
    plan : Plan
    data : Path or None
        Of the pictures.
    out : Path
        The table; rows in it are not run again.
    cache : Path
        The folder for decoded pictures and the frozen backbone.
    seconds : float, optional
        Begin no run that would end later than this.
    processes : int, optional
        Runs at a time on one GPU; by default what the plan says, and one on a CPU.
    given_revision : str, optional
        Where the code's git history is not at hand.
    graph, compiled : bool
        Of :func:`trlkit.experiments.train.fit`.

    Returns
    -------
    (int, int)
        How many runs of the plan are still to do, and how many of them failed.

    Raises
    ------
    FileNotFoundError, ValueError
        If the plan needs pictures and they are not there, or the table is another.
    """
    started = time.perf_counter()
    table = Table(out)
    decoded = source.read(data, cache)
    setting = Setting(plan, decoded, revision(given_revision), graph, compiled)
    devices = [torch.device("cuda", k) for k in range(torch.cuda.device_count())]
    each = (processes or plan.processes) if devices else (processes or 1)
    places = (devices or [torch.device("cpu")]) * each
    done = table.done()
    pending = [run for run in runs(plan) if run.key not in done]
    bar = tqdm(total=len(pending), desc=plan.name, unit="run", mininterval=1)
    crew = _Crew(setting, places) if pending else None
    failed = 0
    try:
        if crew:
            crew.prepare()
        failed = _go(plan, pending, table, crew, bar, started, seconds) if crew else 0
    finally:
        bar.close()
        if crew:
            crew.close()
    done = table.done()
    return sum(run.key not in done for run in runs(plan)), failed


def _go(plan: Plan, pending: list[Run], table: Table, crew, bar, started, seconds) -> int:
    """Hand out runs while there are some and there is time; write what comes."""
    flying: dict[Future, Run] = {}
    longest, failed = 0.0, 0
    while True:
        late = seconds is not None and (time.perf_counter() - started + SLACK * longest > seconds)
        while not late and len(flying) < crew.size:
            run = _next(plan, pending, table, alone=not flying)
            if run is None:
                break
            flying[crew.submit(run)] = run
            if run.stage == "speed":
                break  # nothing beside it
        if not flying:
            return failed
        for future in wait(flying, return_when=FIRST_COMPLETED).done:
            run = flying.pop(future)
            error = future.exception()
            if error is None:
                row = future.result()
                table.add(row)
                longest = max(longest, row["seconds"])
                told = row.get("accuracy", row.get("validation"))
                bar.set_postfix_str("" if told is None else f"{run.head}: {told:.3f}")
            else:
                failed += 1
                bar.write(f"failed: {run}: {type(error).__name__}: {error}", file=sys.stderr)
            bar.update()


def _next(plan: Plan, pending: list[Run], table: Table, alone: bool) -> Run | None:
    """Take the first run that can begin out of the list."""
    trials = [r for r in table.rows if (r["plan"], r["stage"]) == (plan.name, "trial")]
    for run in pending:
        if run.stage == "speed" and not alone:
            return None
        ready = run
        if run.stage in ("final", "control"):
            ready = chosen(run, trials, len(plan.training.tries))
        if ready is not None:
            pending.remove(run)
            return ready
    return None


class _Crew:
    """Processes with a device each; or this process, where there is to be one alone."""

    def __init__(self, setting: Setting, places: list[torch.device]) -> None:
        self.size = len(places)
        self._pool: Executor | None = None
        self._own: Worker | None = None
        if self.size == 1:
            self._own = Worker(setting, places[0])
            return
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        for place in places:
            queue.put(place)
        self._pool = ProcessPoolExecutor(self.size, context, _start, (setting, queue))

    def prepare(self) -> None:
        """Make what all runs need, once."""
        if self._own:
            self._own.prepare()
        else:
            self._pool.submit(_prepare).result()

    def submit(self, run: Run) -> Future:
        """Begin a run."""
        return self._pool.submit(_run, run) if self._pool else _at_once(self._own.run, run)

    def close(self) -> None:
        """End the processes."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def _at_once(call: Callable, *arguments) -> Future:
    future: Future = Future()
    try:
        future.set_result(call(*arguments))
    except Exception as error:  # told by whoever asks the future
        future.set_exception(error)
    return future


def _start(setting: Setting, queue) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = Worker(setting, queue.get())


def _prepare() -> None:
    _worker.prepare()


def _run(run: Run) -> dict[str, object]:
    return _worker.run(run)
