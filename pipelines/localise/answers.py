"""The five questions that this measurement was made for, answered in words that follow from its figures alone.

How unstable are recommendations under other words; where does that lie; do shared neurons explain it; do gradients tell
forgetting from keeping; and could cues be silenced without what was meant? Each rule is told with the answer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.evaluate.words import interval, number

Found = Mapping[str, Any]

STEADY = 0.9
"""Kendall's tau from which lists count as steady."""
ALIKE = 0.5
"""A Jaccard or a rank correlation from which two choices of neurons count as the same."""
RIGHT = 90.0
UNKNOWN = "Not measured."


def answers(one: Found) -> Iterator[tuple[str, str]]:
    """Each question with its answer for one model, as `pipelines.localise.summary.models` tells it."""
    for question, answer in _QUESTIONS.items():
        yield question, answer(one)


def _unstable(one: Found) -> str:
    tau = one.get("tau")
    if tau is None:
        return UNKNOWN
    verdict = "steady" if tau["low"] >= STEADY else "unstable" if tau["high"] < STEADY else "not surely either"
    return (
        f"{_first(verdict)}: lists in other words agree with those as served at a Kendall's τ of {interval(tau)}, "
        + (f"where {STEADY:g} would be steady.")
    )


def _where(one: Found) -> str:
    maps, heads = one["maps"], one["heads"]
    if not maps:
        return UNKNOWN
    most = max(maps, key=lambda row: row["sensitivity_share"])
    even = 1 / len(maps)
    told = [
        f"Layer {most['layer']} holds {number(most['sensitivity_share'], 3)} of what changes with the wording (an even "
        f"share: {number(even, 3)})"
    ]
    if heads:
        told.append(f"of the heads, number {heads[0]['place']} of layer {heads[0]['layer']} changes most")
    ranks = [row["rank_agreement"]["mean"] for row in maps if row["rank_agreement"]]
    if ranks:
        same = "find the same neurons" if min(ranks) >= ALIKE else "do not find the same neurons in every layer"
        told.append(f"saliency and Fisher {same} (Spearman's {number(min(ranks), 3)} to {number(max(ranks), 3)})")
    return "; ".join(told) + "."


def _overlap(one: Found) -> str:
    rows = one["overlap"]
    if not rows:
        return UNKNOWN
    known = [row for row in rows if row["correlation"]]
    below = [row["layer"] for row in known if row["correlation"]["high"] < 0]
    above = [row["layer"] for row in known if row["correlation"]["low"] > 0]
    told = []
    if below:
        told.append(f"Lists drift more where neurons overlap less in {_layers(below)}")
    if above:
        told.append(f"{'lists' if told else 'Lists'} drift more where neurons overlap more in {_layers(above)}")
    if not told:
        told.append("In no layer does drift follow overlap: every interval holds 0, or nothing varies")
    shared = one["shared"].get("classes")
    if shared and shared["jaccard"] is not None:
        told.append(
            f"two classes of preference share {number(shared['jaccard'], 3)} of their {shared['count']} most salient "
            f"neurons (Jaccard; chance {number(shared['chance'], 3)})"
        )
    apart = [row["layer"] for row in rows if row["classes"] and row["classes"]["apart"]["low"] > 0]
    told.append(f"neurons tell classes apart in {_layers(apart)}" if apart else "neurons tell no classes apart")
    return "; ".join(told) + "."


def _gradients(one: Found) -> str:
    if not one["directions"]:
        return "Not measured: name a concept."
    return " ".join(_direction(found) for found in one["directions"])


def _direction(found: Found) -> str:
    """Against: nearer to the controls' gradient than a right angle by more than twice its deviation."""
    layers = found["layers"]
    against = [row["layer"] for row in layers if row["forget_retain"] + 2 * row["deviation"] < RIGHT]
    angles = [row["forget_retain"] for row in layers]
    own = [row["same"] for row in layers]
    spans = f"{number(min(angles), 1)}° to {number(max(angles), 1)}°, halves of its own {number(min(own), 1)}° to " + (
        f"{number(max(own), 1)}°"
    )
    if against:
        return f"Forgetting {found['concept']} works against keeping its controls in {_layers(against)} ({spans})."
    return f"Forgetting {found['concept']} and keeping its controls do not surely get in each other's way ({spans})."


def _apart(one: Found) -> str:
    shared, rows = one["shared"].get("wordings"), one["overlap"]
    if not shared or shared["jaccard"] is None or not rows:
        return UNKNOWN
    most = max(rows, key=lambda row: row["wording_share"])
    same = shared["jaccard"] >= ALIKE
    verdict = (
        "The same neurons decide in every wording, so that no pathway of cues alone could be silenced"
        if same
        else "Wordings decide through neurons that are partly their own, which could be held down where intent is kept"
    )
    return (
        f"{verdict}: two wordings share {number(shared['jaccard'], 3)} of their most salient neurons (Jaccard; chance "
        f"{number(shared['chance'], 3)}), and the wording alone makes at most {number(most['wording_share'], 3)} of "
        f"the variance, in layer {most['layer']}."
    )


def _layers(numbers: Sequence[int]) -> str:
    """Layers in words."""
    told = ", ".join(map(str, numbers))
    return f"layer {told}" if len(numbers) == 1 else f"layers {told}"


def _first(text: str) -> str:
    return text[0].upper() + text[1:]


_QUESTIONS: Mapping[str, Callable[[Found], str]] = {
    "How unstable are recommendations under other words?": _unstable,
    "Where does that sensitivity lie?": _where,
    "Do shared neurons carry several preferences, and explain the drift?": _overlap,
    "Do gradients tell forgetting from keeping?": _gradients,
    "Could the cues be held down apart from what was meant?": _apart,
}
