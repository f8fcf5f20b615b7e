"""Folders of images: file search, decoding, crops and colors, and the refusal of harmful files."""

import io
import os
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from dpm.base import progress
from dpm.base.errors import InputError
from dpm.datasets.formats import folder as folder_module
from dpm.datasets.formats.folder import image_files, read_images
from tests.datasets.formats.test_arrays import mutant

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (12, 20), np.uint8)
COLOR = RNG.integers(0, 256, (12, 20, 3), np.uint8)
SMOOTH = np.add.outer(np.arange(0, 240, 5), np.arange(0, 240, 5)).astype(float) / 2
PHOTO = Image.fromarray(np.stack([SMOOTH, SMOOTH[::-1], SMOOTH.T[::-1]], -1).astype(np.uint8))
ROTATED = {
    1: lambda array: array,
    2: np.fliplr,
    3: lambda array: np.rot90(array, 2),
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    8: np.rot90,
}


@pytest.fixture
def save(tmp_path):
    """A function that writes an image, an array or bytes to a file and returns its path."""

    def write(content, name="a.png", **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            image = content if isinstance(content, Image.Image) else Image.fromarray(content)
            image.save(path, **options)
        return path

    return write


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, color, pixels, extra=b""):
    """A PNG with an arbitrary header; `pixels` are the bytes of its rows, including their filters."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


class TestSearch:
    def test_images_are_found_in_any_case_and_depth_in_order(self, save, tmp_path):
        names = ["B.PNG", "a.Jpeg", "c.jpg", "deep.png/er/x.png", "e.JFIF", "f.jpe"]
        for name in ["deep/notes.txt", ".hidden.png", ".git/y.png", *names]:
            save(GRAY, "photos/x.png").rename(tmp_path / "moved")
            (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "moved").rename(tmp_path / "photos" / name)
        found = image_files(tmp_path / "photos")
        assert [str(path.relative_to(tmp_path / "photos")) for path in found] == names

    def test_link_within_the_folder_adds_no_second_copy(self, save, tmp_path):
        path = save(GRAY, "sub/x.png")
        (tmp_path / "y.png").symlink_to(path)
        (tmp_path / "other").symlink_to(path.parent)
        assert image_files(tmp_path) == [path]

    def test_folder_may_be_a_link(self, save, tmp_path):
        save(GRAY, "real/x.png")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        assert image_files(tmp_path / "link") == [tmp_path / "real/x.png"]

    def test_links_to_other_places_are_refused_all_at_once(self, save, tmp_path):
        save(GRAY, "in/a.png")
        target = save(GRAY, "in2/b.png")
        (tmp_path / "in" / "out.png").symlink_to(target)
        with pytest.raises(InputError, match=r"in/out.png: is a link to places outside"):
            image_files(tmp_path / "in")
        (tmp_path / "in" / "out").symlink_to(target.parent)
        with pytest.raises(InputError, match=r"in/out, .*in/out\.png: are links to places outside"):
            image_files(tmp_path / "in")

    def test_circular_and_broken_links_are_errors(self, tmp_path):
        (tmp_path / "x.png").symlink_to(tmp_path / "y.png")
        with pytest.raises(InputError, match=r"cannot be read: .*y\.png \(No such file"):
            read_images(image_files(tmp_path), 4)
        (tmp_path / "y.png").symlink_to(tmp_path / "x.png")
        with pytest.raises(InputError, match="cannot be read"):
            read_images(image_files(tmp_path), 4)

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
    def test_folder_and_pipe_are_refused_without_waiting(self, tmp_path, make):
        make(tmp_path / "x.png")
        with pytest.raises(InputError, match=r"x\.png \(not a regular file\)|holds no images"):
            read_images(image_files(tmp_path), 4)
        with pytest.raises(InputError, match=r"x\.png \(not a regular file\)"):
            read_images([tmp_path / "x.png"], 4)

    def test_device_is_refused(self):
        with pytest.raises(InputError, match=r"/dev/zero \(not a regular file\)"):
            read_images(["/dev/zero"], 4)

    def test_folder_without_images_is_an_error(self, tmp_path):
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(InputError, match=rf"^{tmp_path}: holds no images, but 1 \.txt; accepted are \.png"):
            image_files(tmp_path)

    def test_files_that_are_left_out_are_counted(self, save, tmp_path):
        """A GIF next to a PNG, and files without a suffix; not the hidden files of a system."""
        for name in ("a.png", "b.GIF", "deep/c.gif", "LICENSE", ".DS_Store"):
            save(b"", name)
        lines = []
        assert image_files(tmp_path, lines.append) == [tmp_path / "a.png"]
        assert lines == [f"{tmp_path}: left out as neither PNG nor JPEG: 2 .gif, 1 without a suffix"]

    @pytest.mark.parametrize(("name", "said"), [("none", "No such file"), ("file", "Not a directory")])
    def test_missing_folder_is_an_error(self, tmp_path, name, said):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=rf"/{name}: cannot be read \({said}"):
            image_files(tmp_path / name)

    def test_message_escapes_control_characters_in_names(self, save, tmp_path):
        path = save(b"", "a\n\x1b[31m.png")
        with pytest.raises(InputError, match=r"a\\n\\x1b\[31m\.png") as caught:
            read_images([path], 4)
        assert str(caught.value).isprintable()


class TestCrops:
    def test_center_crop_averages_blocks(self, save):
        """12 x 12 to 4 x 4 pixels: means of blocks of 3 x 3, up to rounding."""
        for array in (COLOR, GRAY):
            means = array[:, 4:16].reshape(4, 3, 4, 3, -1).mean((1, 3)).transpose(2, 0, 1)
            found = read_images([save(array)], 4)
            assert found.dtype == np.uint8
            np.testing.assert_allclose(found[0], means, atol=1)
            np.testing.assert_array_equal(found, read_images([save(array, "bigger.png")], 4))

    def test_image_of_the_right_size_is_unchanged(self, save):
        np.testing.assert_array_equal(read_images([save(GRAY[:, :12])], 12)[0, 0], GRAY[:, :12])

    def test_random_crops_cover_their_image(self, save):
        marked = np.arange(240).reshape(12, 20).astype(np.uint8)
        paths = [save(marked), save(255 - marked, "b.png")]
        found = read_images(paths, 5, "random", crops=400, rng=np.random.default_rng(1))
        assert found.shape == (800, 1, 5, 5)
        places = set()
        for cut, sign in zip(found[:, 0].astype(int), [0] * 400 + [255] * 400, strict=True):
            y, x = divmod(abs(sign - cut[0, 0]), 20)
            np.testing.assert_array_equal(abs(sign - cut), marked[y : y + 5, x : x + 5])
            places.add((y, x))
        # 8 x 16 places and 800 draws: each place is missed with probability 1/500.
        assert len(places) > 120
        assert {y for y, _ in places} == set(range(8))
        assert {x for _, x in places} == set(range(16))

    def test_random_crops_depend_on_the_generator(self, save):
        path = save(GRAY)
        draws = [read_images([path], 5, "random", crops=3, rng=np.random.default_rng(s)) for s in (1, 1, 2)]
        np.testing.assert_array_equal(draws[0], draws[1])
        assert (draws[0] != draws[2]).any()

    def test_image_smaller_than_a_random_crop_is_an_error(self, save):
        with pytest.raises(InputError, match=r"a\.png \(20 x 12 pixels, too few for windows of 13 x 13: take"):
            read_images([save(GRAY)], 13, "random", rng=np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"size": 0}, "^size=0: "),
            ({"size": 5000}, "^size=5000: accepted are 1 to 4096"),
            ({"crops": 0}, "^crops=0: "),
            ({"crops": 2}, "^crops=2: an image has one center"),
            ({"crop": "left"}, "^crop='left': accepted are center, random"),
            ({"crop": "random"}, "^rng=None: "),
            ({"paths": []}, "^paths: is empty"),
        ],
        ids=str,
    )
    def test_invalid_arguments_are_refused(self, save, arguments, message):
        with pytest.raises(InputError, match=message):
            read_images(**({"paths": [save(GRAY)], "size": 4} | arguments))

    def test_progress_is_shown_only_on_request(self, save, capsys, monkeypatch):
        monkeypatch.setattr(progress, "DELAY", 0.0)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        path = save(GRAY)
        read_images([path], 4)
        assert capsys.readouterr().err == ""
        read_images([path], 4, quiet=False)
        assert "reading: " in capsys.readouterr().err


def only(path, **options):
    """Read one image of 12 x 12 pixels, (c, 12, 12)."""
    return read_images([path], 12, **options)[0]


class TestColors:
    square = COLOR[:, :12]
    alpha = RNG.integers(0, 256, (12, 12, 1), np.uint8)

    def test_one_channel_if_all_images_are_gray_otherwise_three(self, save):
        gray, color = save(GRAY, "gray.png"), save(COLOR, "color.png")
        equal = save(np.repeat(GRAY[..., None], 3, -1), "equal.png")
        assert read_images([gray, equal], 12).shape == (2, 1, 12, 12)
        mixed = read_images([gray, color, equal], 12)
        assert mixed.shape == (3, 3, 12, 12)
        np.testing.assert_array_equal(mixed[[0, 2]], np.broadcast_to(GRAY[:, 4:16], (2, 3, 12, 12)))
        np.testing.assert_array_equal(mixed[1], COLOR[:, 4:16].transpose(2, 0, 1))

    def test_gray_is_the_luma_of_itu_r_601(self, save):
        luma = self.square @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(only(save(self.square), gray=True)[0], luma, atol=0.51)

    def test_palettes_are_applied(self, save):
        image = Image.fromarray(GRAY[:, :12] % 8, "L").convert("P")
        image.putpalette(COLOR.reshape(-1, 3)[:8].tobytes())
        expected = COLOR.reshape(-1, 3)[GRAY[:, :12] % 8]
        np.testing.assert_array_equal(only(save(image)), expected.transpose(2, 0, 1))

    def test_transparent_palette_entry_is_white(self, save):
        image = Image.fromarray(GRAY[:, :12] % 8, "L").convert("P")
        image.putpalette(COLOR.reshape(-1, 3)[:8].tobytes())
        expected = np.where((GRAY[:, :12] % 8 == 3)[..., None], 255, COLOR.reshape(-1, 3)[GRAY[:, :12] % 8])
        for transparency in (3, bytes([255, 255, 255, 0])):
            found = only(save(image, transparency=transparency))
            np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))

    def test_transparent_images_are_composed_on_white(self, save):
        """Porter & Duff's operator over: alpha c + (1 - alpha) 255."""
        share = self.alpha / 255
        image = Image.fromarray(np.concatenate([self.square, self.alpha], -1))
        expected = share * self.square + (1 - share) * 255
        np.testing.assert_allclose(only(save(image)), expected.transpose(2, 0, 1), atol=1)
        image = Image.fromarray(np.concatenate([GRAY[:, :12, None], self.alpha], -1), "LA")
        expected = share[..., 0] * GRAY[:, :12] + (1 - share[..., 0]) * 255
        found = only(save(image))
        assert found.shape == (1, 12, 12)
        np.testing.assert_allclose(found[0], expected, atol=1)

    def test_color_of_transparent_pixels_does_not_bleed(self, save):
        image = np.zeros((4, 4, 4), np.uint8)
        image[:, ::2] = [200, 0, 0, 255]
        found = read_images([save(image)], 2)[0]
        np.testing.assert_allclose(found, np.broadcast_to([[[227.5]], [[127.5]], [[127.5]]], (3, 2, 2)), atol=1)

    def test_opaque_alpha_changes_nothing(self, save):
        image = Image.fromarray(self.square).convert("RGBA")
        np.testing.assert_array_equal(only(save(image)), self.square.transpose(2, 0, 1))

    def test_16_bit_gray_is_rounded_to_the_nearest_level(self, save):
        values = RNG.integers(0, 65536, (12, 12)).astype(np.uint16)
        values[0, :4] = 0, 65535, 128, 129
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        found = only(save(png(12, 12, 16, 0, rows)))
        np.testing.assert_array_equal(found[0], np.rint(values / 257))

    def test_1_bit_is_black_and_white(self, save):
        bits = GRAY[:, :12] > 99
        found = only(save(Image.fromarray(bits)))
        np.testing.assert_array_equal(found[0], bits * 255)

    def test_cmyk_is_ink_on_white(self, save):
        """Without a profile: R = 255 (1 - C) (1 - K)."""
        found = only(save(Image.new("CMYK", (12, 12), (51, 102, 0, 51)), "a.jpg", quality=100))
        expected = [255 * (1 - ink / 255) * (1 - 51 / 255) for ink in (51, 102, 0)]
        np.testing.assert_allclose(found.mean((1, 2)), expected, atol=3)

    @pytest.mark.parametrize("kind", ["a.png", "a.jpg"])
    @pytest.mark.parametrize(("orientation", "rotated"), ROTATED.items())
    def test_exif_orientation_is_applied(self, save, kind, orientation, rotated):
        """Value 6, for example: rotate the stored image by 90 degrees clockwise (EXIF 2.3)."""
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        found = read_images([save(PHOTO, kind, exif=exif, **({"quality": 95} if "j" in kind else {}))], 48)[0]
        expected = rotated(np.asarray(PHOTO)).transpose(2, 0, 1).astype(int)
        assert np.abs(found - expected).mean() < (3 if "j" in kind else 1e-9)

    def test_first_frame_of_an_animation_is_read(self, save):
        frames = [Image.fromarray(GRAY[:, i : i + 12]) for i in range(3)]
        path = save(frames[0], save_all=True, append_images=frames[1:], duration=50)
        np.testing.assert_array_equal(only(path)[0], GRAY[:, :12])

    def test_png_is_detected_by_content_not_by_name(self, save):
        np.testing.assert_array_equal(
            only(save(encoded(Image.fromarray(GRAY[:, :12]), "PNG"), "a.jpg"))[0], GRAY[:, :12]
        )


