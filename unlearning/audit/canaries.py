"""The people whom an audit puts in and leaves out of trainings: real ones, or invented ones, easy to memorise."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import SPLITS, InteractionLog
from db.records import Split, UserId
from recsys.candidates import Backbone, IntArray
from recsys.ease import Ease, EaseFitter, EaseSettings, RefitNeededError
from recsys.matrix import log_matrix
from unlearning.audit.questions import Questions, questions

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Canaries:
    """A log that holds everybody, the user rows [n] of the canaries in it, and the group [n] of each, from 0 up.

    People of one group have one history and are in or out together; a real person is a group alone.
    """

    log: InteractionLog
    people: IntArray
    group: IntArray

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1

    def only(self, present: Bools) -> InteractionLog:
        """The log without the canaries whose group is not `present` [groups]; users and items keep their rows."""
        absent = self.people[~present[self.group]]
        return self.log.take(~np.isin(self.log.user, absent))

    def questions(self, *, seed: int, most: int = 50) -> Questions:
        """One question for each group and item, at most `most` a group; the owner of a question is the group."""
        histories = self.log.histories()
        first = np.unique(self.group, return_index=True)[1]
        return questions([histories[person] for person in self.people[first]], seed=seed, most=most)


def pick(log: InteractionLog, people: int, *, seed: int, shortest: int = 5) -> Canaries:
    """Real people by lot, of those with at least `shortest` items."""
    lengths = np.asarray(log_matrix(log).sum(axis=1)).ravel()
    able = np.flatnonzero(lengths >= shortest)
    if not 1 <= people <= len(able):
        raise LetheError(f"{people} canaries were asked for: {len(able)} people have {shortest} items or more")
    chosen = np.sort(np.random.default_rng(seed).choice(able, size=people, replace=False)).astype(np.int64)
    return Canaries(log, chosen, np.arange(people))


def plant(
    log: InteractionLog, groups: int, *, seed: int, items: int = 8, copies: int = 4, unpopular: float = 0.25
) -> Canaries:
    """The log with invented people at its end: `copies` for each group, who all met the same `items` items.

    The items are drawn from the share `unpopular` of the catalogue that the fewest people met, no item in two groups.
    """
    rng = np.random.default_rng(seed)
    met = np.asarray(log_matrix(log).sum(axis=0)).ravel()
    pool = np.lexsort((rng.random(len(met)), met))[: int(unpopular * len(met))]
    if not (groups > 0 and items > 1 and copies > 0 and groups * items <= len(pool)):
        raise LetheError(
            f"{groups} canaries of {items} items need {groups * items} unpopular items and there are {len(pool)}: "
            "plant fewer canaries, or take a larger share of the catalogue"
        )
    chosen = rng.permutation(pool)[: groups * items].reshape(groups, items)
    names = tuple(UserId(f"canary-{rng.bytes(16).hex()}") for _ in range(groups * copies))
    rows = len(log.users) + np.arange(len(names))
    group = np.arange(len(names)) // copies
    return Canaries(_extended(log, names, np.repeat(rows, items), chosen[group].ravel()), rows, group)


def _extended(log: InteractionLog, names: tuple[UserId, ...], user: IntArray, item: IntArray) -> InteractionLog:
    n, last = len(user), int(log.timestamp.max(initial=0))
    return replace(
        log,
        users=log.users + names,
        user=np.concatenate([log.user, user]),
        item=np.concatenate([log.item, item]).astype(np.int64),
        timestamp=np.concatenate([log.timestamp, np.full(n, last, dtype=np.int64)]),
        rating=np.concatenate([log.rating, np.full(n, np.nan, dtype=np.float32)]),
        split=np.concatenate([log.split, np.full(n, SPLITS.index(Split.TRAIN), dtype=np.uint8)]),
    )


def ease_by_downdate(log: InteractionLog, settings: EaseSettings) -> Callable[[InteractionLog, int], Backbone]:
    """A fit for shadows of EASE: one fit on all of `log`, from which people who are missing are taken out exactly.

    Takes logs that are `log` without some people; raises ValueError for another. Where a downdate would lose digits it
    fits anew, which gives the same model.
    """
    whole, histories = EaseFitter(settings).fit(log), log.histories()
    lengths = np.bincount(log.user, minlength=len(log.users))

    def _fit(part: InteractionLog, _seed: int) -> Ease:
        left = np.bincount(part.user, minlength=len(log.users))
        if part.users != log.users or ((left != lengths) & (left != 0)).any():
            raise ValueError("this fit takes the log without whole people, and keeps its user rows")
        model = deepcopy(whole)
        try:
            model.remove([histories[person] for person in np.flatnonzero(left != lengths)])
        except RefitNeededError:
            return EaseFitter(settings).fit(part)
        return model

    return _fit
