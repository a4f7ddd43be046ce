"""Checks of a bundle's network and of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom.bundle.typed_values import as_data
from custom.bundle.verification.bundle_folder import METADATA, TINY, BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.files.atomic import sha256_of

if TYPE_CHECKING:
    from monai.bundle import ConfigParser
    from torch import Tensor
    from torch.nn import Module

__all__ = [
    "checkpoint",
    "fits_network",
    "in_out",
    "load_weights",
    "network_inputs",
    "open_configs",
    "torchscript",
    "trained_network",
    "weights_hash",
]

# Sizes put in for the variables of a declared shape: an odd one where any size is allowed.
_ANY, _MULTIPLE, _POWER = 45, 2, 1
_TOLERANCE = 1e-5  # rounding of float32; operators may be fused


def in_out(bundle: BundleFolder) -> None:
    """The network turns the declared inputs into the declared outputs: channels, size, dtype.

    As MONAI's ``verify_net_in_out``, which leaves the output's size unchecked. Several inputs are
    given in the order of the metadata, as the schema says.
    """
    import torch

    declared = bundle.metadata["network_data_format"]
    for side, name in (("inputs", "image"), ("outputs", "pred")):
        if name not in declared[side]:
            raise CheckFailed(f"{METADATA}: network_data_format.{side} needs {name!r}")
    with torch.no_grad():
        output = _build_network(bundle)(*network_inputs(declared))
    outputs = output if isinstance(output, (tuple, list)) else [output]
    for tensor, (name, expected) in zip(outputs, declared["outputs"].items(), strict=False):
        shape = _shape(expected)
        if tuple(tensor.shape) != shape:
            raise CheckFailed(f"output {name!r} is {tuple(tensor.shape)}, declared is {shape}")
        if tensor.dtype != _dtype(expected):
            raise CheckFailed(f"output {name!r} is {tensor.dtype}, declared is {_dtype(expected)}")


def load_weights(bundle: BundleFolder) -> None:
    """The shipped weights load without pickle, fit the network and are finite."""
    file = bundle.weights
    if not file.is_file():
        name = file.relative_to(bundle.root)
        raise CheckFailed(f"{name} is missing: train the bundle and copy its best checkpoint")
    fits_network(bundle, file)


def fits_network(bundle: BundleFolder, file: Path) -> None:
    """Raise unless a file holds finite weights of the bundle's network, and nothing else."""
    import torch

    from custom.networks.checkpoint_file import read_checkpoint

    # A full pickle could run code while it is loaded.
    state = read_checkpoint(file)
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise CheckFailed(f"{file.name} must be a bare state dict: names and tensors, nothing else")
    expected = {
        name: tuple(value.shape) for name, value in _build_network(bundle).state_dict().items()
    }
    given = {name: tuple(value.shape) for name, value in state.items()}
    odd = [name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)]
    if odd:
        name = min(odd)
        raise CheckFailed(
            f"{file.name} does not fit network_def: {name} is {given.get(name, 'missing')} in the "
            f"file, {expected.get(name, 'missing')} in the network"
        )
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise CheckFailed(f"{file.name}: {broken[0]} is not finite")


def weights_hash(bundle: BundleFolder) -> None:
    """The SHA-256 in the metadata is that of the shipped weights, and of what belongs to them.

    The record beside the weights has it too, and says what they were trained for.
    """
    from custom.networks.checkpoint_file import read_record, record_of

    about = bundle.metadata.get("weights", {})
    name = bundle.weights.relative_to(bundle.root).as_posix()
    for file, recorded in {name: about.get("sha256"), **about.get("beside", {})}.items():
        if not (bundle.root / file).is_file():
            raise CheckFailed(f"{file} is missing")
        if recorded != sha256_of(bundle.root / file):
            raise CheckFailed(
                f"{METADATA}: the sha256 of {file} is {recorded!r}, that of the file is "
                f"{sha256_of(bundle.root / file)}"
            )
    configs, stated = open_configs(bundle, "inference"), read_record(bundle.weights)
    if "trained_for" not in configs:
        raise CheckFailed("configs/inference.yaml lacks trained_for: {} if it needs no setting")
    settings = configs.get_parsed_content("trained_for")
    if lacking := [key for key in settings if key not in stated.get("trained_for", {})]:
        raise CheckFailed(
            f"{record_of(name)} does not say for which {lacking[0]} {name} was trained: copy the "
            "record that the training wrote beside the weights"
        )


