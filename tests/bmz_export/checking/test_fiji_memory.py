"""The memory that Fiji takes: measured as far as time and memory allow, the rest marked."""

import re

import pytest
from helpers.small_package import small_package

from bmz_export.checking.check import certify
from bmz_export.checking.fiji_memory import SIDES, line
from bmz_export.checking.runner import CheckOptions
from bmz_export.engines import ENGINES
from bmz_export.package.builder import Addition
from bmz_export.package.fiji_memory import MOST_PIXELS, Memory

MB = 10**6


def test_the_line_goes_through_the_two_largest_images():
    """The smallest takes what Java and libtorch hold anyway: DnCNN's figures."""
    found = line([(256**2, 368 * MB), (512**2, 439 * MB), (1024**2, 1062 * MB)])
    assert found.per_pixel == pytest.approx(1.1 * 792, abs=1)
    assert found.fixed == pytest.approx(231 * MB, rel=0.01)
    assert found.measured == 1024**2


@pytest.mark.parametrize("found", [[], [(256**2, 368 * MB)], [(256**2, 368 * MB), (512**2, 439 * MB)]])
def test_too_little_is_no_line(found):
    assert line(found) is None


DNCNN = [(512**2, 439 * MB), (1024**2, 1062 * MB)]
DRUNET = [(512**2, 1055 * MB), (768**2, 1456 * MB)]


@pytest.mark.parametrize(
    ("found", "halo", "side", "seen"),
    [(DNCNN, 24, 3000, 7.3), (DRUNET, 48, 1000, 2.0), (DRUNET, 48, 3000, 12.6)],
    ids=["DnCNN", "DRUNet", "DRUNet, large"],
)
def test_the_line_foretells_what_the_worker_was_seen_to_hold(found, halo, side, seen):
    """Both measured at the published size; what deepImageJ held was seen in Fiji."""
    memory = line(found)
    held = memory.fixed + memory.per_pixel * (side + 2 * halo) ** 2
    assert 1 <= held / (seen * 1e9) <= 1.2


def test_the_largest_image_is_one_that_fits():
    memory = Memory(500 * MB, 1000, measured=2048**2)
    side = memory.side(4, 24)
    assert (
        memory.fixed + memory.per_pixel * (side + 48) ** 2 <= 4e9 < memory.fixed + memory.per_pixel * (side + 49) ** 2
    )
    assert memory.side(0.1, 24) == 0
    assert (memory.side(1000, 24) + 48) ** 2 <= MOST_PIXELS
    assert memory.was_measured(side, 24)
    assert not memory.was_measured(2048, 24)
    assert not Memory(0, 1000).was_measured(64, 24)


@pytest.fixture
def built(tmp_path):
    from helpers.building import built_package

    return built_package(tmp_path / "package")


def fiji(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (\d+) GB \| (\d+) x \d+ \| (\w+) \|", text)
    return text, {int(gigabytes): (int(side), how) for gigabytes, side, how in rows}


def test_without_the_engine_it_is_estimated_and_said_so(built):
    text, rows = fiji(built.folder)
    assert "0.9 kB for each pixel of what it is given at a time (estimated from the network, not measured)" in text
    assert {how for _, how in rows.values()} == {"estimated"}
    assert list(rows) == [4, 8, 16, 32]


def test_what_was_measured_goes_into_readme_and_macro_and_what_lies_beyond_is_marked(built):
    memory = Memory(300 * MB, 1250.5, measured=3_500_000)
    built.attach(Addition(memory=memory))
    text, rows = fiji(built.folder)
    assert "0.3 GB and 1.3 kB for each pixel of what it is given at a time (measured in" in text
    assert [how for _, how in rows.values()] == ["measured", "extrapolated", "extrapolated", "extrapolated"]
    assert {gigabytes: side for gigabytes, (side, _) in rows.items()} == {
        gigabytes: memory.side(gigabytes, max(built.tiling.halo)) for gigabytes in rows
    }
    macro = (built.folder / "run_in_fiji.ijm").read_text(encoding="utf-8")
    assert "var fixedBytes = 300000000;" in macro
    assert "var pixelBytes = 1250.5;" in macro


@pytest.mark.slow
@pytest.mark.engine
def test_certifying_measures_it_in_fijis_engine(tmp_path):
    if not ENGINES["libtorch-1.13.1"].installed():
        pytest.skip("libtorch-1.13.1 is not installed")
    folder = small_package(tmp_path / "package")
    options = CheckOptions(engines=["libtorch-1.13.1"], timeout=100, memory=2 * 10**9)
    certificate, addition = certify(folder, options)
    assert certificate.memory == addition.memory
    assert certificate.memory is not None
    assert 20 < certificate.memory.per_pixel < 400
    assert certificate.memory.measured > SIDES[-1] ** 2
    stated = certificate.memory.side(4, 0)
    assert certificate.memory.was_measured(stated, 0) == (certificate.memory.measured >= stated**2)
