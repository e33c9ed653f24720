"""Real clients as processes against a real node that is killed, stopped and run out of disk; then the checker of histories reads what
they wrote down. HISTORY_SECONDS (60) says for how long, HISTORY_SEED repeats a run's schedule, HISTORY_DEBUG_CLIENTS="c0 c1" has
librdkafka tell what it does in those clients' *.err files."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import audit  # noqa: E402
import clients  # noqa: E402
from conftest import BINARY, Node, eventually, fill  # noqa: E402

SECONDS = float(os.environ.get("HISTORY_SECONDS", "60"))
SEED = int(os.environ.get("HISTORY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CHECKER = pathlib.Path(os.environ.get("HISTORY_CHECK", BINARY.parent / "history_check"))
DISK_MB = int(os.environ.get("HISTORY_DISK_MB", "1500"))

CAST = [("producer", "p0"), ("producer", "p1"), ("transactions", "x0a"), ("transactions", "x0b"), ("transactions", "x1a"),
        ("committed", "r0"), ("uncommitted", "r1"), ("group-classic", "g0"), ("group-classic", "g1"), ("group-consumer", "h0"),
        ("group-consumer", "h1"), ("copier-classic", "c0"), ("copier-classic", "c1"), ("copier-consumer", "d0"), ("copier-consumer", "d1")]
GROUPS = [("readers-classic", "plain"), ("readers-consumer", "plain"), ("copiers-classic", "in"), ("copiers-consumer", "in")]


class LightNode(Node):
    """The broker alone (an example of crates/edge-kafka), where LIGHT_NODE names it: built in a minute."""

    def start(self):
        self.process = subprocess.Popen([os.environ["LIGHT_NODE"], self.data, f"listen={self.bootstrap}"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == str(self.kafka_port)
        return self


class Play:
    """The clients of a run, and what befalls the node meanwhile."""

    def __init__(self, node, folder, small_disk):
        self.node, self.folder, self.small_disk = node, folder, small_disk
        self.rng, self.lives, self.running, self.events = random.Random(SEED), {}, {}, []

    def start(self, kind, name):
        life = self.lives[name] = self.lives.get(name, -1) + 1
        command = [sys.executable, HERE / "clients.py", kind, name, self.node.bootstrap,
                   self.folder / f"{name}.{life}.jsonl", str(SEED + life)]
        with open(self.folder / f"{name}.{life}.err", "wb") as errors:
            process = subprocess.Popen(command, stderr=errors, env={**os.environ, "CLIENT_LIFE": str(life)})
        self.running[name] = (kind, process)

    def revive(self):
        """Starts clients again whose library has hung: see clients.py."""
        for name, (kind, process) in sorted(self.running.items()):
            if process.poll() == clients.STUCK:
                self.events.append(f"{clients.now()} librdkafka of {name} was stuck")
                self.start(kind, name)

    def befall(self):
        event = self.rng.choice([self.kill, self.kill, self.stop_and_continue, self.fill_disk, self.kill_client])
        self.events.append(f"{clients.now()} {event.__name__}")
        event()

    def kill(self):
        self.node.kill9()
        time.sleep(self.rng.uniform(0, 1))
        self.node.start()

    def stop_and_continue(self):
        self.node.process.send_signal(signal.SIGSTOP)
        time.sleep(self.rng.choice([0.5, 2, 8]))
        self.node.process.send_signal(signal.SIGCONT)

    def kill_client(self):
        name = self.rng.choice(sorted(self.running))
        kind, process = self.running[name]
        process.kill()
        process.wait()
        self.start(kind, name)

    def fill_disk(self):
        """Takes all room, and writes until the node runs out of what it had set aside."""
        if not self.small_disk:
            return
        filler = self.node.data.parent / "filler"
        fill(filler, DISK_MB)
        ballast(self.node.bootstrap, 6)
        filler.unlink()

    def end(self):
        for _, process in self.running.values():
            process.terminate()
        for name, (_, process) in self.running.items():
            assert process.wait(120) in (0, clients.STUCK), f"client {name} ended with {process.returncode}: {self.folder}/{name}.*.err"


def ballast(bootstrap, seconds):
    """Writes as much as it can for so long; what is refused is not missed."""
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 2_000, "log_level": 0, "queue.buffering.max.kbytes": 65_536})
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            producer.produce("ballast", bytes(256 * 1024))
        except BufferError:
            producer.poll(0.05)
    producer.purge()
    producer.flush(5)


def make_topics(node):
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    topics = [NewTopic(topic, partitions, 1) for topic, partitions in clients.TOPICS.items()]
    topics.append(NewTopic("ballast", 1, 1, config={"retention.bytes": "1000000", "segment.bytes": "1048576"}))
    for made in admin.create_topics(topics).values():
        made.result(30)


@pytest.fixture
def folder(tmp_path):
    """A folder on a small disk of its own where that is permitted; whether it is."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", place], capture_output=True).returncode == 0
    yield place, mounted
    if mounted:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.timeout(SECONDS + 1200)
def test_histories_of_real_clients_hold(folder, tmp_path):
    place, small_disk = folder
    print(f"seed {SEED}: repeat with HISTORY_SEED={SEED}; a full disk is {'part' if small_disk else 'no part'} of it")
    node = (LightNode if "LIGHT_NODE" in os.environ else Node)(place / "data").start()
    play = Play(node, tmp_path, small_disk)
    try:
        make_topics(node)
        for kind, name in CAST:
            play.start(kind, name)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(play.rng.uniform(1, 5))
            play.befall()
            play.revive()
        eventually(lambda: node.process.poll() is None, 5, "the node lives")
        time.sleep(3)
        play.end()
        stuck = audit.audit(node.bootstrap, tmp_path / "audit.jsonl", GROUPS)
        assert not stuck, f"seed {SEED}: cannot be read to the end: {stuck}\n{play.events}"
    finally:
        for _, process in play.running.values():
            process.kill()
        if node.process.poll() is None:
            node.process.kill()
    assert_good(tmp_path, play)


def assert_good(folder, play):
    """Hands the histories to the checker; of a client that was killed the last line may be half."""
    merged = folder / "history.jsonl"
    with open(merged, "w") as out:
        for path in sorted(folder.glob("*.jsonl")):
            if path != merged:
                out.writelines(line for line in open(path) if line.endswith("\n"))
    checked = subprocess.run([CHECKER, merged], capture_output=True, text=True)
    print(checked.stdout[-2000:], *play.events, sep="\n")
    acks = sum('"Ack"' in line for line in open(merged))
    assert acks > 20 * SECONDS, f"only {acks} acks: clients hardly worked"
    assert checked.returncode == 0, f"seed {SEED}, histories in {folder}:\n{checked.stdout[:4000]}{checked.stderr}"
