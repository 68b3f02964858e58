"""What cannot be read or written is refused in one line that names the file."""

import contextlib

import numpy as np
import pytest
import tifffile
from helpers.pixels import names, values
from PIL import Image

from training.errors import UserError
from training.images import open_image, write_image


class TestWhatIsRefused:
    def test_a_name_that_is_no_utf_8(self, tmp_path):
        path = tmp_path / "caf\udce9.tif"
        with contextlib.suppress(OSError):  # some file systems have no such names
            tifffile.imwrite(path, values((8, 9), "u1"))
        with pytest.raises(UserError, match=r"caf\\xe9\.tif is not named in UTF-8: rename"):
            open_image(path)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            open_image(tmp_path / "no.tif")

    def test_a_folder(self, tmp_path):
        with pytest.raises(UserError, match="is a folder"):
            open_image(tmp_path)

    @pytest.mark.parametrize("name", ["a.tif", "a.png"])
    def test_an_empty_file(self, tmp_path, name):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match="is empty"):
            open_image(tmp_path / name)

    @pytest.mark.parametrize("name", ["a.tif", "a.png", "a.txt", "a.jpg"])
    def test_a_file_that_is_no_image(self, tmp_path, name):
        (tmp_path / name).write_text("dear diary")
        with pytest.raises(UserError, match="is no TIFF or PNG image"):
            open_image(tmp_path / name)

    @pytest.mark.parametrize("suffix", ["nd2", "czi", "lif", "oib", "oif", "LSM", "vsi"])
    def test_a_format_of_a_microscope_maker(self, tmp_path, suffix):
        (tmp_path / f"a.{suffix}").write_bytes(b"II*\0 anything")
        with pytest.raises(UserError, match="export it as OME-TIFF"):
            open_image(tmp_path / f"a.{suffix}")

    @pytest.mark.parametrize("share", [0.0005, 0.002, 0.01, 0.3, 0.6, 0.95, 0.999])
    @pytest.mark.parametrize("kind", ["imagej", "ome", "shaped", "zlib", "pages", "png", "bigtiff"])
    def test_a_file_that_was_cut_off(self, tmp_path, kind, share):
        path = tmp_path / ("a.png" if kind == "png" else "a.tif")
        array = values((6, 64, 64), "u1")
        match kind:
            case "imagej":
                tifffile.imwrite(path, array, imagej=True)
            case "ome":
                tifffile.imwrite(path, array, ome=True, metadata={"axes": "ZYX"})
            case "shaped":
                tifffile.imwrite(path, array)
            case "bigtiff":
                tifffile.imwrite(path, array, bigtiff=True)
            case "zlib":
                tifffile.imwrite(path, array, compression="zlib")
            case "pages":
                with tifffile.TiffWriter(path) as tif:
                    for page in array:
                        tif.write(page, metadata=None, contiguous=False, compression="lzw")
            case "png":
                Image.fromarray(array[0]).save(path)
        data = path.read_bytes()
        path.write_bytes(data[: max(9, int(share * len(data)))])
        with pytest.raises(UserError, match="copy it anew") as caught:
            open_image(path).compute()
        assert "\n" not in str(caught.value)

    def test_a_file_with_damaged_pixels(self, tmp_path):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, values((2, 64, 64), "u2"), compression="zlib", metadata=None, photometric="minisblack")
        with tifffile.TiffFile(path) as tif:
            start = tif.pages[1].dataoffsets[0]
        data = bytearray(path.read_bytes())
        data[start : start + 100] = bytes(100)
        path.write_bytes(data)
        image = open_image(path)
        assert image[0].values.any()
        with pytest.raises(UserError, match=r"a\.tif, plane .=1, cannot be read"):
            image[1].compute()

    def test_a_mask_and_complex_numbers(self, tmp_path):
        tifffile.imwrite(tmp_path / "m.tif", np.zeros((8, 9), bool))
        tifffile.imwrite(tmp_path / "c.tif", np.zeros((8, 9), np.complex64))
        with pytest.raises(UserError, match="1-bit mask"):
            open_image(tmp_path / "m.tif")
        with pytest.raises(UserError, match="complex numbers"):
            open_image(tmp_path / "c.tif")

    def test_series_of_different_shape(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            tif.write(np.zeros((8, 9), np.uint8))
            tif.write(np.zeros((8, 5), np.uint8))
        with pytest.raises(UserError, match="2 images of different shape"):
            open_image(tmp_path / "a.tif")

    def test_to_replace_a_file_unless_told_to_and_the_input_ever(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 9), np.uint8))
        image = open_image(tmp_path / "a.tif")
        (tmp_path / "b.tif").write_text("precious")
        (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
        with pytest.raises(UserError, match="exists"):
            write_image(tmp_path / "b.tif", image, like=image)
        assert (tmp_path / "b.tif").read_text() == "precious"
        for name in ("a.tif", "link.tif"):
            with pytest.raises(UserError, match="is the input"):
                write_image(tmp_path / name, image, like=image, overwrite=True)
        write_image(tmp_path / "b.tif", image, like=image, overwrite=True)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), 1)

    def test_to_leave_half_a_file(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.ones((5, 64, 64), np.uint8))
        image = open_image(tmp_path / "a.tif")
        (tmp_path / "b.tif").write_text("precious")

        def interrupted(block):
            raise KeyboardInterrupt

        broken = image.copy(data=image.data.map_blocks(interrupted, dtype=image.dtype, meta=np.empty((0, 0, 0), "u1")))
        with pytest.raises(KeyboardInterrupt):
            write_image(tmp_path / "b.tif", broken, like=image, overwrite=True)
        assert (tmp_path / "b.tif").read_text() == "precious"
        assert names(tmp_path) == ["a.tif", "b.tif"]

    def test_a_name_that_is_no_tiff_and_a_place_that_cannot_be(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 9), np.uint8))
        image = open_image(tmp_path / "a.tif")
        with pytest.raises(UserError, match="written as TIFF"):
            write_image(tmp_path / "b.png", image, like=image)
        with pytest.raises(UserError, match="cannot be written"):
            write_image(tmp_path / "a.tif" / "b.tif", image, like=image)
