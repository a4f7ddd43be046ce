"""Read images that Bruker's ParaVision reconstructed (``2dseq``)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import ImageMetaKey, MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray

from custom.errors import InputError
from custom.files.bruker_geometry import stack_affine

__all__ = ["BrukerHeader", "BrukerReader", "parameter_files", "read_2dseq", "read_bruker_header"]

logger = logging.getLogger(__name__)

# Paths of the parameter files relative to a 2dseq. visu_pars comes first: it describes the image
# and is required; the others describe the requested acquisition and are optional.
_PARAMETER_FILES = ("visu_pars", "reco", "../../method", "../../acqp", "../../../subject")
_LONGEST = 64 * 2**20  # bytes of a parameter file; method files of 4D scans have some MB
# Series types and frame groups of maps: image sequence analysis (T1, T2, ...), diffusion tensor.
_DERIVED = (
    *("DERIVED_ISA", "DERIVED_DTI", "DERIVED_MAP", "DERIVED_MASK"),
    *("FG_ISA", "FG_DTI", "FG_CONTRAST_MAP"),
)


@dataclass(frozen=True, eq=False)
class BrukerHeader:
    """Parameters and geometry of a ParaVision image.

    Args:
        path: The ``2dseq``.
        parameters: All parameters by name.
        size: Voxels along the two image axes and the slices.
        affine: ``(4, 4)``, voxel index to RAS millimetres.
        remarks: Warnings about the geometry.
    """

    path: Path
    parameters: Mapping[str, Any]
    size: tuple[int, int, int]
    affine: NDArray[np.float64]
    remarks: tuple[str, ...]

    @property
    def derived(self) -> str | None:
        """How the parameters say that it is a map, by ParaVision's series types and groups."""
        words = _texts(self.parameters, "VisuSeriesTypeId")
        words += _texts(self.parameters, "VisuFGOrderDesc")
        found = [word for word in words if word.startswith(_DERIVED)]
        return found[0] if found else None


def read_bruker_header(path: str | Path) -> BrukerHeader:
    """Read the parameters and the geometry of a ``2dseq`` without its pixels.

    Args:
        path: The ``2dseq`` in its ``pdata`` folder.

    Raises:
        InputError: If brukerapi is missing, a parameter file is missing or unreadable, or the
            file holds no magnitude images that form one stack.
    """
    path = Path(path)
    parameters = _read_parameters(path)
    _refuse_other_kinds(path, parameters)
    try:
        size = [int(length) for length in _numbers(parameters, "VisuCoreSize")]
        extent = _numbers(parameters, "VisuCoreExtent").tolist()
        position = _slice_positions(parameters)
        slices = size[2] if len(size) == 3 else len(position)
        affine, remarks = stack_affine(
            size,
            extent,
            _numbers(parameters, "VisuCoreOrientation"),
            position,
            _slice_distance(parameters),
        )
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: {error}") from error
    return BrukerHeader(path, parameters, (size[0], size[1], slices), affine, tuple(remarks))


def read_2dseq(path: str | Path) -> tuple[NDArray[np.float32], BrukerHeader]:
    """Read a ``2dseq`` with slope, offset and geometry applied.

    Args:
        path: The ``2dseq`` in its ``pdata`` folder.

    Returns:
        The stack in the scanner's units, ``(X, Y, S)``, or ``(X, Y, S, N)`` where each slice has
        ``N`` echoes, repetitions or the like; and its header.

    Raises:
        InputError: As :func:`read_bruker_header`, or if the pixels do not fit the parameters.
    """
    header = read_bruker_header(path)
    api = _brukerapi("dataset")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about optional files; required ones are checked here
            dataset = api.Dataset(str(header.path))
            values = np.asarray(dataset.data)
            kinds = [str(kind).upper() for kind in dataset.dim_type]
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: pixels cannot be read, copy the scan again ({reason})"
        ) from error
    if np.iscomplexobj(values):
        raise InputError(f"{path}: a complex image: reconstruct the magnitude")
    if values.ndim == 2:
        values = values[..., np.newaxis]
    if "FG_SLICE" in kinds and len(kinds) == values.ndim:
        # An echo or repetition axis may come before the slices.
        values = np.moveaxis(values, kinds.index("FG_SLICE"), 2)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.shape[:3] != header.size:
        raise InputError(f"{path}: pixels of shape {values.shape}, parameters say {header.size}")
    return values.astype(np.float32), header


