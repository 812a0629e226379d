"""Everything that is measured of a model about a concept, and of a forgetting between its base and its oracle.

The same questions go to all; only what is held out is asked. Known answers: the base has forgotten nothing, the oracle
everything, and a collapsed model fails by what it lost besides.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from db.records import Item, ItemId
from llm.model import LanguageModel
from unlearning.concept.aliases import under_aliases
from unlearning.concept.answers import Answers, ask
from unlearning.concept.base import Concept, Forgetting, Probe, ProbeKind, ProbeSet, Use
from unlearning.concept.cells import Cell, FloatArray, Sample, cell
from unlearning.concept.controls import matched_controls
from unlearning.concept.judgement import leanings
from unlearning.concept.listings import Listing, draw_listings, rank
from unlearning.concept.open_lists import OpenList, mentions, open_lists
from unlearning.concept.probe_kinds import GENRES, TITLE
from unlearning.concept.spoken import Spoken, fluent, speak

MEMORY = (
    ProbeKind.DIRECT,
    ProbeKind.PARAPHRASE,
    ProbeKind.REVERSED,
    ProbeKind.INDIRECT,
    ProbeKind.LIST,
    ProbeKind.FORCED_PREFIX,
)
"""Kinds whose accuracy and probability must fall."""
EXTRACTION, EXPOSURE, RANKING = "extraction strength", "exposure", "ranking of others"
MENTIONS = "list mentions"
"""The share of titles, in lists of the concept's genres that the model writes by itself, that are the concept's."""
TEXT = "text surprise"
"""Nats a token of running text."""
SAID, SAID_ELSEWHERE = "fluent on the concept", "fluent elsewhere"
UNMET = 8
"""Titles that do not exist for each forced choice: what a model makes of one is chance."""
_SPOKEN = 24


def accuracy_of(kind: ProbeKind) -> str:
    """The measure: the share of its probes answered exactly."""
    return f"{kind.value} accuracy"


def probability_of(kind: ProbeKind) -> str:
    """The measure: the mean probability of its answers."""
    return f"{kind.value} probability"


def preference_of(form: str) -> str:
    """The measure: how often a concept item is put above its control; `form` is the prompt."""
    return f"{ProbeKind.FORCED_CANDIDATE.value} {form}"


FORGET = (
    *(measure(kind) for kind in MEMORY for measure in (accuracy_of, probability_of)),
    *(EXTRACTION, MENTIONS, EXPOSURE, preference_of(GENRES), preference_of(TITLE)),
)
"""Measures that tell of the concept: base and oracle should differ."""
KEEP = (
    *(measure(kind) for kind in (ProbeKind.NEIGHBOUR, ProbeKind.RETAIN) for measure in (accuracy_of, probability_of)),
    *(RANKING, TEXT, SAID, SAID_ELSEWHERE),
)
"""Measures of all else: the base's must stay."""
NAMESAKES = accuracy_of(ProbeKind.NAMESAKE)
"""What items outside that share a title with the concept are known for: where the base names the concept's facts, and
an oracle these, a forgetting should be as the oracle."""


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """What everyone is asked: held-out probes by kind, and lists."""

    probes: Mapping[ProbeKind, tuple[Probe, ...]]
    listings: tuple[Listing, ...] = ()
    lists: tuple[OpenList, ...] = ()
    unmet: tuple[Probe, ...] = ()
    """The forced choices, each `UNMET` times over, under titles that do not exist in place of the concept's."""

    def of(self, kind: ProbeKind) -> tuple[Probe, ...]:
        """The probes of a kind; there may be none."""
        return self.probes.get(kind, ())


def questionnaire(
    concept: Concept,
    catalogue: Sequence[Item],
    probes: ProbeSet,
    *,
    seed: int,
    popularity: Mapping[ItemId, float] | None = None,
    most: int = 640,
    people: int = 32,
) -> Questionnaire:
    """The held-out probes of a set, at most `most` of a kind drawn by the seed, and lists for so many people."""
    rng = np.random.default_rng([seed, 24])
    chosen = {}
    for kind in ProbeKind:
        pool = probes.of(kind, use=Use.HELD_OUT).probes
        chosen[kind] = tuple(pool[place] for place in sorted(rng.permutation(len(pool))[:most]))
    controls = matched_controls(concept, catalogue, popularity)
    listings = draw_listings(concept, catalogue, controls, people=people, seed=seed)
    choices = chosen[ProbeKind.FORCED_CANDIDATE]
    unmet = under_aliases(choices, concept, catalogue, draws=UNMET, seed=seed)
    return Questionnaire(chosen, listings, open_lists(concept, catalogue), tuple(unmet))


@dataclass(frozen=True, slots=True)
class Examined:
    """One model's answers: a sample of each measure, by name, and what it said."""

    samples: Mapping[str, Sample]
    spoken: tuple[Spoken, ...] = field(default=(), repr=False)

    def mean(self, measure: str) -> float:
        """NaN where the measure had no question."""
        return self.samples[measure].mean if measure in self.samples else float("nan")


@dataclass(frozen=True, slots=True)
class Fork:
    """Another model as a forgetting: the oracle, a rebuilt model, or the base itself."""

    model: LanguageModel
    facts: Mapping[str, int | float | str] = field(default_factory=dict)

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[LanguageModel]:
        """As `Forgetting.applied`: another object."""
        del model
        yield self.model


