from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator

from custom.data.inputs.each_input import fault_of, run_each
from custom.data.inputs.input_selection import InputSelection
from custom.errors import InputError
from custom.files.temporary import temporary_path


class Step:
    """A transform that fails at some numbers, and keeps the others."""

    def __init__(self, **failing: Exception) -> None:
        self.failing = failing
        self.seen: list[str] = []

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        name = Path(item["source"]).stem
        if name in self.failing:
            raise self.failing[name]
        self.seen.append(name)
        return {**item, "image": torch.zeros(1, 1)}


def run(
    folder: Path, names: str, load: Step, save: Step, batch_size: int = 1, **settings: Any
) -> InputSelection:
    """Restore files by a chain of which two steps may fail."""
    for name in names:
        (folder / f"{name}.nii").touch()
    selection = InputSelection(
        [folder / f"{name}.nii" for name in names], folder / "out", lambda _: None, **settings
    )
    loader = DataLoader(Dataset(selection.items, load), batch_size=batch_size)
    network = torch.nn.Identity()
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=loader, network=network, postprocessing=save
    )
    selection.restore(evaluator)
    return selection


FULL = OSError(28, "No space left on device", str(temporary_path(Path("x.nii.gz"))))


def test_one_that_fails_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    load = Step(a=InputError("b-values are missing"), d=MemoryError())
    save = Step(b=FULL, e=InputError(f"{tmp_path}/e.nii: not finite"))
    selection = run(tmp_path, "abcdef", load, save)
    assert save.seen == ["c", "f"]
    assert load.seen == list("bcef")  # none is restored twice
    with pytest.raises(InputError) as raised:
        selection.finish()
    assert str(raised.value).splitlines() == [
        f"{tmp_path}/a.nii: b-values are missing",
        f"{tmp_path}/b.nii: x.nii.gz: disk full: free some space",
        f"{tmp_path}/d.nii: out of memory: close other programs",
        f"{tmp_path}/e.nii: not finite",
    ]


def test_a_fault_of_ours_does_not_stop_the_others_either(tmp_path: Path) -> None:
    save = Step(a=KeyError("ours"))
    selection = run(tmp_path, "ab", Step(c=InputError("theirs")), save)
    assert save.seen == ["b"]
    with pytest.raises(RuntimeError):  # as it came: for whoever mends it
        selection.finish()
    selection = run(tmp_path, "abc", Step(c=InputError("theirs")), save)
    with pytest.raises(InputError, match=r"a\.nii: KeyError: 'ours'\n.*c\.nii: theirs"):
        selection.finish()


def test_a_whole_batch_is_refused(tmp_path: Path) -> None:
    save = Step(d=InputError("no"))
    selection = run(tmp_path, "abcde", Step(), save, batch_size=2)
    assert save.seen == list("abce")
    assert len(selection.refused) == 2


def test_what_concerns_all_ends_the_run(tmp_path: Path) -> None:
    class Weights:
        def attach(self, engine: Any) -> None:
            engine.add_event_handler(Events.STARTED, self.load)

        def load(self, _: Any) -> None:
            raise InputError("weights are damaged")

    loader = DataLoader(Dataset([{"image": torch.zeros(1)}]), batch_size=1)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=torch.nn.Identity(),
        val_handlers=[Weights()],
    )
    with pytest.raises(InputError, match="weights are damaged"):
        run_each(evaluator, [1], lambda *_: pytest.fail("of all"))


def test_a_file_that_no_longer_passes_its_check_is_named_by_that() -> None:
    def check() -> None:
        raise InputError("a.nii: damaged")

    assert fault_of(ZeroDivisionError(), check) == "a.nii: damaged"
    assert fault_of(ZeroDivisionError(), lambda: None) is None
    assert fault_of(OSError("no header"), lambda: None) == "no header"


def test_a_run_that_ends_early_is_no_success(tmp_path: Path) -> None:
    class Stop:
        def attach(self, engine: Any) -> None:
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), engine.terminate)

    items = [{"image": torch.zeros(1)}] * 4
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=1),
        network=torch.nn.Identity(),
        val_handlers=[Stop()],
    )
    with pytest.raises(RuntimeError, match="ended after 2 of 4"):
        run_each(evaluator, items, lambda *_: None)
