"""What a file says of its planes: one of a set, descriptions that do not fit, calibrated values, regions."""

import uuid

import numpy as np
import pytest
import tifffile
from helpers.image_sets import OME, save_set
from helpers.pixels import values
from ome_types import from_tiff
from PIL import Image

from training.errors import ImageWarning, UserError
from training.images import PixelSize, open_image, source_in, write_image


class TestOneFileOfASet:
    @pytest.mark.parametrize("header", ["each", "first", "companion"])
    def test_is_opened_as_what_lies_in_itself_and_written_so(self, tmp_path, header):
        array = values((3, 2, 8, 9), "u2")
        save_set(tmp_path / "set", array, {f"t{t}.ome.tif": [(t, 0), (t, 1)] for t in range(3)}, header=header)
        for t in range(3):
            image = open_image(tmp_path / "set" / f"t{t}.ome.tif")
            assert image.dims == ("C", "Y", "X")
            assert list(image.coords["C"].values) == ["DAPI", "GFP"]
            assert image.attrs["resolution"] == PixelSize(0.2, 0.1, "µm")
            np.testing.assert_array_equal(image.values, array[t])
            write_image(tmp_path / f"t{t}.ome.tif", image, like=image)
        written = open_image(tmp_path / "t2.ome.tif")
        np.testing.assert_array_equal(written.values, array[2])
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "t2.ome.tif"), array[2])
        (told,) = from_tiff(tmp_path / "t2.ome.tif").images
        assert (told.name, told.pixels.size_t, told.pixels.size_c) == ("cell", 1, 2)
        assert [(plane.the_t, plane.the_c, plane.delta_t) for plane in told.pixels.planes] == [(0, 0, 20), (0, 1, 20)]

    def test_may_hold_one_channel_of_all_times(self, tmp_path):
        array = values((3, 2, 8, 9), "u2")
        parts = {f"c{c}.ome.tif": [(t, c) for t in range(3)] for c in range(2)}
        save_set(tmp_path / "set", array, parts)
        image = open_image(tmp_path / "set" / "c1.ome.tif")
        assert image.dims == ("T", "Y", "X")
        np.testing.assert_array_equal(image.values, array[:, 1])
        write_image(tmp_path / "c1.ome.tif", image, like=image, dtype="f4")
        (told,) = from_tiff(tmp_path / "c1.ome.tif").images
        assert [channel.name for channel in told.pixels.channels] == ["GFP"]
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "c1.ome.tif"), array[:, 1])

    def test_may_hold_an_image_of_its_own(self, tmp_path):
        arrays = values((2, 3, 8, 9), "u2")
        marks = [uuid.uuid5(uuid.NAMESPACE_URL, str(number)).urn for number in range(2)]
        images = "".join(
            f'<Image ID="Image:{n}"><Pixels ID="Pixels:{n}" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="8" '
            f'SizeZ="3" SizeC="1" SizeT="1"><Channel ID="Channel:{n}:0"/><TiffData PlaneCount="3">'
            f'<UUID FileName="{n}.ome.tif">{marks[n]}</UUID></TiffData></Pixels></Image>'
            for n in range(2)
        )
        for n in range(2):
            told = f'<OME xmlns="{OME}" UUID="{marks[n]}">{images}</OME>'.encode()
            tifffile.imwrite(
                tmp_path / f"{n}.ome.tif", arrays[n], metadata=None, description=told, photometric="minisblack"
            )
        image = open_image(tmp_path / "1.ome.tif")
        assert image.dims == ("Z", "Y", "X")
        np.testing.assert_array_equal(image.values, arrays[1])

    def test_stays_readable_under_another_name(self, tmp_path):
        array = values((2, 1, 8, 9), "u2")
        save_set(tmp_path / "set", array, {f"t{t}.ome.tif": [(t, 0)] for t in range(2)})
        (tmp_path / "set" / "t1.ome.tif").rename(tmp_path / "cell.ome.tif")
        np.testing.assert_array_equal(open_image(tmp_path / "cell.ome.tif").values, array[1, 0])

    def test_needs_its_header_where_it_has_several_planes(self, tmp_path):
        array = values((2, 2, 8, 9), "u2")
        parts = {"a.ome.tif": [(0, 0)], "b.ome.tif": [(0, 1), (1, 0), (1, 1)]}
        save_set(tmp_path, array, parts, header="companion")
        with pytest.raises(UserError, match=r"b\.ome\.tif .* part of it that is no full grid of C, Z, T"):
            open_image(tmp_path / "b.ome.tif")
        (tmp_path / "set.companion.ome").unlink()
        with pytest.raises(UserError, match=r"b\.ome\.tif .*the header .* \(set\.companion\.ome\) is missing"):
            open_image(tmp_path / "b.ome.tif")
        image = open_image(tmp_path / "a.ome.tif")
        np.testing.assert_array_equal(image.values, array[0, 0])
        write_image(tmp_path / "c.tif", image, like=image)
        with tifffile.TiffFile(tmp_path / "c.tif") as tif:
            assert not tif.is_ome


