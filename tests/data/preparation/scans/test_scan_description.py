import numpy as np
import pytest
from paravision_files import write_scan

from custom.data.preparation.scans.scan_description import describe_bruker_scan, find_region
from custom.files.bruker import read_bruker_header

PATTERNS = {"head-thorax": "head|brain", "thorax-abdomen": "abdomen|liver"}


@pytest.mark.parametrize(
    ("study", "protocol", "region"),
    [
        ("brain_study", "T2_abdomen", "thorax-abdomen"),
        ("brain_study", "T2_TurboRARE", "head-thorax"),
        ("liver_study", "T2_Brain", "head-thorax"),
        ("study", "T2_TurboRARE", ""),
    ],
)
def test_a_scan_s_own_name_counts_before_the_study_s(tmp_path, study, protocol, region):
    path = write_scan(tmp_path / study, 1, np.ones((8, 8, 2), int), protocol=protocol)
    assert describe_bruker_scan(read_bruker_header(path), "source", PATTERNS).region == region


def test_the_first_pattern_that_occurs_names_the_region():
    assert find_region(["liver and Brain"], PATTERNS) == "head-thorax"
    assert find_region(["", "tail"], PATTERNS) == ""
