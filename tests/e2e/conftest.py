"""A node as a separate process, on free ports, ended with the test."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from decimal import Decimal

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("HEADWATER", ROOT / "target/release/headwater"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class SqlError(Exception):
    """What the node answers to a statement that it refuses."""

    def __init__(self, error):
        super().__init__(error.get("rendered") or error["message"])
        self.error = error


class Node:
    """One `headwater up`. Ports stay the same over restarts, as they do for a real client."""

    def __init__(self, data, *args, env=None):
        self.data, self.args, self.env = pathlib.Path(data), args, {**os.environ, **(env or {})}
        self.kafka_port, self.http_port = free_port(), free_port()
        self.process = None

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.kafka_port}"

    @property
    def http(self):
        return f"127.0.0.1:{self.http_port}"

    def start(self):
        self.log = open(self.data.parent / f"{self.data.name}.log", "ab")
        self.process = subprocess.Popen(
            [BINARY, "up", "--data", self.data, "--listen", self.bootstrap, "--http", self.http, "--output", "json", *self.args],
            stdout=subprocess.PIPE, stderr=self.log, env=self.env, text=True)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(10)
            raise RuntimeError(f"node ended with {self.process.returncode}: {self.log_tail()}")
        ready = json.loads(line)
        assert ready["ready"] is True, ready
        return self

    def log_tail(self):
        return pathlib.Path(self.log.name).read_text()[-2000:]

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise
        return self.process and self.process.returncode

    def call(self, method, path, body=None, headers=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.http}{path}", data, {"content-type": "application/json", **(headers or {})}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text, parse_float=Decimal) if text else None

    def get(self, path):
        return self.call("GET", path)

    def sql(self, text):
        """Results of all statements; a refused one raises."""
        try:
            return self.call("POST", "/api/sql", {"sql": text})["results"]
        except urllib.error.HTTPError as error:
            raise SqlError(json.loads(error.read())["error"]) from None

    def rows(self, text):
        """Rows of the last statement, which must have seen everything."""
        result = self.sql(text)[-1]
        assert result.get("behind", 0) == 0, f"behind by {result['behind']}"
        assert not result.get("truncated"), "truncated"
        return result["rows"]

    def apply(self, pipeline, /, replace=False, **files):
        try:
            return self.call("POST", "/api/apply", {"pipeline": pipeline, "replace": replace, "files": [
                {"name": f"{name}.sql", "text": text} for name, text in files.items()]})
        except urllib.error.HTTPError as error:
            raise SqlError(json.loads(error.read())["error"]) from None

    def cli(self, *args, check=True, timeout=120, **kwargs):
        done = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=timeout, **kwargs)
        assert not check or done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done

    def rss_mib(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")


def fill(path, size_mib_max):
    """Takes all the room of a small disk with one file; never more than this, should the small disk not be there any more."""
    with open(path, "wb", buffering=0) as file:
        try:
            for _ in range(size_mib_max):
                file.write(bytes(1 << 20))
        except OSError:
            pass


def eventually(check, timeout_s=30, what="condition"):
    """Waits until check() is true-ish and returns it."""
    deadline, last = time.monotonic() + timeout_s, None
    while time.monotonic() < deadline:
        last = check()
        if last:
            return last
        time.sleep(0.05)
    raise AssertionError(f"{what} not met in {timeout_s} s; last: {last!r}")


@pytest.fixture
def make_node(tmp_path):
    """Makes nodes; those still running are ended with the test."""
    nodes = []

    def make(*args, name="data", env=None):
        node = Node(tmp_path / name, *args, env=env)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        try:
            node.stop()
        finally:
            if node.process and node.process.poll() is None:
                node.process.kill()


@pytest.fixture
def node(make_node):
    return make_node().start()


class Postgres:
    """A PostgreSQL cluster of its own, in a folder of its own, on a free port."""

    PASSWORD = "secret-of-the-test"

    def __init__(self, folder):
        self.folder, self.port = pathlib.Path(folder), free_port()
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.user = [] if os.getuid() else ["runuser", "-u", "postgres", "--"]

    @property
    def url(self):
        return f"postgres://postgres:{self.PASSWORD}@127.0.0.1:{self.port}/postgres"

    def create(self):
        self.folder.mkdir(parents=True)
        password = self.folder / "password"
        password.write_text(self.PASSWORD)
        if self.user:
            import shutil
            for path in (self.folder, password):
                shutil.chown(path, "postgres", "postgres")
        subprocess.run([*self.user, self.bin / "initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password],
                       check=True, capture_output=True)
        return self

    def start(self):
        (self.folder / "data/postmaster.pid").unlink(missing_ok=True)
        self.process = subprocess.Popen([*self.user, self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", "", "-h", "127.0.0.1"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        eventually(self.answers, 30, "PostgreSQL is up")
        return self

    def answers(self):
        try:
            return self.rows("SELECT 1") == [(1,)]
        except Exception:
            return False

    def rows(self, query):
        import psycopg
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            return connection.execute(query).fetchall()

    def count(self, table):
        """Rows of a table; 0 as long as it is not there."""
        import psycopg
        try:
            return self.rows(f"SELECT count(*) FROM {table}")[0][0]
        except psycopg.errors.UndefinedTable:
            return 0

    def kill9(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(30)


@pytest.fixture
def postgres():
    import shutil
    import tempfile
    folder = pathlib.Path(tempfile.mkdtemp(prefix="headwater-pg-"))
    folder.chmod(0o755)
    server = Postgres(folder / "cluster").create().start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