BIG_TEXT = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(9 << 20)))
JPEG = encoded(PHOTO, "JPEG")
PNG = encoded(PHOTO, "PNG")


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "another format"),
            (b"<html>403</html>", "another format"),
            (encoded(PHOTO, "GIF"), "another format"),
            (encoded(PHOTO, "TIFF"), "another format"),
            (encoded(PHOTO, "PPM"), "another format"),
            (PNG[: len(PNG) // 2], ""),
            (PNG[:-12], ""),
            (JPEG[:-30], "truncated"),
            (PNG.replace(b"IDAT", b"IDAU"), ""),
            (png(30_000, 30_000, 8, 6, bytes(1000)), "900000000 pixels"),
            (png(10_000, 10_000, 8, 0, bytes(1000)), "10000 x 10000 pixels; accepted are 52,000,000"),
            (png(0, 5, 8, 0, b""), ""),
            (png(8, 8, 8, 0, bytes(72), chunk(b"abCd", b"") * 600), "too many parts"),
            (PNG[:33] + BIG_TEXT + chunk(b"abCd", b"") * 100_000 + PNG[33:], "too many parts"),
            (JPEG[:2] + segment(0xE1, b"Exif\0\0") * 300 + JPEG[2:], "too many parts"),
            (JPEG[:2] + b"\xff" * 2000 + JPEG[2:], "too many parts"),
            (JPEG + b"\xff\xda" * 30, "48 x 48 pixels in 31 scans, too many"),
        ],
    )
    def test_damaged_or_hostile_file_is_a_one_line_error(self, save, content, said):
        with pytest.raises(InputError, match=r"^1 of 1 image cannot be read: .*a\.png \(") as caught:
            read_images([save(content)], 8)
        message = str(caught.value)
        assert said in message
        assert message.isprintable()
        assert len(message) < 400
        assert message.endswith("or leave them out with --skip-unreadable")

    def test_png_checksum_detects_a_flipped_bit(self, save):
        damaged = bytearray(PNG)
        damaged[-20] ^= 1
        with pytest.raises(InputError, match="cannot be read"):
            read_images([save(bytes(damaged))], 8)

    def test_file_beyond_the_size_limit_is_not_read(self, save, monkeypatch):
        monkeypatch.setattr(folder_module, "MAX_BYTES", len(PNG) - 1)
        with pytest.raises(InputError, match=rf"a\.png \(more than {len(PNG) - 1:,} bytes\)"):
            read_images([save(PNG)], 8)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable_file_is_an_error(self, save):
        path = save(PNG)
        path.chmod(0)
        with pytest.raises(InputError, match=r"a\.png \(Permission denied\)"):
            read_images([path], 8)


