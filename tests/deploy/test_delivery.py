import json

import numpy as np
from mr_series import classic, phantom, write

from custom.bundle.metadata_entries import ResultMap
from custom.deploy.delivery import ABOUT, deliver
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.deploy.restoration import RestoredVolumes

MAPS = {
    "own": ResultMap("What the new study gives.", 9100, ("113062", "Pixel by pixel subtraction")),
    "plain": ResultMap("Another.", 9200),
}


def test_series_are_numbered_and_described_as_the_bundle_states(tmp_path):
    (series,) = read_folder(write(classic(phantom(), SeriesNumber=5), tmp_path / "in"))
    source = series_volume(series, "volume")
    image = (source.array.astype(np.float32), source.affine)
    restored = RestoredVolumes(dict.fromkeys(("restored", *MAPS), image), {"weights": {}})
    about = {"bundle": {"id": "b", "version": "1.0.0"}, "model": ""}
    deliver(restored, source, about, tmp_path / "out", MAPS)
    found = {}
    for name in restored.images:
        (made,) = read_folder(tmp_path / "out" / name)
        header = made.headers[0]
        codes = [code.CodeValue for code in header.get("DerivationCodeSequence", [])]
        said = header.DerivationDescription.split(". Not for diagnosis")[0]
        found[name] = (header.SeriesNumber, codes, said)
    assert found == {
        "restored": (5005, ["113087"], "Image restored by a neural network"),
        "own": (9105, ["113062"], "What the new study gives"),
        "plain": (9205, [], "Another"),
    }
    assert set(json.loads((tmp_path / "out" / ABOUT).read_text())["series"]) == set(found)