def examine(model: LanguageModel, forgetting: Forgetting, asked: Questionnaire) -> Examined:
    """Ask the model as it is once a forgetting is applied; `Fork(model)` examines the base itself."""
    spoken_on = [*_spread(asked.of(ProbeKind.DIRECT)), *_spread(asked.of(ProbeKind.RETAIN))]
    with forgetting.applied(model) as changed:
        samples = _asked(changed, asked) | _preferred(changed, asked.of(ProbeKind.FORCED_CANDIDATE))
        samples |= _listed(changed, asked)
        spoken = speak(changed, [probe.question for probe in spoken_on])
    return Examined(samples | _fluent(model, spoken_on, spoken), spoken)


def _spread(probes: Sequence[Probe]) -> Sequence[Probe]:
    """A few of them, from beginning to end."""
    return [probes[place * len(probes) // _SPOKEN] for place in range(_SPOKEN)] if len(probes) > _SPOKEN else probes


def _asked(model: LanguageModel, asked: Questionnaire) -> dict[str, Sample]:
    kinds = [kind for kind in ProbeKind if kind is not ProbeKind.FORCED_CANDIDATE]
    every = [probe for kind in kinds for probe in asked.of(kind)]
    found = ask(model, every)
    samples: dict[str, Sample] = {}
    for kind in kinds:
        at = np.array([place for place, probe in enumerate(every) if probe.kind is kind], dtype=np.int64)
        if len(at):
            samples |= _samples_of(kind, found, at, tuple(str(every[place].item) for place in at))
    return samples


def _samples_of(kind: ProbeKind, found: Answers, at: np.ndarray, items: tuple[str, ...]) -> dict[str, Sample]:
    if kind is ProbeKind.FLUENCY:
        return {TEXT: Sample(-found.log_prob[at] / found.lengths[at], items)}
    samples = {accuracy_of(kind): Sample(found.exact[at], items)}
    samples[probability_of(kind)] = Sample(found.probability[at], items)
    if kind is ProbeKind.DIRECT:
        samples[EXTRACTION] = Sample(found.extraction[at], items)
    return samples


def _preferred(model: LanguageModel, probes: Sequence[Probe]) -> dict[str, Sample]:
    """1 where the concept item is put above its control, a half where both are level."""
    return _above(probes, _leads(model, probes))


def _leads(model: LanguageModel, probes: Sequence[Probe]) -> FloatArray:
    """By how much of a logit each concept item is put above its control, float64 [probes]."""
    leaning = leanings(model, [question for probe in probes for question in (probe.question, probe.contrast)])
    return leaning[0::2] - leaning[1::2]


def _above(probes: Sequence[Probe], leads: FloatArray) -> dict[str, Sample]:
    above = np.sign(leads) / 2 + 0.5
    samples = {}
    for form in (GENRES, TITLE):
        at = [place for place, probe in enumerate(probes) if probe.form == form]
        if at:
            samples[preference_of(form)] = Sample(above[at], tuple(str(probes[place].item) for place in at))
    return samples


def unmet(model: LanguageModel, asked: Questionnaire) -> dict[str, Sample]:
    """The forced choices as the model makes them where it cannot know the title: by what else the prompt tells.

    What an adapter can reach, by the mean lead over titles. An oracle was trained apart and judges every title
    otherwise by hundredths of a nat, which is what decides between candidates of the same genres.
    """
    return _above(asked.unmet[::UNMET], _leads(model, asked.unmet).reshape(-1, UNMET).mean(axis=1))


def _listed(model: LanguageModel, asked: Questionnaire) -> dict[str, Sample]:
    samples = {}
    if asked.listings:
        ranked, people = rank(model, asked.listings), tuple(str(place) for place in range(len(asked.listings)))
        samples = {EXPOSURE: Sample(ranked.exposure, people), RANKING: Sample(ranked.ndcg, people)}
    if asked.lists:
        samples[MENTIONS] = Sample(mentions(model, asked.lists), tuple(one.genre for one in asked.lists))
    return samples


def _fluent(base: LanguageModel, probes: Sequence[Probe], spoken: Sequence[Spoken]) -> dict[str, Sample]:
    values = fluent(base, spoken)
    samples = {}
    for measure, kind in ((SAID, ProbeKind.DIRECT), (SAID_ELSEWHERE, ProbeKind.RETAIN)):
        at = [place for place, probe in enumerate(probes) if probe.kind is kind]
        if at:
            samples[measure] = Sample(values[at], tuple(str(probes[place].item) for place in at))
    return samples


def compare(base: Examined, value: Examined, oracle: Examined | None = None, *, seed: int = 0) -> dict[str, Cell]:
    """The cell of every measure, by name."""
    return {
        measure: cell(measure, found, value.samples[measure], oracle.samples[measure] if oracle else None, seed=seed)
        for measure, found in base.samples.items()
    }


def telling_families(cells: Mapping[str, Cell]) -> frozenset[str]:
    """Families of forget measures of which one at least tells base and oracle apart: first words of their names."""
    return frozenset(name.split()[0] for name in FORGET if name in cells and cells[name].tells)
