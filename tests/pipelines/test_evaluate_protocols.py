"""What is forgotten: training rows alone, by a seed of its own, and whole people with all they have."""

import numpy as np
import pytest

from db.errors import LetheError
from db.log import SPLITS
from db.records import Split
from pipelines.evaluate.audience import Group, audience
from pipelines.evaluate.protocols import PROTOCOLS, ForgetProtocol, protocol
from pipelines.evaluate.world import draw
from tests.pipelines.evaluations import pairs, toy_data
from tests.recsys.toy import camps, log_of

LOG = camps(users=240, items=40, each=12)
SMALL = [name for name in PROTOCOLS if "100" not in name]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_only_training_rows_are_drawn_and_the_seed_decides(name):
    made = protocol(name, 3).choose(LOG)
    rows = np.concatenate(made.requests)
    assert (LOG.split[rows] == SPLITS.index(Split.TRAIN)).all()
    assert len(np.unique(rows)) == len(rows)
    again, other = protocol(name, 3).choose(LOG), protocol(name, 4).choose(LOG)
    assert all(np.array_equal(a, b) for a, b in zip(made.requests, again.requests, strict=True))
    assert not np.array_equal(np.sort(rows), np.sort(np.concatenate(other.requests)))


def test_ten_per_cent_of_the_interactions():
    made = protocol("interactions-10", 0).choose(LOG)
    training = LOG.only(Split.TRAIN)
    assert len(made.requests[0]) == round(0.1 * len(training))
    assert len(made.people) == 0
    assert set(made.touched) == set(LOG.user[made.requests[0]])
    survivors = made.survivors(LOG)
    assert pairs(survivors.only(Split.TRAIN)) == pairs(training) - pairs(LOG.take(rows(LOG, made.requests[0])))
    assert pairs(survivors.only(Split.TEST)) == pairs(LOG.only(Split.TEST)), "those who stay keep their test rows"


def rows(log, numbers):
    return np.isin(np.arange(len(log)), numbers)


@pytest.mark.parametrize(
    ("name", "people"), [("users-1", 2), ("users-5", 12), ("together-10", 10), ("sequence-10", 10)]
)
def test_a_person_goes_with_training_validation_and_test_rows(name, people):
    made = protocol(name, 0).choose(LOG)
    assert len(made.people) == people
    survivors = made.survivors(LOG)
    assert not set(survivors.user) & set(made.people)
    assert len(survivors) == (~np.isin(LOG.user, made.people)).sum()
    assert set(made.forgotten(LOG).user) == set(made.people)
    assert (made.forgotten(LOG).split == SPLITS.index(Split.TRAIN)).all()


def test_a_sequence_takes_the_same_people_one_after_another():
    apart, together = protocol("sequence-10", 5).choose(LOG), protocol("together-10", 5).choose(LOG)
    assert len(apart.requests) == 10
    assert len(together.requests) == 1
    assert apart.people.tolist() == together.people.tolist()
    gone = [set(LOG.user) - set(apart.survivors(LOG, after).user) for after in range(11)]
    assert [len(people) for people in gone] == list(range(11))
    assert gone[3] == set(apart.people[:3])
    assert all(set(LOG.user[rows]) == {person} for rows, person in zip(apart.requests, apart.people, strict=True))
    assert pairs(apart.survivors(LOG)) == pairs(together.survivors(LOG))


def test_nobody_left_is_an_error_that_says_so():
    with pytest.raises(LetheError, match="sequence-10 forgets 10 people of 6"):
        protocol("sequence-10", 0).choose(camps(users=6, items=20, each=8))
    with pytest.raises(LetheError, match="unknown: choose one of interactions-10"):
        protocol("users-50", 0)


def test_neighbours_share_items_with_those_who_forget():
    """Six people in two camps; person 0 forgets, so that persons 1 and 2 are near and 3, 4, 5 are not."""
    met = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 1), (2, 2), (3, 5), (4, 5), (4, 6), (5, 6)]
    log = log_of(met, users=6, items=7)
    made = ForgetProtocol("one", True, count=1, draw=0).choose(log)
    while made.people.tolist() != [0]:
        made = ForgetProtocol("one", True, count=1, draw=made.people[0] + 7).choose(log)
    found = audience(log, made, made.forgotten(log), seed=0)
    assert np.flatnonzero(found.neighbour).tolist() == [1, 2]
    assert set(np.flatnonzero(found.random)) <= {3, 4, 5}
    assert found.random.sum() == 2
    assert found.group.tolist() == [Group.FORGOTTEN, *[Group.REMAINING] * 5]
    assert found.activity.tolist() == [3, 2, 2, 1, 2, 1]


def test_forgotten_people_have_no_history_and_the_others_only_what_stays():
    data = toy_data()
    world = draw(data, protocol("users-5", 0))
    gone = set(world.forgetting.people.tolist())
    assert set(world.gone.questions.people) <= gone
    assert all(len(h) == 0 for h in world.gone.questions.histories)
    assert not gone & set(world.after.questions.people)
    assert set(world.returned.questions.people) == set(world.gone.questions.people)
    assert all(len(h) for h in world.returned.questions.histories)
    counts = np.bincount(world.training_after(1).item, minlength=len(data.log.items))
    assert world.after.floor.counts.tolist() == counts.tolist(), "popularity forgets them too"


def test_what_a_person_forgot_may_be_offered_again():
    data = toy_data()
    world = draw(data, protocol("interactions-10", 0))
    row = int(world.forgetting.requests[0][0])
    user, item = int(data.log.user[row]), int(data.log.item[row])
    place, old = (asked.people.tolist().index(user) for asked in (world.after.questions, world.before.questions))
    assert item in world.before.questions.histories[old]
    assert item in world.before.questions.exclude[old]
    assert item not in world.after.questions.histories[place]
    assert item not in world.after.questions.exclude[place]
