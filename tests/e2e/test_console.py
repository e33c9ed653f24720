"""The page, in headless Chromium, on a node that replays the flights."""
import json
import os
import subprocess
import threading

import pytest
from conftest import BINARY, ROOT, free_port

FLIGHT = {"carrier": "UA", "flight": 1, "origin": "EWR", "dest": "IAH", "hour": 5, "minute": 15, "dep_time": 517, "dep_delay": 2,
          "time_hour": "2014-01-01T10:00:00Z"}


@pytest.fixture
def demo(tmp_path):
    kafka, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([BINARY, "demo", "flights", "--listen", kafka, "--http", http, "--data", tmp_path / "demo"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert "Headwater is up" in line, line + process.stderr.read()
    # What markup in a record would do to the page, if it were rendered.
    produce(kafka, "hostile", '<img src=x onerror="window.__xss=1">')
    done = threading.Event()
    feeder = threading.Thread(target=feed, args=(kafka, done), daemon=True)
    feeder.start()
    yield f"http://{http}"
    done.set()
    feeder.join(30)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0


def produce(kafka, topic, text):
    subprocess.run([BINARY, "produce", topic, "--bootstrap", kafka], input=text + "\n", text=True, check=True, timeout=30, capture_output=True)


def feed(kafka, done):
    """Keeps views changing after the year is over."""
    while not done.wait(1):
        produce(kafka, "flights", json.dumps(FLIGHT))


def test_every_page_while_the_year_passes(demo, tmp_path):
    tests = sorted(str(p) for p in (ROOT / "console/test").glob("*.test.mjs"))
    assert tests, "the console has tests"
    env = {**os.environ, "HEADWATER_HTTP": demo, "HEADWATER_TOPIC": "flights", "HEADWATER_LIVE_VIEW": "punctuality",
           "HEADWATER_XSS_TOPIC": "hostile", "SCREENSHOTS": os.environ.get("SCREENSHOTS", str(tmp_path / "screenshots"))}
    done = subprocess.run(["node", "--test", *tests], cwd=ROOT / "console", env=env, capture_output=True, text=True, timeout=500)
    print(done.stdout[-4000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
