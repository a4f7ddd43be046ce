import numpy as np
import pytest

from custom.metrics.image_pairs import foreground


def test_the_foreground_is_the_bright_class():
    random = np.random.default_rng(0)
    volume = 0.1 * random.random((9, 9, 9))
    volume[2:6] += 1
    found = foreground(volume)
    assert found[2:6].all()
    assert not found[:2].any()
    assert not found[6:].any()
    with pytest.raises(ValueError, match="constant"):
        foreground(np.ones((3, 3, 3)))
