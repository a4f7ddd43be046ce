import operator

import pytest

from custom.handlers.validation_metric import EarlyStopping


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ([5, 4, 3, 2, 1] + [9] * 20, 11),  # best at 5, six worse: 6..11
        ([1] + [9] * 20, 10),  # six worse at 7, but ten epochs run in any case
        ([9 - 0.1 * i for i in range(20)], 20),  # improves to the end
        ([5, 4] + [9, 3, 9, 9, 9, 9, 9] + [8] * 20, 10),  # a better epoch starts the count anew
        ([3] * 20, 10),  # equal is not better
    ],
)
def test_stops_after_six_epochs_without_improvement_but_not_before_the_tenth(toy, values, stops):
    training = toy(values, max_epochs=20)
    training.attach(EarlyStopping(training.evaluator, patience=6, min_epochs=10))
    assert training.run() == stops


def test_larger_is_better_if_the_evaluator_says_so(toy):
    training = toy([1, 2, 3, 2, 2, 2, 2], max_epochs=7)
    training.evaluator.metric_cmp_fn = operator.gt
    training.attach(EarlyStopping(training.evaluator, patience=2, min_epochs=1))
    assert training.run() == 5


def test_epochs_without_validation_do_not_count(toy):
    training = toy([1, 9, 9, 9], max_epochs=12, interval=3)
    training.attach(EarlyStopping(training.evaluator, patience=3, min_epochs=1))
    assert training.run() == 12


def test_a_resumed_training_stops_where_the_uninterrupted_one_does(toy):
    values = [1.0, 0.9, 2, 2, 2, 2, 2, 2, 2]
    whole = toy(values, max_epochs=9)
    whole.attach(EarlyStopping(whole.evaluator, patience=4, min_epochs=1))
    end = whole.run()

    first = toy(values[:4], max_epochs=4)
    before = EarlyStopping(first.evaluator, patience=4, min_epochs=1)
    first.attach(before)
    first.run()
    second = toy(values[4:], max_epochs=9)
    after = EarlyStopping(second.evaluator, patience=4, min_epochs=1)
    after.load_state_dict(before.state_dict())
    second.attach(after)
    assert 4 + second.run() == end == 6


@pytest.mark.parametrize(
    ("options", "match"),
    [({"patience": 0}, "patience"), ({"min_epochs": 0}, "min_epochs")],
)
def test_wrong_options_are_named(toy, options, match):
    with pytest.raises(ValueError, match=match):
        EarlyStopping(toy().evaluator, **options)
