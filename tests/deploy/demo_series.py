"""The demonstration scan of any bundle as a DICOM series."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.bundle import ConfigParser
from mr_series import Phantom, classic, write
from pydicom.uid import generate_uid

from custom.physics.diffusion.gradient_table import read_gradient_table, tables_beside

REPOSITORY = Path(__file__).parents[2]
BUNDLES = sorted(
    path.parents[1] for path in (REPOSITORY / "bundles").glob("*/configs/metadata.json")
)


def copy_of(bundle, folder):
    """A bundle without what its runs wrote, so that tests may write into it."""
    ignored = shutil.ignore_patterns("data", "output", "__pycache__")
    return Path(shutil.copytree(bundle, folder / bundle.name, ignore=ignored))


def demo_scan(bundle, folder):
    """Make the tiny demonstration set; return a scan of its test split that can be restored."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "evaluate.yaml"))
    parser.update({"bundle_root": str(bundle), "demo_dir": str(folder), "demo_size": "tiny"})
    item = parser.get_parsed_content("datalist")["test"][0]
    return Path(item.get("image") or item["label"])


def as_dicom(scan, folder):
    """Write a NIfTI file as classic MR images of 16 bits, the gradients in standard attributes."""
    image = nib.load(scan)
    values, lps = np.asarray(image.dataobj, float), np.diag([-1.0, -1, 1, 1]) @ image.affine
    values = values.reshape(*values.shape[:3], -1)
    axes = lps[:3, :3] / np.linalg.norm(lps[:3, :3], axis=0)
    directions, bvals = _gradients(scan, axes, values.shape[3])
    if np.linalg.det(axes) < 0:  # DICOM counts slices along the normal
        values = values[:, :, ::-1]
        lps[:3, 3] += lps[:3, 2] * (values.shape[2] - 1)
        lps[:3, 2] *= -1
    slope = float(f"{values.max() / 30000:.6g}")
    phantom = Phantom(
        np.rint(values[..., 0] / slope).astype(int),
        plane=(tuple(axes[:, 0]), tuple(axes[:, 1])),
        spacing=tuple(np.linalg.norm(lps[:3, :3], axis=0)),
        origin=tuple(lps[:3, 3]),
        slope=slope,
        bits=16,
        description="demonstration",
        uid=generate_uid(),
    )
    images = []
    for index in range(values.shape[3]):
        volume = replace(phantom, stored=np.rint(values[..., index] / slope).astype(int))
        for one in classic(volume, AcquisitionNumber=index + 1):
            one.InstanceNumber = index * values.shape[2] + one.InstanceNumber
            if bvals is not None:
                one.DiffusionBValue = float(bvals[index])
                one.DiffusionGradientOrientation = [float(x) for x in directions[index]]
            images.append(one)
    return write(images, folder)


def _gradients(scan, axes, count):
    """Directions in patient axes and b-values, if there are files of them beside the scan."""
    if count == 1:
        return None, None
    table = read_gradient_table(*tables_beside(scan))
    turned = -1.0 if np.linalg.det(np.diag([-1.0, -1, 1]) @ axes) > 0 else 1.0
    return (table.bvecs * [turned, 1, 1]) @ axes.T, table.bvals


def kind_of(bundle):
    """What the bundle restores, by its metadata."""
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    return metadata["training_range"]["kind"]
