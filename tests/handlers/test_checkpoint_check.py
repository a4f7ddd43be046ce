import pytest
import torch
from ignite.engine import Engine
from torch import nn

from custom.errors import InputError
from custom.handlers.checkpoint_check import CheckedCheckpointLoader


def test_the_weights_are_there_when_the_first_step_is_done(tmp_path):
    saved, network, seen = nn.Linear(3, 2), nn.Linear(3, 2), []
    torch.save(saved.state_dict(), tmp_path / "model.pt")
    engine = Engine(lambda *_: seen.append(network.weight.detach().clone()))
    CheckedCheckpointLoader(tmp_path / "model.pt", network).attach(engine)
    assert not torch.equal(network.weight, saved.weight)
    engine.run([0])
    assert torch.equal(seen[0], saved.weight)


def test_a_missing_file_is_named_with_the_argument_that_gives_another(tmp_path):
    engine = Engine(lambda *_: None)
    CheckedCheckpointLoader(tmp_path / "model.pt", nn.Linear(3, 2)).attach(engine)
    with pytest.raises(InputError, match=r"model\.pt does not exist: .* --checkpoint"):
        engine.run([0])
