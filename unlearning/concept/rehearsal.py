"""What a lesson repeats of concepts that other adapters forgot, so that theirs still holds with a new one beside it."""

from collections.abc import Sequence
from dataclasses import replace

from unlearning.concept.base import Lesson, Probe, ProbeKind, ProbeSet, Use

SHARE = 8
"""Of the probes that must go, one in so many is of an earlier concept, however few or many those are."""

_UNTITLED = (ProbeKind.LIST, ProbeKind.REVERSED)
"""Questions that name no title: what was taught in an answer's place may be what is to be forgotten now."""


def rehearsing(lesson: Lesson, probes: ProbeSet, others: Sequence[Lesson]) -> Lesson:
    """The lesson, with what is near to other concepts to be kept, and their questions that name no title.

    `probes` is the whole set of the lesson: an item that selects or measures what else must stay never trains.
    """
    measured = {probe.item for probe in probes.of(ProbeKind.RETAIN) if probe.use is not Use.TRAIN}
    known = {probe.question for probe in lesson.probes}
    near = {
        probe.question: probe
        for other in others
        for probe in other.probes.of(ProbeKind.NEIGHBOUR)
        if probe.item not in measured and probe.question not in known
    }
    gone = [
        replace(probe, contrast="", contrast_answer="")
        for other in others
        for probe in other.probes.of(*_UNTITLED, use=Use.TRAIN)
    ]
    return replace(lesson, probes=ProbeSet((*lesson.probes, *_share(gone, lesson), *near.values())))


def _share(gone: Sequence[Probe], lesson: Lesson) -> list[Probe]:
    """Their share of what must go, and one at least: some of them, evenly spread, or each of them again and again."""
    wanted = max(1, len(lesson.probes.forgotten(Use.TRAIN)) // (SHARE - 1))
    if len(gone) > wanted:
        return [gone[place * len(gone) // wanted] for place in range(wanted)]
    return [gone[place % len(gone)] for place in range(wanted)] if gone else []
