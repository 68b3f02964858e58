"""Image files: what is read, how it is named, what comes back when it is written, and what is refused."""

import numpy as np
import pytest
import tifffile
from helpers.pixels import RNG, names, values
from ome_types import from_tiff
from PIL import Image

from training.errors import UserError
from training.images import PixelSize, check_writable, open_image, planes, write_image


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">f4"], ids=str
)
def test_every_integer_and_float_type_is_read_and_written_back(tmp_path, dtype):
    array = values((3, 9, 7), np.dtype(dtype).newbyteorder("="))
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        metadata={"axes": "ZYX"},
        byteorder=">" if ">" in dtype else "<",
        photometric="minisblack",
    )
    image = open_image(tmp_path / "a.tif")
    assert image.dims == ("Z", "Y", "X")
    assert image.dtype == array.dtype
    assert image.attrs["dtype"] == str(array.dtype)
    np.testing.assert_array_equal(image.values, array)
    write_image(tmp_path / "b.tif", image, like=image)
    back = tifffile.imread(tmp_path / "b.tif")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "packbits", "deflate", "lzma"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressed_and_tiled_files_are_read(tmp_path, compression, tile):
    array = values((4, 33, 35), "u2")
    tifffile.imwrite(tmp_path / "a.tif", array, compression=compression, tile=tile, photometric="minisblack")
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").values, array)


def test_a_plane_is_read_when_it_is_asked_for(tmp_path):
    array = values((50, 16, 16), "u2")
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True)
    image = open_image(tmp_path / "a.tif")
    changed = array.copy()
    changed[7] = 0
    tifffile.imwrite(tmp_path / "a.tif", changed, imagej=True)
    np.testing.assert_array_equal(image[7].values, 0)
    assert image.data.chunks[0] == (1,) * 50


def test_planes_come_with_their_index(tmp_path):
    array = values((2, 3, 5, 6), "u1")
    tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": "TCYX"}, photometric="minisblack")
    seen = dict(planes(open_image(tmp_path / "a.tif")))
    assert list(seen) == [(t, c) for t in range(2) for c in range(3)]
    np.testing.assert_array_equal(seen[1, 2], array[1, 2])


def test_axes_are_put_in_the_order_tczyx_and_back(tmp_path):
    array = values((2, 3, 4, 5, 6), "u2")
    tifffile.imwrite(tmp_path / "a.ome.tif", array, metadata={"axes": "TZCYX"})
    image = open_image(tmp_path / "a.ome.tif")
    assert image.dims == ("T", "C", "Z", "Y", "X")
    np.testing.assert_array_equal(image.values, array.swapaxes(1, 2))
    write_image(tmp_path / "b.ome.tif", image, like=image)
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        assert tif.series[0].axes == "TZCYX"
        np.testing.assert_array_equal(tif.asarray(), array)


def test_an_imagej_hyperstack_comes_back_with_all_that_imagej_knows(tmp_path):
    array = values((3, 4, 2, 10, 12), "u2")
    luts = [RNG.integers(0, 256, (3, 256)).astype(np.uint8) for _ in range(2)]
    told = {
        "axes": "TZCYX", "unit": "um", "spacing": 0.3, "finterval": 2.5, "mode": "composite", "min": 3.0, "max": 900.0,
        "Labels": [f"{name}:{n}" for n in range(12) for name in ("DAPI", "GFP")], "LUTs": luts,
        "Ranges": (0.0, 100.0, 5.0, 700.0), "Info": "taken on a Monday", "Properties": {"key": "value"},
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata=told, resolution=(8.0, 4.0))
    image = open_image(tmp_path / "a.tif")
    assert image.dims == ("T", "C", "Z", "Y", "X")
    assert image.attrs["resolution"] == PixelSize(0.25, 0.125, "µm")
    assert list(image.coords["C"].values) == ["DAPI:0", "GFP:0"]
    write_image(tmp_path / "b.tif", image.astype(np.float32) * 0.5, like=image)
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(tmp_path / "b.tif") as after:
        assert after.is_imagej
        assert after.series[0].axes == "TZCYX"
        np.testing.assert_array_equal(after.asarray(), np.rint(array * np.float32(0.5)).astype(np.uint16))
        old, new = before.imagej_metadata, after.imagej_metadata
        assert {key: new[key] for key in old if key != "LUTs"} == {key: old[key] for key in old if key != "LUTs"}
        np.testing.assert_array_equal(new["LUTs"], luts)
        assert after.pages[0].resolution == (8.0, 4.0)


