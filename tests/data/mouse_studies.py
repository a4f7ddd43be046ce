"""Studies as a ParaVision scanner writes them, and the bundle's preparation of them."""

import zlib

import numpy as np
from monai.bundle import ConfigParser
from paravision_files import write_scan, write_subject

from custom.bundle.error_line import user_error
from custom.bundle.locate import find_bundle

BUNDLE = find_bundle("micro_mri_denoise")

SLICES = 3


def anatomy(matrix, noise, seed=0):
    """A bright disc with a hole in ParaVision's way of centring: voxel N/2 is the middle."""
    place = (np.arange(matrix) - matrix // 2) / matrix
    x, y = np.meshgrid(place, place, indexing="ij")
    disc = 1 / (1 + np.exp((np.hypot(x, y - 0.1) - 0.25) / 0.02))
    hole = 0.6 * np.exp(-((x - 0.08) ** 2 + (y - 0.12) ** 2) / 0.003)
    stack = np.stack([(disc - hole * disc) * 1000] * SLICES, axis=-1)
    rng = np.random.default_rng(seed)
    noisy = stack + rng.normal(0, noise, stack.shape) + 1j * rng.normal(0, noise, stack.shape)
    return np.abs(noisy).round().astype(int)


def write_study(folder, animal, *, protocol="T2_head", first=1, **changes):
    study = folder / f"2024_{animal}"
    seed = first + zlib.crc32(animal.encode()) - zlib.crc32(b"mouse01")  # of mouse01: first
    for number, matrix, noise, averages in ((first, 64, 20, 1), (first + 1, 128, 4, 5)):
        stack = anatomy(matrix, noise, seed % 2**32)
        write_scan(study, number, stack, averages=averages, protocol=protocol, **changes)
    write_subject(study, animal)
    return study


def prepare(output, **overrides):
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "prepare.yaml"))
    values = {"output_dir": str(output), "bundle_root": str(BUNDLE)} | overrides
    parser.update({key: str(v) if key in ("source",) else v for key, v in values.items()})
    try:
        return parser.get_parsed_content("prepare").run()
    except RuntimeError as error:  # MONAI's, around what a constructor raises
        raise (user_error(error) or error) from error
