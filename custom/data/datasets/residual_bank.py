"""Bank of residuals between the noisy and the clean images of the training pairs."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.files.zarr_slices import check_chunks
from custom.physics.image_moments import standardise
from custom.physics.intensity_statistics import outlier_limit

__all__ = ["ResidualBank", "random_windows"]

logger = logging.getLogger(__name__)

_ARRAY = "residuals"
_HEAD_BYTES = 2000  # of a file: its metadata and its table of contents
_ENTRY_BYTES = 300  # of an entry: its places in the table, and what compression may add
# Exceptions of the archive, of Zarr and of its codecs.
_UNREADABLE = (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, RuntimeError)
_LEAST_STD = 1e-6  # of standardised images: less is rounding


class _Content(NamedTuple):
    """Content of a file."""

    residuals: Tensor
    rms: float


class ResidualBank:
    r"""Windows of the residuals of the training pairs, in one small file beside the weights.

    The residual of a pair is :math:`R = x_T^* - x_0`, noisy minus clean image, both standardised.
    The bank holds random square windows :math:`w` of residuals as
    :math:`e = (w - \operatorname{mean}(w)) / \operatorname{std}(w)`, mean and population standard
    deviation taken over the whole bank.

    The file is a zipped Zarr array ``residuals``, ``(N, S, S)`` float16, an entry a chunk, with
    the attributes ``rms`` (of ``R``, over the whole slices that were seen), ``mean`` and ``std``
    (of the windows), and ``num_slices`` (seen). It is read on first access.

    Args:
        path: The file, ``residuals.zarr.zip`` by convention.
        size: ``S``, side of a window in pixels, for :meth:`build`.
        max_megabytes: Size of the file that :meth:`build` does not exceed, in 1e6 bytes.
        seed: Seed of the positions of the windows.

    Raises:
        InputError: If ``size < 1``, or ``max_megabytes`` has no room for one window.

    Erratum:
        Printed with the residuals "divided by the population variance", which does not give unit
        variance: ours are divided by the population standard deviation.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        equations (22) and (29).
    """

    def __init__(
        self, path: str | Path, size: int = 96, max_megabytes: float = 2.0, seed: int = 0
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.seed = seed
        if size < 1:
            raise InputError(f"size of the residual bank must be at least 1 pixel, got {size}")
        entry = size**2 * np.dtype(np.float16).itemsize + _ENTRY_BYTES
        self.capacity = int(max_megabytes * 1e6 - _HEAD_BYTES) // entry
        if self.capacity < 1:
            least = (entry + _HEAD_BYTES) / 1e6
            raise InputError(
                f"max_megabytes of the residual bank must be {least:.3g} or more for windows of "
                f"{size} pixels, got {max_megabytes}"
            )
        self._content: _Content | None = None

    @property
    def residuals(self) -> Tensor:
        """The windows, ``(N, S, S)`` float32, of zero mean and unit variance over all of them."""
        return self._load().residuals

    @property
    def rms(self) -> float:
        """Root mean square of ``R`` before it was centred, in units of the standardised image."""
        return self._load().rms

    def build(self, pairs: Sequence[Mapping[str, Any]], keep: bool = False) -> ResidualBank:
        """Make the file from the training pairs.

        As many windows as fit are spread evenly over the slices; if there are more slices than
        windows, evenly chosen slices give one each and the others are not read. A slice that is
        smaller than a window is continued by its mirror image.

        Args:
            pairs: Whole training slices, for example a dataset: ``image`` (noisy) and ``label``
                (clean), both ``(1, X, Y)``, ``image_moments``, and ``label_moments`` where the
                label is standardised by its own; ``scan`` and ``slice`` name them in errors.
            keep: Whether a file that can be read stays, for a training that is continued.

        Returns:
            This bank.

        Raises:
            InputError: If there is no pair; an item lacks its label or moments; shapes differ; a
                value is not finite; all residuals are the same; or the disk is full.
        """
        if keep and self._is_good():
            return self
        if len(pairs) == 0:
            raise InputError(f"no training pair to make {self.path} of: check the training split")
        windows: list[NDArray[np.float32]] = []
        squares, pixels = 0.0, 0
        counts = self._windows_per_slice(len(pairs))
        for index in np.flatnonzero(counts):
            residual = _residual(pairs[int(index)], f"training pair {index}")
            # A slice's windows do not depend on the slices read before it.
            rng = np.random.default_rng([self.seed, int(index)])
            windows += random_windows(residual, self.size, int(counts[index]), rng)
            squares += float(np.square(residual, dtype=np.float64).sum())
            pixels += residual.size
        attributes = {"rms": (squares / pixels) ** 0.5, "num_slices": int((counts > 0).sum())}
        self._write(np.stack(windows), attributes)
        self._content = None
        return self

    def _windows_per_slice(self, slices: int) -> NDArray[np.int64]:
        """Return the number of windows of each slice, ``(slices,)``, spread evenly."""
        # Window k belongs to the slice (k + 1/2) / capacity of the way; whole numbers do not round.
        owner = (2 * np.arange(self.capacity) + 1) * slices // (2 * self.capacity)
        return np.bincount(owner, minlength=slices)

    def _write(self, windows: NDArray[np.float32], attributes: dict[str, float]) -> None:
        """Normalise the windows and write them."""
        mean, std = float(windows.mean(dtype=np.float64)), float(windows.std(dtype=np.float64))
        if std < _LEAST_STD:
            raise InputError(
                f"no noise for {self.path}: image minus label is {mean:.3g} everywhere in the "
                "training pairs; is the label the same file as the image?"
            )
        # Half the size; its rounding, 2^-11 of a value, is far below the residuals' own spread.
        entries = ((windows - mean) / std).astype(np.float16)
        with atomic_path(self.path) as temporary, ZipStore(temporary, mode="w") as store:
            array = zarr.create_array(
                store=store,
                name=_ARRAY,
                shape=entries.shape,
                chunks=(1, *entries.shape[1:]),
                dtype="float16",
                compressors=BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
                attributes={**attributes, "mean": mean, "std": std},
                # Zarr would leave out a chunk of zeros, which counts as missing when it is read.
                config={"write_empty_chunks": True},
            )
            # One at a time: a failed write leaves no other under way.
            for index, entry in enumerate(entries):
                array[index] = entry
        logger.info("%s: %d residuals of RMS %.3g", self.path, len(entries), attributes["rms"])

    def _is_good(self) -> bool:
        """Return True if the file exists and can be read."""
        if not self.path.is_file():
            return False
        try:
            self._load()
        except InputError as error:
            logger.warning("%s; making it again", error)
            return False
        return True

    def _load(self) -> _Content:
        """Read the file, once."""
        if self._content is None:
            if not self.path.is_file():
                raise InputError(
                    f"{self.path}: no residual bank there, and random noise is drawn from it: "
                    "train first, or restore deterministically with --noise_scale 0"
                )
            try:
                self._content = _read(self.path)
            except _UNREADABLE as error:
                raise InputError(
                    f"{self.path} is no residual bank that can be read ({error}): remove it and "
                    "train again, or restore deterministically with --noise_scale 0"
                ) from error
        return self._content


def random_windows(
    image: NDArray[np.float32], size: int, count: int, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Cut square windows at random positions, no two at the same.

    Args:
        image: ``(X, Y)``; an axis shorter than ``size`` is continued by mirror images.
        size: Side of a window in pixels.
        count: Number of windows; fewer if an image has fewer positions.
        rng: Random generator of the positions.

    Returns:
        Windows, each ``(size, size)``.
    """
    missing = [max(0, size - length) for length in image.shape]
    padded = np.pad(image, [(0, length) for length in missing], mode="symmetric")
    rows, columns = (length - size + 1 for length in padded.shape)
    places = rng.choice(rows * columns, size=min(count, rows * columns), replace=False)
    corners = zip(*np.unravel_index(places, (rows, columns)), strict=True)
    return [padded[row : row + size, column : column + size] for row, column in corners]


