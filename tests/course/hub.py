"""Walk a class through its first chapter on a real JupyterHub: the blocks of docs/guide/hub.md.

``python tests/course/hub.py`` runs them in a temporary folder, every person's in a server of
their own that the hub starts: commands in its terminal, notebooks through its contents, the
learners' buttons by what they call.
"""

import csv
import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import platformdirs
import requests
import websocket
from filled import ROOT, solutions

from trlkit.course.chapters import bank
from trlkit.course.teacher import place

PAGE = ROOT / "docs/guide/hub.md"
CHAPTER = "01_tensors"
LEARNERS = ("ada", "ben", "cleo")
WRONG = ("fold", "outer", "khatri_rao")  # what ben gets wrong; he is late, too
BLOCK = re.compile(r"^```(?:bash|python)\n# ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DONE = re.compile(r"ended with (\d+)\.")
SECONDS = 300.0  # for anything that is waited for


class NoHub(Exception):
    """There can be no hub here; the text says why."""


@dataclass(frozen=True)
class Page:
    """The guide's page: its blocks in order, each with whose it is."""

    blocks: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, folder: Path) -> "Page":
        """The blocks with ``folder`` in place of ``/srv/trl``."""
        text = PAGE.read_text(encoding="utf-8").replace("/srv/trl/proxy", str(proxy_folder()))
        return cls(tuple(BLOCK.findall(text.replace("/srv/trl", str(folder)))))

    def of(self, whose: str) -> list[str]:
        return [text for owner, text in self.blocks if owner == whose]


@dataclass
class Person:
    """Somebody with a server on the hub, and what a browser would send there."""

    name: str
    url: str
    token: str

    def ask(self, method: str, path: str, **kwargs) -> requests.Response:
        headers = {"Authorization": f"token {self.token}"}
        answer = requests.request(
            method, f"{self.url}/{path}", headers=headers, timeout=SECONDS, **kwargs
        )
        if not answer.ok:
            raise RuntimeError(f"{self.name}: {method} {path}: {answer.status_code}: {answer.text}")
        return answer

    def run(self, commands: str) -> str:
        """Type the lines into a new terminal, up to the first that fails; what they print."""
        terminal = self.ask("POST", "api/terminals").json()["name"]
        address = self.url.replace("http", "ws", 1) + f"/terminals/websocket/{terminal}"
        headers = [f"Authorization: token {self.token}"]
        connection = websocket.create_connection(address, header=headers, timeout=SECONDS)
        try:
            return "".join(self._type(connection, line) for line in commands.splitlines())
        finally:
            connection.close()
            self.ask("DELETE", f"api/terminals/{terminal}")

    def _type(self, connection: websocket.WebSocket, line: str) -> str:
        # The shell joins the words, so that the line itself is no sign of its end.
        connection.send(json.dumps(["stdin", f'{line}; echo "ended"" with $?."\r']))
        printed = ""
        while not (ended := DONE.search(printed)):
            kind, *rest = json.loads(connection.recv())
            printed += rest[0] if kind == "stdout" else ""
        if ended[1] != "0":
            raise RuntimeError(f"{self.name}: `{line}` ended with {ended[1]}:\n{printed}")
        return printed

    def press(self, button: str) -> None:
        """Press a button of the assignment list: fetch, submit or fetch_feedback."""
        what = {"course_id": "trl", "assignment_id": CHAPTER}
        self.ask("POST", f"assignments/{button}", json=what)

    def read(self, path: str) -> dict:
        """A file or folder as JupyterLab sees it."""
        return self.ask("GET", f"api/contents/{path}").json()

    def answer(self, answers: dict[str, str]) -> None:
        """Write answers into the fetched notebook and save it."""
        path = f"{CHAPTER}/{CHAPTER}.ipynb"
        notebook = self.read(path)["content"]
        for cell in notebook["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id")
            cell["source"] = answers.get(name, cell["source"])
        body = {"type": "notebook", "format": "json", "content": notebook}
        self.ask("PUT", f"api/contents/{path}", json=body)

    def feedback(self) -> list[str]:
        """The feedback pages that have arrived."""
        folder = f"{CHAPTER}/feedback"
        return [
            self.read(f"{folder}/{moment['name']}/{page['name']}")["content"]
            for moment in self.read(folder)["content"]
            for page in self.read(f"{folder}/{moment['name']}")["content"]
        ]


