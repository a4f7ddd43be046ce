"""Reading: values and geometry against what the synthetic series was made from."""

import hashlib
import io
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mr_series import PLANES, classic, diffusion, enhanced, oblique, phantom, write
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from custom.deploy.dicom.frames import frames_of
from custom.deploy.dicom.pixel_values import decode, intensities
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume, write_nifti
from custom.errors import Refusal

ALL_PLANES = {**PLANES, "oblique": oblique()}


def read(images, folder, kind="volume"):
    (series,) = read_folder(write(images, folder))
    return series_volume(series, kind)


def assert_is(volume, of, atol=1e-8):
    assert volume.array.dtype == np.float32
    assert volume.affine.dtype == np.float64
    np.testing.assert_array_equal(volume.array, of.values.astype(np.float32))
    np.testing.assert_allclose(volume.affine, of.affine, atol=atol)
    assert np.linalg.det(volume.affine[:3, :3]) > 0


@pytest.mark.parametrize("plane", list(ALL_PLANES))
@pytest.mark.parametrize("make", [classic, lambda of: [enhanced(of)]], ids=["classic", "enhanced"])
def test_files_in_any_order_give_values_and_affine(tmp_path, plane, make):
    of = phantom(plane=ALL_PLANES[plane], slope=2.5, intercept=-7.0)
    assert_is(read(make(of), tmp_path), of)


def test_columns_and_rows_have_their_own_spacing(tmp_path):
    # One bright pixel: column 4, row 1, slice 3 of an axial series must lie where DICOM says.
    stored = np.zeros((6, 5, 4), int)
    stored[4, 1, 3] = 9
    of = replace(phantom(), stored=stored)
    volume = read(classic(of), tmp_path)
    index = np.array([*np.argwhere(volume.array == 9)[0], 1])
    x, y, z = of.origin
    np.testing.assert_allclose(
        volume.affine @ index, [-(x + 4 * 0.9), -(y + 1 * 1.3), z + 3 * 2.5, 1], atol=1e-9
    )


def test_each_slice_has_its_own_slope(tmp_path):
    of = phantom(slopes=(1.0, 0.37, 2.36166056166056, 5.0, 0.011))
    assert_is(read(classic(of), tmp_path / "classic"), of)
    shared = phantom(slope=1.0)
    slopes = dict(enumerate((1.0, 0.37, 2.36166056166056, 5.0, 0.011)))
    volume = read([enhanced(shared, slopes=slopes)], tmp_path / "enhanced")
    expected = shared.stored * np.array(list(slopes.values()))
    np.testing.assert_array_equal(volume.array, expected.astype(np.float32))


def test_signed_and_high_bits(tmp_path):
    stored = np.random.default_rng(1).integers(-2048, 2048, (7, 6, 5))
    of = replace(phantom(), stored=stored, signed=True)
    images = classic(of)
    for image in images:  # what lies above the high bit is no part of a value
        raw = np.frombuffer(image.PixelData, "<u2") & 0x0FFF
        image.PixelData = (raw | 0x5000).astype("<u2").tobytes()
    assert_is(read(images, tmp_path), of)


def test_bits_of_eight(tmp_path):
    of = replace(phantom(), stored=phantom().stored % 256, bits=8)
    images = classic(of)
    for image, plane in zip(images, np.moveaxis(of.stored, 2, 0), strict=True):
        image.BitsAllocated, image.PixelData = 8, plane.T.astype(np.uint8).tobytes()
    assert_is(read(images, tmp_path), of)


