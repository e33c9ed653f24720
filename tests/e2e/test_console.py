"""The page, in headless Chromium, on a node that replays the flights."""
import json
import os
import subprocess

import pytest
from conftest import BINARY, ROOT, eventually, free_port


@pytest.fixture
def demo(tmp_path):
    kafka, http = free_port(), free_port()
    process = subprocess.Popen([BINARY, "demo", "flights", "--listen", f"127.0.0.1:{kafka}", "--http", f"127.0.0.1:{http}", "--data", tmp_path / "demo"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert "Headwater is up" in line, line + process.stderr.read()
    # What markup in a record would do to the page, if it were rendered.
    payload = '<img src=x onerror="window.__xss=1">'
    subprocess.run([BINARY, "produce", "hostile", "--bootstrap", f"127.0.0.1:{kafka}"], input=payload + "\n", text=True, check=True, timeout=30)
    yield f"http://127.0.0.1:{http}"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_every_page_while_the_year_passes(demo, tmp_path):
    tests = sorted(str(p) for p in (ROOT / "console/test").glob("*.test.mjs"))
    assert tests, "the console has tests"
    env = {**os.environ, "HEADWATER_HTTP": demo, "HEADWATER_TOPIC": "flights", "HEADWATER_LIVE_VIEW": "punctuality",
           "HEADWATER_XSS_TOPIC": "hostile", "SCREENSHOTS": os.environ.get("SCREENSHOTS", str(tmp_path / "screenshots"))}
    done = subprocess.run(["node", "--test", *tests], cwd=ROOT / "console", env=env, capture_output=True, text=True, timeout=300)
    print(done.stdout[-4000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