@dataclass
class Outcome:
    """What the walk came to, as each person sees it."""

    grades: dict[str, dict[str, str]]  # the teacher's grades.csv, a row for each learner
    made: dict[str, str]  # the feedback that the teacher made
    feedback: dict[str, list[str]]  # the feedback that each learner reads
    refused: int  # what the hub says to a learner who opens another's notebook


def walk(folder: Path) -> Outcome:
    """Do all that the page says in ``folder``.

    Raises
    ------
    NoHub
        If node or npm is missing, the proxy cannot be installed, or there can be no sandbox.
    """
    if fault := place.fault(unsafe_local=False):
        raise NoHub(fault)
    page = Page.read(folder)
    setup, start = page.of("administrator")
    install_proxy(setup)
    say("the hub starts")
    with hub(page, folder, start) as person:
        teacher, learners = person("teacher"), {name: person(name) for name in LEARNERS}
        release, collect, grading, feedback = page.of("teacher")
        fetch, submit, fetch_feedback = page.of("learner")
        course(folder / "home/teacher/course")
        say("the teacher releases")
        teacher.run(due(release, datetime.now(timezone.utc) + timedelta(days=7)))
        ada, ben, cleo = learners.values()
        say("the learners fetch, work and submit")
        for learner in (ada, cleo):
            learner.press("fetch")
        ben.run(fetch)
        ada.answer(solutions(CHAPTER))
        ben.answer(solutions(CHAPTER) | mistakes())
        for learner in (ada, cleo):
            learner.press("submit")
        moment = datetime.now(timezone.utc) + timedelta(seconds=1)
        teacher.run("cd ~/course\n" + due(line_with(release, "--duedate"), moment))
        time.sleep(max(0.0, (moment - datetime.now(timezone.utc)).total_seconds()))
        ben.run(submit)
        say("the teacher collects and grades")
        teacher.run("cd ~/course\n" + collect)
        grade(teacher, grading)
        teacher.run("cd ~/course\n" + feedback)
        say("the learners read")
        for learner in (ada, cleo):
            learner.press("fetch_feedback")
        ben.run(fetch_feedback)
        rows = csv.DictReader(io.StringIO(teacher.read("course/build/grades.csv")["content"]))
        made = "course/build/feedback/{0}/{1}/{1}.html"
        intruder = Person("ben", ada.url, ben.token)
        return Outcome(
            grades={row["student_id"]: row for row in rows if row["assignment"] == CHAPTER},
            made={name: teacher.read(made.format(name, CHAPTER))["content"] for name in LEARNERS},
            feedback={name: learner.feedback() for name, learner in learners.items()},
            refused=status(intruder, f"api/contents/{CHAPTER}"),
        )


def grade(teacher: Person, commands: str) -> None:
    """Grade what was collected, as the page says."""
    teacher.run("cd ~/course\n" + commands)


def mistakes() -> dict[str, str]:
    """The usual mistake of each exercise that ben gets wrong."""
    return {name: bank.mistakes(name)[-1].source for name in WRONG}


def due(commands: str, moment: datetime) -> str:
    """The commands with ``moment`` as their due date."""
    return re.sub(r'(--duedate) "[^"]*"', rf'\1 "{moment:%Y-%m-%d %H:%M:%S.%f} UTC"', commands)


def line_with(commands: str, word: str) -> str:
    return next(line for line in commands.splitlines() if word in line)


def course(folder: Path) -> None:
    """The course's folder, as a teacher would clone it."""
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    for name in ("nbgrader_config.py", "autotests.yml"):
        shutil.copy(ROOT / name, folder)


def status(person: Person, path: str) -> int:
    headers = {"Authorization": f"token {person.token}"}
    return requests.get(f"{person.url}/{path}", headers=headers, timeout=SECONDS).status_code