@pytest.mark.parametrize(("signed", "total"), [(False, 4095), (True, -1)])
def test_monochrome1_is_turned_round(tmp_path, signed, total):
    shift = 2048 if signed else 0
    of = replace(phantom(slope=2.0), stored=phantom().stored - shift, signed=signed)
    images = classic(of, PhotometricInterpretation="MONOCHROME1")
    expected = 2.0 * (total - of.stored)
    np.testing.assert_array_equal(read(images, tmp_path).array, expected)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, None])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("signed", "padding"),
    [
        (False, {"PixelPaddingValue": 4095}),
        (False, {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}),
        (True, {"PixelPaddingValue": -2000}),
        (True, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1950}),
    ],
)
def test_padding_is_no_tissue(tmp_path, signed, padding, photometric, syntax):
    of = phantom(slope=2.0, intercept=10.0)
    of = replace(of, stored=of.stored - 2048 * signed, signed=signed)
    of.stored[2:4] = next(iter(padding.values()))
    of.stored[4, :2] = list(padding.values())[-1]
    images = classic(of, PhotometricInterpretation=photometric)
    for image in images:
        for keyword, value in padding.items():
            image.add_new(keyword, "SS" if signed else "US", value)
        image.file_meta.TransferSyntaxUID = syntax or image.file_meta.TransferSyntaxUID
    padded = (of.stored >= min(padding.values())) & (of.stored <= max(padding.values()))
    assert padded.sum() >= 2 * 6 * 5
    shown = of.stored if photometric == "MONOCHROME2" else (-1 if signed else 4095) - of.stored
    volume = read(images, tmp_path)
    np.testing.assert_array_equal(volume.array, np.where(padded, 0, shown * 2.0 + 10))


def test_padding_of_a_negative_number_in_the_wrong_form(tmp_path):
    of = replace(phantom(), stored=phantom().stored - 2048, signed=True, bits=16)
    of.stored[2] = -2000
    images = classic(of)
    for image in images:
        image.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    assert not read(images, tmp_path).array[2].any()


@pytest.mark.parametrize("other", ["PLANTEDNAME^Quagga^^", "PLANTEDNAME^Quagga ^^^=", None])
def test_a_name_in_another_form_is_the_same_patient(tmp_path, other):
    images = classic(phantom())
    images[2].PatientName = other or images[2].PatientName
    images[2].PatientID += " "
    assert read(images, tmp_path).array.shape == (7, 6, 5)


