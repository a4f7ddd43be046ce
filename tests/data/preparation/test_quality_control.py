import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from custom.analysis.micro_mri.contact_sheet import draw_contact_sheet
from custom.bundle.launch import run_bundle
from custom.bundle.locate import find_bundle
from custom.data.datasets.datalist import load_datalist, slice_items
from custom.data.datasets.dataset_kinds import PAIRED_STACKS
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.data.preparation.quality_control import QualityControl, QualityLimits
from custom.errors import InputError
from custom.files.csv_table import read_table

BUNDLE = find_bundle("micro_mri_denoise")
SCAN = "mouse01_axial_head"
SLICES = 9


def anatomy(matrix):
    place = (np.arange(matrix) + 0.5) / matrix - 0.5
    x, y, z = np.meshgrid(place, place, np.linspace(0, 1, SLICES), indexing="ij")
    body = np.hypot(x, 1.3 * y) < 0.3
    return body * (100 + 30 * np.sin(40 * x + 3 * z) * np.cos(35 * y - z))


def magnitude(stack, sigma, seed):
    rng = np.random.default_rng(seed)
    return np.abs(
        stack + sigma * (rng.normal(size=stack.shape) + 1j * rng.normal(size=stack.shape))
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Slice 2 noisy, slice 4 with a ghost, slice 6 blurred."""
    folder = tmp_path_factory.mktemp("qc") / "set"
    fine, coarse = anatomy(128), anatomy(64)
    noisy = magnitude(coarse, 4, 1)
    noisy[..., 2] = magnitude(coarse, 60, 2)[..., 2]
    fine[..., 4] += 0.25 * np.roll(fine[..., 4], 64, axis=1)
    fine[..., 6] = ndimage.gaussian_filter(fine[..., 6], 3)
    low, high = np.diag([0.4, 0.4, 1, 1.0]), np.diag([0.2, 0.2, 1, 1.0])
    with DatasetWriter(folder, PAIRED_STACKS, "set", "phantom") as writer:
        fields = {"animal": "mouse01", "plane": "axial", "region": "head", "phase_axis": 1}
        images = {"image": (noisy, low), "label": (magnitude(fine, 1, 3), high)}
        writer.add("training", SCAN, images, **fields)
    run_bundle(BUNDLE, ["qc"], {"dataset_dir": str(folder), "dots_per_inch": 40})
    return folder


def test_planted_faults_are_flagged_and_nothing_else(made):
    rows = read_table(made / "qc" / "qc.csv")
    assert len(rows) == 2 * SLICES
    flags = {(row["image"], int(row["slice"])): row["flags"] for row in rows if row["flags"]}
    assert set(flags) == {("fast", 2), ("default", 4), ("default", 6)}
    assert "low SNR" in flags["fast", 2]
    assert "ghosting" in flags["default", 4]
    assert "blurred" in flags["default", 6]


EVEN = {"snr": 20.0, "ghosting": 0.02, "focus": 1.0, "entropy": 1.0, "correlation": 0.9}


# Six times the least deviation that is believed: 5 % of the median, or 2 %.
@pytest.mark.parametrize(
    ("measure", "within", "beyond", "flag"),
    [
        ("snr", 14.1, 13.9, "low SNR"),
        ("ghosting", 0.099, 0.101, "ghosting"),
        ("focus", 0.705, 0.695, "blurred"),
        ("entropy", 1.118, 1.122, "smeared"),
        ("correlation", 0.794, 0.790, "unlike its neighbours"),
    ],
)
def test_a_slice_is_flagged_from_its_limit_on(measure, within, beyond, flag):
    for value, flags in ((within, []), (beyond, [flag])):
        stack = [SimpleNamespace(**EVEN) for _ in range(SLICES)]
        setattr(stack[4], measure, value)
        assert QualityLimits().flags(stack) == [[]] * 4 + [flags] + [[]] * 4


@pytest.mark.parametrize(("snr", "flags"), [(5.1, []), (4.9, ["low SNR"])])
def test_a_stack_that_is_noisy_throughout_is_flagged(snr, flags):
    stack = [SimpleNamespace(**EVEN | {"snr": snr})] * SLICES
    assert QualityLimits().flags(stack) == [flags] * SLICES


def test_medians_are_those_of_the_phantom(made):
    content = json.loads((made / "qc" / "qc.json").read_text())
    scan = content["medians_and_flags"][SCAN]
    level = np.sqrt(np.mean(anatomy(128)[anatomy(128) > 0] ** 2))
    assert scan["default"]["snr"] == pytest.approx(level, rel=0.05)
    assert scan["fast"]["snr"] == pytest.approx(level / 4, rel=0.05)
    assert set(scan["flagged"]) == {"2", "4", "6"}
    assert content["limits"]["min_snr"] == 5.0


def test_contact_sheet_and_list_are_there_and_nothing_is_excluded(made):
    assert (made / "qc" / f"contact_sheet_{SCAN}.png").stat().st_size > 10_000
    rows = read_table(made / "exclusions.csv")
    assert [row["exclude"] for row in rows] == ["no"] * SLICES
    assert rows[2]["reason"].startswith("suggested: fast scan low SNR")
    assert rows[0]["reason"] == ""
    assert len(slice_items(load_datalist(made), "training")) == SLICES


def test_sheet_frames_what_is_flagged_and_excluded(made):
    sheets = []

    def keep(sheet):
        sheets.append(sheet)
        return draw_contact_sheet(sheet)

    file = made / "exclusions.csv"
    before, earlier = file.read_text(), (made / "qc" / "qc.csv").read_text()
    file.write_text(before.replace(f"{SCAN},0,no,", f"{SCAN},0,yes,mine"))
    QualityControl(made, load_datalist(made), QualityLimits(), keep, dots_per_inch=20).run()
    assert f"{SCAN},0,yes,mine" in file.read_text()
    assert (made / "qc.1" / "qc.csv").read_text() == earlier
    assert len(slice_items(load_datalist(made), "training")) == SLICES - 1
    figure = draw_contact_sheet(sheets[0])
    frames = [ax.spines["left"].get_linewidth() > 1 for ax in figure.axes[:SLICES]]
    assert [index for index, framed in enumerate(frames) if framed] == [0, 2, 4, 6]
    assert "excluded" in figure.axes[0].get_xlabel()
    assert "slice 6" in figure.axes[6].get_title(loc="left")
    file.write_text(before)


def test_wrong_input_is_named(made, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        run_bundle(BUNDLE, ["qc"], {"dataset_dir": str(tmp_path / "none")})
    with pytest.raises(ValueError, match="min_snr must be positive"):
        QualityLimits(min_snr=0)
    with pytest.raises(ValueError, match="phase_axis"):
        QualityControl(made, {}, QualityLimits(), draw_contact_sheet, phase_axis=2)
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    lists = {"test": [{"scan": "x", "image": str(broken)}]}
    with pytest.raises(InputError, match=r"broken\.nii\.gz: cannot be read"):
        QualityControl(tmp_path, lists, QualityLimits(), draw_contact_sheet).run()
