"""What every demonstration set promises."""

import hashlib
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from monai.bundle import ConfigParser

from custom.bundle.locate import all_bundles
from custom.data.inputs.training_range import TrainingRangeCheck
from custom.demo.brain.brain_volumes import BrainVolumesDemo
from custom.demo.brain.field_pairs import FieldPairsDemo
from custom.demo.diffusion.dwi_phantom import DwiDemo
from custom.demo.mouse.micro_mri import MicroMriDemo
from custom.errors import InputError

SETS = [BrainVolumesDemo, FieldPairsDemo, DwiDemo, MicroMriDemo]


def digest(folder):
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="module", params=SETS)
def made(request, tmp_path_factory):
    demo = request.param(tmp_path_factory.mktemp("demo") / "set", "tiny", seed=3)
    demo.ensure()
    return demo


def test_one_seed_gives_one_set_bit_for_bit_and_another_replaces_it(made, tmp_path):
    kind, folder = type(made), tmp_path / "set"
    for _ in range(2):
        assert kind(folder, "tiny", seed=3).ensure() == folder
        assert digest(folder) == digest(made.folder)
    assert json.loads((folder / "datalist.json").read_text())["demonstration"] is True
    written = (folder / "datalist.json").stat().st_mtime_ns
    kind(folder, "tiny", seed=3).ensure()
    assert (folder / "datalist.json").stat().st_mtime_ns == written, "a complete set is left alone"
    kind(folder, "tiny", seed=4).ensure()
    assert digest(folder) != digest(made.folder)


def test_an_interrupted_set_is_made_again(made, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    folder = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr("custom.data.datasets.dataset_writer.DatasetWriter.close", stop)
        with pytest.raises(KeyboardInterrupt):
            type(made)(folder, "tiny", seed=3).ensure()
    assert not (folder / "datalist.json").exists()
    next(folder.rglob("*.nii.gz")).with_name("stray.nii.gz").write_bytes(b"left over")
    type(made)(folder, "tiny", seed=3).ensure()
    assert digest(folder) == digest(made.folder)


def test_two_at_once_make_one_complete_set(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "set"
    started, made = threading.Barrier(2), []

    class Slow(MicroMriDemo):
        def ensure(self):
            started.wait(timeout=30)
            return super().ensure()

        def _scans(self):
            made.append(self)
            yield from super()._scans()

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(Slow(folder, "tiny", seed=3).ensure) for _ in range(2)]
        assert [run.result(timeout=60) for run in runs] == [folder, folder]
    assert len(made) == 1
    assert "waiting for it" in caplog.text
    assert (folder / "datalist.json").is_file()
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda path: path.name)
def test_the_scan_of_the_demonstration_is_as_the_training_data(bundle, tmp_path):
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "train.yaml"))
    parser.update({"bundle_root": str(bundle), "demo_dir": str(tmp_path)})
    scan = parser.get_parsed_content("demo").unseen_scan(tmp_path)
    metadata = bundle / "configs" / "metadata.json"
    TrainingRangeCheck(lambda _: None, metadata, outside_range="refuse")(scan)


def test_a_set_whose_slices_the_user_excluded_is_not_made_anew(tmp_path, monkeypatch):
    made, demo = [], MicroMriDemo(tmp_path, "full")
    monkeypatch.setattr(MicroMriDemo, "_write", lambda self: made.append(self))
    datalist, listed = tmp_path / "datalist.json", tmp_path / "exclusions.csv"
    datalist.write_text(json.dumps({"recipe": demo.recipe | {"size": "tiny"}}))
    listed.write_text("scan,slice,exclude,reason\nmouse01_axial_head-thorax,0,yes,\n")
    with pytest.raises(InputError, match=r"exclusions\.csv excludes slices of .*'tiny'.*: move"):
        demo.ensure()
    assert datalist.is_file()
    assert not made
    listed.write_text(listed.read_text().replace("yes", "no"))  # as qc writes it
    demo.ensure()
    assert made == [demo]


@pytest.mark.parametrize("kind", SETS)
def test_a_user_s_dataset_is_never_replaced(kind, tmp_path):
    own = {"name": "mine", "training": [], "validation": [], "test": []}
    (tmp_path / "datalist.json").write_text(json.dumps(own))
    with pytest.raises(InputError, match="already holds a dataset"):
        kind(tmp_path, "tiny").ensure()
    assert json.loads((tmp_path / "datalist.json").read_text()) == own
    assert [path.name for path in tmp_path.iterdir()] == ["datalist.json"]


@pytest.mark.parametrize("kind", SETS)
def test_wrong_arguments_are_named(kind, tmp_path):
    with pytest.raises(ValueError, match="size must be one of"):
        kind(tmp_path, "huge")
    with pytest.raises(ValueError, match="seed must not be negative"):
        kind(tmp_path, "tiny", seed=-1)