def torchscript(bundle: BundleFolder) -> None:
    """MONAI's export to TorchScript, loaded again, gives the same output."""
    import torch
    from monai.bundle import ckpt_export

    file = bundle.new_folder("torchscript") / "model.ts"
    file.parent.mkdir(parents=True)
    ckpt_export(
        net_id="network_def",
        filepath=str(file),
        ckpt_file=str(checkpoint(bundle)),
        meta_file=str(bundle.root / METADATA),
        config_file=bundle.run_files("inference"),
        bundle_root=as_data(str(bundle.root)),
    )
    network = trained_network(bundle)
    inputs = list(network_inputs(bundle.metadata["network_data_format"]))
    exported: Module = torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        before, after = network(*inputs), exported.eval()(*inputs)
    difference = float((before - after).abs().max())
    if not difference <= _TOLERANCE:
        raise CheckFailed(f"the TorchScript model's output is off by {difference:.2g}")


def checkpoint(bundle: BundleFolder) -> Path:
    """Return the shipped weights, or untrained ones while a bundle has none."""
    import torch

    from custom.networks.checkpoint_file import write_checkpoint

    if bundle.weights.is_file():
        return bundle.weights
    untrained = bundle.workspace / "untrained.pt"
    if not untrained.is_file():
        torch.manual_seed(0)
        write_checkpoint(_build_network(bundle, "train").state_dict(), untrained)
    return untrained


def _build_network(bundle: BundleFolder, workflow: str = "inference") -> Module:
    """Build the network of a workflow, on the CPU, for evaluation.

    Its size may depend on the shipped weights, or, in a training, on the demonstration set.
    """
    network: Module = open_configs(bundle, workflow).get_parsed_content("network_def")
    return network.cpu().eval()


def open_configs(bundle: BundleFolder, *names: str) -> ConfigParser:
    """Return configs laid over each other, set to the bundle and the small demonstration set."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(bundle.run_files(*names))
    places = {"bundle_root": as_data(str(bundle.root)), "demo_dir": as_data(str(bundle.demo_dir))}
    places["demo_size"] = TINY
    parser.update({key: value for key, value in places.items() if key in parser})
    return parser


def trained_network(bundle: BundleFolder) -> Module:
    """Return the network with the weights of :func:`checkpoint`, on the CPU, for evaluation."""
    from custom.networks.checkpoint_file import read_checkpoint

    network = _build_network(bundle)
    network.load_state_dict(read_checkpoint(checkpoint(bundle)))
    return network


def network_inputs(
    declared: Mapping[str, Any], batch: int = 1, any_size: Sequence[int] = (_ANY, _ANY, _ANY)
) -> Iterator[Tensor]:
    """Make random inputs as the metadata declare them, the same each time.

    Args:
        declared: Their ``network_data_format``.
        batch: Size of the batch.
        any_size: Size along each axis for which the metadata allow any.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    for tensor in declared["inputs"].values():
        shape = (batch, *_shape(tensor, any_size)[1:])
        yield torch.rand(shape, generator=generator).to(_dtype(tensor))


def _shape(
    tensor: Mapping[str, Any], any_size: Sequence[int] = (_ANY, _ANY, _ANY)
) -> tuple[int, ...]:
    """Return ``(1, C, *spatial)`` with numbers put in for ``*``, ``n`` and ``p``."""
    from monai.utils import safe_eval

    declared = zip(tensor["spatial_shape"], any_size, strict=False)
    sizes = (chosen if size == "*" else size for size, chosen in declared)
    variables = {"n": _MULTIPLE, "p": _POWER}
    spatial = (
        int(safe_eval(size, dict(variables))) if isinstance(size, str) else size for size in sizes
    )
    return (1, tensor["num_channels"], *spatial)


def _dtype(tensor: Mapping[str, Any]) -> Any:
    """Return the torch dtype of a declared tensor."""
    import torch

    dtype = getattr(torch, tensor["dtype"], None)
    if not isinstance(dtype, torch.dtype):
        raise CheckFailed(f"{METADATA}: dtype {tensor['dtype']!r} is none of torch's")
    return dtype
