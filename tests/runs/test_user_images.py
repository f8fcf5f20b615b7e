"""Images and masks from files: exact values in data units, or an error that names file and shape."""

import io

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.datasets import Scaling, load, to_unit_range, write_hdf5
from dpm.runs.user_images import MASKS, describe_trivial_mask, read_images, read_mask
from tests.helpers import runs

GRAY, COLOUR = (1, 8, 8), (3, 8, 8)
PIXELS = runs.pixels(4)
UNIT = PIXELS / 255


def save_png(path, array, mode=None):
    """Save an array (h, w) or (h, w, c), uint8 or uint16, converted to a mode of Pillow; return the path."""
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def save_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


# ------------------------------------------------------------------ PNG


@pytest.mark.parametrize(("mode", "expected"), [("L", "gray"), ("LA", "gray"), ("1", "two levels"), ("I;16", "deep")])
def test_gray_png(tmp_path, mode, expected):
    """Gray with and without transparency, with two levels, and with 16 bits, which keep their fraction of white."""
    gray = PIXELS[0, 0]
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    if mode == "I;16":
        path = save_png(tmp_path / "x.png", deep)
    else:
        path = save_png(tmp_path / "x.png", (gray > 127) * np.uint8(255) if mode == "1" else gray, mode)
    values = {"gray": gray / 255, "two levels": (gray > 127) * 1.0, "deep": deep / 65535}
    X = read_images(path, GRAY)
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X, values[expected][None, None])


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_color_png(tmp_path, mode):
    """Colors stay in their channels; the alpha channel is dropped."""
    colors = runs.pixels(1, colors=3)[0]
    image = Image.fromarray(colors.transpose(1, 2, 0))
    if mode == "RGBA":
        image.putalpha(100)
    image.save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_images(tmp_path / "x.png", COLOUR), colors[None] / 255)


@pytest.mark.parametrize("level", [0, 1, 255])
def test_blank_png_is_accepted(tmp_path, level):
    path = save_png(tmp_path / "x.png", np.full((8, 8), level, np.uint8))
    np.testing.assert_array_equal(read_images(path, GRAY), np.full((1, *GRAY), level / 255))


def test_png_of_another_shape_is_refused_with_both_shapes(tmp_path):
    color = save_png(tmp_path / "x.png", runs.pixels(1, colors=3)[0].transpose(1, 2, 0))
    with pytest.raises(InputError, match=r"shape \(1, 3, 8, 8\); accepted: \(n, 1, 8, 8\)"):
        read_images(color, GRAY)
    gray = save_png(tmp_path / "y.png", PIXELS[0, 0])
    with pytest.raises(InputError, match=r"shape \(1, 1, 8, 8\); accepted: \(n, 3, 8, 8\)"):
        read_images(gray, COLOUR)
    with pytest.raises(InputError, match=r"shape \(1, 1, 8, 8\); accepted: \(n, 1, 28, 28\)"):
        read_images(gray, (1, 28, 28))
    oblong = save_png(tmp_path / "z.png", np.arange(48, dtype=np.uint8).reshape(6, 8))
    with pytest.raises(InputError, match=r"shape \(1, 1, 6, 8\)"):
        read_images(oblong, GRAY)


# ------------------------------------------------------------------ npz


@pytest.mark.parametrize(
    "arrays",
    [{"X": UNIT}, {"anything": UNIT}, {"other": UNIT[:1], "X": UNIT}, {"X": UNIT.astype(np.float16)}],
)
def test_npz_holds_x_or_one_array(tmp_path, arrays):
    expected = arrays.get("X", UNIT).astype(np.float64)
    np.testing.assert_array_equal(read_images(save_npz(tmp_path / "x.npz", **arrays), GRAY), expected)