def _residual(item: Mapping[str, Any], fallback: str) -> NDArray[np.float32]:
    """Return the standardised image minus the standardised label of a pair, ``(X, Y)``."""
    name = f"{item['scan']} slice {item.get('slice', 0)}" if "scan" in item else fallback
    for key, remedy in (
        ("image", "prepare the dataset again"),
        ("label", "residuals need pairs, prepare the dataset again"),
        ("image_moments", "list ImageMomentsd under normalisation"),
    ):
        if key not in item:
            raise InputError(f"{name} has no {key}: {remedy}")
    image, label = (torch.as_tensor(item[key]).float() for key in ("image", "label"))
    if image.shape != label.shape or image.ndim != 3 or len(image) != 1:
        raise InputError(
            f"{name}: image {tuple(image.shape)} and label {tuple(label.shape)} must be single "
            "slices (1, X, Y) of one shape: upsample the image first, or prepare the dataset again"
        )
    own = torch.as_tensor(item["image_moments"])
    reference = torch.as_tensor(item.get("label_moments", own))
    residual = standardise(image, own) - standardise(label, reference)
    if not torch.isfinite(residual).all():
        raise InputError(
            f"{name}: image or label holds NaN or infinite values: exclude it in exclusions.csv"
        )
    # A hot voxel would be most of the bank's deviation, by which all windows are divided.
    # Edges of the demonstration set reach twice the limit of an outlier.
    limit = 4 * outlier_limit(residual.abs())
    return residual[0].clip(-limit, limit).numpy()


def _read(path: Path) -> _Content:
    """Read a file, and raise if it is not complete."""
    # Damage is detected before Zarr reads: it would raise while reads of other chunks still run.
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} is damaged")
        chunks = [name for name in archive.namelist() if name.startswith(f"{_ARRAY}/c/")]
        heads = [archive.open(name).read(18) for name in chunks]
    with ZipStore(path, mode="r") as store:
        array = zarr.open_array(store=store, path=_ARRAY, mode="r")
        if array.ndim != 3 or array.shape[1] != array.shape[2]:
            raise ValueError(f"shape {array.shape} is not (N, S, S)")
        if not array.size:
            raise ValueError("it holds no residual")
        check_chunks(array, heads)
        missing = array.nchunks - array.nchunks_initialized
        if missing:
            raise ValueError(f"{missing} of {array.nchunks} residuals are missing")
        rms = float(array.attrs["rms"])  # type: ignore[arg-type]
        residuals = torch.from_numpy(np.asarray(array[...], dtype=np.float32))
    if not (torch.isfinite(residuals).all() and np.isfinite(rms)):
        raise ValueError("values are not finite")
    return _Content(residuals, rms)
