import pytest
import torch

from custom.data.datasets.pad_collate import pad_collate


def item(height, width, value=1.0):
    return {"image": torch.full((1, height, width), value)}


@pytest.mark.parametrize("nested", [False, True])
def test_pads_to_the_largest_height_and_width(nested):
    items = [item(4, 6), item(6, 2)]
    batch = pad_collate([[one] for one in items] if nested else items)["image"]
    assert batch.shape == (2, 1, 6, 6)
    assert batch[0, 0, 1:5].eq(1).all()  # padded in the centre
    assert batch[0].sum() == 24
    assert batch[1].sum() == 12


def test_several_crops_an_item_become_one_batch_in_order():
    crops = [[item(3, 3, 1.0), item(3, 3, 2.0)], [item(3, 3, 3.0), item(3, 3, 4.0)]]
    assert pad_collate(crops)["image"].amax((1, 2, 3)).tolist() == [1, 2, 3, 4]