IMAGEJ = "ImageJ=1.53t\nimages={0}\nslices={0}\nhyperstack=true\nunit=um\n"


class TestADescriptionThatDoesNotFit:
    """Another program saved some pages of ImageJ's or tifffile's and kept the description."""

    @pytest.mark.parametrize(("pages", "told"), [(1, 4), (3, 50), (5, 2)])
    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize(
        "header", [IMAGEJ, '{{"shape": [{0}, 16, 18], "axes": "TYX"}}'], ids=["imagej", "tifffile"]
    )
    def test_whole_pages_are_read_with_a_word(self, tmp_path, pages, told, compression, header):
        array = values((pages, 16, 18), "u2")
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            for number, page in enumerate(array):
                description = header.format(told).encode() if number == 0 else None
                tif.write(page, metadata=None, description=description, contiguous=False, compression=compression)
        with pytest.warns(ImageWarning, match=rf"a\.tif: the description in it does not fit .*, {pages} page"):
            image = open_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(image.values.reshape(array.shape), array)
        write_image(tmp_path / "b.tif", image, like=image)
        np.testing.assert_array_equal(open_image(tmp_path / "b.tif").values, image.values)

    @pytest.mark.parametrize(("name", "shape"), [("pillow_one", (70, 93)), ("ij_stale3", (3, 70, 93))])
    def test_the_shared_cases(self, shared, name, shape):
        with pytest.warns(ImageWarning, match="does not fit"):
            assert open_image(shared(f"cases/stale_imagej/{name}.tif")).shape == shape

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
    def test_a_stack_with_one_header_that_was_cut_off_is_not_taken_for_one(self, tmp_path, share):
        array = values((6, 64, 64), "u1")
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZYX"})
        with tifffile.TiffFile(path) as tif:
            place = tif.pages[0].dataoffsets[0]
        data = bytearray(path.read_bytes()[: place + array.nbytes])
        with tifffile.TiffFile(path) as tif:
            following = tif.pages[0].offset + 2 + 12 * len(tif.pages[0].tags)
        data[following : following + 4] = bytes(4)  # as ImageJ writes a large stack: no other header follows
        path.write_bytes(data)
        np.testing.assert_array_equal(open_image(path).values, array)
        path.write_bytes(data[: place + int(share * array.nbytes)])
        with pytest.raises(UserError, match="copy it anew"):
            open_image(path)


class TestCalibratedValues:
    @staticmethod
    def write(path, array, *, function=0, coefficients=(-32768.0, 1.0)):
        told = "".join(f"c{number}={value}\n" for number, value in enumerate(coefficients))
        header = f"{IMAGEJ.format(len(array))}cf={function}\n{told}vunit=gray value\n".encode()
        tifffile.imwrite(path, array, metadata=None, description=header, photometric="minisblack")

    def test_signed_16_bits_are_what_fiji_shows_and_are_written_back_alike(self, tmp_path):
        array = values((3, 8, 9), "u2")
        self.write(tmp_path / "a.tif", array)
        image = open_image(tmp_path / "a.tif")
        assert image.attrs["dtype"] == "int16"
        np.testing.assert_array_equal(image.values, array.astype(int) - 32768)
        write_image(tmp_path / "b.tif", image, like=image)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), array)
        np.testing.assert_array_equal(open_image(tmp_path / "b.tif").values, image.values)
        with tifffile.TiffFile(tmp_path / "b.tif") as tif:
            told = tif.imagej_metadata
        assert (told["cf"], told["c0"], told["c1"], told["vunit"]) == (0, -32768.0, 1.0, "gray value")

    def test_written_as_another_type_they_are_calibrated_no_second_time(self, tmp_path):
        self.write(tmp_path / "a.tif", values((3, 8, 9), "u2"))
        image = open_image(tmp_path / "a.tif")
        write_image(tmp_path / "b.tif", image, like=image, dtype="f4")
        np.testing.assert_array_equal(open_image(tmp_path / "b.tif").values, image.values)
        with tifffile.TiffFile(tmp_path / "b.tif") as tif:
            assert not {"c0", "c1", "vunit"} & tif.imagej_metadata.keys()

    def test_of_any_other_calibration_there_is_a_word(self, tmp_path):
        array = values((3, 8, 9), "u2")
        self.write(tmp_path / "a.tif", array, coefficients=(5.0, 0.1))
        with pytest.warns(ImageWarning, match=r"a\.tif: Fiji shows its values calibrated \(gray value\); the stored"):
            np.testing.assert_array_equal(open_image(tmp_path / "a.tif").values, array)
        self.write(tmp_path / "a.tif", array, coefficients=(0.0, 1.0))
        np.testing.assert_array_equal(open_image(tmp_path / "a.tif").values, array)

    def test_the_shared_case(self, shared):
        path = shared("cases/signed_imagej/ij_signed.tif")
        np.testing.assert_array_equal(open_image(path).values, tifffile.imread(path).astype(int) - 32768)


