import re
import shutil
from pathlib import Path

import monai.utils
import nibabel as nib
import numpy as np
import pytest

from custom.demo.story import tell

BUNDLE = Path(__file__).parents[2] / "bundles" / "micro_mri_denoise"


@pytest.fixture
def bundle(tmp_path):
    """A copy of the bundle that is through in a minute: the tiny set, two epochs."""
    copy = tmp_path / BUNDLE.name
    shutil.copytree(BUNDLE, copy, ignore=shutil.ignore_patterns("data", "output", "models"))
    for name in ("train", "evaluate", "inference"):
        path = copy / "configs" / f"{name}.yaml"
        text, sizes = re.subn(r"(?m)^demo_size: full", "demo_size: tiny", path.read_text())
        text, epochs = re.subn(r"(?m)^max_epochs: \d+", "max_epochs: 2", text)
        assert (sizes, epochs) == (1, name == "train")
        path.write_text(text)
    yield copy
    monai.utils.set_determinism(seed=None)


@pytest.mark.slow
@pytest.mark.parametrize("own_store", [False, True])
def test_the_story_from_data_to_report(bundle, tmp_path, monkeypatch, capfd, own_store):
    store = f"sqlite:///{tmp_path / 'own.db'}"
    if own_store:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = f"sqlite:///{bundle / 'output' / 'train' / 'mlruns.db'}"
    tell(bundle)
    said = capfd.readouterr().out

    evaluation, restored = bundle / "output" / "evaluate", bundle / "output" / "restored"
    (result,) = restored.glob("*.nii.gz")
    (scan,) = (bundle / "output" / "unseen").glob("unseen_mouse.nii.gz")
    rows, columns, slices = nib.load(scan).shape
    image = np.asarray(nib.load(result).dataobj)
    assert image.shape == (2 * rows, 2 * columns, slices)
    assert image.min() >= 0 < image.max()
    assert len((bundle / "output" / "train" / "metrics.csv").read_text().splitlines()) == 1 + 2
    assert (evaluation / "metrics.csv").is_file()
    figures = sorted((evaluation / "figures").glob("*.png"))
    for path in (evaluation / "report.html", figures[0], scan, restored):
        assert path.exists()
        assert str(path) in said
    assert re.search(r"(?m)^ +MSE.* +PSNR.* +SSIM", said)
    assert Path(store.removeprefix("sqlite:///")).is_file()
    (line,) = re.findall(r"(?m)^MLflow +(.*)$", said)
    assert line == store if own_store else line.endswith(f" ui --backend-store-uri {store}")
