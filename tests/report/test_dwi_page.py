import base64
import json
import re

import pytest
from small_dwi_evaluation import write_dwi_evaluation

from custom.errors import InputError
from custom.report.html_report import write_report


def cells(text, row):
    """Return the cells of the first table row that starts with a name."""
    (found, *_) = re.findall(rf"<tr[^>]*><td[^>]*>{row}</td>(.*?)</tr>", text, re.DOTALL)
    return re.findall(r"<td[^>]*>(.*?)</td>", found)


def test_the_page_holds_the_means_and_stands_alone(tmp_path):
    path = write_report(write_dwi_evaluation(tmp_path))
    text = path.read_text()
    assert path == tmp_path / "report.html"
    assert "heads &amp; tails" in text
    assert "no real person" in text
    assert "Research use only" in text
    assert cells(text, "noisy")[:2] == ["0.016", "0.1"]
    assert cells(text, "our model")[0] == "0.004"
    assert cells(text, "our model")[-2:] == ["0.7", "0.95"]
    assert cells(text, "noisy")[-2:] == ["-", "-"]
    assert "Noise 0.05 of s0" in text
    sources = re.findall(r'src="([^"]*)"', text)
    assert [base64.b64decode(source.split(",")[1]) for source in sources] == [b"\x89PNG figure"]
    assert "http" not in re.sub('base64,[^"]*', "", text)
    assert "cd" * 32 in text


def test_the_smallest_error_is_marked_but_no_coverage(tmp_path):
    text = write_report(write_dwi_evaluation(tmp_path)).read_text()
    marked = re.findall(r'class="best">([^<]*)<', text)
    assert "0.004" in marked
    assert "0.016" not in marked
    assert "0.7" not in marked
    assert "truth within 1 sd</th>" in text, "no arrow"
    assert "NRMSE ↓</th>" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "dwi evaluation"}', "{}"])
def test_a_broken_summary_is_refused(tmp_path, content):
    write_dwi_evaluation(tmp_path)
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match="not the summary of an evaluation"):
        write_report(tmp_path)


def test_diagnostics_of_the_evaluation_are_shown(tmp_path):
    from matplotlib.figure import Figure

    from custom.evaluation.diagnostics_folder import Diagnostic, write_diagnostics

    write_dwi_evaluation(tmp_path)
    write_diagnostics(tmp_path, [Diagnostic("a", "By noise", "The limit.", Figure((1, 1)))])
    assert "By noise" in write_report(tmp_path).read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"scans": 4}))
    assert "By noise" not in write_report(tmp_path).read_text(), "of another evaluation"