class BrukerReader(ImageReader):
    """Read ``2dseq`` files through MONAI's ``LoadImage``.

    Shape:
        ``(X, Y, S)`` float32, with the affine to RAS millimetres; ``(X, Y, S, N)`` where a slice
        has several echoes or repetitions.

    Raises:
        InputError: See :func:`read_2dseq`.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return True if every file is called ``2dseq``."""
        return all(Path(name).name == "2dseq" for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **_: Any) -> Any:
        """Read the named files, each with its header."""
        return [read_2dseq(str(name)) for name in ensure_tuple(data)]

    def get_data(self, img: Any) -> tuple[NDArray[np.float32], dict[Any, Any]]:
        """Return the array and MONAI's meta data of the first file that was read."""
        array, header = img[0]
        for remark in header.remarks:
            logger.warning("%s: %s", header.path, remark)
        return array, {
            MetaKeys.AFFINE: header.affine,
            MetaKeys.ORIGINAL_AFFINE: header.affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:3]),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == 3 else -1,
            ImageMetaKey.FILENAME_OR_OBJ: str(header.path),
        }


def _brukerapi(module: str) -> Any:
    """Import a module of brukerapi."""
    try:
        return import_module(f"brukerapi.{module}")
    except ModuleNotFoundError as error:
        raise InputError(
            "reading Bruker images needs brukerapi: "
            "pip install 'mri-restoration-bundles[preprocess]'"
        ) from error


def parameter_files(path: Path) -> list[Path]:
    """Return the parameter files that there are of a ``2dseq``; the first ones count most."""
    files = (path.parent / name for name in _PARAMETER_FILES)
    return [file for file in files if file.is_file()]


def _read_parameters(path: Path) -> dict[str, Any]:
    """Read all parameter files of an image; the first occurrence of a name counts."""
    api = _brukerapi("jcampdx")
    parameters: dict[str, Any] = {}
    files = parameter_files(path)
    if path.with_name("visu_pars") not in files:
        raise InputError(f"{path}: its parameter file visu_pars is missing beside it")
    for file in files:
        needed = file.name == "visu_pars"
        if file.stat().st_size > _LONGEST:
            raise InputError(f"{file}: longer than {_LONGEST // 2**20} MB: no file of parameters")
        try:
            found = {key: entry.value for key, entry in api.JCAMPDX(str(file)).params.items()}
        except Exception as error:
            if needed:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(f"{file}: unreadable parameters ({reason})") from error
            logger.warning("%s: unreadable parameters, passed over", file)
            continue
        parameters = {**found, **parameters}
    return parameters


def _refuse_other_kinds(path: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse anything but a magnitude image in millimetres."""
    kinds = _texts(parameters, "VisuCoreDimDesc")
    if "spectroscopic" in kinds or int(parameters.get("VisuCoreDim", 2)) < 2:
        raise InputError(f"{path}: spectroscopy, not an image")
    groups = " ".join(_texts(parameters, "VisuFGOrderDesc"))
    frames = " ".join(_texts(parameters, "VisuCoreFrameType"))
    if "COMPLEX" in f"{groups} {frames}":
        raise InputError(f"{path}: a complex image: reconstruct the magnitude")
    other = [name for name in ("PHASE_IMAGE", "REAL_IMAGE", "IMAGINARY_IMAGE") if name in frames]
    if other:
        raise InputError(f"{path}: a {other[0]}: reconstruct the magnitude")
    units = set(_texts(parameters, "VisuCoreUnits"))
    if units - {"mm", ""}:
        raise InputError(f"{path}: axes in {', '.join(sorted(units))}, only mm are understood")


def _slice_positions(parameters: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the position of each slice, in the order of the pixels."""
    position = _numbers(parameters, "VisuCorePosition").reshape(-1, 3)
    if int(parameters.get("VisuCoreDim", 2)) == 3:
        return position[:1]
    # With echoes or repetitions a position may stand once for each frame.
    _, first = np.unique(position.round(6), axis=0, return_index=True)
    # np.unique sorts by value; the pixels come in the order of the file.
    position = position[np.sort(first)]
    reverse = str(parameters.get("VisuCoreDiskSliceOrder", "")).lower()
    return position[::-1] if reverse == "disk_reverse_slice_order" else position


def _slice_distance(parameters: Mapping[str, Any]) -> float:
    """Return the distance of slices, or their thickness if the distance is not given."""
    for name in ("VisuCoreSlicePacksSliceDist", "PVM_SPackArrSliceDistance"):
        if name in parameters:
            return float(_numbers(parameters, name).flat[0])
    return float(_numbers(parameters, "VisuCoreFrameThickness").flat[0])


def _numbers(parameters: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    """Return a parameter as an array of at least one number."""
    if name not in parameters:
        raise ValueError(f"the parameter {name} is missing")
    return np.atleast_1d(np.asarray(parameters[name], dtype=float))


def _texts(parameters: Mapping[str, Any], name: str) -> list[str]:
    """Return a parameter as a flat list of texts without brackets."""
    value = parameters.get(name, [])
    entries = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
    flat: list[str] = []
    for entry in entries:
        nested = isinstance(entry, (list, tuple, np.ndarray))
        flat += _texts({name: entry}, name) if nested else [str(entry).strip("<> ")]
    return flat
