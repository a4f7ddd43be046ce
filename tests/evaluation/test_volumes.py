from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer

from custom.errors import InputError
from custom.evaluation import image_measures as of
from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.table import QualityTable
from custom.evaluation.units import Volumes

MEASURES = [
    of.psnr(),
    of.ssim(),
    of.psnr("foreground"),
    of.ssim("foreground"),
    of.nrmse(),
    of.brightness(),
    of.kspace_error(),
    of.band_power(),
    of.band_correlation(),
]


def reference(shape: tuple[int, ...] = (18, 20, 22)) -> torch.Tensor:
    """A bright block that varies, in air."""
    volume = torch.zeros(1, *shape)
    inner = tuple(length - 8 for length in shape)
    volume[0, 4:-4, 4:-4, 4:-4] = 1 + torch.rand(inner, generator=torch.Generator().manual_seed(0))
    return volume


def measure(folder: Any, *items: dict[str, Any], **settings: Any) -> dict[tuple[str, ...], Any]:
    methods = settings.pop("methods", {"model": "pred", "cubic": "cubic"})
    units = Volumes(["scan", "subject", "noise_level"], {"foreground": of.bright_voxels})
    folder = folder / "out"
    table = QualityTable(folder, units, methods, settings.pop("measures", MEASURES), **settings)
    for data in items:
        table.collect(SimpleNamespace(state=SimpleNamespace(batch=[data], output=[{}])))
    table.write()
    with (folder / "metrics.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    columns = ("scan", "subject", "noise_level", "method", *(m.name for m in table.measures))
    assert tuple(rows[0]) == (*columns, "data_range")
    return {(row["scan"], row["noise_level"], row["method"]): row for row in rows}


def item(**more: Any) -> dict[str, Any]:
    label = reference()
    return {
        "scan": "a",
        "noise_level": 0.0,
        "label": label,
        "pred": label,
        "cubic": label + 0.1,
    } | more


def test_the_reference_itself_is_perfect(tmp_path: Any) -> None:
    rows = measure(tmp_path, item())
    perfect = rows["a", "0", "model"]
    assert float(perfect["psnr"]) == float("inf")
    assert float(perfect["ssim"]) == pytest.approx(1)
    assert float(perfect["nrmse"]) == float(perfect["kspace_error"]) == 0
    assert float(perfect["band_power"]) == float(perfect["band_correlation"]) == pytest.approx(1)
    assert [key[2] for key in rows] == ["cubic", "model"], "the model comes last"


def test_a_constant_error_by_hand(tmp_path: Any) -> None:
    row = measure(tmp_path, item())["a", "0", "cubic"]
    label = reference()
    assert float(row["data_range"]) == pytest.approx(float(label.max()))
    assert float(row["psnr"]) == pytest.approx(20 * np.log10(float(label.max()) / 0.1), rel=1e-5)
    assert float(row["psnr_foreground"]) == pytest.approx(float(row["psnr"]), rel=1e-5)
    size = float(label.double().square().mean().sqrt())
    assert float(row["nrmse"]) == pytest.approx(0.1 / size, rel=1e-5)
    assert float(row["brightness"]) == pytest.approx(1 + 0.1 / float(label.mean()), rel=1e-5)
    # A constant is the frequency 0 alone: norm 0.1 sqrt(n) over the norm of the centre.
    spectrum = np.fft.fftshift(np.fft.fftn(label[0].double().numpy(), norm="ortho"))
    middle = tuple(
        slice(n // 2 - (n // 2) // 2, n // 2 - (n // 2) // 2 + n // 2) for n in label.shape[1:]
    )
    expected = 0.1 * np.sqrt(label.numel()) / np.linalg.norm(spectrum[middle])
    assert float(row["kspace_error"]) == pytest.approx(expected, rel=1e-5)
    assert float(row["band_power"]) == pytest.approx(1, rel=1e-5)


def test_errors_in_the_air_are_not_those_of_the_foreground(tmp_path: Any) -> None:
    """No window of a voxel of the block reaches the corner that is spoilt; others do."""
    label = torch.zeros(1, 30, 30, 30)
    label[0, 12:, 12:, 12:] = 1 + torch.rand(18, 18, 18, generator=torch.Generator().manual_seed(0))
    spoilt = label.clone()
    spoilt[0, :6, :6, :6] = 0.5
    row = measure(tmp_path, item(label=label, pred=label, cubic=spoilt))["a", "0", "cubic"]
    assert float(row["psnr_foreground"]) == float("inf")
    error = 0.25 * 6**3 / 30**3
    expected = 10 * np.log10(float(label.max()) ** 2 / error)
    assert float(row["psnr"]) == pytest.approx(expected, rel=1e-6)
    assert float(row["ssim_foreground"]) == pytest.approx(1, abs=1e-12)
    assert float(row["ssim"]) < 0.999


def test_a_foreground_at_the_border_has_no_ssim(tmp_path: Any) -> None:
    label = torch.zeros(1, 16, 16, 16)
    label[0, :3] = 1.0
    with pytest.raises(InputError, match=r"a cannot be evaluated: .* farther than 5 voxels"):
        measure(tmp_path, item(label=label, pred=label, cubic=label))


def test_each_noise_level_has_its_rows(tmp_path: Any) -> None:
    rows = measure(tmp_path, item(noise_level=0.0), item(noise_level=torch.tensor(0.25)))
    assert {key[1] for key in rows} == {"0", "0.25"}
    assert len(rows) == 4


def test_lpips_is_asked_slice_by_slice(tmp_path: Any, monkeypatch: Any) -> None:
    def distance(found: Any, wanted: Any, width: Any) -> Any:
        assert found.shape[1:] == (1, 18, 20)
        return (found - wanted).abs().amax((1, 2, 3)) / width

    monkeypatch.setattr(of, "PerceptualDistance", lambda _: distance)
    row = measure(tmp_path, item(), measures=[of.lpips("a.pth")])["a", "0", "cubic"]
    assert float(row["lpips"]) == pytest.approx(0.1 / float(reference().max()), rel=1e-4)


def test_peers_are_methods(tmp_path: Any) -> None:
    network = torch.nn.Identity()
    torch.save(network.state_dict(), tmp_path / "peer.pt")
    peer = RestoreWithd("image", "disgan", network, tmp_path / "peer.pt", SimpleInferer())
    methods = {"model": "pred", "model_consistent": "cubic", "cubic": "cubic"}
    rows = measure(tmp_path, item(disgan=reference()), peers=[peer], methods=methods)
    assert [key[2] for key in rows] == ["cubic", "disgan", "model", "model_consistent"]
    named = {"own name": "disgan", **methods}
    rows = measure(tmp_path, item(disgan=reference()), peers=[peer], methods=named)
    assert [key[2] for key in rows] == ["own name", "cubic", "model", "model_consistent"]


def test_what_cannot_be_measured_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="must have 'model'"):
        measure(tmp_path, item(), methods={"cubic": "cubic"})
    with pytest.raises(ValueError, match="cubic must give"):
        measure(tmp_path, item(cubic=reference()[:, 1:]))
    with pytest.raises(InputError, match="model gives values that are not finite for a"):
        measure(tmp_path, item(pred=reference() * torch.nan))
    constant = torch.ones(1, 18, 20, 22)
    with pytest.raises(InputError, match="the reference of a is constant"):
        measure(tmp_path, item(label=constant))


@pytest.mark.parametrize("rule", ["max - min", (5, 95), 7.0])
def test_the_data_range_follows_the_rule(rule):
    label = reference()
    values = label.double().numpy()
    low, high = np.percentile(values, rule) if isinstance(rule, tuple) else (0, values.max())
    expected = rule if isinstance(rule, float) else high - low
    (row,) = Volumes(["scan"], rule=rule)({"label": label}).further
    assert row["data_range"] == pytest.approx(expected, rel=1e-6)


def test_a_range_that_is_that_of_a_hot_voxel_is_said(tmp_path: Any, caplog: Any) -> None:
    measure(tmp_path, item())
    assert "hot voxels" not in caplog.text
    hot = reference()
    hot[0, 9, 9, 9] = 1e4
    measure(tmp_path, item(scan="b", label=hot, pred=hot, cubic=hot))
    assert "b: the range of the reference" in caplog.text
