import numpy as np
import pytest
from dipy.io import read_bvals_bvecs

from custom.errors import InputError
from custom.physics.diffusion.gradient_table import (
    UNWEIGHTED_UP_TO,
    GradientTable,
    published_scheme,
    read_gradient_table,
    table_of_rows,
    tables_beside,
)

BVALS = np.array([0.0, 1000, 1000, 2000, 50])
BVECS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0.6, 0.8], [0.6, 0, -0.8], [0, 1, 0]])


def write(folder, bvals, bvecs):
    """Write what may be arrays or text."""
    paths = folder / "dwi.bval", folder / "dwi.bvec"
    for path, content in zip(paths, (bvals, bvecs), strict=True):
        if isinstance(content, str):
            path.write_text(content)
        else:
            np.savetxt(path, np.atleast_2d(content), fmt="%.10g")
    return paths


@pytest.mark.parametrize("columns", [False, True])
def test_files_are_read_as_by_dipy(tmp_path, columns):
    paths = write(tmp_path, BVALS[:, None] if columns else BVALS, BVECS if columns else BVECS.T)
    table = read_gradient_table(*paths)
    bvals, bvecs = read_bvals_bvecs(*map(str, paths))
    np.testing.assert_array_equal(table.bvals, bvals)
    np.testing.assert_allclose(table.bvecs, bvecs, atol=1e-12)
    assert len(table) == 5


def test_commas_and_empty_lines_do_no_harm(tmp_path):
    text = "\n\n".join(", ".join(map(str, row)) for row in BVECS.T)
    table = read_gradient_table(*write(tmp_path, "\n0,1000, 1000\t2000 50\n\n", text))
    np.testing.assert_allclose(table.bvecs, BVECS, atol=1e-12)


def test_three_volumes_are_read_in_fsl_s_form(tmp_path):
    """Three lines of three numbers: rows are x, y and z, as FSL has it."""
    vectors = np.array([[0.6, 0.8, 0], [0, 0.6, 0.8], [0, 0, 1]])
    table = read_gradient_table(*write(tmp_path, [1000, 1000, 1000], vectors.T))
    np.testing.assert_allclose(table.bvecs, vectors, atol=1e-12)


def test_one_volume_and_one_line(tmp_path):
    for vectors in ([[0.0, 0.6, 0.8]], [[0.0], [0.6], [0.8]]):
        table = read_gradient_table(*write(tmp_path, [700], np.array(vectors)))
        np.testing.assert_allclose(table.bvecs, [[0, 0.6, 0.8]], atol=1e-12)


def test_rounded_directions_get_the_length_one(tmp_path):
    table = read_gradient_table(*write(tmp_path, BVALS, np.round(BVECS * 0.98, 2).T))
    lengths = np.linalg.norm(table.bvecs, axis=1)
    np.testing.assert_allclose(lengths, [0, 1, 1, 1, 1], atol=1e-12)
    np.testing.assert_allclose(table.bvecs[2], [0, 0.59 / 0.978, 0.78 / 0.978], atol=1e-3)


def test_unweighted_volumes_need_no_direction(tmp_path):
    bvecs = BVECS.copy()
    bvecs[0], bvecs[4] = np.nan, [7.0, 7, 7]
    table = read_gradient_table(*write(tmp_path, BVALS, bvecs.T))
    assert not table.bvecs[[0, 4]].any()
    np.testing.assert_array_equal(table.unweighted, [True, False, False, False, True])


