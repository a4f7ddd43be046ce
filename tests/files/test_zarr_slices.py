import json
import shutil

import numcodecs
import numpy as np
import pytest
import zarr
from monai.transforms import LoadImage
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from custom.cli import main
from custom.errors import InputError
from custom.files.zarr_slices import ZarrSliceReader, split_slice, write_stack

AFFINE = np.array([[0, -0.1, 0, 5], [0.2, 0, 0, -3], [0, 0, 0.6, 1], [0, 0, 0, 1.0]])


@pytest.fixture
def stack(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    write_stack(tmp_path / "slices.zarr" / "scan" / "image", values, AFFINE)
    return values, tmp_path / "slices.zarr" / "scan" / "image"


def test_a_slice_is_that_slice_and_lies_where_it_lay(stack):
    values, path = stack
    image = LoadImage(reader=ZarrSliceReader)(f"{path}#2")
    np.testing.assert_array_equal(image.numpy(), values[..., 2])
    index = np.array([1.0, 3.0, 2.0, 1.0])
    np.testing.assert_allclose(image.affine.numpy() @ [1, 3, 0, 1], AFFINE @ index)


def test_a_stack_is_the_stack(stack):
    values, path = stack
    image = LoadImage(reader=ZarrSliceReader)(str(path))
    np.testing.assert_array_equal(image.numpy(), values)
    np.testing.assert_allclose(image.affine.numpy(), AFFINE)


def test_one_slice_is_one_chunk_so_that_others_stay_unread(stack):
    values, path = stack
    (path / "c" / "0" / "0" / "0").unlink()
    (path / "c" / "3" / "0" / "0").write_bytes(b"broken")
    image = LoadImage(reader=ZarrSliceReader)(f"{path}#1")
    np.testing.assert_array_equal(image.numpy(), values[..., 1])


def missing(path):
    (path / "c" / "2" / "0" / "0").unlink()


def flipped(path, place=-20):
    chunk = path / "c" / "2" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[place] ^= 4
    chunk.write_bytes(content)


def cut(path):
    chunk = path / "c" / "2" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-7])


def without_geometry(path):
    zarr.create_array(store=str(path), shape=(4, 5, 7), dtype="float32", overwrite=True)[...] = 1


def level_of_ome_zarr(path):
    without_geometry(path)
    scale = {"type": "scale", "scale": [0.6, 0.2, 0.1]}
    level = {"path": "image", "coordinateTransformations": [scale]}
    axes = [{"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
    zarr.open_group(str(path.parent), mode="a").attrs["ome"] = ome


def of_zarr_v2(path):
    shutil.rmtree(path)
    zarr.create_array(store=str(path), shape=(4, 5, 7), dtype="float32", zarr_format=2)[...] = 1


def rewritten(path, **options):
    """Write an array with other chunks."""
    shutil.rmtree(path)
    about = {"shape": (4, 5, 7), "dtype": "float32", "attributes": {"affine": AFFINE.tolist()}}
    array = zarr.create_array(store=str(path), **about, **{"chunks": (1, 5, 7), **options})
    array[...] = np.arange(140, dtype=np.float32).reshape(4, 5, 7)


def zstd(path):
    rewritten(path, compressors=ZstdCodec())


def blosc(path):
    rewritten(path, compressors=BloscCodec())


def bomb_of_zstd(path):
    zstd(path)
    (path / "c" / "2" / "0" / "0").write_bytes(numcodecs.Zstd().encode(bytes(2**20)))


def bomb_of_blosc(path):
    blosc(path)
    (path / "c" / "2" / "0" / "0").write_bytes(numcodecs.Blosc().encode(bytes(2**20)))


def gzip(path):
    rewritten(path, compressors=GzipCodec())


def in_shards(path):
    rewritten(path, shards=(4, 5, 7))


def huge_chunks(path):
    header = path / "zarr.json"
    content = json.loads(header.read_text())
    content["chunk_grid"]["configuration"]["chunk_shape"] = [1, 10**5, 10**5]
    header.write_text(json.dumps(content))


def header_cut(path):
    (path / "zarr.json").write_text((path / "zarr.json").read_text()[:90])


def header_endless(path):
    (path / "zarr.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing, "the chunk of slice 2 is missing: copy"),
        (flipped, "are damaged .*checksum"),
        (lambda path: flipped(path, 3), "are damaged"),
        (cut, "are damaged"),
        (without_geometry, "an array without geometry .attribute affine"),
        (level_of_ome_zarr, "as a level of OME-Zarr, whose orientation is not known"),
        (of_zarr_v2, "of Zarr v2, only v3 is read"),
        (bomb_of_zstd, "are damaged .a chunk would unpack to another size"),
        (bomb_of_blosc, "are damaged .a chunk would unpack to another size"),
        (gzip, "written by bytes, gzip: write them by one of blosc, zstd"),
        (in_shards, "without shards"),
        (huge_chunks, "chunks are larger than itself"),
        (header_cut, "its zarr.json is damaged"),
        (header_endless, "its zarr.json is damaged"),
    ],
)
def test_what_is_not_whole_or_has_no_place_is_refused(stack, spoil, said):
    _, path = stack
    spoil(path)
    for name in (f"{path}#2", str(path)):
        with pytest.raises(InputError, match=rf"image: .*{said}") as error:
            ZarrSliceReader().read(name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("write", [zstd, blosc])
def test_other_compressors_of_one_stream_are_read(stack, write):
    _, path = stack
    write(path)
    assert LoadImage(reader=ZarrSliceReader)(f"{path}#3").numpy().ravel().tolist() == [
        *range(105, 140)
    ]


@pytest.mark.parametrize("spoil", [bomb_of_zstd, bomb_of_blosc, huge_chunks])
def test_a_bomb_is_not_unpacked(stack, monkeypatch, spoil):
    _, path = stack
    spoil(path)
    monkeypatch.setattr("zarr.Array.__getitem__", pytest.fail)
    with pytest.raises(InputError, match="image: "):
        ZarrSliceReader().read(f"{path}#2")


def test_a_slice_of_zeros_is_there(tmp_path):
    path = tmp_path / "slices.zarr" / "scan" / "image"
    write_stack(path, np.zeros((5, 7, 4)), AFFINE)
    np.testing.assert_array_equal(LoadImage(reader=ZarrSliceReader)(f"{path}#3").numpy(), 0)


@pytest.mark.parametrize("spoil", [missing, flipped, without_geometry, level_of_ome_zarr])
def test_restoring_refuses_such_an_array(stack, tmp_path, capsys, spoil):
    _, path = stack
    spoil(path)
    with pytest.raises(SystemExit) as end:
        main(["restore", "micro_mri", f"--input={path}", f"--output={tmp_path / 'out'}"])
    assert end.value.code == 1
    assert f"{path}: " in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.nii.gz"))


def test_a_store_that_was_rewritten_is_read_anew(stack):
    values, path = stack
    LoadImage(reader=ZarrSliceReader)(f"{path}#0")
    write_stack(path, values[:3] + 1, AFFINE)
    np.testing.assert_array_equal(
        LoadImage(reader=ZarrSliceReader)(f"{path}#0").numpy(), values[:3, :, 0] + 1
    )


def test_bad_names(stack):
    _, path = stack
    with pytest.raises(InputError, match="the stack has 4"):
        ZarrSliceReader().read(f"{path}#4")
    with pytest.raises(InputError, match="no Zarr array"):
        ZarrSliceReader().read(f"{path}x#0")
    with pytest.raises(InputError, match="number of a slice"):
        split_slice("a.zarr/b#last")
