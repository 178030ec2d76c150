"""Many submissions at once: processes of this machine, or a cluster's through dask.

A worker keeps one warm sandbox; it reads no database and writes nothing. What comes back is a
:class:`Record`, equal wherever it was made but for its times.
"""

import atexit
import itertools
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from trlkit.course.teacher.record import ERROR, Record
from trlkit.course.teacher.submissions import Submission

AHEAD = 500  # submissions that a scheduler holds
TRIES = 3  # of a submission, where the fault is not its own
_SANDBOXES: dict = {}
_ONE = threading.Lock()  # a cluster's worker may have several threads


class Job(NamedTuple):
    """A submission with the files beside it, and what it is judged by."""

    submission: Submission
    files: tuple[tuple[str, bytes], ...]
    rules: object


def run(job: Job) -> Record:
    """Grade one submission in this process's sandbox."""
    from trlkit.course.teacher.grade import grade
    from trlkit.course.teacher.sandbox import Sandbox

    limits = job.rules.limits
    with _ONE:
        if limits not in _SANDBOXES:
            import torch

            torch.set_num_threads(1)
            _SANDBOXES[limits] = Sandbox(limits)
            atexit.register(_SANDBOXES[limits].close)
        try:
            return grade(job.submission, job.rules, _SANDBOXES[limits], job.files)
        except Exception:
            _SANDBOXES.pop(limits).close()  # the next one starts anew
            raise


def local(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Record]]:
    """Grade jobs with processes of this machine; each comes back once, in any order.

    Where a worker dies, all that were under way are tried again, one alone at a time: so the one
    whose worker dies again is known, and costs no other its result.
    """
    fresh = ((job, 1) for job in jobs)  # read as they are needed: a class's files are many
    waiting = list(itertools.islice(fresh, 2 * workers))
    suspects: list[tuple[Job, int]] = []
    while waiting or suspects:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_quietly)
        running: dict[Future, tuple[Job, int]] = {}
        broken = False
        try:
            while not broken and (waiting or suspects or running):
                source, most = (suspects, 1) if suspects else (waiting, 2 * workers)
                while source and len(running) < most and not broken:
                    try:
                        future = pool.submit(run, source[0][0])
                        running[future] = source.pop(0)
                        waiting += itertools.islice(fresh, int(source is waiting))
                    except BrokenProcessPool:  # a worker died that had nothing to do
                        broken = True
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job, tried = running.pop(future)
                    error = future.exception()
                    broken |= isinstance(error, BrokenProcessPool)
                    if error is None:
                        yield job, future.result()
                    elif tried >= TRIES:
                        yield job, _error(job, error)
                    else:
                        (suspects if broken else waiting).append((job, tried + 1))
            suspects += [(job, tried + 1) for job, tried in running.values()]
            running.clear()
        finally:
            pool.shutdown(wait=not running, cancel_futures=True)
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.terminate()


def _quietly() -> None:
    """A worker leaves an interrupt to the process that started it."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"


def scheduled(jobs: Iterable[Job], address: str) -> Iterator[tuple[Job, Record]]:
    """Grade jobs with the workers of a dask.distributed scheduler."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise ValueError(
            "--scheduler needs dask.distributed: pip install 'trlkit[cluster]'"
        ) from None

    with Client(address) as client:
        jobs, given, futures = iter(jobs), {}, as_completed()

        def submit(count: int) -> None:
            for job in itertools.islice(jobs, count):
                future = client.submit(run, job, pure=False, retries=TRIES - 1)
                given[future] = job
                futures.add(future)

        submit(AHEAD)
        for future in futures:
            job = given.pop(future)
            try:
                record = future.result()
            except Exception as error:
                record = _error(job, error)
            submit(1)
            yield job, record


def _error(job: Job, error: BaseException) -> Record:
    reason = f"not graded, by no fault of its author: {type(error).__name__}: {error}"
    submission = job.submission
    return Record(
        submission.student,
        submission.chapter or "",
        ERROR,
        reason[:500],
        submission=submission.digest,
        rules=job.rules.digest,
    )