class TestRegions:
    """A plane or a stack as a source: what lies outside of a region is not read."""

    REGION = slice(13, 40), slice(7, 30)

    @pytest.mark.parametrize("dtype", ["u1", ">u2", "f4"])
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"compression": "zlib", "rowsperstrip": 5},
            {"compression": "zlib", "predictor": True, "rowsperstrip": 64},
            {"compression": "lzw", "tile": (16, 32)},
            {"tile": (32, 16)},
            {"compression": "zstd", "tile": (16, 16), "byteorder": ">"},
        ],
        ids=str,
    )
    def test_of_a_plane_and_of_a_stack(self, tmp_path, options, dtype):
        array = values((3, 2, 50, 45), np.dtype(dtype).newbyteorder("="))
        told = {"byteorder": ">" if dtype[0] == ">" else "<", **options, "metadata": {"axes": "TZYX"}}
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", **told)
        image = open_image(tmp_path / "a.tif")
        plane = source_in(image, "YX", T=2, Z=1)
        assert (plane.shape, plane.dtype) == ((50, 45), array.dtype)
        np.testing.assert_array_equal(plane.read(), array[2, 1])
        for region in (self.REGION, (slice(0, 50), slice(0, 1)), (slice(49, 50), slice(0, 45))):
            np.testing.assert_array_equal(plane.read(region), array[2, 1][region])
        stack = source_in(image, "ZYX", T=1)
        assert stack.shape == (2, 50, 45)
        np.testing.assert_array_equal(stack.read(), array[1])
        np.testing.assert_array_equal(stack.read((slice(1, 2), *self.REGION)), array[1, 1:2][:, *self.REGION])

    def test_of_a_png(self, tmp_path):
        array = values((50, 45), "u1")
        Image.fromarray(array).save(tmp_path / "a.png")
        np.testing.assert_array_equal(
            source_in(open_image(tmp_path / "a.png"), "YX").read(self.REGION), array[self.REGION]
        )

    def test_of_compressed_strips_and_tiles_only_those_are_decoded_that_it_touches(self, tmp_path):
        """The others are damaged here, and nobody minds."""
        array = values((64, 64), "u2")
        for options in ({"rowsperstrip": 16}, {"tile": (16, 64)}):
            tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib", **options)
            with tifffile.TiffFile(tmp_path / "a.tif") as tif:
                place = tif.pages[0].dataoffsets[3]
            data = bytearray((tmp_path / "a.tif").read_bytes())
            data[place : place + 50] = bytes(50)
            (tmp_path / "a.tif").write_bytes(data)
            source = source_in(open_image(tmp_path / "a.tif"), "YX")
            region = slice(10, 48), slice(3, 60)
            np.testing.assert_array_equal(source.read(region), array[region])
            with pytest.raises(UserError, match="cannot be read"):
                source.read()

    @pytest.mark.parametrize("value", [1e200, -1e200, 1e-200])
    def test_values_beyond_float32_are_refused_where_they_lie(self, tmp_path, value):
        array = np.ones((3, 8, 9))
        array[1] = value
        tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": "TYX"}, photometric="minisblack")
        image = open_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(source_in(image, "YX", T=2).read(), 1)
        with pytest.raises(UserError, match=r"a\.tif, plane T=1, holds 1e.200, beyond float32: scale the images"):
            source_in(image, "YX", T=1).read()
