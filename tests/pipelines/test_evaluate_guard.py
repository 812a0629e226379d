"""No stage sees a row that it must not see: a leak is planted at every one of them, and found."""

from dataclasses import replace

import numpy as np
import pytest

from db.log import SPLITS, InteractionLog
from db.records import Item, Split, UserId
from pipelines.evaluate.guard import FORBIDDEN, Guard, LeakError, Rows, Stage
from pipelines.evaluate.protocols import protocol
from pipelines.evaluate.split import ResplitError
from pipelines.evaluate.world import draw
from recsys.heldout import held_out
from retrieval.context import Context
from tests.pipelines.evaluations import toy_data

DATA = toy_data()
GUARD = Guard(DATA)
TRAIN = DATA.log.only(Split.TRAIN)
LEAKS = [(stage, kind) for stage, kinds in FORBIDDEN.items() for kind in kinds]


def with_row(log, user, item, at):
    """The log with one more row, put in at place `at`."""
    columns = {"user": user, "item": item, "timestamp": 0, "rating": 0.0, "split": 0}
    return replace(log, **{name: np.insert(getattr(log, name), at, value) for name, value in columns.items()})


def one_of(kind) -> tuple[int, int]:
    held = DATA.log.only(Split(kind))
    return int(held.user[3]), int(held.item[3])


@pytest.mark.parametrize("stage", list(Stage))
def test_training_rows_pass_every_stage(stage):
    assert GUARD.check(stage, Rows.of_log(GUARD.split, TRAIN)) is None


@pytest.mark.parametrize(("stage", "kind"), LEAKS, ids=[f"{stage.name}-{kind}" for stage, kind in LEAKS])
def test_a_planted_leak_is_named_by_stage_and_row_number(stage, kind):
    leaky = with_row(TRAIN, *one_of(kind), at=7)
    with pytest.raises(LeakError, match=f"{stage}: row 7 of {len(leaky)} is a {kind} row of split {GUARD.split}"):
        GUARD.check(stage, Rows.of_log(GUARD.split, leaky))


@pytest.mark.parametrize("stage", list(Stage))
def test_after_forgetting_no_stage_may_see_a_forgotten_row(stage):
    forgetting = protocol("users-5", 0).choose(DATA.log)
    after = GUARD.forgetting(forgetting.forgotten(DATA.log))
    first = int(forgetting.requests[0][0])
    stays = forgetting.survivors(DATA.log).only(Split.TRAIN)
    assert after.check(stage, Rows.of_log(GUARD.split, stays)) is None
    leaky = with_row(stays, int(DATA.log.user[first]), int(DATA.log.item[first]), at=0)
    with pytest.raises(LeakError, match=f"{stage}: row 0 of {len(leaky)} is a forgotten row"):
        after.check(stage, Rows.of_log(GUARD.split, leaky))
    assert GUARD.check(stage, Rows.of_log(GUARD.split, TRAIN)) is None, "the guard before is left as it was"


@pytest.mark.parametrize("stage", list(Stage))
def test_rows_of_another_split_are_refused(stage):
    with pytest.raises(ResplitError, match=f"{stage} carries split 0000, this evaluation is {GUARD.split}"):
        GUARD.check(stage, Rows.of_log("0000", TRAIN))


def test_no_person_is_named_in_a_leak():
    secret = tuple(UserId(f"secret-{row}") for row in range(len(DATA.log.users)))
    with pytest.raises(LeakError) as caught:
        GUARD.training(replace(with_row(TRAIN, *one_of("test"), at=2), users=secret))
    assert "secret" not in str(caught.value)


def test_a_test_item_in_a_history_is_found():
    asked = held_out(DATA.log, Split.TEST)
    assert GUARD.questions(asked) is asked
    leaky = [*asked.histories]
    leaky[2] = np.append(leaky[2], asked.relevant[2][0])
    row = sum(len(h) for h in leaky[:3]) - 1
    with pytest.raises(LeakError, match=f"histories: row {row} of"):
        GUARD.questions(replace(asked, histories=leaky))


def test_tuning_may_look_at_validation_rows_and_never_at_test_rows():
    asked = held_out(DATA.log, Split.VALID)
    assert GUARD.tuning(asked) is asked
    assert GUARD.tuning(asked, Stage.FILTER) is asked
    user, item = one_of("test")
    place = asked.people.tolist().index(user)
    for part in ("relevant", "histories"):
        leaky = [*getattr(asked, part)]
        leaky[place] = np.append(leaky[place], item)
        for stage in (Stage.TUNING, Stage.FILTER):
            with pytest.raises(LeakError, match=stage.value):
                GUARD.tuning(replace(asked, **{part: leaky}), stage)


def test_a_test_item_in_a_prompt_is_found():
    user, item = one_of("test")
    known = int(TRAIN.item[TRAIN.user == user][0])

    def prompt(*rows):
        shown = tuple(Item(DATA.log.items[row], "a film") for row in rows)
        return Context(UserId("x"), history=shown, candidates=())

    people = np.array([user])
    assert GUARD.prompts(people, [prompt(known)])
    with pytest.raises(LeakError, match="prompts: row 1 of 2 is a test row"):
        GUARD.prompts(people, [prompt(known, item)])


def leaky_log(kind) -> InteractionLog:
    """The toy log, where one held-out pair stands among the training rows too."""
    return with_row(DATA.log, *one_of(kind), at=len(DATA.log))


@pytest.mark.parametrize("kind", ["valid", "test"])
def test_a_pair_in_two_splits_stops_a_draw_before_anything_is_fitted(kind):
    from pipelines.evaluate.split import with_split

    data = with_split(leaky_log(kind), "toy", {}, epoch=1)
    assert data.log.split[-1] == SPLITS.index(Split.TRAIN)
    with pytest.raises(LeakError, match=r"^training: row"):
        draw(data, protocol("users-5", 0))