def test_what_is_written_is_read_again(tmp_path):
    rng = np.random.default_rng(0)
    bvecs = rng.normal(size=(40, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    bvals = rng.choice([0.0, 5, 995.25, 3000, 12345.6], 40)
    image = tmp_path / "sub.01_dwi.nii.gz"
    GradientTable(bvals, bvecs).write(*tables_beside(image))
    assert (tmp_path / "sub.01_dwi.bval").is_file()
    table = read_gradient_table(*tables_beside(image))
    np.testing.assert_allclose(table.bvals, bvals)
    np.testing.assert_allclose(table.bvecs, bvecs, atol=1e-8)


def test_b_values_keep_their_digits(tmp_path):
    GradientTable(np.array([12345.678]), np.array([[0.0, 0, 1]])).write(
        tmp_path / "a.bval", tmp_path / "a.bvec"
    )
    table = read_gradient_table(tmp_path / "a.bval", tmp_path / "a.bvec")
    assert table.bvals[0] == pytest.approx(12345.678, abs=1e-3)


def test_rows_and_selections():
    table = GradientTable(BVALS, BVECS)
    part = table.select(table.bvals == 1000)
    np.testing.assert_array_equal(part.bvecs, BVECS[1:3])
    expected = [[1, 0, 0, 0, 0, 0], [0, 0.36, 0.64, 0, 0, 0.96]]
    np.testing.assert_allclose(part.b_rows, expected, atol=1e-7)
    np.testing.assert_allclose(table.b_rows[:, :3].sum(1), [0, 1, 1, 2, 0.05], atol=1e-6)


@pytest.mark.parametrize(
    ("bvals", "bvecs", "said"),
    [
        ("", BVECS.T, "bval: empty"),
        (BVALS, " \n", "bvec: empty"),
        ("0 1000 abc", BVECS.T, "bval: is no table of numbers"),
        (BVALS, "0 1 0\n0 1\n", "bvec: is no table of numbers"),
        (BVALS[:4], BVECS.T, "4 b-values, .*bvec 5 directions"),
        (BVALS, BVECS[:, :2], "must hold three numbers a volume"),
        (-BVALS, BVECS.T, "-1000 is no b-value"),
        ("0 nan 1000 2000 50", BVECS.T, "nan is no b-value"),
        ("0 inf 1000 2000 50", BVECS.T, "inf is no b-value"),
        (BVALS * 1000, BVECS.T, "1e.06 is no b-value in s/mm²"),
        (BVALS / 1000, BVECS.T, "no volume is diffusion-weighted"),
        (BVALS, BVECS.T * [0, 1, 1, 0, 1], "direction of volume 3 has the length 0"),
        (BVALS, BVECS.T * [1, 1, 2, 1, 1], "direction of volume 2 has the length 2"),
        (BVALS, BVECS.T * [1, np.nan, 1, 1, 1], "direction of volume 1 has the length nan"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path, bvals, bvecs, said):
    with pytest.raises(InputError, match=said):
        read_gradient_table(*write(tmp_path, bvals, bvecs))


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_file_is_named(tmp_path, missing):
    paths = write(tmp_path, BVALS, BVECS.T)
    paths[missing].unlink()
    with pytest.raises(InputError, match=f"{paths[missing].name}: missing"):
        read_gradient_table(*paths)


def test_a_file_that_is_no_text_is_named(tmp_path):
    bval, bvec = write(tmp_path, BVALS, BVECS.T)
    bvec.write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(InputError, match=r"dwi\.bvec: is no table of numbers"):
        read_gradient_table(bval, bvec)


def test_b_0_as_scanners_write_it_is_unweighted_and_needs_no_direction(tmp_path):
    bvals = [0, 5, 50, 51, 52, 55, 56, 1000]
    bvecs = np.array([[0.0, 0, 0]] * 6 + [[1, 0, 0], [0, 1, 0]])
    table = read_gradient_table(*write(tmp_path, bvals, bvecs.T))
    assert table.unweighted.tolist() == [True] * 6 + [False] * 2
    bvecs[6] = 0
    with pytest.raises(InputError, match="direction of volume 6 has the length 0, not 1"):
        read_gradient_table(*write(tmp_path, bvals, bvecs.T))


def test_a_table_comes_back_from_its_rows_but_for_signs():
    table = published_scheme()
    found = table_of_rows(table.b_rows)
    np.testing.assert_allclose(found.bvals, table.bvals, atol=1e-3)
    np.testing.assert_allclose(np.abs((found.bvecs * table.bvecs).sum(1)), 1, atol=1e-6)
    np.testing.assert_allclose(found.b_rows, table.b_rows, atol=1e-6)


def test_unweighted_volumes_are_so_after_a_way_through_rows():
    """Rounding must not carry the highest that counts as unweighted above itself."""
    rng = np.random.default_rng(0)
    bvecs = rng.normal(size=(300, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    table = GradientTable(np.full(300, UNWEIGHTED_UP_TO), bvecs)
    assert table_of_rows(table.b_rows).unweighted.all()
