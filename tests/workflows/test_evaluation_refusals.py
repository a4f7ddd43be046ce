"""What an evaluation makes of predictions, weights and settings that are wrong."""

import nibabel as nib
import pytest
import torch
from evaluation_runs import BUNDLE, evaluate, read, write_dataset, write_weights

from custom.errors import InputError
from custom.files.process_lock import process_lock
from custom.physics.intensity_statistics import OUTLIER, outlier_limit


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "model.pt")


def _constant(path, value):
    torch.save({"weight": torch.zeros(1, 1, 1, 1), "bias": torch.tensor([value])}, path)
    return path


def test_a_negative_prediction_counts_as_zero(dataset, tmp_path):
    settings = {"nlm_block_radius": 1, "scans_per_plane": 0}
    evaluate(dataset, _constant(tmp_path / "model.pt", -1.0), tmp_path / "output", **settings)
    rows = read(tmp_path / "output" / "metrics.csv")
    for row in (row for row in rows if row["method"] == "model"):
        index = int(row["slice"])
        low = nib.load(dataset / "images" / f"{row['scan']}.nii.gz").get_fdata()[..., index]
        high = nib.load(dataset / "labels" / f"{row['scan']}.nii.gz").get_fdata()[..., index]
        median = outlier_limit(low.repeat(2, 0).repeat(2, 1)) / OUTLIER  # of the tissue
        assert float(row["mse"]) == pytest.approx((high**2).mean() / median**2, rel=1e-5)


def test_a_prediction_that_is_no_number_is_not_taken_for_zero(dataset, tmp_path):
    weights = _constant(tmp_path / "model.pt", float("nan"))
    with pytest.raises(InputError, match=r"model\.pt holds numbers that are not finite"):
        evaluate(dataset, weights, tmp_path / "output", nlm_block_radius=1)
    assert not (tmp_path / "output" / "metrics.csv").exists()


def _other_network(path):
    torch.save(torch.nn.Conv2d(1, 1, 3).state_dict(), path)


@pytest.mark.parametrize(
    ("write", "overrides", "word"),
    [
        (lambda path: None, {}, "does not exist"),
        (lambda path: path.write_bytes(b"torn"), {}, "damaged"),
        (_other_network, {}, "does not fit the network"),
        (_other_network, {"split": "tset"}, "'tset' is unknown"),
        (_other_network, {"split": "training"}, "holds no scan"),
        (_other_network, {"exclusions": "/nowhere.csv"}, "does not exist|does not fit"),
        (_other_network, {"lpips_weights": "/nowhere.pth"}, "lpips_weights /nowhere.pth"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(dataset, tmp_path, write, overrides, word):
    path = tmp_path / "model.pt"
    write(path)
    with pytest.raises(InputError, match=word) as caught:
        evaluate(dataset, path, tmp_path / "output", **overrides)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "output" / "summary.json").exists()


def test_monai_finds_every_property_of_an_inference_workflow(dataset, weights, tmp_path):
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(
        config_file=str(BUNDLE / "configs" / "evaluate.yaml"),
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(BUNDLE),
        dataset_dir=str(dataset),
        ckpt_path=str(weights),
        output_dir=str(tmp_path),
    )
    workflow.initialize()
    assert not workflow.check_properties()


def test_a_folder_into_which_another_process_evaluates_is_refused(dataset, weights, tmp_path):
    output = tmp_path / "output"
    with process_lock(output / ".running.lock"):
        with pytest.raises(InputError, match="output: another process is writing there"):
            evaluate(dataset, weights, output, nlm_block_radius=1, scans_per_plane=0)
        assert [path.name for path in output.iterdir()] == [".running.lock"]
    for _ in range(2):  # the second one renames the first
        evaluate(dataset, weights, output, nlm_block_radius=1, scans_per_plane=0)
        assert (output / "summary.json").is_file()
        assert not list(tmp_path.rglob(".running.lock"))