def proxy_folder() -> Path:
    """Where the proxy is kept from one walk to the next."""
    return Path(platformdirs.user_cache_dir("trlkit")) / "hub-proxy"


def install_proxy(setup: str) -> None:
    """Run the page's first block; without npm's line where the proxy is there already."""
    installed = proxy_folder() / "node_modules/.bin/configurable-http-proxy"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoHub("the hub's proxy needs node and npm, which are not on the PATH")
    if installed.exists():
        setup = "\n".join(line for line in setup.splitlines() if not line.startswith("npm"))
    try:
        done = subprocess.run(["bash", "-ec", setup], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise NoHub("npm could not install the hub's proxy within two minutes") from None
    if not installed.exists():
        raise NoHub(f"npm could not install the hub's proxy: {done.stderr.strip()[-300:]}")
    done.check_returncode()


@contextmanager
def hub(page: Page, folder: Path, start: str) -> Iterator:
    """The page's hub on free ports; gives a function that starts a person's server."""
    token, password = secrets.token_hex(16), secrets.token_hex(16)
    port, hub_port, proxy_port = free_ports(3)
    for name, text in page.blocks:
        if name.startswith(str(folder)):
            Path(name).write_text(text, encoding="utf-8")
    more = f"""
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.SharedPasswordAuthenticator.user_password = "{password}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.JupyterHub.services = [{{"name": "walk", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "walk", "services": ["walk"], "scopes": ["admin:users", "admin:servers", "tokens"]}}
]
c.Spawner.args += ["--allow-root"]
c.Spawner.environment["OMP_NUM_THREADS"] = "1"
c.Spawner.start_timeout = c.Spawner.http_timeout = {SECONDS:.0f}
"""
    with (folder / "jupyterhub_config.py").open("a", encoding="utf-8") as file:
        file.write(more)
    url = f"http://127.0.0.1:{port}"
    bin_folder = str(Path(sys.executable).parent)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
    environment["PATH"] = os.pathsep.join([bin_folder, os.environ["PATH"]])
    with (folder / "hub.log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-ec", start.replace("\njupyterhub", "\nexec jupyterhub")],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        admin = Person("the administrator", f"{url}/hub/api", token)
        wait(lambda: answers(admin, process), "the hub")
        yield lambda name: server(admin, url, name)
    except Exception as error:
        told = (folder / "hub.log").read_text(encoding="utf-8")[-5000:]
        raise RuntimeError(f"{error}\nThe hub said:\n{told}") from error
    finally:
        process.send_signal(signal.SIGTERM)  # it ends the servers and the proxy
        process.wait(SECONDS)


def server(admin: Person, url: str, name: str) -> Person:
    """Start a person's server through the hub; the token that comes back opens no other."""
    admin.ask("POST", f"users/{name}/server")
    wait(lambda: admin.ask("GET", f"users/{name}").json()["servers"].get("", {}).get("ready"),
         f"{name}'s server")  # fmt: skip
    scopes = {"scopes": [f"access:servers!user={name}"]}
    token = admin.ask("POST", f"users/{name}/tokens", json=scopes).json()["token"]
    return Person(name, f"{url}/user/{name}", token)


def answers(admin: Person, process: subprocess.Popen) -> bool:
    """Whether the hub answers; a RuntimeError where it has ended."""
    if process.poll() is not None:
        raise RuntimeError(f"the hub ended with {process.returncode}")
    try:
        headers = {"Authorization": f"token {admin.token}"}
        return requests.get(f"{admin.url}/user", headers=headers, timeout=SECONDS).ok
    except requests.ConnectionError:
        return False


def wait(ready, what: str) -> None:
    until = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > until:
            raise RuntimeError(f"{what} does not answer")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="trlkit-hub-") as temporary:
        try:
            outcome = walk(Path(temporary))
        except NoHub as error:
            sys.exit(f"hub.py: {error}")
    for student, row in outcome.grades.items():
        late = "late" if row["timestamp"] > row["duedate"] else "in time"
        pages = len(outcome.feedback[student])
        say(f"{student}: {row['score']} of {row['max_score']}, {late}, {pages} page of feedback")
