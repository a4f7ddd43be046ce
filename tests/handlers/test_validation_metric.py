import pytest
import torch
from ignite.engine import Engine

from custom.handlers.validation_metric import FinitePredictions

GOOD, NAN, INFINITE = (torch.tensor([1.0, value]) for value in (2.0, float("nan"), float("inf")))


def validate(*outputs):
    """Run an engine that gives these outputs, and return what was noted."""
    remaining = iter(outputs)
    engine = Engine(lambda *_: next(remaining))
    noted = FinitePredictions(engine)
    engine.run([0] * len(outputs))
    return noted.finite


@pytest.mark.parametrize("bad", [NAN, INFINITE])
@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: [{"pred": GOOD}, item]])
def test_one_bad_prediction_of_a_validation_is_enough(bad, wrap):
    assert not validate({"pred": GOOD}, wrap({"pred": bad}), {"pred": GOOD})
    assert validate({"pred": GOOD}, wrap({"pred": GOOD}))


def test_what_is_no_prediction_is_left_alone():
    assert validate({"label": NAN}, None, [{"pred": "text"}])


def test_each_validation_begins_anew():
    outputs = iter([{"pred": NAN}, {"pred": GOOD}])
    engine = Engine(lambda *_: next(outputs))
    noted = FinitePredictions(engine)
    engine.run([0])
    assert not noted.finite
    engine.run([0])
    assert noted.finite