@pytest.mark.parametrize("unit", ["\\u00B5m", "µm", "micron"])
def test_every_way_to_write_micrometres_comes_back_to_imagej(tmp_path, unit):
    header = f"ImageJ=1.53t\nimages=5\nslices=5\nunit={unit}\nloop=false\nc0=-32768.0\n"
    tifffile.imwrite(
        tmp_path / "a.tif", values((5, 8, 9), "u2"), metadata=None, description=header.encode(), resolution=(5, 5),
        photometric="minisblack",
    )  # fmt: skip
    image = open_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", image, like=image)
    for name in ("a.tif", "b.tif"):
        assert open_image(tmp_path / name).attrs["resolution"] == PixelSize(0.2, 0.2, "µm")
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.imagej_metadata["ImageJ"] == "1.53t"
        assert tif.imagej_metadata["c0"] == -32768


def test_two_samples_a_pixel_are_not_taken_for_one_and_its_transparency(tmp_path):
    array = values((8, 9, 2), "u2")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig", extrasamples=[0])
    with pytest.raises(UserError, match="colour image"):
        open_image(tmp_path / "a.tif").compute()
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig", extrasamples=[2])
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").values, array[..., 0])


def test_an_ome_file_comes_back_with_its_whole_header(tmp_path):
    array = values((2, 3, 10, 12), "u2")
    told = {
        "axes": "CZYX", "Name": "cell 7", "Description": "µ and ß", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.2, "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 0.5, "PhysicalSizeZUnit": "µm",
        "Channel": {"Name": ["DAPI", "GFP"], "EmissionWavelength": [450, 520]}, "SignificantBits": 12,
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.ome.tif", array, metadata=told, compression="zlib")
    image = open_image(tmp_path / "a.ome.tif")
    assert image.dims == ("C", "Z", "Y", "X")
    assert list(image.coords["C"].values) == ["DAPI", "GFP"]
    assert image.attrs["resolution"] == PixelSize(0.2, 0.1, "µm")
    write_image(tmp_path / "b.ome.tif", image.values * 0.25, like=image, dtype=np.float32)
    before, after = from_tiff(tmp_path / "a.ome.tif").images[0], from_tiff(tmp_path / "b.ome.tif").images[0]
    assert (after.name, after.description) == ("cell 7", "µ and ß")
    assert after.pixels.channels == before.pixels.channels
    assert after.pixels.type.value == "float"
    assert after.pixels.significant_bits is None
    for axis in "xyz":
        assert getattr(after.pixels, f"physical_size_{axis}") == getattr(before.pixels, f"physical_size_{axis}")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.ome.tif"), array * np.float32(0.25))
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        assert (tif.series[0].kind, tif.series[0].axes) == ("ome", "CZYX")


def test_several_series_of_one_shape_stand_along_an_axis_of_positions(tmp_path):
    arrays = values((3, 2, 8, 9), "u2")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        for array in arrays:
            tif.write(array, metadata={"axes": "TYX"}, photometric="minisblack")
    image = open_image(tmp_path / "a.ome.tif")
    assert image.dims == ("P", "T", "Y", "X")
    np.testing.assert_array_equal(image.values, arrays)
    write_image(tmp_path / "b.ome.tif", image, like=image)
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        assert [series.axes for series in tif.series] == ["TYX"] * 3
        np.testing.assert_array_equal([series.asarray() for series in tif.series], arrays)
    assert len(from_tiff(tmp_path / "b.ome.tif").images) == 3


def test_a_plain_stack_keeps_resolution_description_and_page_count(tmp_path):
    array = values((5, 8, 9), "u1")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for page in array:
            tif.write(
                page,
                metadata=None,
                description="größer als 3 µm".encode(),
                resolution=(300, 150),
                resolutionunit="INCH",
                compression="lzw",
                photometric="miniswhite",
                software="scope 1",
                datetime="2021:02:03 04:05:06",
            )
    image = open_image(tmp_path / "a.tif")
    assert image.attrs["resolution"] == PixelSize(1 / 150, 1 / 300, "inch")
    write_image(tmp_path / "b.tif", image, like=image)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert len(tif.pages) == 5
        page = tif.pages[0]
        assert (page.description, page.software, page.resolution) == ("größer als 3 µm", "scope 1", (300, 150))
        assert page.resolutionunit == 2
        assert page.tags["DateTime"].value == "2021:02:03 04:05:06"
        assert page.photometric == 0
        np.testing.assert_array_equal(tif.asarray(), array)


def test_an_unnamed_axis_keeps_a_letter_of_its_own_in_front(tmp_path):
    array = values((2, 3, 5, 8, 9), "u2")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    image = open_image(tmp_path / "a.tif")
    assert len(set(image.dims)) == 5
    assert image.dims[-2:] == ("Y", "X")
    np.testing.assert_array_equal(image.values, array)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_in_planes_of_their_own_count_as_those_of_each_pixel_do(tmp_path, samples, compression):
    gray = values((5, 8, 9), "u2")
    array = np.stack([gray, gray, gray, np.full_like(gray, 7)][:samples], axis=1)
    told = {"photometric": "rgb", "planarconfig": "separate", "compression": compression}
    told |= {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", array, **told)
    image = open_image(tmp_path / "a.tif")
    assert image.attrs["metadata"].colour
    np.testing.assert_array_equal(image.values, gray)
    write_image(tmp_path / "b.tif", image, like=image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), gray)
    tifffile.imwrite(tmp_path / "a.tif", values(array.shape, "u2"), **told)
    with pytest.raises(UserError, match=r"a\.tif, plane .=\d, is a colour image: split its channels"):
        open_image(tmp_path / "a.tif").compute()


@pytest.mark.parametrize("metadata", [None, {}, {"axes": "SYX"}])
@pytest.mark.parametrize("samples", [2, 3, 4])
def test_planar_samples_that_are_no_colours_are_channels(tmp_path, samples, metadata):
    array = values((samples, 8, 9), "u2")
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        photometric="minisblack",
        planarconfig="separate",
        extrasamples=[0] * (samples - 1),
        volumetric=False,
        metadata=metadata,
    )
    image = open_image(tmp_path / "a.tif")
    assert image.dims == ("C", "Y", "X")
    np.testing.assert_array_equal(image.values, array)
    write_image(tmp_path / "b.tif", image, like=image)
    for name in ("a.tif", "b.tif"):
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert [page.axes for page in tif.pages] == ["SYX"]
            np.testing.assert_array_equal(tif.asarray(), array)
    assert open_image(tmp_path / "b.tif").dims == ("C", "Y", "X")


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_three_planes_of_values_that_no_colour_has_are_channels_whatever_the_file_calls_them(tmp_path, dtype):
    array = values((3, 8, 9), dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", planarconfig="separate")
    image = open_image(tmp_path / "a.tif")
    assert image.dims == ("C", "Y", "X")
    np.testing.assert_array_equal(image.values, array)
    write_image(tmp_path / "b.tif", image, like=image)
    np.testing.assert_array_equal(open_image(tmp_path / "b.tif").values, array)


def test_a_series_of_planar_samples_has_times_and_channels(tmp_path):
    array = values((5, 4, 8, 9), "u2")
    told = {
        "photometric": "minisblack",
        "planarconfig": "separate",
        "compression": "zlib",
        "metadata": {"axes": "TSYX"},
    }
    tifffile.imwrite(tmp_path / "a.tif", array, **told)
    image = open_image(tmp_path / "a.tif")
    assert image.dims == ("T", "C", "Y", "X")
    np.testing.assert_array_equal(image.values, array)
    write_image(tmp_path / "b.tif", image, like=image)
    np.testing.assert_array_equal(open_image(tmp_path / "b.tif").values, array)


def test_bigtiff_stays_bigtiff(tmp_path):
    array = values((2, 8, 9), "u2")
    tifffile.imwrite(tmp_path / "a.tif", array, bigtiff=True, byteorder=">", metadata={"axes": "ZYX"})
    image = open_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", image, like=image)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.is_bigtiff
        np.testing.assert_array_equal(tif.asarray(), array)


def test_a_colour_table_of_an_8_bit_image_is_kept_and_its_values_are_read_as_they_are(tmp_path):
    array, table = values((8, 9), "u1"), RNG.integers(0, 2**16, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="palette", colormap=table)
    image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.values, array)
    write_image(tmp_path / "b.tif", image, like=image)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        np.testing.assert_array_equal(tif.pages[0].colormap, table)
        np.testing.assert_array_equal(tif.asarray(), array)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_colour_image_counts_as_gray_where_its_colours_are_equal(tmp_path, name):
    gray = values((8, 9), "u1")
    Image.fromarray(np.stack([gray] * 3, axis=-1)).save(tmp_path / name)
    image = open_image(tmp_path / name)
    assert image.dims == ("Y", "X")
    np.testing.assert_array_equal(image.values, gray)
    Image.fromarray(values((8, 9, 3), "u1")).save(tmp_path / name)
    with pytest.raises(UserError, match=rf"{name} is a colour image: split its channels"):
        open_image(tmp_path / name).compute()