CUT_EXIF = segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\xff\xff")
MALFORMED_MPF = segment(0xE2, b"MPF\0" + b"MM\0*\0\0\0\x08\0\1\xb0\1\0\4\0\0\0\1\0\0\0\3")


class TestDamagedMetadata:
    """Pixels that are intact are read, whatever Pillow thinks of the rest of the file."""

    @pytest.mark.parametrize(
        "extra",
        [CUT_EXIF, MALFORMED_MPF, segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")],
        ids=["cut EXIF", "malformed MPF", "EXIF that points elsewhere"],
    )
    def test_image_is_read_with_a_warning(self, save, extra):
        good, odd, lines = save(JPEG, "good.jpg"), save(JPEG[:2] + extra + JPEG[2:], "odd.jpg"), []
        found = read_images([good, odd], 8, warn=lines.append)
        np.testing.assert_array_equal(found[0], found[1])
        (line,) = lines
        assert line.startswith(f"images read in spite of: {odd} (")
        assert line.isprintable()

    @pytest.mark.parametrize(
        "extra",
        [
            BIG_TEXT,
            chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
            chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2 << 20))),
        ],
        ids=["text", "international text", "color profile"],
    )
    def test_png_with_large_texts_is_read_without_them(self, save, extra):
        """Pillow refuses texts of more than 1 MB, which are not decompressed here."""
        odd, lines = save(PNG[:33] + extra + PNG[33:], "odd.png"), []
        found = read_images([save(PNG, "good.png"), odd], 8, warn=lines.append)
        np.testing.assert_array_equal(found[0], found[1])
        assert lines == [f"images read in spite of: {odd} (texts or a color profile of more than 1 MB, not read)"]

    @pytest.mark.parametrize(("bits", "few"), [(12, True), (16, False)])
    def test_16_bits_that_hold_less_are_named(self, save, bits, few):
        """A camera of 12 bits uses a sixteenth of the range, so that 16 gray levels remain."""
        rows = RNG.integers(0, 1 << bits, (12, 12)).astype(">u2")
        rows[0, 0] = (1 << bits) - 1
        path, lines = save(png(12, 12, 16, 0, b"".join(b"\0" + row.tobytes() for row in rows))), []
        found = read_images([path], 12, warn=lines.append)
        assert found.max() == (16 if few else 255)
        assert [
            line.startswith(f"images read in spite of: {path} (16 bits that reach only 4095") for line in lines
        ] == ([True] if few else [])

    def test_valid_mpf_has_no_warning(self, save):
        """A JPEG with a second image, as cameras write for depth or previews."""
        lines, path = [], save(encoded(PHOTO, "MPO", save_all=True, append_images=[PHOTO]), "a.jpg")
        assert read_images([path], 8, warn=lines.append).shape == (1, 3, 8, 8)
        assert lines == []


