"""PNG: gray or in colour, with its resolution."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from helpers.pixels import values
from PIL import Image

from training.errors import UserError
from training.images import open_image, write_image


@pytest.mark.parametrize(("dtype", "mode"), [("u1", "L"), ("u2", "I;16")])
def test_png_is_read_with_its_resolution(tmp_path, dtype, mode):
    array = values((8, 9), dtype)
    Image.fromarray(array).save(tmp_path / "a.png", dpi=(254, 508))
    image = open_image(tmp_path / "a.png")
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.values, array)
    assert image.attrs["resolution"][:2] == pytest.approx((1 / 508, 1 / 254), rel=1e-3)
    assert image.attrs["resolution"].unit == "inch"
    write_image(tmp_path / "a.tif", image, like=image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), array)


def test_a_png_larger_than_pillow_opens_is_opened_without_its_pixels(tmp_path):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 10000, 8, 0, 0, 0, 0))
    density = chunk(b"pHYs", struct.pack(">IIB", 5000, 10000, 1))
    rest = chunk(b"IDAT", b"pixels") + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + density + rest)
    image = open_image(tmp_path / "a.png")
    assert image.shape == (10000, 20000)
    assert image.attrs["resolution"] == pytest.approx((1 / 254, 1 / 127, "inch"))
    with pytest.raises(UserError, match=r"a\.png cannot be read"):
        image.compute()
