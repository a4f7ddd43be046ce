"""The next batch is prepared in a thread; errors and the end of the process are as without one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from custom.data.datasets.read_ahead_loader import ReadAheadLoader

REPOSITORY = Path(__file__).parents[3]
ENDED = """
import torch
from custom.data.datasets.read_ahead_loader import ReadAheadLoader
torch.set_num_threads(1)

class Busy(torch.utils.data.Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, number):
        return sum(torch.rand(64, 64).flip(0).mean() for _ in range(2000))

batches = iter(ReadAheadLoader(Busy()))
next(batches)
raise SystemExit(143)
"""


class Numbers(Dataset):
    def __init__(self, damaged=None):
        self.damaged = damaged

    def __len__(self):
        return 7

    def __getitem__(self, number):
        if number == self.damaged:
            raise ValueError(f"item {number} is damaged")
        return number


def test_batches_are_those_of_a_plain_loader():
    def batches(kind):
        torch.manual_seed(3)
        return [batch.tolist() for batch in kind(Numbers(), batch_size=2, shuffle=True)]

    assert batches(ReadAheadLoader) == batches(DataLoader)


def test_an_item_that_cannot_be_read_is_an_error():
    batches = iter(ReadAheadLoader(Numbers(damaged=4), batch_size=2))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="item 4 is damaged"):
        next(batches)


def test_a_process_that_ends_in_the_middle_keeps_its_exit_code():
    words = [sys.executable, "-c", ENDED]
    ended = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (143, "")


def test_the_patches_of_a_volume_are_items_of_the_batch():
    """As MONAI's loaders collate; torch's own would give a list of pairs."""
    volumes = [[{"image": torch.zeros(1, 2)}, {"image": torch.ones(1, 2)}]] * 2
    (batch,) = ReadAheadLoader(volumes, batch_size=2)
    assert batch["image"].shape == (4, 1, 2)
