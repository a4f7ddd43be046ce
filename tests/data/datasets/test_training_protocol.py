"""Whose gradient table is simulated."""

import numpy as np
import pytest

from custom.data.datasets.training_protocol import training_protocol
from custom.errors import InputError
from custom.physics.diffusion.gradient_table import published_scheme


@pytest.fixture
def scan(tmp_path):
    table = published_scheme().select(np.arange(8))
    table.write(tmp_path / "scan.bval", tmp_path / "scan.bvec")
    published_scheme().write(tmp_path / "other.bval", tmp_path / "other.bvec")
    return tmp_path


def test_named_files_win_over_the_dataset(scan):
    listed = {"training": [{"image": str(scan / "scan.nii.gz")}]}
    own = training_protocol(None, None, listed)
    named = training_protocol(scan / "other.bval", scan / "other.bvec", listed)
    for found, expected in (
        (own, published_scheme().select(np.arange(8))),
        (named, published_scheme()),
    ):
        np.testing.assert_allclose(found.bvals, expected.bvals)
        np.testing.assert_allclose(found.bvecs, expected.bvecs, atol=1e-7)


def test_half_a_table_and_no_table_are_refused(scan):
    with pytest.raises(InputError, match="both"):
        training_protocol(scan / "other.bval", None, {})
    with pytest.raises(InputError, match="no training scan"):
        training_protocol(None, None, {"training": []})