def test_npz_of_two_arrays_or_none_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"x\.npz: holds the arrays a, b; name the images X"):
        read_images(save_npz(tmp_path / "x.npz", a=UNIT, b=UNIT), GRAY)
    with pytest.raises(InputError, match=r"holds the arrays \(none\)"):
        read_images(save_npz(tmp_path / "y.npz"), GRAY)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (UNIT[0], GRAY),
        (UNIT[:, 0], GRAY),
        (UNIT[:3, 0], COLOUR),
        (UNIT.reshape(4, 1, 8, 8), GRAY),
        (UNIT.reshape(4, 8, 8, 1), GRAY),
    ],
)
def test_optional_axes(tmp_path, array, shape):
    """One image without the first axis, gray images without the color axis."""
    X = read_images(save_npz(tmp_path / "x.npz", X=array), shape)
    np.testing.assert_array_equal(X, array.reshape(-1, *shape))


def test_color_axis_may_be_the_last(tmp_path):
    colors = runs.pixels(4, colors=3)
    path = save_npz(tmp_path / "x.npz", X=colors.transpose(0, 2, 3, 1), names=np.array(["a", "b"]))
    np.testing.assert_array_equal(read_images(path, COLOUR), colors / 255)


@pytest.mark.parametrize("shape", [(8, 8), (4, 1, 8, 7), (4, 8, 8, 2), (2, 2, 1, 8, 8), (0, 1, 8, 8), (4, 3, 8, 8)])
def test_npz_of_another_shape_is_refused_with_its_shape(tmp_path, shape):
    path = save_npz(tmp_path / "x.npz", X=np.zeros(shape))
    with pytest.raises(InputError) as refusal:
        read_images(path, GRAY)
    assert f"images of shape {shape}; accepted: (n, 1, 8, 8)" in str(refusal.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_value_is_named_with_its_index(tmp_path, value):
    array = UNIT.copy()
    array[2, 0, 3, 4] = value
    with pytest.raises(InputError, match=r"not finite at \(2, 0, 3, 4\)"):
        read_images(save_npz(tmp_path / "x.npz", X=array), GRAY)


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros(4, complex), np.array([{}])])
def test_npz_of_other_types_than_numbers_is_refused(tmp_path, array):
    with pytest.raises(InputError, match=r"x\.npz"):
        read_images(save_npz(tmp_path / "x.npz", X=array), GRAY)


@pytest.mark.parametrize("suffix", [".npz", ".png"])
def test_damaged_files_are_one_line(tmp_path, suffix):
    """Flipped bits, truncated files and other formats: an InputError or images, but no other exception."""
    stream = io.BytesIO()
    if suffix == ".npz":
        np.savez_compressed(stream, X=UNIT)
    else:
        Image.fromarray(PIXELS[0, 0]).save(stream, "PNG")
    content, rng, path = stream.getvalue(), np.random.default_rng(0), tmp_path / f"x{suffix}"
    cases = [b"", b"hello", b"\x93NUMPY\x01\x00", content[: len(content) // 2]]
    for _ in range(100):
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
        cases.append(bytes(flipped))
    refused = 0
    for case in cases:
        path.write_bytes(case)
        try:
            assert read_images(path, GRAY).shape[1:] == GRAY
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error).splitlines()) == 1  # noqa: PT017
            refused += 1
    assert refused > 50


def test_npy_file_named_npz_is_read(tmp_path):
    np.save(tmp_path / "x.npy", UNIT)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    np.testing.assert_array_equal(read_images(tmp_path / "x.npz", UNIT.shape[1:]), UNIT)


@pytest.mark.parametrize("name", ["x.npz", "x.png", "x.hdf5", "x"])
@pytest.mark.parametrize("kind", ["npz", "npy", "png", "hdf5"])
def test_content_decides_not_the_suffix(tmp_path, kind, name):
    if kind == "hdf5":
        runs.write_data(tmp_path, PIXELS, PIXELS[:1], "a.h5").rename(tmp_path / name)
    else:
        with open(tmp_path / name, "wb") as stream:
            if kind == "png":
                Image.fromarray(PIXELS[0, 0]).save(stream, "PNG")
            else:
                (np.save if kind == "npy" else np.savez)(stream, PIXELS[:1])
    np.testing.assert_array_equal(read_images(tmp_path / name, GRAY), UNIT[:1])


