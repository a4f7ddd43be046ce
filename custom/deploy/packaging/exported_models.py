"""A bundle's models in the forms that run without their Python code: TorchScript, torch.export."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.checks_network import network_inputs, trained_network
from custom.bundle.verification.outcome import one_line, quiet
from custom.files.atomic import sha256_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["Export", "export_model", "merged_inference"]

# Sizes of batch and axes that a model is exported at: all differ, since torch.export takes equal
# ones for one and the same; and where it is compared then. Networks that halve an axis take
# multiples; others take any size.
_EXPORTED_AT = (2, (64, 96, 32))
_MULTIPLES, _ANY = (1, (32, 64, 48)), (3, (45, 37, 33))
_TOLERANCE = 1e-5  # of the largest value; float32 rounds at 1e-7
_DEBUG = ".debug_pkl"  # entries in which TorchScript stores the paths of source files


@dataclass(frozen=True)
class Export:
    """Result of exporting one model in one form, as in the manifest.

    Attributes:
        model: ``model``, or the name of the variant.
        form: ``torchscript`` or ``torch.export``.
        file: Path in the bundle; empty if there is none.
        sha256: Hash of the file; empty if there is none.
        difference: Largest difference to the network itself, at sizes other than that of the
            export.
        note: Reason why there is no file, or sizes that it does not take.
    """

    model: str
    form: str
    file: str = ""
    sha256: str = ""
    difference: float | None = None
    note: str = ""


def export_model(
    bundle: BundleFolder, folder: Path, more_files: Mapping[str, bytes]
) -> list[Export]:
    """Export a bundle's model, or the variant that ``bundle`` is of, in both forms.

    Each file is loaded again and compared with the network at other sizes of batch and image. A
    form that a model cannot be exported to is no error: the result holds the reason.

    Args:
        bundle: The bundle with its shipped weights.
        folder: Folder of ``model.ts`` and ``model.pt2``, or ``<variant>.ts`` and so on.
        more_files: Further content of the TorchScript file besides the metadata: configs and code.
    """
    name = bundle.variant or "model"
    return [
        _attempt(
            bundle, folder / f"{name}.ts", "torchscript", partial(_script, bundle, more_files)
        ),
        _attempt(bundle, folder / f"{name}.pt2", "torch.export", partial(_trace, bundle)),
    ]


def _attempt(
    bundle: BundleFolder, file: Path, form: str, save: Callable[[Module, Path], Module]
) -> Export:
    """Export in one form, load it again and compare."""
    name = bundle.variant or "model"
    if not bundle.weights.is_file():
        return Export(name, form, note=f"the bundle has no {bundle.weights.name}")
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both warn of deprecation, and print what they trace
            network = trained_network(bundle)
            loaded = save(network, file)
            difference = _difference(bundle, network, loaded, _MULTIPLES)
            limit = _other_sizes(bundle, network, loaded)
    except Exception as error:  # an export can fail in any way
        file.unlink(missing_ok=True)
        return Export(name, form, note=f"cannot be exported: {one_line(error)}")
    # Not by >, which a NaN would pass.
    if not difference <= _TOLERANCE:
        file.unlink()
        return Export(name, form, note=f"left out: its output is off by {difference:.2g}")
    return Export(name, form, f"models/{file.name}", sha256_of(file), difference, limit)


def _script(
    bundle: BundleFolder, more_files: Mapping[str, bytes], network: Module, file: Path
) -> Module:
    """Save a network as TorchScript, as MONAI's ``ckpt_export`` does, and load it."""
    import torch
    from monai.data import save_net_with_metadata
    from monai.networks.utils import convert_to_torchscript

    save_net_with_metadata(
        convert_to_torchscript(network),
        str(file),
        include_config_vals=False,  # a time among them
        meta_values={**bundle.metadata, "bundle_id": bundle.root.name},
        more_extra_files=dict(more_files),
    )
    _drop_debug(file)
    loaded: Module = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    return loaded.eval()


def _trace(bundle: BundleFolder, network: Module, file: Path) -> Module:
    """Save a network by ``torch.export``, with free batch and axes, and load it."""
    import torch
    from torch.export import Dim

    batch, sizes = _EXPORTED_AT
    declared = bundle.metadata["network_data_format"]
    inputs = tuple(network_inputs(declared, batch, sizes))
    shapes: list[dict[int, Any]] = [
        {
            0: Dim.AUTO,
            **{
                axis: Dim.AUTO
                for axis, size in enumerate(tensor["spatial_shape"], start=2)
                if not isinstance(size, int)
            },
        }
        for tensor in declared["inputs"].values()
    ]
    program = torch.export.export(network, inputs, dynamic_shapes=tuple(shapes))
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)  # paths of the files it was made from
    torch.export.save(program, file)
    return torch.export.load(file).module()


def _difference(
    bundle: BundleFolder, network: Module, loaded: Module, size: tuple[int, Sequence[int]]
) -> float:
    """Return the largest difference of the outputs, over the largest value if that is above 1."""
    import torch

    batch, sizes = size
    inputs = list(network_inputs(bundle.metadata["network_data_format"], batch, sizes))
    with torch.no_grad():
        before, after = _outputs(network(*inputs)), _outputs(loaded(*inputs))
    if [tensor.shape for tensor in before] != [tensor.shape for tensor in after]:
        raise ValueError("its output has another shape")
    return max(
        float((one - other).abs().max() / one.abs().max().clamp(min=1))
        for one, other in zip(before, after, strict=True)
    )


def _other_sizes(bundle: BundleFolder, network: Module, loaded: Module) -> str:
    """Return a note if an exported model does not take sizes that are no multiples."""
    try:
        difference = _difference(bundle, network, loaded, _ANY)
    except Exception as error:  # a guard of the export, or a network that cannot either
        return f"takes sizes like {_MULTIPLES[1]}, not {_ANY[1]}: {one_line(error)}"
    if not difference <= _TOLERANCE:
        return f"is off by {difference:.2g} at {_ANY[1]}: give it sizes like {_MULTIPLES[1]}"
    return ""


def _outputs(output: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors that a network gives."""
    import torch

    return [output] if isinstance(output, torch.Tensor) else list(output)


def _drop_debug(file: Path) -> None:
    """Write a TorchScript file anew without the paths of the source files it was made from."""
    with zipfile.ZipFile(file) as archive:
        kept = [
            (entry.filename, archive.read(entry))
            for entry in archive.infolist()
            if not entry.filename.endswith(_DEBUG)
        ]
    # Uncompressed as torch writes it; a plain ZipInfo has a fixed time, so the bytes repeat.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in kept:
            archive.writestr(zipfile.ZipInfo(name), content)


def merged_inference(bundle: BundleFolder, configs: Path) -> dict[str, Any]:
    """Return the packaged inference config of a model, for a file that holds only this model."""
    from monai.bundle import ConfigParser

    files = [str(configs / f"{name}.json") for name in bundle.run_names("inference")]
    content: dict[str, Any] = ConfigParser.load_config_files(files)
    if "ckpt_path" in content:  # where the weights out of the file are laid
        content["ckpt_path"] = "$@bundle_root + '/models/model.pt'"
    return content
