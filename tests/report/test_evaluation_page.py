import base64
import json
import re

import pytest
from made_evaluation import SUMMARY, write_made_evaluation
from page_reader import Page

from custom.errors import InputError
from custom.report.html_report import write_report


@pytest.fixture
def page(tmp_path):
    path = write_report(write_made_evaluation(tmp_path))
    assert path == tmp_path / "report.html"
    return Page(path.read_text())


def columns(table, *names):
    """Return some columns of a table, without its head."""
    places = [table[0].index(name) for name in names]
    return [[row[place] for place in places] for row in table[1:]]


def test_the_page_stands_alone_and_is_well_formed(page):
    assert page.open == []
    (source,) = page.sources
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == b"\x89PNG figure"
    assert "http" not in re.sub('base64,[^"]*', "", page.text)


def test_the_page_says_what_it_is(page):
    for told in (
        "Research use only",
        "mice &amp; men",
        "Demonstration data: no real animal",
        "slice 4, scan 2, animal 3, excluded 1.",
        "Simulated data. m1: &lt;middle&gt;",  # a picture is looked at without the page
        "Two &lt;slices&gt;.",
        "how MSE is defined",
        "max - min",
        "m1: 7",
        "ab" * 32,
        "checkpoint of VAE",
        "cd" * 32,
    ):
        assert told in page.text


def test_means_overall_and_by_group_and_the_best_of_each(page):
    overall, by_noise, *_ = page.tables
    assert overall[0] == ["method", "PSNR [dB] ↑", "MSE ↓", "truth within 1 sd", "n"]
    assert overall[1:] == [
        ["noisy", "20.00 ± 0.50", "0.16 ± 0.02", "-", "4"],
        ["VAE", "24.00 ± 0.50", "0.01 ± 0.00125", "0.500", "4"],
        ["APDDM", "24.50 ± 0.50", "0.04 ± 0.005", "0.700", "4"],
    ]
    assert [row[0] for row in by_noise] == ["noise level", "0", "", "", "0.3", "", ""]
    noisy = columns(by_noise, "method", "PSNR [dB] ↑")[3:]
    assert noisy == [["noisy", "10.00 ± 0.50"], ["VAE", "14.00 ± 0.50"], ["APDDM", "13.00 ± 0.50"]]
    # Of a coverage none is best; a group of one value is the whole, and has no table.
    assert page.best[:4] == ["0.01 ± 0.00125", "24.50 ± 0.50", "0.01 ± 0.00125", "24.50 ± 0.50"]
    assert "By plane" not in page.text
    assert "<h3>Noise level 0</h3>" in page.text, "what the overall result is of"


def test_gains_have_their_interval_and_are_bold_where_it_lies_above_0(page):
    gains = page.tables[2]
    assert gains[1:] == [
        ["noisy", "+4.50 (+4.00 to +5.00)4 of 4", "+0.124 of 4", "-"],
        ["VAE", "+0.50 (-0.25 to +1.00)3 of 4", "-0.030 of 4", "-"],
    ]
    assert [text for text in page.best if "of 4" in text] == ["+4.50 (+4.00 to +5.00)4 of 4"]


def test_scans_times_and_further_tables(page):
    each, times, ratios = page.tables[3:]
    assert each[1:] == [["m1", "1.00", "3.00", "2.00"], ["m2", "-", "-", "-"]]
    assert page.best[-1] == "3.00"
    assert times == [
        ["method", "seconds a slice", "range", "APDDM takes"],
        ["APDDM", "1.5", "0.1 to 5", ""],
        ["VAE", "0.25", "0.1 to 5", "6 times as long"],
    ]
    assert ratios == [["Mouse", "CNR"], ["m1", "1.25"], ["m2", "-"]]


def test_what_an_evaluation_does_not_have_has_no_section(tmp_path):
    alone = {"methods": ["model"], "model_against": {}, "groups": {}, "each": {}}
    overall = {"model": SUMMARY["overall"]["model"]}
    write_made_evaluation(tmp_path, overall=overall, seconds={}, tables=[], **alone)
    page = Page(write_report(tmp_path).read_text())
    assert len(page.tables) == 1
    assert "against the others" not in page.text
    assert "<h2>Time" not in page.text
    assert "<h3>" not in page.text


def test_slices_equal_to_the_reference_are_told(tmp_path):
    overall = json.loads(json.dumps(SUMMARY["overall"]))
    overall["model"]["psnr"] |= {"n": 1, "left_out": 3, "infinite": 3}
    page = Page(write_report(write_made_evaluation(tmp_path, overall=overall)).read_text())
    assert page.tables[0][3][1::3] == ["24.50 ± 0.50 (3 equal)", "4"]


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "dwi evaluation", "metrics": []}', "{}"])
def test_a_broken_summary_is_refused(tmp_path, content):
    write_made_evaluation(tmp_path)
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match="not the summary of an evaluation"):
        write_report(tmp_path)


@pytest.mark.parametrize("key", ["measures", "seconds_per", "counts", "checkpoint", "versions"])
def test_a_summary_that_lacks_a_part_is_refused_and_the_earlier_page_stays(tmp_path, key):
    write_made_evaluation(tmp_path)
    page = write_report(tmp_path)
    before = page.read_bytes()
    summary = {name: value for name, value in SUMMARY.items() if name != key}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match=r"not the summary of an evaluation: evaluate again$"):
        write_report(tmp_path)
    assert page.read_bytes() == before
