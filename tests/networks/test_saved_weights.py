import pytest
import torch
from torch import nn

from custom.errors import InputError
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser
from custom.networks.saved_weights import load_weights


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "epoch": 3}])
def test_bare_weights_and_a_training_checkpoint_are_read(tmp_path, wrap):
    saved, network = nn.Linear(3, 2), nn.Linear(3, 2)
    torch.save(wrap(saved.state_dict()), tmp_path / "model.pt")
    load_weights(tmp_path / "model.pt", network)
    assert torch.equal(network.weight, saved.weight)
    assert torch.equal(network.bias, saved.bias)


def _torn(path):
    torch.save(nn.Linear(300, 20).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-3000])


def _with(value):
    def write(path):
        state = nn.Linear(3, 2).state_dict()
        state["bias"][1] = value
        torch.save(state, path)

    return write


@pytest.mark.parametrize(
    ("write", "word"),
    [
        (lambda path: None, "does not exist: train first, or give other weights$"),
        (_torn, "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_text("not weights"), "damaged"),
        (lambda path: torch.save(torch.ones(3), path), "damaged"),
        (lambda path: torch.save(nn.Linear(3, 2), path), "damaged"),  # a pickled object
        (lambda path: torch.save(nn.Linear(4, 2).state_dict(), path), "does not fit"),
        (_with(float("nan")), "not finite: its training diverged"),
        (_with(float("inf")), "not finite"),
        (lambda path: torch.save({"epoch": 3}, path), "does not fit"),
        (lambda path: torch.save({"model": 3}, path), "does not fit"),
        (lambda path: torch.save({"model": {"weight": 3, "bias": 2}}, path), "does not fit"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_that_names_the_file(tmp_path, write, word):
    path = tmp_path / "model.pt"
    write(path)
    with pytest.raises(InputError, match=word) as caught:
        load_weights(path, nn.Linear(3, 2), setting="other weights")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


VARIANTS = [
    (SignalAutoencoder, {"kind": "relu"}, {"kind": "linear"}),
    (TensorInformedDenoiser, {"with_sigma": True}, {"with_sigma": False}),
]


@pytest.mark.parametrize(("network", "own", "other"), VARIANTS)
def test_weights_of_a_variant_of_equal_shapes_are_refused(tmp_path, network, own, other):
    torch.save(network(**own).state_dict(), tmp_path / "own.pt")
    load_weights(tmp_path / "own.pt", network(**own))
    with pytest.raises(InputError, match="does not fit the network"):
        load_weights(tmp_path / "own.pt", network(**other))
