"""What a lesson repeats of concepts that other adapters forgot."""

from tests.unlearning.concept.world import catalogue, probes
from unlearning.concept.base import Concept, Kind, ProbeKind, Use, lesson
from unlearning.concept.probes import ProbeSizes, build_probes
from unlearning.concept.rehearsal import SHARE, rehearsing

OTHER = Concept("Silent Nights", Kind.FRANCHISE, catalogue()[5:7])


def other_probes():
    return build_probes(OTHER, catalogue(), seed=0, sizes=ProbeSizes(neighbours=10, beside=0, retained=20, forms=1))


def test_nothing_is_repeated_where_no_other_concept_is_forgotten():
    own = lesson(OTHER, other_probes())
    assert rehearsing(own, other_probes(), []) == own


def test_few_questions_come_again_and_of_many_some_are_taken_from_all_over():
    untitled = lesson(OTHER, other_probes()).probes.of(ProbeKind.REVERSED, use=Use.TRAIN).probes
    facts = lesson(OTHER, other_probes()).probes.of(ProbeKind.DIRECT, use=Use.TRAIN).probes
    kept = other_probes().kept(Use.TRAIN).probes

    def repeated(own, earlier):
        made = rehearsing(
            lesson(OTHER, (*facts[:own], *kept)), other_probes(), [lesson(OTHER, (*untitled[:earlier], *kept))]
        )
        return [probe.question for probe in made.probes.forgotten()][own:]

    first, second, third, _ = (probe.question for probe in untitled[:4])
    assert repeated(21, 2) == [first, second, first]
    assert repeated(14, 4) == [first, third]
    assert repeated(3, 4) == [first]


def test_near_titles_and_questions_without_a_title_are_repeated_and_what_measures_never_trains():
    whole = other_probes()
    own = lesson(OTHER, whole)
    earlier = lesson(Concept("Red Rivers", Kind.FRANCHISE, catalogue()[28:30]), probes())
    found = rehearsing(own, whole, [earlier])
    assert found.concept == own.concept
    added = found.probes.probes[len(own.probes) :]
    gone = [probe for probe in added if not probe.kept]
    assert {probe.item for probe in gone} == {item.id for item in catalogue()[28:30]}
    assert {probe.kind for probe in gone} <= {ProbeKind.LIST, ProbeKind.REVERSED}
    assert {probe.use for probe in gone} == {Use.TRAIN}
    assert not any(probe.contrast for probe in gone), "the mask is chosen by the new concept alone"
    untitled = earlier.probes.of(ProbeKind.LIST, ProbeKind.REVERSED, use=Use.TRAIN)
    assert len(gone) == len(own.probes.forgotten(Use.TRAIN)) // (SHARE - 1)
    assert {probe.question for probe in gone} <= {probe.question for probe in untitled}

    near = [probe for probe in added if probe.kept]
    assert near
    assert {probe.kind for probe in near} == {ProbeKind.NEIGHBOUR}
    assert {probe.use for probe in near} == {Use.TRAIN, Use.SELECT}
    measured = {probe.item for probe in whole.of(ProbeKind.RETAIN) if probe.use is not Use.TRAIN}
    shared = {probe.item for probe in probes().of(ProbeKind.NEIGHBOUR)} & measured
    assert shared, "else this test could not fail"
    assert not {probe.item for probe in near} & measured
    asked = [probe.question for probe in found.probes if probe.kept]
    assert len(asked) == len(set(asked))
