"""A study's file: what it may say, what is wrong with it in one line, and the cells that it comes to."""

import pytest
import yaml

from training.errors import UserError
from training.studies.cells import plan
from training.studies.plan import read_study, shipped

SMALL = {
    "name": "small",
    "data": {"cells": {"dataset": "simulated", "images": 10, "size": 32}},
    "networks": {"DnCNN": {"network": "dncnn", "settings": {"depth": 3, "width": 8}, "checkpoint": "none"}},
    "recipe": {"epochs": 1, "crop": 16, "test_fraction": 0.2},
    "experiments": [{"title": "Loss", "compare": {"loss": ["mae", "mse"]}, "search": {"lr": [1e-3, 1e-2]}}],
    "data_range": 1000,
}


def written(folder, **changes):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def planned(folder, **changes):
    return plan(read_study(str(written(folder, **changes))))


def experiment(**changes):
    return [{"title": "Loss", "compare": {"loss": ["mae", "mse"]}, **changes}]


def test_each_row_has_a_cell_for_each_value_that_is_searched_for_and_one_that_is_tested(tmp_path):
    made = planned(tmp_path, baselines=["gaussian"])
    assert [len(row.choices) for row in made.rows] == [2, 2]
    stages = [job.cell.stage for job in made.jobs.values()]
    assert {stage: stages.count(stage) for stage in stages} == {"choice": 4, "final": 2, "baseline": 1}


def test_experiments_share_the_cells_that_are_alike_whatever_they_are_called(tmp_path):
    experiments = [*experiment(), {"title": "Rate", "compare": {"lr": [2e-4]}, "search": {"loss": ["mae"]}}]
    made = planned(tmp_path, experiments=experiments, recipe={**SMALL["recipe"], "lr": 2e-4})
    assert made.rows[0].choices == made.rows[2].choices
    assert made.rows[0].final == made.rows[2].final


def test_a_cell_is_another_once_images_settings_or_threads_differ(tmp_path):
    first = set(planned(tmp_path).jobs)
    others = [
        planned(tmp_path, data={"cells": {"dataset": "simulated", "images": 10, "size": 32, "gain": 3.0}}),
        planned(tmp_path, recipe={**SMALL["recipe"], "seed": 1}),
        planned(tmp_path, threads=2),
    ]
    assert all(not first & set(other.jobs) for other in others)
    assert set(planned(tmp_path, name="renamed", data={"tissue": SMALL["data"]["cells"]}).jobs) == first


def test_as_many_steps_are_as_many_epochs_as_the_pairs_ask_for(tmp_path):
    few = experiment(compare={"pairs": [1, 4, "all"]}, steps=12)
    made = planned(tmp_path, experiments=few, recipe={**SMALL["recipe"], "batch": 2})
    choices = [made.jobs[row.choices[0]] for row in made.rows]
    assert [job.recipe["pairs"] for job in choices] == [1, 4, None]
    assert [job.recipe["epochs"] for job in choices] == [12, 6, 3]


def test_weights_that_are_trained_first_are_trained_once(tmp_path):
    network = {"network": "dncnn", "settings": {"depth": 3, "width": 8}}
    made = planned(
        tmp_path,
        networks={"DnCNN": {**network, "checkpoint": "first"}},
        pretraining={
            "first": {**network, "data": SMALL["data"]["cells"], "method": "supervised", "recipe": {"epochs": 1}}
        },
        experiments=experiment(compare={"start": ["pretrained", "scratch"]}, search={"lr": [1e-3, 1e-2]}),
    )
    first = made.pretraining["first"]
    starts = [made.jobs[choice].start for row in made.rows for choice in row.choices]
    assert starts == [first, first, None, None]


def test_paths_count_from_the_file_and_what_stands_in_braces_is_given(tmp_path):
    data = {"cells": {"noisy": "{where}/low", "clean": "high"}}
    study = read_study(str(written(tmp_path, data=data)), {"where": "/somewhere"})
    assert study.data["cells"] == {"noisy": "/somewhere/low", "clean": str(tmp_path / "high")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"networks": {"x": {"network": "dncn"}}}, "x: `network` dncn: .*did you mean dncnn"),
        ({"recipe": {"epoch": 1}}, "recipe of DnCNN: epoch .*did you mean epochs"),
        ({"experiments": experiment(compare={"los": ["mae"]})}, "Loss: los: .*did you mean loss"),
        ({"experiments": experiment(compare={"loss": ["mea"]})}, "Loss: loss: loss='mea'"),
        ({"experiments": experiment(compare={"start": ["trained"]})}, "Loss: start: trained: .*pretrained"),
        ({"experiments": experiment(compare={"method": ["n2v"]})}, "Loss: method: n2v: "),
        ({"experiments": experiment(compare={"loss": []})}, "Loss: loss: has no value"),
        ({"experiments": experiment(search={"loss": ["mae"]})}, "loss is compared and searched for: choose one"),
        ({"experiments": experiment(data=["cell"])}, "Loss: data: cell: .*did you mean cells"),
        ({"experiments": [*experiment(), *experiment()]}, "two experiments have this title"),
        ({"experiments": experiment(compare={"pairs": [99]})}, "pairs=99: simulated has 7 fields to learn from"),
        ({"baselines": ["bm4d"]}, "baselines: bm4d: .*did you mean bm3d"),
        ({"data_range": None}, "data_range is missing: PSNR of uint16 images"),
        ({"name": "a/b"}, "`name` 'a/b'"),
        ({"title": "x"}, "title"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, changes, said):
    with pytest.raises(UserError, match=said) as caught:
        planned(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_what_is_no_study_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no such file, and none of the studies that come with the program: few-shot"):
        read_study("fewshot")
    with pytest.raises(UserError, match="has to know where: give `set` where="):
        read_study(str(written(tmp_path, data={"cells": {"noisy": "{where}"}})))
    with pytest.raises(UserError, match=r"has no \{there\}"):
        read_study(str(written(tmp_path)), {"there": "x"})


@pytest.mark.parametrize("name", ["thesis", "few-shot", "leave-one-out"])
def test_the_shipped_studies_can_be_read(name):
    path = shipped()[name]
    places = {
        "data": "/data",
        "noisy": "/noisy",
        "clean": "/clean",
        "network": "dncnn",
        "checkpoint": "none",
        "peak": "255",
    }
    wanted = {key: value for key, value in places.items() if f"{{{key}}}" in path.read_text()}
    assert read_study(name, wanted).name == name
