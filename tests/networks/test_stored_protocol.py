from __future__ import annotations

from pathlib import Path

import pytest
import torch

from custom.errors import InputError
from custom.networks.stored_protocol import is_peer, read_protocol, stored_measurements


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("number", "rule"), [(0, "known"), (1, "b0")])
def test_what_is_stored_is_read(tmp_path: Path, nested: bool, number: int, rule: str) -> None:
    rows = torch.rand(9, 6)
    state = {"b_rows": rows, "scale_rule": torch.tensor(number), "weight": torch.rand(2)}
    torch.save({"model": state, "epoch": 3} if nested else state, tmp_path / "model.pt")
    protocol = read_protocol(tmp_path / "model.pt")
    assert torch.equal(protocol.b_rows, rows)
    assert protocol.scale_rule == rule
    assert stored_measurements(tmp_path / "model.pt") == 9


ROWS, RULE = torch.rand(9, 6), torch.tensor(0)


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.rand(2)},
        {"b_rows": ROWS},
        {"b_rows": ROWS[:, :5], "scale_rule": RULE},
        {"b_rows": ROWS[:0], "scale_rule": RULE},
        {"b_rows": ROWS * torch.nan, "scale_rule": RULE},
        {"b_rows": ROWS, "scale_rule": torch.tensor(2)},
    ],
)
def test_weights_of_another_kind_are_refused(tmp_path: Path, state: dict[str, object]) -> None:
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt does not say which protocol"):
        stored_measurements(tmp_path / "model.pt")


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.pt does not exist"):
        stored_measurements(tmp_path / "missing.pt")
    for content in (b"no weights", b""):
        (tmp_path / "broken.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.pt is damaged"):
            stored_measurements(tmp_path / "broken.pt")
    torch.save({"model": 3}, tmp_path / "odd.pt")
    with pytest.raises(InputError, match=r"odd\.pt does not fit"):
        stored_measurements(tmp_path / "odd.pt")


def test_a_peer_is_another_network_of_the_same_measurements(tmp_path: Path) -> None:
    rows = torch.rand(9, 6)
    order = torch.arange(9).flip(0)
    for name, some, rule in (
        ("model", rows, 0),
        ("same", rows + 1e-5, 0),
        ("turned", rows[order], 0),
        ("fewer", rows[:8], 0),
        ("scaled", rows, 1),
    ):
        state = {"b_rows": some, "scale_rule": torch.tensor(rule)}
        torch.save(state, tmp_path / f"{name}.pt")
    names = ("same", "turned", "fewer", "scaled", "model", "gone")
    found = [is_peer(tmp_path / f"{name}.pt", tmp_path / "model.pt") for name in names]
    assert found == [True, False, False, False, False, False]