class TestManyFiles:
    @pytest.fixture
    def paths(self, save):
        contents = {"a.png": PNG, "b.png": PNG[:50], "c.jpg": JPEG, "d.jpg": b"", "e.png": PNG}
        return [save(content, name) for name, content in contents.items()]

    def test_all_unreadable_files_are_listed_at_once(self, paths):
        with pytest.raises(InputError, match=r"^2 of 5 images cannot be read: .*b\.png \(.*d\.jpg \(another") as caught:
            read_images(paths, 8)
        assert "--skip-unreadable" in str(caught.value)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("crops", [1, 3])
    def test_they_can_be_left_out(self, paths, crops):
        """The other images are those that are read without them."""
        lines, ways = [], {"crop": "random", "crops": crops}
        found = read_images(paths, 8, **ways, rng=np.random.default_rng(1), skip_unreadable=True, warn=lines.append)
        expected = read_images([paths[i] for i in (0, 2, 4)], 8, **ways, rng=np.random.default_rng(1))
        np.testing.assert_array_equal(found, expected)
        (line,) = lines
        assert line.startswith("left out 2 of 5 images that cannot be read: ")
        assert str(paths[1]) in line
        assert str(paths[3]) in line

    def test_no_readable_file_is_an_error_all_the_same(self, paths):
        with pytest.raises(InputError, match="2 of 2 images cannot be read"):
            read_images([paths[1], paths[3]], 8, skip_unreadable=True)

    def test_long_lists_end_with_a_number(self, paths, monkeypatch):
        monkeypatch.setattr(folder_module, "LISTED", 1)
        with pytest.raises(InputError, match=r"b\.png \([^)]*\), 1 more; save"):
            read_images(paths, 8)


