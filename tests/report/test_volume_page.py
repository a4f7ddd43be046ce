import base64
import re

import pytest
from small_volume_evaluation import write_volume_evaluation

from custom.errors import InputError
from custom.report.html_report import write_report


def cells(text, row):
    """Return the cells of all table rows that start with a name."""
    found = re.findall(rf"<tr[^>]*><td[^>]*>{row}</td>(.*?)</tr>", text, re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in found]


def test_the_page_holds_the_means_and_stands_alone(tmp_path):
    path = write_report(write_volume_evaluation(tmp_path))
    text = path.read_text()
    assert path == tmp_path / "report.html"
    assert "heads &amp; tails" in text
    assert "no real person" in text
    assert "Research use only" in text
    clean, noisy = cells(text, "splines")
    assert (clean[0], noisy[0]) == ("30.00 ± 0.00", "27.00 ± 0.00")
    assert cells(text, "our model")[0][0] == "30.50 ± 2.12"
    assert cells(text, "v2") == [["30.00", "29.00"]]
    assert "better on 1 of 2 volumes by PSNR" in " ".join(text.split())
    assert "no backbone" in text
    sources = re.findall(r'src="([^"]*)"', text)
    assert [base64.b64decode(source.split(",")[1]) for source in sources] == [b"\x89PNG figure"]
    assert "http" not in re.sub('base64,[^"]*', "", text)
    assert "cd" * 32 in text


def test_the_best_is_marked_in_its_direction(tmp_path):
    text = write_report(write_volume_evaluation(tmp_path)).read_text()
    marked = re.findall(r'class="best">([^<]*)<', text)
    assert "30.50 ± 2.12" in marked
    assert "30.00 ± 0.00" not in marked
    assert "PSNR [dB] ↑</th>" in text
    assert "NRMSE ↓</th>" in text


@pytest.mark.parametrize("content", ["{", '{"kind": "volume evaluation"}'])
def test_a_broken_summary_is_refused(tmp_path, content):
    write_volume_evaluation(tmp_path)
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match="not the summary of an evaluation"):
        write_report(tmp_path)