def test_equal_colours_that_tifffile_wrote_come_back_as_a_file_of_one_plane(tmp_path):
    gray = values((8, 9), "u1")
    tifffile.imwrite(tmp_path / "a.tif", np.stack([gray] * 3), photometric="rgb", planarconfig="separate")
    image = open_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", image, like=image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), gray)


@pytest.mark.parametrize(("told", "kept"), [("yesterday", None), ("2021:02:03", None), ("2021-02-03 04:05:06", True)])
def test_a_date_is_kept_where_it_can_be_written(tmp_path, told, kept):
    options = {"metadata": None, "extratags": [(306, 2, 0, told, True)]}
    tifffile.imwrite(tmp_path / "a.tif", values((8, 9), "u1"), **options)
    image = open_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", image, like=image)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert ("DateTime" in tif.pages[0].tags) == bool(kept)


def test_metadata_that_cannot_be_written_is_a_line_before_anything_is_computed(tmp_path):
    header = "ImageJ=1.53t\nimages=3\nslices=3\ngröße=3\n".encode()
    told = {"metadata": None, "description": header, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", values((3, 8, 9), "u1"), **told)
    image = open_image(tmp_path / "a.tif")

    def computed(block):
        raise AssertionError("computed too early")

    result = image.copy(data=image.data.map_blocks(computed, dtype="u1", meta=np.empty((0, 0, 0), "u1")))
    for refused in (lambda: check_writable(image), lambda: write_image(tmp_path / "b.tif", result, like=image)):
        with pytest.raises(UserError, match=r"a\.tif: what it says beside its pixels cannot be written back"):
            refused()
    assert names(tmp_path) == ["a.tif"]


def test_a_compressed_plane_is_read_without_a_walk_along_the_pages_whatever_was_done_to_the_axes(tmp_path, monkeypatch):
    array = values((4, 3, 1, 8, 9), "u2")
    tifffile.imwrite(
        tmp_path / "a.tif", array, metadata={"axes": "TCZYX"}, photometric="minisblack", compression="zlib"
    )
    image = open_image(tmp_path / "a.tif").isel(C=1).squeeze("Z")[::-1]
    read = []
    monkeypatch.setattr(tifffile.TiffPages, "_seek", lambda *_: read.append("the chain of pages was walked"))
    for (t,), plane in planes(image):
        np.testing.assert_array_equal(plane, array[3 - t, 1, 0])
    assert read == []


def test_integers_are_rounded_and_clipped(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1, 5), np.uint8))
    image = open_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", np.array([[-3.0, 0.6, 1.4, 254.7, 300.0]]), like=image)
    assert tifffile.imread(tmp_path / "b.tif").tolist() == [[0, 1, 1, 255, 255]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_names_file_and_plane(tmp_path, value):
    array = np.zeros((2, 3, 8, 9), np.float32)
    array[1, 2, 4, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": "TZYX"}, photometric="minisblack")
    image = open_image(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif, plane T=1 Z=2, holds 1 NaN or infinite pixels"):
        list(planes(image))


def test_nothing_is_written_where_a_result_is_nan(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9), np.uint8))
    image = open_image(tmp_path / "a.tif")
    with pytest.raises(UserError, match="NaN or infinite"):
        write_image(tmp_path / "b.tif", np.full((8, 9), np.nan), like=image)
    assert names(tmp_path) == ["a.tif"]


def test_a_volume_in_one_page_keeps_its_depth(tmp_path):
    array = values((4, 32, 48), "u2")
    tifffile.imwrite(tmp_path / "a.tif", array, volumetric=True, photometric="minisblack", tile=(2, 16, 16))
    image = open_image(tmp_path / "a.tif")
    assert image.dims == ("Z", "Y", "X")
    write_image(tmp_path / "b.tif", image, like=image)
    for name in ("a.tif", "b.tif"):
        again = open_image(tmp_path / name)
        assert again.dims == ("Z", "Y", "X")
        np.testing.assert_array_equal(again.values, array)


def test_the_shared_volume_keeps_its_depth(shared, tmp_path):
    image = open_image(shared("cases/volumetric/vol.tif"))
    write_image(tmp_path / "b.tif", image, like=image)
    assert image.dims == open_image(tmp_path / "b.tif").dims == ("Z", "Y", "X")
