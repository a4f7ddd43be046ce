import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.dataset import Dataset

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.writing.stored_scale import StoredScale, scale_of


def frames(*scales):
    headers = []
    for slope, intercept in scales:
        header = Dataset()
        header.RescaleSlope, header.RescaleIntercept = slope, intercept
        headers.append(header)
    return [Frame(header, None) for header in headers]


@given(
    array=arrays(np.float32, (3, 2), elements=st.floats(-1e6, 1e6, width=32)),
    slope=st.floats(1e-3, 1e3),
)
def test_no_value_moves_by_more_than_half_a_step(array, slope):
    scale = scale_of(array, frames((slope, 0.0)))
    stored = scale.stored(array)
    assert stored.dtype.itemsize == 2
    back = stored.astype(np.float64) * scale.slope + scale.intercept
    ends = scale.slope * 32767.5  # of what is an outlier
    moved = np.minimum(np.abs(back - array), np.abs(back - array.clip(-ends, ends)))
    assert moved.max() <= scale.slope * 0.5001


@pytest.mark.parametrize(
    ("array", "sources", "expected"),
    [
        # Values on the steps of the source stay there, be they few.
        ([0.0, 4.0, 10.0], [(2.0, 0.0)], StoredScale(2.0, 0.0)),
        # A thousand steps between dark and bright are enough.
        ([0.0, 2000.3], [(2.0, -5.0)], StoredScale(2.0, -5.0)),
        # Fewer are not, nor are steps that differ between the slices.
        ([0.0, 3.2767], [(2.0, 0.0)], StoredScale(1e-4, 0.0)),
        ([0.0, 3276.7], [(2.0, 0.0), (2.5, 0.0)], StoredScale(0.1, 0.0)),
        # What does not fit a signed number may fit an unsigned one.
        ([0.0, 60000.0], [(1.0, 0.0)], StoredScale(1.0, 0.0, signed=False)),
        ([-10.0, 65534.0], [(1.0, 0.0)], StoredScale(2.0, 0.0)),
        ([0.0, 65535.0], [(1.0, 0.0)], StoredScale(1.0, 0.0, signed=False)),
        ([0.0, 65536.0], [(1.0, 0.0)], StoredScale(65536 / 32767, 0.0)),
        ([-32768.0, 32767.0], [(1.0, 0.0)], StoredScale(1.0, 0.0)),
        ([-32768.0, 32768.0], [(1.0, 0.0)], StoredScale(32768 / 32767, 0.0)),
        ([0.0, 0.0], [(1.0, 5.0), (2.0, 0.0)], StoredScale(1.0, 0.0)),
    ],
)
def test_the_scale(array, sources, expected):
    scale = scale_of(np.array(array), frames(*sources))
    assert scale.signed == expected.signed
    assert scale.slope == pytest.approx(expected.slope)
    assert scale.intercept == expected.intercept


@pytest.mark.parametrize("hot", [100, 10_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_hot_voxel_leaves_the_tissue_its_grey_levels(hot, sign, caplog):
    rng = np.random.default_rng(0)
    image = np.where(np.arange(400).reshape(20, 20) < 200, 0.6, 0.0) + 0.01 * rng.random((20, 20))
    image[3, 3] = hot * 0.6
    image *= sign
    scale = scale_of(image, frames((1.0, 0.0)))
    stored = scale.stored(image)
    assert abs(np.median(stored[:10])) > 900
    assert abs(int(stored[3, 3])) >= 32767
    assert "1 values up to" in caplog.text