class TestLargePhotographs:
    def test_48_megapixels_are_read(self, save):
        """8064 x 6048 pixels, as phones write."""
        photo = Image.linear_gradient("L").resize((8064, 6048))
        found = read_images([save(photo, "a.jpg")], 6)[0, 0].astype(int)
        expected = np.asarray(photo)[:, 1008:7056].reshape(6, 1008, 6, 1008).mean((1, 3))
        assert np.abs(found - expected).max() <= 2

    def test_larger_jpegs_are_decoded_at_half_their_size_for_center_crops_only(self, save, monkeypatch):
        """The mean of blocks of 2 x 2 pixels, up to rounding, by libjpeg; windows keep the file's own resolution."""
        monkeypatch.setattr(folder_module, "MAX_PIXELS", 40 * 40)
        path = save(encoded(PHOTO, "JPEG", quality=95), "a.jpg")
        found = read_images([path], 12)[0].astype(float)
        expected = np.asarray(PHOTO, float).reshape(12, 4, 12, 4, 3).mean((1, 3)).transpose(2, 0, 1)
        assert np.abs(found - expected).max() < 4
        with pytest.raises(InputError, match="48 x 48 pixels; accepted are 1,600"):
            read_images([path], 12, "random", rng=np.random.default_rng(0))


def survive(kind, path, seeds):
    """Return the share of mutants that are refused; check the shape of the others."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options = [{}, {"exif": exif}, {"progressive": True} if kind == "JPEG" else {"optimize": True}]
    image = Image.fromarray(COLOR)
    contents = [encoded(image, kind, **option) for option in options] + [encoded(image.convert("L"), kind)]
    contents.append(encoded(image.convert("CMYK" if kind == "JPEG" else "P"), kind))
    refused = 0
    for seed in seeds:
        path.write_bytes(mutant(contents[seed % len(contents)], np.random.default_rng(seed)))
        start = time.process_time()
        try:
            found = read_images([path], 8)
            assert found.shape in ((1, 1, 8, 8), (1, 3, 8, 8))
            assert found.dtype == np.uint8
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017
            refused += 1
        assert time.process_time() - start < 2
    return refused / len(seeds)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_mutants_of_images_are_refused_or_read(tmp_path, kind):
    assert 0.2 < survive(kind, tmp_path / "a.png", range(200)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_many_mutants_of_images_are_refused_or_read(tmp_path, kind):
    assert 0.2 < survive(kind, tmp_path / "a.png", range(200, 10_000)) <= 1


def big(depth, color, bytes_a_pixel):
    side = 7211  # just within the limit on pixels
    return png(side, side, depth, color, (b"\4" + bytes(side * bytes_a_pixel)) * side)


def scans():
    """A progressive JPEG whose last scan is repeated up to the limit."""
    data = encoded(Image.new("RGB", (5099, 5099), (9, 90, 200)), "JPEG", progressive=True, subsampling=0)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (folder_module.MAX_SCANS - data.count(b"\xff\xda")) + data[-2:]


HEAVY = {
    "rgba": lambda: big(8, 6, 4),
    "rgba16": lambda: big(16, 6, 8),
    "gray16": lambda: big(16, 0, 2),
    "cmyk": lambda: encoded(Image.new("CMYK", (7211, 7211)), "JPEG", progressive=True),
    "scans": scans,
    "photoshop": lambda: JPEG[:2] + segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4" * 5000) * 240 + JPEG[2:],
    "exif": lambda: JPEG[:2] + segment(0xE1, b"Exif\0\0" + bytes(65000)) * 240 + JPEG[2:],
    "text": lambda: png(8, 8, 8, 0, bytes(72), chunk(b"tEXt", b"a\0" + bytes(99 << 20))),
}
CHILD = """
import resource, sys, time
from dpm.datasets.formats.folder import read_images
from dpm.base.errors import InputError
read_images(sys.argv[2:], 8)
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    read_images(sys.argv[1:2], 8)
except InputError:
    pass
print(time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_largest_files_within_the_limits_take_4_s_and_500_mb(save, name):
    """The bound has an additional second for slow machines."""
    paths = [save(HEAVY[name](), "heavy.png"), save(PNG), save(JPEG, "b.jpg")]
    done = subprocess.run([sys.executable, "-c", CHILD, *map(str, paths)], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 5
    assert megabytes < 500
