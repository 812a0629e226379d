"""Answers begun on the model's behalf: agreement, or a part of the answer itself."""

from collections.abc import Sequence
from dataclasses import replace

from llm.model import LanguageModel
from unlearning.concept.attacks.outcome import Outcome, ask_all
from unlearning.concept.base import Forgetting, Probe, ProbeKind
from unlearning.concept.wordings import AFFIRMED


def prefixes(model: LanguageModel, forgetting: Forgetting, probes: Sequence[Probe]) -> tuple[Outcome, ...]:
    """Direct probes after each agreeing word and after half of their answer; probes already begun, as they are."""
    plain = [probe for probe in probes if not probe.begun]
    begun = [probe for probe in probes if probe.kind is ProbeKind.FORCED_PREFIX]
    with forgetting.applied(model) as changed:
        found = [ask_all(changed, [_after(probe, word) for probe in plain], "prefix", word) for word in AFFIRMED]
        found.append(
            ask_all(changed, [half for probe in plain for half in _halved(probe)], "prefix", "half the answer")
        )
        if begun:
            found.append(ask_all(changed, begun, "prefix", "begun as the base begins"))
    return tuple(found)


def _after(probe: Probe, word: str) -> Probe:
    return replace(probe, begun=word, answers=tuple(f" {answer}" for answer in probe.answers))


def _halved(probe: Probe) -> list[Probe]:
    """The first accepted answer, its first half given; cut before a word, or within a single one. None if too short."""
    answer = probe.answers[0]
    cut = answer.rfind(" ", 1, len(answer) // 2 + 1)
    cut = cut if cut > 0 else len(answer) // 2
    return [replace(probe, begun=answer[:cut], answers=(answer[cut:],))] if 0 < cut < len(answer) else []
