import base64
import json
import re

import numpy as np
import pytest
from small_dwi_evaluation import write_dwi_evaluation

from custom.errors import InputError
from custom.evaluation.draw_dwi import draw_dwi_comparison
from custom.evaluation.dwi_panels import DwiComparison
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


def test_panels_share_their_windows_and_residuals_are_of_the_mask():
    random = np.random.default_rng(0)
    truth, anisotropy = random.random((6, 5)), random.random((6, 5))
    anisotropy[0] = np.nan
    noisy = truth + 0.1 * random.standard_normal((6, 5))
    noisy[0] = 50.0  # outside of the mask
    item = DwiComparison(
        "s1",
        3,
        16,
        1000.0,
        0.1,
        (2.0, 4.0),
        {"input": noisy, "model": truth},
        {"input": anisotropy, "model": anisotropy},
        truth,
        anisotropy,
        {"input": {"mse": 0.5}, "model": {"mse": 0.0}},
    )
    figure = draw_dwi_comparison(item, {"input": "noisy"})
    images = [ax.images[0] for ax in figure.axes if ax.images]
    signals, residuals, shares = images[:3], images[3:5], images[5:8]
    assert len(images) == 8
    np.testing.assert_allclose(signals[0].get_array(), noisy.T)
    np.testing.assert_allclose(signals[2].get_array(), truth.T)
    assert len({image.get_clim() for image in signals}) == 1
    shown = np.ma.filled(residuals[0].get_array(), np.nan)
    assert np.isnan(shown[:, 0]).all()
    np.testing.assert_allclose(shown[:, 1:], (noisy - truth).T[:, 1:])
    low, high = residuals[0].get_clim()
    assert high == -low == pytest.approx(np.abs(noisy - truth)[1:].max())
    assert {image.get_clim() for image in shares} == {(0.0, 1.0)}
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:3] == ["noisy\nMSE 0.5", "our model\nMSE 0", "truth\n"]
    assert "noise 0.1 of S0: slice 3, volume 16, b = 1000" in figure.get_suptitle()
