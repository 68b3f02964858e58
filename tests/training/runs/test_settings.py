"""Recipes and settings: by name or file, changed by words, and one line where a word is wrong."""

import pytest

from training.data.settings import DataSettings
from training.errors import UserError
from training.networks import NETWORKS
from training.runs.settings import (
    Recipe,
    Settings,
    check_name,
    load_recipe,
    load_settings,
    parse_changes,
    save_settings,
)

THESIS = {
    "drunet": {"epochs": 500, "batch": 16, "lr": 5e-5, "decay_factor": 0.9, "decay_epochs": 30},
    "restormer": {"epochs": 120, "batch": 1, "lr": 1e-4, "decay_factor": 0.9, "decay_epochs": 20},
    "kbnet": {"epochs": 120, "batch": 1, "lr": 2e-4, "decay_factor": 0.9, "decay_epochs": 8},
}


@pytest.mark.parametrize("name", sorted(THESIS))
def test_the_recipes_of_the_thesis_ship_under_their_networks_names(name):
    recipe = load_recipe(name).model_dump()
    assert {key: recipe[key] for key in THESIS[name]} == THESIS[name]
    assert recipe["loss"] == "mae"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_recipe_of_every_network_is_valid(name):
    assert load_recipe(name).test_fraction == 0.1


def test_words_after_set_change_a_recipe():
    changes = ["lr=5e-5", "crop=none", "loss=l1ssim", "augment=yes", "sigma=auto", "test-fraction=0.2"]
    recipe = load_recipe("dncnn", parse_changes(changes, "`set`"))
    assert (recipe.lr, recipe.crop, recipe.loss, recipe.augment) == (5e-5, None, "l1ssim", "rotate")
    assert (recipe.sigma, recipe.test_fraction) == (None, 0.2)


@pytest.mark.parametrize(("crop", "read"), [("[32, 64]", (32, 64)), ("[8, 32, 64]", (8, 32, 64)), ("64", 64)])
def test_a_crop_is_one_number_or_one_an_axis(tmp_path, crop, read):
    recipe = load_recipe("dncnn", parse_changes([f"crop={crop}"], "`set`"))
    assert recipe.crop == read
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert load_recipe("dncnn", parse_changes([f"crop={crop}", "lr=1e-3"], "`set`")).crop == read


def test_a_recipe_may_be_a_file_of_some_keys(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\nloss: mse\n")
    assert load_recipe(str(path), {"epochs": 4}) == Recipe(epochs=4, loss="mse")


def test_the_learning_rate_decays_in_steps_and_stays_at_the_limit_or_below():
    recipe = Recipe(lr=1.0, decay_factor=0.5, decay_epochs=2, decay_limit=0.3)
    assert [recipe.learning_rate(epoch) for epoch in range(1, 9)] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("epoch=3", ["epoch", "did you mean epochs?"]),
        ("zzz=3", ["zzz", "choose from epochs, batch"]),
        ("epochs=many", ["epochs='many'", "a whole number is wanted"]),
        ("epochs=-1", ["epochs=-1", "greater than or equal to 0"]),
        ("loss=l2", ["loss='l2'", "'mae', 'mse' or 'l1ssim'"]),
        ("test_fraction=1.5", ["test_fraction=1.5", "less than 1"]),
        ("lr=nan", ["lr", "finite"]),
        ("sigma=0.1", ["sigma", "25 means 25/255"]),
        ("crop", ["write `set` key=value"]),
        ("crop=5", ["crop=5", "16 or more pixels"]),
        ("crop=[8, 8, 64]", ["crop=[8, 8, 64]", "one an axis"]),
        ("crop=[]", ["crop=[]", "one an axis"]),
        ("crop=wide", ["crop='wide'", "or none"]),
        ("lr=[1", ["cannot be read"]),
    ],
)
def test_a_wrong_word_is_answered_in_one_line(change, words):
    with pytest.raises(UserError) as caught:
        load_recipe("dncnn", parse_changes([change], "`set`", list(Recipe.model_fields)))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"epochs: [1", "no YAML"),
        (b"just words", "no settings"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"epoch: 3", "did you mean epochs?"),
        (b"lr: fast", "lr='fast'"),
    ],
)
def test_a_recipe_file_that_is_none_is_answered_in_one_line(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_recipe(str(path))
    assert words in str(caught.value)
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match="did you mean dncnn"):
        load_recipe("dncn")


def test_settings_come_back_from_their_file_as_they_were(tmp_path):
    settings = Settings(
        name="été-1",
        network="dncnn",
        network_settings={"depth": 8},
        checkpoint=None,
        data=DataSettings(noisy=tmp_path / "low", clean=tmp_path / "high"),
        recipe=Recipe(crop=None, lr=5e-5),
    )
    path = tmp_path / "settings.yaml"
    path.write_text(save_settings(settings), encoding="utf-8")
    assert load_settings(path) == settings


def test_damaged_settings_name_the_key(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("name: a\nnetwork: dncnn\ndata: {}\nrecipe: {epochs: x}\n")
    with pytest.raises(UserError, match=r"settings\.yaml: recipe\.epochs='x': "):
        load_settings(path)
    path.write_text("name: a\nnetwork: dncnn\ndata: {}\nrecipe: {epoch: 1}\n")
    with pytest.raises(UserError, match=r"recipe\.epoch unknown; did you mean epochs"):
        load_settings(path)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "x" * 101, "a."])
def test_a_run_cannot_have_a_name_that_is_no_folder(name):
    with pytest.raises(UserError, match="`name`"):
        check_name(name)