@pytest.mark.parametrize("syntax", [RLELossless, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_transfer_syntax_does_not_matter(tmp_path, syntax):
    of = phantom()
    plain = read(classic(of), tmp_path / "plain")
    images = classic(of)
    for image in images:
        if syntax == RLELossless:
            image.compress(syntax)
            continue
        image.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    other = read(images, tmp_path / "other")
    np.testing.assert_array_equal(other.array, plain.array)
    assert other.sha256 == plain.sha256


def packed(image, syntax, stream):
    """The same image with other pixels, a stream of a transfer syntax."""
    image.file_meta.TransferSyntaxUID = syntax
    image.PixelData = encapsulate([stream])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    return image


def jpeg2000(pixels, form):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG2000", no_jp2=form == "bare")
    return stream.getvalue()


@pytest.mark.parametrize("form", ["bare", "jp2"])
def test_jpeg_2000_gives_what_its_header_says_and_no_more(tmp_path, form):
    of = phantom()
    images = [
        packed(image, JPEG2000Lossless, jpeg2000(image.pixel_array.astype(np.uint16), form))
        for image in classic(of)
    ]
    assert_is(read(images, tmp_path / "a"), of)
    packed(images[2], JPEG2000Lossless, jpeg2000(np.zeros((600, 700), np.uint16), form))
    with pytest.raises(Refusal, match="image 3 of 5") as refused:
        read(images, tmp_path / "b")
    assert refused.value.reason == "truncated-pixels"


def size_of(rows, columns, marker):
    """A JPEG stream of one component that ends where its pixels would begin."""
    return b"\xff\xd8\xff\xe0\0\x04ab\xff" + bytes([marker, 0, 11, 16, *rows, *columns, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("syntax", "stream"),
    [
        (JPEGLossless, size_of([0, 60], [0, 7], 0xC3)),
        (JPEGLSLossless, size_of([0, 6], [255, 7], 0xF7)),
        (JPEGLSLossless, b"\xff\xd8\xff"),
        (RLELossless, bytes(10_000)),
        (JPEG2000Lossless, b"no stream"),
    ],
)
def test_a_stream_of_another_size_is_never_decoded(tmp_path, monkeypatch, syntax, stream):
    images = [packed(image, syntax, stream) for image in classic(phantom())]
    (series,) = read_folder(write(images, tmp_path))
    monkeypatch.setattr("custom.deploy.dicom.pixel_values.iter_pixels", pytest.fail)
    with pytest.raises(Refusal, match="image 1 of 5"):
        list(decode(frames_of(series)))


@pytest.mark.reference
@pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"])
def test_lossless_compression_does_not_matter(tmp_path, name):
    gdcm = pytest.importorskip("gdcm")
    of = phantom(shape=(17, 16, 5))
    plain = read(classic(of), tmp_path / "plain")
    (tmp_path / "packed").mkdir()
    for file in (tmp_path / "plain").iterdir():
        reader = gdcm.ImageReader()
        reader.SetFileName(str(file))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(tmp_path / "packed" / file.name))
        assert writer.Write()
    (series,) = read_folder(tmp_path / "packed")
    assert series.headers[0].file_meta.TransferSyntaxUID.is_compressed
    packed = series_volume(series, "volume")
    np.testing.assert_array_equal(packed.array, plain.array)
    assert packed.sha256 == plain.sha256


def test_sources_are_the_images_of_the_slices(tmp_path):
    images = classic(phantom())
    volume = read(images, tmp_path / "a")
    assert [one.SOPInstanceUID for one in volume.headers] == [one.SOPInstanceUID for one in images]
    table = [(0, (0, 0, 0)), (1000, (1, 0, 0))]
    series = read([enhanced(phantom(), table)], tmp_path / "b", "diffusion")
    assert len(series.sources) == 2 * 5
    places = [
        (one.header.TemporalPositionIndex, one.header.InStackPositionNumber)
        for one in series.sources_of(1)
    ]
    assert places == [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5)]


def test_the_hash_is_of_pixels_and_geometry_alone(tmp_path):
    of = phantom()
    first = read(classic(of), tmp_path / "1").sha256
    assert read(classic(replace(of, name="Other^One")), tmp_path / "2").sha256 == first
    stored = of.stored.copy()
    stored[3, 2, 1] += 1
    others = [
        replace(of, stored=stored),
        replace(of, slope=1.0001),
        replace(of, origin=(-30.0, 12.5, 40.26)),
        replace(of, spacing=(0.9, 1.3, 2.6)),
    ]
    hashes = {read(classic(one), tmp_path / f"o{i}").sha256 for i, one in enumerate(others)}
    assert len(hashes | {first}) == 5
    assert len(first) == len(hashlib.sha256().hexdigest())


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 8)] * 3),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(2, 5)),
    origin=st.tuples(*[st.floats(-400, 400)] * 3),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_geometry(tmp_path_factory, angles, spacing, shape, origin):
    of = phantom(shape=shape, plane=oblique(angles), spacing=spacing, origin=origin)
    assert_is(read(classic(of), tmp_path_factory.mktemp("any")), of, atol=1e-6)


def test_nifti_holds_the_same(tmp_path):
    of = phantom(plane=oblique())
    volume = read(classic(of), tmp_path / "dicom")
    write_nifti(volume, tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(), of.values)
    for affine, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        np.testing.assert_allclose(affine, of.affine, atol=1e-4)
        assert code == 1
    assert image.header.get_xyzt_units()[0] == "mm"
    assert not (tmp_path / "a.bval").exists()


def test_nifti_of_a_diffusion_series_has_its_tables(tmp_path):
    images = diffusion(phantom(), [(0, (0, 0, 0)), (1000, (0, 0.6, 0.8))])
    write_nifti(read(images, tmp_path / "dicom", "diffusion"), tmp_path / "a.nii.gz")
    assert nib.load(tmp_path / "a.nii.gz").shape == (7, 6, 5, 2)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "a.bval"), [0, 1000])
    np.testing.assert_allclose(np.loadtxt(tmp_path / "a.bvec"), [[0, 0], [0, 0.6], [0, 0.8]])


def test_intensities_keep_what_single_precision_can(tmp_path):
    header = classic(phantom(slope=0.1, intercept=1000.0))[0]
    stored = np.arange(42).reshape(6, 7)
    values, _ = intensities(stored, header)
    np.testing.assert_array_equal(values, (stored * 0.1 + 1000).astype(np.float32).T)
