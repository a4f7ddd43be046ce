import json

import pytest
from matplotlib.figure import Figure
from small_evaluation import write_evaluation

from custom.evaluation.diagnostics_folder import Diagnostic, read_diagnostics, write_diagnostics
from custom.report.html_report import write_report


def found(*names):
    for name in names:
        yield Diagnostic(name, f"About {name}", f"<{name}>", Figure((1, 1)), {"n": len(name)})


@pytest.fixture
def evaluation(tmp_path):
    return write_evaluation(tmp_path / "evaluate")


def test_figures_numbers_and_captions_are_kept_in_order(evaluation):
    folder = write_diagnostics(evaluation, found("b", "a"))
    assert sorted(path.name for path in folder.glob("*.png")) == ["a.png", "b.png"]
    numbers = json.loads((folder / "diagnostics.json").read_text())
    assert numbers["b"] == {"n": 1}
    assert list(numbers) == ["b", "a"]
    assert [row["path"].name for row in read_diagnostics(evaluation)] == ["b.png", "a.png"]


def test_the_report_shows_them(evaluation):
    assert "<h2>Further figures" not in write_report(evaluation).read_text()
    write_diagnostics(evaluation, found("a", "b"))
    text = write_report(evaluation).read_text()
    assert "<h2>Further figures" in text
    assert text.index("About a") < text.index("&lt;a&gt;") < text.index("About b")


def test_an_unfinished_writing_shows_nothing(evaluation):
    def stopped():
        yield from found("b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_diagnostics(evaluation, stopped())
    assert read_diagnostics(evaluation) == []
