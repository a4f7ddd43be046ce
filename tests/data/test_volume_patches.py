"""The patches that the training config of the super-resolution study cuts."""

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data.utils import set_rnd
from monai.transforms import LoadImage

from custom.data.datasets.dataset_kinds import VOLUMES, volume_pair
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.files.nifti_volume import write_volume
from custom.handlers.epoch_seed import EpochSeed
from custom.physics.downsampling import DEGRADATIONS, downsample
from custom.physics.intensity_statistics import reference_intensity

CONFIG = Path(__file__).parents[2] / "bundles" / "gan3d_sr_denoise" / "configs" / "train.yaml"
SIZE = 12
COARSE = {"network_scale": 2, "input_channels": []}  # of a network that takes the coarse volume


def volume(seed, shape=(56, 52, 49)):
    """Return a noisy ellipsoid in air, whose voxels are all different."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    tissue = sum(axis**2 for axis in axes) < 0.5
    return 500 * tissue + 90 * rng.permutation(np.prod(shape)).reshape(shape) / np.prod(shape)


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "volumes"
    with DatasetWriter(folder, VOLUMES, "noise", "made for a test") as writer:
        for number, split in enumerate(("training", "training", "validation")):
            affine = np.diag([2.0, 2, 2, 1])
            writer.add(split, f"v{number}", volume_pair(volume(number), affine))
            # Whole numbers would not all be different.
            write_volume(folder / "labels" / f"v{number}.nii.gz", volume(number), affine)
    return folder


def config(dataset_dir, **changes):
    parser = ConfigParser()
    parser.read_config(str(CONFIG))
    changes = {
        "patch_size": [SIZE] * 3,
        "steps_per_epoch": 3,
        "seed": 5,
        "augment": False,
    } | changes
    parser.update({"dataset_dir": str(dataset_dir), **changes})
    return parser


def locate(patch, whole):
    """Return the whole turned like the patch, from the patch's first voxel on."""
    ends = []
    for corner in (patch[0, 0, 0], patch[-1, -1, -1]):
        distance = (whole - corner).abs()
        assert distance.min() < 1e-6
        ends.append(torch.unravel_index(distance.argmin(), whole.shape))
    axes = [axis for axis in range(3) if ends[0][axis] > ends[1][axis]]
    turned = whole.flip(axes)
    start = [
        whole.shape[axis] - 1 - int(ends[0][axis]) if axis in axes else int(ends[0][axis])
        for axis in range(3)
    ]
    return turned, start


def crop(whole, start, size):
    x, y, z = (slice(first, first + size) for first in start)
    return whole[x, y, z]


@pytest.mark.parametrize(
    ("degradation", "limit"), [("linear", 1e-5), ("nearest", 1e-6), ("kspace", 0.08)]
)
def test_the_partner_of_a_patch_is_a_crop_of_the_downsampled_whole(dataset_dir, degradation, limit):
    parser = config(dataset_dir, degradation=degradation, **COARSE)
    data = parser.get_parsed_content("train::dataset")
    set_rnd(data, seed=1)
    places = set()
    for index in (0, 1, 0, 1, 0, 1):
        item = data[index][0]
        label, image = (item[key].as_subclass(torch.Tensor)[0] for key in ("label", "image"))
        assert label.shape == (SIZE,) * 3
        assert image.shape == (SIZE // 2,) * 3
        scale = reference_intensity(
            downsample(load(parser, index)[None], degradation), "foreground_mean"
        )
        turned, start = locate(label, load(parser, index)[0] / scale)
        torch.testing.assert_close(crop(turned, start, SIZE), label)
        # The same grid of pairs of voxels: the whole begins where the patch's parity says.
        odd = [first % 2 for first in start]
        shifted = turned[odd[0] :, odd[1] :, odd[2] :]
        low = downsample(shifted[None, None], degradation)[0, 0]
        expected = crop(low, [first // 2 for first in start], SIZE // 2)
        # In k-space the margin's end is felt: a sinc has fallen to 1 / (8 pi) = 0.04 there.
        assert (image - expected).abs().max() < limit
        places.add(tuple(start))
    assert len(places) > 3


def load(parser, index):
    return LoadImage(ensure_channel_first=True)(
        parser.get_parsed_content("datalist")["training"][index]["label"]
    ).as_subclass(torch.Tensor)


def test_the_middle_of_a_patch_is_foreground(tmp_path):
    # One bright corner of a large empty volume: a blind draw would hit it once in a hundred.
    label = np.full((60, 60, 60), 1.0)
    label[20:34, 24:36, 30:42] = 800 + volume(3, (14, 12, 12)) % 7
    with DatasetWriter(tmp_path / "set", VOLUMES, "corner", "made for a test") as writer:
        for number, split in enumerate(("training", "validation")):
            writer.add(split, split, volume_pair(label + number, np.eye(4)))
    data = config(tmp_path / "set").get_parsed_content("train::dataset")
    set_rnd(data, seed=0)
    middle = slice(SIZE // 2 - 1, SIZE // 2 + 1)
    for _ in range(40):
        assert data[0][0]["label"][0, middle, middle, middle].max() > 0.5


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_training_and_restoration_divide_by_the_same_number(dataset_dir, degradation):
    # At restoration the low-resolution volume is a file of whole numbers.
    parser = config(dataset_dir, degradation=degradation, **COARSE)
    item = parser.get_parsed_content("validate::dataset")[0]
    stored = nib.load(parser.get_parsed_content("datalist")["validation"][0]["label"])
    label = torch.from_numpy(stored.get_fdata(dtype=np.float32))
    used = (label[:, :, :48].sum() / item["label"].sum()).item()
    whole = downsample(label[None, None], degradation).round()
    assert used == pytest.approx(float(reference_intensity(whole, "foreground_mean")), rel=0.01)
    # Divided by it, the mean of the foreground is 1.
    assert float(reference_intensity(item["image"], "foreground_mean")) == pytest.approx(
        1, rel=1e-3
    )


def seen(dataset_dir, epochs, after=0, seed=5):
    """Return the first voxels of all patches of a training, from an epoch on."""
    parser = config(dataset_dir, seed=seed, batch_size=2)
    loader = parser.get_parsed_content("train::dataloader")
    epoch_seed = EpochSeed(seed, parser.get_parsed_content("train::dataset"))
    drawn = []
    engine = Engine(lambda _, batch: drawn.append(batch["label"][:, 0, 0, 0, 0].tolist()))
    engine.state.rank = 0
    engine.add_event_handler(Events.EPOCH_STARTED, epoch_seed)
    if after:
        engine.load_state_dict({"epoch": after, "max_epochs": epochs, "epoch_length": len(loader)})
    engine.run(loader, max_epochs=epochs)
    return drawn


def test_a_resumed_training_sees_what_an_uninterrupted_one_would_have_seen(dataset_dir):
    torch.manual_seed(1)
    whole = seen(dataset_dir, 3)
    assert len(whole) == 9
    torch.manual_seed(2)
    assert seen(dataset_dir, 3, after=1) == whole[3:]
    values = list(itertools.chain(*whole))
    assert len(set(values)) == 18
    assert seen(dataset_dir, 1, seed=6)[0] != whole[0]
