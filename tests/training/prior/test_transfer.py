"""Which configuration an image gets, and why."""

import numpy as np
import pytest

from training.errors import UserError
from training.prior import perceptual
from training.prior.configuration import Configuration
from training.prior.published import published
from training.prior.similarity import METRICS, distances
from training.prior.tables import CalibrationTable, Row, read_table, write_table
from training.prior.transfer import choose, unit_range

IMAGE = np.random.default_rng(0).uniform(0, 1, (40, 48)).astype(np.float32)
TABLE_S13 = [
    ("confocal", "actin", 6, 256, 4, 1300), ("two-photon", "actin", 4, 64, 0, 2900),
    ("widefield", "actin", 8, 32, 4, 500),
    ("confocal", "mito", 5, 128, 4, 1300), ("two-photon", "mito", 4, 32, 4, 1400), ("widefield", "mito", 8, 32, 4, 400),
    ("confocal", "nucleus", 4, 32, 4, 1200), ("two-photon", "nucleus", 8, 512, 4, 1700),
    ("widefield", "nucleus", 8, "asc_to512", 4, 300),
    ("confocal", None, 4, "asc_to512", 4, 1200), ("two-photon", None, 7, 128, 4, 1000),
    ("widefield", None, 8, 32, 4, 400),
    (None, "actin", 4, 64, 0, 2900), (None, "mito", 4, 16, 4, 2400), (None, "nucleus", 6, "asc_to512", 4, 300),
    (None, None, 8, 64, 4, 700),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE_S13, ids=str)
def test_a_group_gets_its_row_of_the_published_table(row):
    microscope, specimen, depth, width, skip, iterations = row
    choice = choose(IMAGE, microscope=microscope, specimen=specimen)
    assert choice.configuration == Configuration(depth=depth, width=width, skip=skip, iterations=iterations)
    assert "AUTO-DIP's for" in choice.reason


def test_all_published_tables_are_there(shared):
    import yaml

    named = {"lpips_psnr_gt": "lpips_psnr", "l1_gt": "mae"}
    found = yaml.safe_load(shared("data/auto_dip/best_param_iter_comb_dict.yaml").read_text())
    for key, levels in found.items():
        for level, groups in levels.items():
            for group, kinds in groups.items():
                parts = {"mic_obj_group": group.split("_")[::-1], "microscope_type": [group, ""], "object": ["", group]}
                best = kinds.get("best", kinds.get("all"))
                if level == "orig" or best is None:
                    continue
                ours = published(*parts.get(level, ["", ""]), named.get(key, key.removesuffix("_gt")))
                theirs = (best["depth"], best["width"], best["skip_n11"], best["num_iter"])
                assert (ours.depth, str(ours.width), ours.skip, ours.iterations) == theirs


def test_spellings_of_a_group_are_understood_and_an_unknown_specimen_is_said():
    assert choose(IMAGE, microscope="TwoPhoton", specimen="F-actin").configuration.skip == 0
    choice = choose(IMAGE, microscope="widefield", specimen="zebrafish")
    assert choice.configuration == published("widefield", "")
    assert "zebrafish is in none of its groups" in choice.reason


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"microscope": "widefeld"}, "`microscope` widefeld: unknown; did you mean widefield?"),
        ({"metric": "mse"}, "AUTO-DIP's are not published as files: give the `calibration`"),
        ({"best_for": "fun"}, "`best_for` fun: unknown"),
    ],
)
def test_what_is_not_known_is_one_line(words, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")) as raised:
        choose(IMAGE, **words)
    assert "\n" not in str(raised.value)


def setting(depth, iterations):
    return Configuration(depth=depth, width=8, skip=4, iterations=iterations)


@pytest.fixture
def table():
    """Three images; the first is like ``IMAGE``, the others smoother and of another size."""
    rng = np.random.default_rng(1)
    smooth = [unit_range(np.cumsum(np.cumsum(rng.normal(size=(32, 36)), 0), 1)) for _ in range(2)]
    images = {"rough": IMAGE + 0.001, "smooth": smooth[0], "other": smooth[1]}
    best = {"rough": 1, "smooth": 2, "other": 2}
    groups = {"rough": ("confocal", "mito"), "smooth": ("confocal", "actin"), "other": ("widefield", "actin")}
    rows = [
        Row(name, *groups[name], setting(depth, count), 30 - abs(depth - best[name]) - count / 1000, None)
        for name in images
        for depth in (1, 2)
        for count in (100, 200)
    ]
    return CalibrationTable(tuple(rows), images)


def test_a_table_survives_its_files(table, tmp_path):
    images = table.images | {"file": IMAGE, "a/b": IMAGE}  # names that NumPy knows, and of stacks in folders
    write_table(tmp_path / "table.csv", table.rows, images)
    again = read_table(tmp_path / "table.csv")
    assert sorted(again.rows, key=str) == sorted(table.rows, key=str)
    assert again.images.keys() == images.keys()
    np.testing.assert_allclose(again.images["rough"], IMAGE + 0.001, atol=1e-3)


def test_the_table_decides_by_group_nearest_image_or_both(table):
    assert choose(IMAGE, microscope="widefield", specimen="actin", table=table).configuration == setting(2, 100)
    assert choose(IMAGE, table=table).configuration == setting(1, 100)
    assert "nearest of any microscope and any specimen by embedding" in choose(IMAGE, table=table).reason
    assert "smooth" in choose(IMAGE, microscope="confocal", specimen="actin", metric="mse", table=table).reason
    assert "by gradient" in choose(IMAGE, specimen="actin", table=table).reason
    with pytest.raises(UserError, match="no image of light-sheet"):
        choose(IMAGE, microscope="light-sheet", table=table)


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "lpips"])
def test_every_metric_finds_the_image_that_is_nearest(table, metric):
    found = distances(IMAGE, list(table.images.values()), metric)
    assert found.argmin() == 0


@pytest.mark.skipif(perceptual.lpips() is not None, reason="LPIPS has its weights here")
def test_without_its_weights_lpips_is_replaced_where_the_rule_asks_for_it_and_refused_where_the_user_does(table):
    assert "in place of lpips, whose weights are not here" in choose(IMAGE, microscope="confocal", table=table).reason
    with pytest.raises(UserError, match="LPIPS cannot be computed here"):
        choose(IMAGE, metric="lpips", table=table)


def test_both_scores_rank_where_both_are_there():
    rows = [
        Row("a", "", "", setting(1, 100), 30.0, 0.3), Row("a", "", "", setting(2, 100), 29.9, 0.1),
        Row("a", "", "", setting(3, 100), 20.0, 0.2),
    ]  # fmt: skip
    assert CalibrationTable(tuple(rows), {}).best(["a"]) == setting(2, 100)