@pytest.mark.parametrize("name", ["x.h5", "x.HDF5", "x.H5", "y:z.hdf5"])
def test_part_of_an_hdf5_file_of_any_name(tmp_path, name):
    path = runs.write_data(tmp_path, PIXELS, PIXELS[:2], name)
    np.testing.assert_array_equal(read_images(path, GRAY), UNIT[:2])
    np.testing.assert_array_equal(read_images(f"{path}:train", GRAY), UNIT)
    np.testing.assert_array_equal(read_images(f"{path}:test:1-2", GRAY), UNIT[1:2])


def test_other_suffixes_are_refused(tmp_path):
    for name in ("x.jpg", "x", "x.hdf5test", "x.hdf5.npy", tmp_path):
        with pytest.raises(InputError, match="accepted are"):
            read_images(name, GRAY)
    for name in ("x.npz", "x.png", "x.hdf5", "x.hdf5:test:0-1"):
        with pytest.raises(InputError, match="no such file"):
            read_images(tmp_path / name, GRAY)


# ------------------------------------------------------------------ units


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64"])
def test_integers_up_to_255_are_pixels_for_a_model_of_pixels(tmp_path, dtype):
    """The same images as 8-bit, other integers or floats 0..255 give the same values in [0, 1]."""
    X = read_images(save_npz(tmp_path / "x.npz", X=PIXELS.astype(dtype)), GRAY)
    np.testing.assert_array_equal(X, UNIT)


def test_floats_are_data_units_of_a_model_of_other_data(tmp_path):
    path = save_npz(tmp_path / "x.npz", X=PIXELS.astype(float))
    np.testing.assert_array_equal(read_images(path, GRAY, quantized=False), PIXELS)


def test_floats_outside_the_range_of_pixels_are_not_clipped(tmp_path):
    """Samples may be outside [0, 1]."""
    array = 2.5 * UNIT - 0.7
    np.testing.assert_array_equal(read_images(save_npz(tmp_path / "x.npz", X=array), GRAY), array)


def test_integers_outside_0_to_255_are_refused_with_their_range(tmp_path):
    with pytest.raises(InputError, match=r"integers -5\.\.300"):
        read_images(save_npz(tmp_path / "x.npz", X=np.linspace(-5, 300, 64).astype(int).reshape(GRAY)), GRAY)


@pytest.mark.parametrize("level", [0, 1, 7, 255])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_one_gray_level_is_accepted(tmp_path, level, dtype):
    """Images of 0 and 1 are black and white, so that 1 alone is white, as in dpm.datasets.scaling.level_factor."""
    array = np.full((2, *GRAY), level, dtype)
    expected = np.full(array.shape, level if level <= 1 else level / 255)
    np.testing.assert_array_equal(read_images(save_npz(tmp_path / "x.npz", X=array), GRAY), expected)
    runs.write_data(tmp_path, array, array, "a.hdf5")
    np.testing.assert_array_equal(read_images(tmp_path / "a.hdf5", GRAY), expected)


def test_integers_above_255_are_the_units_of_a_model_of_other_data(tmp_path):
    """As `datasets convert arrays` writes them: floats of the same values."""
    array = np.arange(64, dtype=np.uint16).reshape(1, *GRAY) * 60
    path = save_npz(tmp_path / "x.npz", X=array)
    np.testing.assert_array_equal(read_images(path, GRAY, quantized=False), array)
    with pytest.raises(InputError, match=r"integers 0\.\.3780"):
        read_images(path, GRAY)


