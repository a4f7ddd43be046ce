"""A study of a few lines: noisy volumes, a network, a map and a demonstration set of its own.

All of it stands here and in the bundle's own files; nothing in ``custom`` knows of it.
"""

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.transforms import MapTransform

from custom.demo.demonstration_set import DemonstrationSet
from custom.evaluation.measure import Measure
from custom.files.atomic import write_json

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "fourth_study"


class Spheres(DemonstrationSet):
    """Bright spheres, with noise and without."""

    sizes = ("tiny", "full")
    version = 1

    def __init__(self, folder, size="full", seed=0):
        super().__init__(folder, size, seed)

    def _write(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(self.seed)
        grid = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"))
        items = {"training": [], "validation": [], "test": []}
        for number, split in enumerate(("training", "training", "validation", "test", "test")):
            centre = random.uniform(5, 10, (3, 1, 1, 1))
            label = 100.0 + 400.0 * (((grid - centre) ** 2).sum(0) < 25)
            image = label + random.normal(0, 40, label.shape)
            item = {"scan": f"s{number}", "person": f"p{number}"}
            for key, values in (("image", image), ("label", label)):
                item[key] = f"s{number}_{key}.nii.gz"
                file = nib.Nifti1Image(values.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
                nib.save(file, self.folder / item[key])
            items[split].append(item)
        write_json(self.folder / "datalist.json", {"recipe": self.recipe, **items})


class Smoothing(torch.nn.Module):
    """The image minus what a convolution finds in it."""

    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv3d(1, features, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv3d(features, 1, 3, padding=1),
        )

    def forward(self, x):
        return x - self.layers(x)


class Removedd(MapTransform):
    """The map of this study: what was taken away, as ``removed``."""

    def __call__(self, data):
        return {**data, "removed": data["image"].to(data["pred"].device) - data["pred"]}


def brightness():
    """Return the measure of this study: how bright an image is beside its reference."""
    return Measure(
        name="brightness",
        label="brightness of the image",
        unit="",
        better="target",
        digits=3,
        convention="mean of the image over that of the reference",
        function=lambda pair: pair.predicted.mean((1, 2, 3, 4)) / pair.reference.mean((1, 2, 3, 4)),
    )


# What the three workflows share.
_COMMON = """
imports:
  - $import operator
  - $import os
  - $from custom.bundle.config_check import bundle_folder
  - $from custom.bundle.config_check import check_config
  - $from custom.data.datasets.datalist import load_datalist
  - $from custom.data.datasets.datalist import split_items
  - $from custom.handlers.executed_config import executed_config
  - $from custom.report.html_report import write_report
bundle_root: $bundle_folder()
output_dir: $@bundle_root + '/output/WORKFLOW'
demo_dir: $@bundle_root + '/data/demo'
demo_size: full
demo: {_target_: fourth_study.Spheres, folder: '@demo_dir', size: '@demo_size'}
dataset_dir: '@demo_dir'
datalist: $load_datalist(@dataset_dir, @demo)
seed: 0
device: $torch.device('cpu')
statistic: mean
trained_for: {statistic: '@statistic'}
network_def: {_target_: fourth_study.Smoothing, features: 4}
network: $@network_def.to(@device)
loading:
  - {_target_: LoadImaged, keys: KEYS, ensure_channel_first: true}
  - _target_: custom.transforms.scale_by_reference.ScaleByReferenced
    keys: KEYS
    reference_key: image
    statistic: '@statistic'
initialize: [$check_config(@bundle_root), $monai.utils.set_determinism(seed=@seed)]
"""
_TRAIN = """
ckpt_dir: $@output_dir + '/models'
resume: false
max_epochs: 1
val_interval: 1
use_mlflow: false
loss: {_target_: torch.nn.MSELoss}
optimizer:
  _target_: torch.optim.Adam
  params: $@network.parameters()
  lr: 1.0e-3
lr_scheduler:
  _target_: torch.optim.lr_scheduler.ExponentialLR
  optimizer: '@optimizer'
  gamma: 0.9
train:
  preprocessing: {_target_: Compose, transforms: '@loading'}
  dataset:
    _target_: Dataset
    data: $split_items(@datalist, 'training')
    transform: '@train::preprocessing'
  dataloader: {_target_: DataLoader, dataset: '@train::dataset', batch_size: 1}
  inferer: {_target_: SimpleInferer}
  handlers:
    - _target_: custom.handlers.standard_training.StandardTraining
      validator: '@validate::evaluator'
      interval: '@val_interval'
      items: {model: '@network', optimizer: '@optimizer', lr_scheduler: '@lr_scheduler'}
      dataset: '@train::dataset'
      seed: '@seed'
      output_dir: '@output_dir'
      ckpt_dir: '@ckpt_dir'
      trained_for: '@trained_for'
      resume: '@resume'
      device: '@device'
      use_mlflow: '@use_mlflow'
  trainer:
    _target_: SupervisedTrainer
    max_epochs: '@max_epochs'
    device: '@device'
    train_data_loader: '@train::dataloader'
    network: '@network'
    loss_function: '@loss'
    optimizer: '@optimizer'
    inferer: '@train::inferer'
    train_handlers: '@train::handlers'
validate:
  preprocessing: {_target_: Compose, transforms: '@loading'}
  dataset:
    _target_: Dataset
    data: $split_items(@datalist, 'validation')
    transform: '@validate::preprocessing'
  dataloader: {_target_: DataLoader, dataset: '@validate::dataset', batch_size: 1}
  inferer: {_target_: SimpleInferer}
  key_metric:
    val_mse:
      _target_: MeanSquaredError
      output_transform: $monai.handlers.from_engine(['pred', 'label'])
  handlers: []
  evaluator:
    _target_: SupervisedEvaluator
    device: '@device'
    val_data_loader: '@validate::dataloader'
    network: '@network'
    inferer: '@validate::inferer'
    key_val_metric: '@validate::key_metric'
    metric_cmp_fn: $operator.lt
    val_handlers: '@validate::handlers'
run: [$@train::trainer.run()]
"""
# What evaluation and inference share.
_FLAT = """
ckpt_path: $@bundle_root + '/models/model.pt'
preprocessing: {_target_: Compose, transforms: '@loading'}
dataset:
  _target_: Dataset
  data: DATA
  transform: '@preprocessing'
dataloader: {_target_: DataLoader, dataset: '@dataset', batch_size: 1}
inferer: {_target_: SimpleInferer}
evaluator:
  _target_: SupervisedEvaluator
  device: '@device'
  val_data_loader: '@dataloader'
  network: '@network'
  inferer: '@inferer'
  postprocessing: '@postprocessing'
  val_handlers: '@handlers'
"""
_LOADER = """
  - _target_: custom.handlers.checkpoint_check.CheckedCheckpointLoader
    load_path: '@ckpt_path'
    network: '@network'
    trained_for: '@trained_for'
"""
_EVALUATE = f"""
split: test
methods: {{input: image, model: pred}}
method_names: {{input: as acquired, model: smoothing}}
postprocessing: {{_target_: Compose, transforms: []}}
table:
  _target_: custom.evaluation.table.QualityTable
  output_dir: '@output_dir'
  units:
    _target_: custom.evaluation.units.Volumes
    columns: [scan, person]
  methods: '@methods'
  measures:
    - {{_target_: custom.evaluation.image_measures.psnr}}
    - {{_target_: fourth_study.brightness}}
summary:
  _target_: custom.evaluation.summary_file.Summary
  table: '@table'
  ckpt_path: '@ckpt_path'
  dataset_dir: '@dataset_dir'
  split: '@split'
  method_names: '@method_names'
  unit: volume
  subject_column: person
panels:
  _target_: custom.evaluation.panels.Panels
  table: '@table'
  choices: [{{_target_: custom.evaluation.panels.Choice, first: 1}}]
  rows: [{{_target_: custom.evaluation.panel_rows.image_row, _mode_: callable}}]
  measures: [psnr, brightness]
  names: '@method_names'
handlers:{_LOADER}
  - '@table'
  - '@panels'
run:
  - $@evaluator.run()
  - $@summary.write()
  - $write_report(@output_dir)
"""
_INFERENCE = f"""
input: null
overwrite: false
skip_existing: false
maps: [removed]
provenance:
  _target_: custom.data.inputs.provenance.ProvenanceSidecar
  metadata_file: $@bundle_root + '/configs/metadata.json'
  config: $executed_config()
  weights_file: '@ckpt_path'
  seed: '@seed'
  device: '@device'
  maps: '@maps'
  parameters: {{}}
selection:
  _target_: custom.data.inputs.input_selection.InputSelection
  inputs: '@input'
  output_dir: '@output_dir'
  overwrite: '@overwrite'
  skip_existing: '@skip_existing'
  maps: '@maps'
  provenance: '@provenance'
  check: {{_target_: custom.data.inputs.image_checks.VolumeChecks}}
postprocessing:
  _target_: Compose
  transforms:
    - {{_target_: fourth_study.Removedd, keys: pred}}
    - _target_: custom.transforms.scale_by_reference.UnscaleByReferenced
      keys: [pred, removed]
      scale_key: image_scale
    - _target_: custom.data.inputs.restored_writer.SaveRestoredd
      keys: pred
      maps: '@maps'
handlers:{_LOADER}
  - '@provenance'
run:
  - $@selection.restore(@evaluator)
  - $@selection.finish()
"""
_TENSOR = {
    "type": "image",
    "format": "magnitude",
    "modality": "MR",
    "num_channels": 1,
    "spatial_shape": ["*", "*", "*"],
    "dtype": "float32",
    "value_range": [0, 10],
    "is_patch_data": False,
    "channel_def": {"0": "image"},
}
_CARD = """# Fourth study
Research use only.
""" + "".join(
    f"## {title}\n`python -m monai.bundle run --config_file configs/train.yaml`\n"
    for title in (
        *("Intended use", "Data", "Network", "Training", "Performance", "Usage", "Limitations"),
        *("Failure cases", "Licence", "References"),
    )
)


def metadata():
    """Return the metadata, without the hash of weights."""
    needed = ("fire", "jinja2", "matplotlib", "mlflow", "nibabel", "psutil", "pytorch-ignite")
    needed += ("filelock", "pyyaml", "scikit-image", "scipy", "tqdm", "zarr")
    version = importlib.metadata.version
    words = ("task", "description", "authors", "copyright", "data_source", "intended_use")
    return {
        "schema": "https://example.org/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "first"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in needed},
        "name": "A fourth study",
        **dict.fromkeys(words, "of a test"),
        "references": ["none"],
        "training_range": {"kind": "volume", "about": "of a test"},
        "maps": {"removed": {"description": "What was removed.", "series_number_offset": 9100}},
        "network_data_format": {"inputs": {"image": _TENSOR}, "outputs": {"pred": _TENSOR}},
    }


def write(folder):
    """Write the bundle, without weights, and return its folder."""
    root = folder / NAME
    for part in ("configs", "models", "docs"):
        (root / part).mkdir(parents=True)
    data = {"train": "", "evaluate": "$split_items(@datalist, @split)"}
    data["inference"] = "$@selection.items"
    for name, own in (("train", _TRAIN), ("evaluate", _EVALUATE), ("inference", _INFERENCE)):
        text = _COMMON + ("" if name == "train" else _FLAT) + own
        keys = "image" if name == "inference" else "[image, label]"
        for word, value in (("WORKFLOW", name), ("KEYS", keys), ("DATA", data[name])):
            text = text.replace(word, value)
        (root / "configs" / f"{name}.yaml").write_text(text)
    (root / "configs" / "tiny.yaml").write_text("demo_size: tiny\nuse_mlflow: false\n")
    (root / "docs" / "README.md").write_text(_CARD)
    (root / "docs" / "data_license.txt").write_text("made by the test")
    shutil.copyfile(REPOSITORY / "LICENSE", root / "LICENSE")
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata()))
    return root


def ship(root, weights):
    """Put weights into the bundle."""
    for file in (weights, weights.with_suffix(".json")):
        shutil.copyfile(file, root / "models" / file.name)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    about = metadata() | {"weights": {"file": "models/model.pt", "sha256": digest}}
    (root / "configs" / "metadata.json").write_text(json.dumps(about))
