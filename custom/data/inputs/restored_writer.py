"""Write restored images as NIfTI files in the frame of their input, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import MapTransform
from monai.utils import MetaKeys, convert_to_numpy, ensure_tuple
from numpy.typing import NDArray

from custom.data.inputs.result_names import copy_of, map_of, sidecar_of
from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.files.nifti_forms import mend_forms
from custom.files.nifti_volume import header_of, mm_per_unit, nifti_image

__all__ = ["SaveRestoredd"]

# Only geometry and units are copied from the input's header: descrip, aux_file, intent_name and
# extensions may hold personal data.
_GEOMETRY = (
    "pixdim",
    "dim_info",
    "xyzt_units",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)


class SaveRestoredd(MapTransform):
    """Write an image to the path ``output`` of its item, with its maps and copied files beside it.

    A map goes to :func:`map_of` the path, a copied file to :func:`copy_of`. If an item has none,
    the file of an earlier run is removed, since it does not belong to the new image. All files are
    written before any gets its final name, and an earlier sidecar is removed before that, so that
    no mixture of two runs looks whole: the new sidecar is written last. Unlike MONAI's
    ``SaveImaged`` it raises when a file cannot be written.

    Args:
        keys: Image to write; one key.
        maps: Keys of further images, which may be absent, and the suffixes of their files.
        copies: Keys of paths of files to copy byte for byte, which may be absent; also the
            suffixes of the copies.

    Shape:
        ``(C, X, Y[, Z])`` with the affine.

    Raises:
        ValueError: If ``keys`` is more than one key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        maps: Sequence[str] = (),
        copies: Sequence[str] = (),
    ) -> None:
        super().__init__(keys)
        if len(ensure_tuple(keys)) != 1:
            raise ValueError(f"keys must be one key, since output names one file, got {keys}")
        self.maps = tuple(maps)
        self.copies = tuple(copies)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the images and return the data unchanged."""
        result = dict(data)
        for key in self.key_iterator(result):
            path = Path(data["output"])
            # The result is entered last, so that it is renamed first: an interruption never leaves
            # a map without its result.
            targets = {name: map_of(path, name) for name in self.maps if name in data}
            targets[str(key)] = path
            with _written(path), ExitStack() as files:
                for name in self.copies:
                    if name in data:
                        temporary = files.enter_context(atomic_path(copy_of(path, name)))
                        shutil.copyfile(data[name], temporary)
                places = [files.enter_context(atomic_path(file)) for file in targets.values()]
                # Threads: compression takes longest, and releases the interpreter's lock.
                with ThreadPoolExecutor() as pool:
                    list(pool.map(self._write, [data[name] for name in targets], places))
                # Left first: it goes once all is written, and before anything is replaced.
                files.callback(sidecar_of(path).unlink, missing_ok=True)
            self._remove_stale(path, data)
        return result

    def _remove_stale(self, path: Path, data: Mapping[Hashable, Any]) -> None:
        """Remove the files of an earlier image."""
        stale = [map_of(path, name) for name in self.maps if name not in data]
        stale += [copy_of(path, name) for name in self.copies if name not in data]
        for file in stale:
            file.unlink(missing_ok=True)

    @staticmethod
    def _write(image: MetaTensor, path: Path) -> None:
        """Write one image, as float32 unless it is of bytes."""
        dtype = np.uint8 if image.dtype == torch.uint8 else np.float32
        # Several channels go last.
        array = np.moveaxis(np.asarray(convert_to_numpy(image), dtype=dtype), 0, -1)
        array = array[..., 0] if array.shape[-1] == 1 else array
        nib.save(nifti_image(array, _header(image.meta, array.shape)), path)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn an error of writing a file into one line with the reason."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot write {path}: {reason}") from error


def _matrix(affine: Any) -> NDArray[np.float64]:
    """Return an affine as a ``(4, 4)`` array; the identity for None."""
    if affine is None:
        return np.eye(4)
    array = np.asarray(convert_to_numpy(affine), dtype=float)
    return np.asarray(to_affine_nd(3, array), dtype=float)


def _header(meta: Mapping[Any, Any], shape: tuple[int, ...]) -> Any:
    """Return a header with the input's forms and units on the grid of the image.

    The sform and qform each keep their code and move with the grid, so a file whose two forms
    name different spaces keeps both. An input without such codes (Zarr, Bruker) gets scanner
    coordinates in millimetres.

    Args:
        meta: MONAI's meta data: ``affine`` of the image, ``original_affine`` of the input, and
            the geometry fields of the input's NIfTI header if it had one.
        shape: Shape of the image.
    """
    affine = _matrix(meta.get(MetaKeys.AFFINE))
    original = _matrix(meta.get(MetaKeys.ORIGINAL_AFFINE, affine))
    header = header_of(shape)
    if all(field in meta for field in _GEOMETRY):
        for field in _GEOMETRY:
            header[field] = np.asarray(convert_to_numpy(meta[field]))
        mend_forms(header)
        # Both forms get the change of grid, not the affine: each keeps the space of its code.
        to_input = np.linalg.solve(original, affine)
        scanner, scanner_code = header.get_qform(coded=True)
        aligned, aligned_code = header.get_sform(coded=True)
        header["pixdim"][1:4] *= np.linalg.norm(to_input[:3, :3], axis=0)
        if scanner is not None:
            header.set_qform(scanner @ to_input, code=int(scanner_code))
        if aligned is not None:
            header.set_sform(aligned @ to_input, code=int(aligned_code))
    else:
        header.set_xyzt_units("mm")
        header.set_qform(affine, code=1)
        header.set_sform(affine, code=1)
    unit = np.diag([*[mm_per_unit(header["xyzt_units"])] * 3, 1.0])
    if not np.allclose(unit @ header.get_best_affine(), affine, atol=1e-4):
        # The input's forms contradict the affine that it was read with: write the latter.
        header.set_sform(np.linalg.solve(unit, affine), code=1)
    return header