@pytest.mark.parametrize("kind", ["npz", "hdf5"])
def test_larger_images_are_cut_as_in_training_on_crops(tmp_path, kind):
    """8 x 12 pixels hold one square of 8, 16 x 12 hold two; without crops they are refused."""
    for height, expected in ((8, np.s_[:, :, :8, :8]), (16, np.s_[:, :, :8, :8])):
        array = np.random.default_rng(1).integers(0, 256, (3, 1, height, 12), np.uint8)
        path = runs.write_data(tmp_path, array, array, "x.hdf5") if kind == "hdf5" else tmp_path / "x.npz"
        if kind == "npz":
            np.savez(path, array)
        lines = []
        found = read_images(path, GRAY, crop=8, report=lines.append)
        np.testing.assert_array_equal(found[:: height // 8], array[expected] / 255)
        assert len(found) == 3 * height // 8
        assert lines == [f"--input {path}: 3 images of {height} x 12, cut into {len(found)} squares of 8 x 8"]
        with pytest.raises(InputError, match=rf"shape \(3, 1, {height}, 12\); accepted: \(n, 1, 8, 8\)"):
            read_images(path, GRAY)
        with pytest.raises(InputError, match=rf"shape \(3, 1, {height}, 12\)"):
            read_images(path, (1, 14, 14), crop=14)


# ------------------------------------------------------------------ parts of a data set


@pytest.fixture
def hdf5(tmp_path):
    return runs.write_data(tmp_path, runs.pixels(9, seed=2), PIXELS)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("", UNIT),
        (":test", UNIT),
        (":", UNIT),
        (":test:", UNIT),
        (":test:2-4", UNIT[2:4]),
        (":test:0-1", UNIT[:1]),
        ("::1-2", UNIT[1:2]),
        (":train:7-9", runs.pixels(9, seed=2)[7:9] / 255),
    ],
)
def test_part_of_a_data_set(hdf5, part, expected):
    np.testing.assert_array_equal(read_images(f"{hdf5}{part}", GRAY), expected)


@pytest.mark.parametrize(
    "part", [":test:4-2", ":test:2-2", ":test:0-5", ":test:3", ":test:-3", ":test:a-b", ":test:²-3", ":test:0-1:x"]
)
def test_invalid_part_is_refused_with_the_accepted_ones(hdf5, part):
    with pytest.raises(InputError, match=r"accepted is A-B with 0 <= A < B <= 4, for the examples A to B - 1"):
        read_images(f"{hdf5}{part}", GRAY)


def test_missing_set_or_source_is_named(hdf5, tmp_path):
    with pytest.raises(InputError, match="no set 'valid'"):
        read_images(f"{hdf5}:valid", GRAY)
    write_hdf5(tmp_path / "other.hdf5", {"test": {"images": PIXELS}})
    with pytest.raises(
        InputError, match=r"other\.hdf5: sources \('features',\) are not available in test; available: images"
    ):
        read_images(tmp_path / "other.hdf5", GRAY)
    (tmp_path / "damaged.hdf5").write_bytes(hdf5.read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        read_images(tmp_path / "damaged.hdf5", GRAY)


def test_folder_name_may_contain_a_file_suffix(hdf5, tmp_path):
    folder = tmp_path / "my.hdf5.d"
    folder.mkdir()
    np.testing.assert_array_equal(read_images(save_npz(folder / "x.npz", X=UNIT), GRAY), UNIT)


@pytest.mark.parametrize("kind", ["pixels", "floats to 255", "floats to 1", "continuous", "color axis last"])
def test_part_has_the_same_units_as_in_training(tmp_path, kind):
    """For any value range of the file, even if the selected part has another range, as a black-and-white image has."""
    pixels = runs.pixels(6, colors=3)
    pixels[4] = pixels[4] > 127
    values = {"floats to 255": pixels * 1.0, "floats to 1": pixels / 255, "continuous": pixels * 0.7 - 80.0}
    array, labels = values.get(kind, pixels), runs.LABELS
    if kind == "color axis last":
        array, labels = pixels.transpose(0, 2, 3, 1), {"features": ("batch", "height", "width", "channel")}
    sets = {part: {"features": array} for part in ("train", "test")}
    write_hdf5(tmp_path / "mnist.hdf5", sets, labels)
    unit, quantized = to_unit_range(load("MNIST", tmp_path).test)
    assert quantized == (kind != "continuous")
    X = read_images(f"{tmp_path / 'mnist.hdf5'}:test:4-5", COLOUR, quantized=quantized)
    np.testing.assert_array_equal(X, unit[4:5])
    scaling = Scaling.fit(unit)
    np.testing.assert_allclose(scaling.inverse(scaling.forward(X)), X, atol=1e-12)


# ------------------------------------------------------------------ masks


@pytest.mark.parametrize(
    ("name", "even", "odd"),
    [
        ("left", np.s_[:, :, :4], np.s_[:, :, :3]),
        ("right", np.s_[:, :, 4:], np.s_[:, :, 4:]),
        ("top", np.s_[:, :4], np.s_[:, :3]),
        ("bottom", np.s_[:, 4:], np.s_[:, 4:]),
        ("center", np.s_[:, 2:6, 2:6], np.s_[:, 1:6, 1:6]),
    ],
)
def test_named_masks(name, even, odd):
    """Half of an even width; for an odd width the middle column stays known, as in the released mask."""
    for width, region in ((8, even), (7, odd)):
        expected = np.zeros((3, width, width), bool)
        expected[region] = True
        np.testing.assert_array_equal(read_mask(name, (3, width, width)), expected)
    assert name in MASKS


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "I;16"])
def test_mask_of_png(tmp_path, mode):
    """0 is known and any other level is drawn, in gray or color, ignoring transparency, for all channels."""
    drawn = np.zeros((8, 8), bool)
    drawn[1:3, 2:7] = True
    if mode == "I;16":
        path = save_png(tmp_path / "m.png", drawn.astype(np.uint16))
    else:
        path = save_png(tmp_path / "m.png", drawn.astype(np.uint8) * np.uint8(255 if mode == "1" else 3), mode)
    for shape in (GRAY, COLOUR):
        np.testing.assert_array_equal(read_mask(path, shape), np.broadcast_to(drawn, shape))


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 8, 8), (3, 8, 8), (1, 3, 8, 8)])
@pytest.mark.parametrize("value", [True, 1, 255, -0.5])
def test_mask_of_npz(tmp_path, shape, value):
    mask = np.zeros(shape, np.asarray(value).dtype)
    mask[..., 2:4, 5] = value
    drawn = np.zeros((8, 8), bool)
    drawn[2:4, 5] = True
    path = save_npz(tmp_path / "m.npz", mask=mask)
    np.testing.assert_array_equal(read_mask(path, COLOUR), np.broadcast_to(drawn, COLOUR))


