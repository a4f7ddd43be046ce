"""What tests of workflows share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monai.utils
import pytest
import torch
from inference_runs import CONFIG
from monai.bundle import ConfigParser

# The network is left out where only the way of the image is tested.
IDENTITY = {"_target_": "torch.nn.Identity"}


@pytest.fixture(autouse=True)
def _seeds() -> Iterator[None]:
    """Put back what set_determinism changes for the whole process."""
    yield
    monai.utils.set_determinism(seed=None)


@pytest.fixture
def identity(tmp_path: Path) -> dict[str, Any]:
    torch.save({}, tmp_path / "identity.pt")
    return {"network_def": IDENTITY, "ckpt_path": str(tmp_path / "identity.pt")}


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A network with random weights, so that it does change the image."""
    parser = ConfigParser()
    parser.read_config(str(CONFIG))
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")
