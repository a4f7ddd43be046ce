"""Code and configs cite the pages of ``docs/methods`` by file and heading: both must exist."""

import re
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
CITATION = re.compile(r'docs/methods/(\w+\.md)((?:,| and) "[^"]+")?')


def test_every_cited_page_has_the_cited_heading():
    cited = set()
    for path in chain(ROOT.glob("custom/**/*.py"), ROOT.glob("bundles/*/configs/*.yaml")):
        text = " ".join(path.read_text("utf-8").replace("#", " ").split())
        cited |= {(page, named.partition('"')[2][:-1]) for page, named in CITATION.findall(text)}
    assert len(cited) > 20
    for page, heading in sorted(cited):
        headings = re.findall(
            r"^#+ (.+)$", (ROOT / "docs" / "methods" / page).read_text("utf-8"), re.MULTILINE
        )
        assert not heading or heading in headings, f"{page} has no {heading!r}"