@pytest.mark.parametrize("shape", [(1, 7, 8), (2, 8, 8), (5, 1, 8, 8), (64,)])
def test_masks_that_do_not_fit_are_refused_with_their_shape(tmp_path, shape):
    with pytest.raises(InputError) as refusal:
        read_mask(save_npz(tmp_path / "m.npz", mask=np.zeros(shape)), GRAY)
    assert f"m.npz: shape {shape}; accepted: (8, 8)" in str(refusal.value)


def test_missing_masks_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"left, right, top, bottom, center, center:SIDE, or a \.png or \.npz file"):
        read_mask("middle", GRAY)
    with pytest.raises(InputError, match=r"--mask .*none\.png: no such file"):
        read_mask(tmp_path / "none.png", GRAY)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_mask_of_png_with_transparent_pixels_is_refused(tmp_path, mode):
    """A hole in an image and strokes on a transparent layer mean opposite masks; opaque pixels are no question."""
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[2:4, 2:4] = 0
    with pytest.raises(InputError, match="transparent pixels, which may mean either part; accepted: an image without"):
        read_mask(save_png(tmp_path / "m.png", pixels, mode), GRAY)
    pixels[..., 3] = 255
    drawn = read_mask(save_png(tmp_path / "m.png", pixels, mode), GRAY)
    assert np.array_equal(drawn[0], pixels[..., 0] != 0)


def test_masks_that_divide_nothing_are_described(tmp_path):
    for value, words in ((0, "marks no pixel, so the samples are the input"), (1, "marks every pixel")):
        drawn = read_mask(save_npz(tmp_path / "m.npz", mask=np.full((8, 8), value)), GRAY)
        assert describe_trivial_mask(drawn).startswith(words)
    assert describe_trivial_mask(read_mask("left", GRAY)) == ""
    with pytest.raises(InputError, match="holds values that are not finite"):
        read_mask(save_npz(tmp_path / "m.npz", mask=np.full((8, 8), np.nan)), GRAY)
