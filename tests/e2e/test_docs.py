"""Every snippet of the documentation, run as a reader would."""
import os
import re
import subprocess

import pytest
from conftest import BINARY, ROOT

FENCE = re.compile(r"^```(sql|console)([^\n]*)\n(.*?)^```", re.M | re.S)
PAGES = sorted(p.name for p in (ROOT / "docs").glob("*.md"))


def commands(text):
    """The lines after a `$`, with their continuations."""
    return [c.strip() for c in re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.M)]


@pytest.mark.parametrize("page", PAGES)
def test_snippets_work(node, page, tmp_path):
    env = {**os.environ, "HEADWATER_BOOTSTRAP": node.bootstrap, "HEADWATER_HTTP": node.http,
           "PATH": f"{BINARY.parent}:{os.environ['PATH']}"}
    for kind, tags, text in FENCE.findall((ROOT / "docs" / page).read_text()):
        if "skip" in tags:
            continue
        if kind == "sql":
            node.sql(text)
            continue
        for command in commands(text):
            done = subprocess.run(["bash", "-ec", command], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{page}: {command}\n{done.stdout}{done.stderr}"


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
