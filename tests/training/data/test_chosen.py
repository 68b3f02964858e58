"""Parts of data sets, and several as one."""

import numpy as np
import pytest

from training.data import DataSettings, open_dataset
from training.data.chosen import choose
from training.errors import UserError

CELLS = {"dataset": "simulated", "images": 12, "size": 32}


def opened(**options):
    named = options.pop("dataset", "simulated")
    return open_dataset(DataSettings(dataset=named, options=options), test_fraction=0.25, seed=0)


def names(samples):
    return {sample.name for sample in samples}


def test_fewer_pairs_are_among_more_and_the_others_stay():
    whole = opened(images=12, size=32)
    few, more = (choose(whole, pairs=pairs, validation=True, seed=0) for pairs in (2, 5))
    assert (len(few.train), len(more.train)) == (2, 5)
    assert names(few.train) < names(more.train) < names(whole.train)
    assert names(few.test) == names(whole.test)
    assert names(few.validation) == names(whole.validation)
    assert few.hashes() == whole.hashes()


def test_without_validation_all_that_do_not_test_teach():
    whole = opened(images=12, size=32)
    every = choose(whole, pairs=None, validation=False, seed=0)
    assert names(every.train) == names(whole.train) | names(whole.validation)
    assert not names(every.train) & names(every.test)
    assert choose(whole, pairs=None, validation=True, seed=0) is whole


def test_more_pairs_than_there_are_is_one_line():
    with pytest.raises(UserError, match="`pairs`=50: simulated has 8 fields to learn from; ask for fewer"):
        choose(opened(images=12, size=32), pairs=50, validation=True, seed=0)


def test_joined_data_sets_teach_and_another_tests():
    other = {**CELLS, "seed": 3}
    joined = opened(dataset="joined", sets=[CELLS, {**CELLS, "seed": 2}], test=other)
    single, tested = opened(images=12, size=32), opened(images=12, size=32, seed=3)
    assert len(joined.train) == 2 * len(single.train)
    assert len(names(joined.train)) == len(joined.train)
    assert len({sample.field for sample in joined.train}) == 2 * len({sample.field for sample in single.train})
    assert names(joined.test) == names(tested.test)
    assert np.array_equal(joined.test[0].frame(), tested.test[0].frame())
    assert np.array_equal(joined.train[0].frame(), single.train[0].frame())


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([{"dataset": "simulatd"}], "`dataset` joined: simulatd: .*did you mean simulated"),
        ([{"dataset": "joined", "sets": [], "test": {}}], "`dataset` joined: joined: "),
        ([{**CELLS, "sice": 3}], "`option` sice has no meaning for `dataset` simulated"),
        ([], "sets"),
    ],
)
def test_what_cannot_be_joined_is_one_line(sets, said):
    with pytest.raises(UserError, match=said):
        opened(dataset="joined", sets=sets, test=CELLS)
