"""Tables can be read at 80 columns, in a log too."""

import pytest

from bmz_fmd import console


@pytest.mark.parametrize("length", [3, 12, 40])
def test_a_table_keeps_to_80_columns_where_there_is_no_terminal(length, capsys):
    console.table(
        "", ("name", "PSNR in dB", "SSIM"), [("x" * length, "24.11 ± 2.01", "0.912 ± 0.010"), (), ("mean", "1", "2")]
    )
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "x" * length in printed


def test_a_cell_too_long_for_its_line_goes_on_in_the_next(capsys):
    console.table("", ("name", "figure"), [("x" * 100, "1")])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.count("x") == 100


def test_a_title_is_printed_as_it_stands(capsys):
    console.table("t" * 120, ("name",), [("x",)])
    assert capsys.readouterr().out.splitlines()[0] == "t" * 120
