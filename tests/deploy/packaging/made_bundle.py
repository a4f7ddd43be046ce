"""A small bundle whose code is partly this package's, to be packaged in a second."""

import json

import torch

from custom.files.atomic import sha256_of

TENSOR = {
    "type": "image",
    "format": "magnitude",
    "modality": "MR",
    "num_channels": 1,
    "spatial_shape": ["*", "*"],
    "dtype": "float32",
    "value_range": [0, 1],
    "is_patch_data": False,
    "channel_def": {"0": "image"},
}
INFERENCE = """# The smallest inference there is.
imports:
  - $import os
  - $from custom.files.atomic import write_json

bundle_root: .  # here
output_dir: $@bundle_root + '/output'
ckpt_path: $@bundle_root + '/models/model.pt'
# custom.files.csv_table is only spoken of, nothing.of.custom.kind too.
network_def: NETWORK
split:
  _target_: custom.transforms.split_deviations.SplitDeviationsd
  keys: pred
content: {root: '@bundle_root', seen: $os.path.isfile(@ckpt_path), split: $type(@split).__module__}
initialize:
  - $monai.utils.set_determinism(seed=0)
run:
  - $write_json(@output_dir + '/result.json', @content)
"""
# An overlay that does something of its own before the run.
EARLY = """initialize:
  - $write_json(@output_dir + '/early.json', 1)
"""
CONVOLUTION = "{_target_: torch.nn.Conv2d, in_channels: 1, out_channels: 1, kernel_size: 1}"


class Halving(torch.nn.Conv2d):
    """Does one thing at even sizes, another at odd ones, as networks do that pad."""

    def forward(self, x):
        if x.shape[2] % 2:
            return torch.nn.functional.conv2d(x, 2 * self.weight, self.bias)
        return torch.nn.functional.conv2d(x, self.weight, self.bias)


class Deciding(torch.nn.Conv2d):
    """Goes by the values of its input, in a way that no export can keep."""

    def forward(self, x):
        gain = next(1.0 if float(part.sum()) > 0 else 2.0 for part in [x])
        return gain * torch.nn.functional.conv2d(x, self.weight, self.bias)


def make(folder, name="made", network=CONVOLUTION, inference=INFERENCE):
    """Write the bundle and return its folder; ``network`` is its ``network_def`` as YAML."""
    root = folder / name
    for part in ("configs", "models", "docs"):
        (root / part).mkdir(parents=True)
    (root / "configs" / "inference.yaml").write_text(inference.replace("NETWORK", network))
    (root / "configs" / "early.yaml").write_text(EARLY)
    (root / "configs" / "tune.yaml").write_text("parameters: {}\n")
    (root / "configs" / "protocol.bval").write_text("0 1000\n")
    (root / "docs" / "README.md").write_text("card")
    weights = root / "models" / "model.pt"
    torch.manual_seed(0)
    torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), weights)
    metadata = {
        "version": "1.2.3",
        "name": "Made bundle",
        "description": "d",
        "monai_version": "1.6.1",
        "pytorch_version": "2.15.0",
        "numpy_version": "2.4.6",
        "required_packages_version": {"psutil": "7.2.2", "pyyaml": "6.0.3"},
        "weights": {"file": "models/model.pt", "sha256": sha256_of(weights)},
        "network_data_format": {"inputs": {"image": TENSOR}, "outputs": {"pred": TENSOR}},
    }
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return root
