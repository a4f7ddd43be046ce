import re
import shutil
from pathlib import Path

import monai.utils
import nibabel as nib
import numpy as np
import pytest

from custom.files.csv_table import read_table
from custom.verbs.story import demo

BUNDLES = Path(__file__).parents[2] / "bundles"


@pytest.fixture
def bundle(tmp_path, request):
    """A copy of a bundle that is through in a minute: the tiny set, two epochs."""
    copy = tmp_path / getattr(request, "param", "micro_mri_denoise")
    ignored = shutil.ignore_patterns("data", "output", "models")
    shutil.copytree(BUNDLES / copy.name, copy, ignore=ignored)
    for name in ("train", "evaluate", "inference"):
        path = copy / "configs" / f"{name}.yaml"
        text, sizes = re.subn(r"(?m)^demo_size: full", "demo_size: tiny", path.read_text())
        text, epochs = re.subn(r"(?m)^max_epochs: \d+", "max_epochs: 2", text)
        assert (sizes, epochs) == (name != "inference", name == "train")
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
    (bundle / "output" / "restored").mkdir(parents=True)
    (bundle / "output" / "restored" / "of before").touch()
    demo(str(bundle))
    said = capfd.readouterr().out

    evaluation, restored = bundle / "output" / "evaluate", bundle / "output" / "restored"
    assert restored.with_name("restored.1").joinpath("of before").is_file()
    (result,) = restored.glob("*.nii.gz")
    (scan,) = (bundle / "output" / "unseen").glob("unseen_mouse.nii.gz")
    rows, columns, slices = nib.load(scan).shape
    image = np.asarray(nib.load(result).dataobj)
    assert image.shape == (2 * rows, 2 * columns, slices)
    assert image.min() >= 0 < image.max()
    assert len((bundle / "output" / "train" / "metrics.csv").read_text().splitlines()) == 1 + 2
    assert (evaluation / "metrics.csv").is_file()
    first = read_table(evaluation / "figures" / "figures.csv")[0]["file"]
    for path in (evaluation / "report.html", evaluation / "figures" / first, scan, restored):
        assert path.exists()
        assert str(path) in said
    assert re.search(r"(?m)^ +MSE.* +PSNR.* +SSIM", said)
    assert Path(store.removeprefix("sqlite:///")).is_file()
    (line,) = re.findall(r"(?m)^MLflow +(.*)$", said)
    assert line == store if own_store else line.endswith(f" ui --backend-store-uri {store}")


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["dwi_vae"], indirect=True)
def test_the_story_of_diffusion_series(bundle, monkeypatch, capfd):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    demo(str(bundle))
    said = capfd.readouterr().out
    output = bundle / "output"
    (scan,) = (output / "unseen").glob("unseen_dwi.nii.gz")
    truth = nib.load(output / "unseen" / "reference" / "unseen_dwi_reference.nii.gz").get_fdata()
    noisy = nib.load(scan).get_fdata()
    restored = nib.load(output / "restored" / "unseen_dwi_restored.nii.gz").get_fdata()
    inside = nib.load(output / "restored" / "unseen_dwi_mask.nii.gz").get_fdata() > 0
    error = {
        name: np.square((series - truth)[inside]).mean()
        for name, series in (("noisy", noisy), ("restored", restored))
    }
    assert error["restored"] < 0.5 * error["noisy"]
    assert re.search(r"MSE, noise_level 0\.05 +MSE, noise_level 0\.2", said)
    figures = sorted((output / "evaluate" / "figures").glob("*.png"))
    for path in (output / "evaluate" / "report.html", figures[0], scan, output / "restored"):
        assert str(path) in said
