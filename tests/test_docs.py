"""Every Python block in README, CONTRIBUTING and docs runs, in order, one namespace a page."""

import re
from pathlib import Path

import pytest

from greyhound import samplers, schedulers

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__page__"}
    for block in BLOCK.findall(page.read_text()):
        if "# not run here" in block:
            compile(block, str(page), "exec")
        else:
            exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(("page", "registry"), [("samplers", samplers.REGISTRY), ("schedulers", schedulers.REGISTRY)])
def test_a_page_tells_of_every_one_by_its_name(page, registry):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert [name for name in registry.names() if not re.search(f'[`"]{name}[`"]', text)] == []
