"""The tables of one concept in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import Any

from pipelines.evaluate.page_tables import markdown
from pipelines.evaluate.words import number
from pipelines.evaluate_concepts.attacked import KNOWN
from pipelines.evaluate_concepts.goals import NO_ORACLE
from pipelines.evaluate_concepts.spec import BASE, FORKS
from unlearning.concept.base import ProbeKind
from unlearning.concept.cells import CANNOT_TELL
from unlearning.concept.evaluate import FORGET, KEEP, MEMORY, NAMESAKES, accuracy_of

Found = Mapping[str, Any]

_MEMORY = tuple(accuracy_of(kind) for kind in MEMORY)
_ELSE = tuple(name for name in FORGET if name not in _MEMORY and not name.endswith("probability"))


def of(one: Found) -> list[str]:
    """The blocks of a concept but for pictures and answers."""
    rows = one["rows"]
    blocks = ["**Targets**", targets(one)] if targets(one) else []
    blocks += [
        "**Memory**, share of held-out questions answered exactly: value (gap to the oracle)",
        _table(_MEMORY, rows, one, _forgotten),
        "**Exposure and extraction**: value (gap to the oracle)",
        _table(_ELSE, rows, one, _forgotten),
        *_unmet(one),
        "**What must stay**: value (change from the base)",
        _table((*KEEP, NAMESAKES), rows, one, _kept),
        "**Gates and cost**",
        markdown(_COST, [_cost(row) for row in rows if row["method"] not in FORKS]),
    ]
    blocks += [block for pair in one["guidance"] for block in _guidance(pair)]
    for title, made in (("Attacks", _attacks(rows)), ("Depth", _depth(one)), ("Lists of real people", _ranking(rows))):
        blocks += [f"**{title}**", made] if made else []
    return blocks


def _unmet(one: Found) -> list[str]:
    """What the base chooses of titles that do not exist."""
    told = ", ".join(f"{number(value, 3)} ({name.rpartition(' ')[2]})" for name, value in one["unmet"].items())
    return [f"Of titles that do not exist in the concept's place the base itself prefers {told}."] if told else []


def _table(measures: Sequence[str], rows: Sequence[Found], one: Found, cell: Any) -> str:
    asked = [name for name in measures if any(name in row["measures"] for row in rows)]
    headers = ("method", "seeds", *(name.removesuffix(" accuracy") for name in asked))
    made = [
        (row["label"], str(row["seeds"]), *(cell(row, name, one) for name in asked)) for row in rows if row["seeds"]
    ]
    return markdown(headers, made)


def _forgotten(row: Found, measure: str, one: Found) -> str:
    """A figure beside the oracle's. Where base and oracle cannot be told apart the cell says so instead."""
    found = row["measures"].get(measure)
    if found is None:
        return ""
    value = number(found["value"], 3) + _plus_minus(found)
    if row["method"] in FORKS:
        return value
    if not one["oracles"]:
        return f"{value} ({NO_ORACLE})"
    gap = found["gap"]["mean"]
    return f"{value} ({gap:+.3f})" if found["tells"] else f"{value} ({CANNOT_TELL})"


def _kept(row: Found, measure: str, _one: Found) -> str:
    found = row["measures"].get(measure)
    if found is None:
        return ""
    value = number(found["value"], 3) + _plus_minus(found)
    return value if row["method"] == BASE else f"{value} ({_signed(found['change'])})"


def _plus_minus(found: Found) -> str:
    spread = found["spread"]
    return "" if spread is None or not isfinite(spread) else f" ± {spread:.3f}"


def _signed(interval: Found) -> str:
    """A mean difference with its interval, where there is one."""
    mean, low, high = (interval[name] for name in ("mean", "low", "high"))
    if not (isfinite(_nan(low)) and isfinite(_nan(high))):
        return f"{_nan(mean):+.3f}"
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


_COST = ("method", "would be registered", "seconds to fit", "adapter KB", "time of asking, of the base", "told")


def _cost(row: Found) -> Sequence[str]:
    cost = row["cost"]
    size = None if cost["bytes"] is None else cost["bytes"] / 1024
    facts = ", ".join(f"{name} {value}" for name, value in cost["facts"].items())
    gates = "" if row["gates"] is None else f"{row['gates']['passed']} of {row['seeds']}"
    figures = (number(cost["fit_seconds"], 1), number(size, 0), number(cost["slower"], 2))
    return (row["label"], gates, *figures, facts)


def _attacks(rows: Sequence[Found]) -> str:
    """One line for each attack and setting, at its last step, and a column for each method."""
    last: dict[tuple[str, str], dict[str, Found]] = {}
    for row in rows:
        for found in row["attacks"]:
            own = last.setdefault((found["attack"], found["setting"]), {})
            earlier = own.get(row["label"])
            later = earlier is None or (found["step"] or 0) >= (earlier["step"] or 0)
            if found["measure"] == KNOWN and later and not (row["method"] == BASE and found["step"]):
                own[row["label"]] = found
    if not last:
        return ""
    labels = [row["label"] for row in rows if row["attacks"]]
    lines = ((*key, *(_ended(own.get(label)) for label in labels)) for key, own in last.items())
    return markdown(("attack", "setting", *labels), lines)


def _ended(found: Found | None) -> str:
    """Answers known after an attack, and the share of the forgotten ones that it brought back."""
    if found is None:
        return ""
    back = "" if found["back"] is None else f", {found['back']:.0%} back"
    return number(found["value"], 3) + back + (f" (step {found['step']})" if found["step"] else "")


def _depth(one: Found) -> str:
    """The score of each seed beside each oracle, and what each layer has lost of what an oracle's lacks."""
    lines = [(row["label"], _scores(row["depth"]), _layers(row["depth"])) for row in one["rows"] if row["depth"]]
    if lines:
        return markdown(("method", "score by seed; by oracle", "by layer, mean of what is not void"), lines)
    return "" if one["oracles"] else f"Depth is measured between forks only: {NO_ORACLE}."


def _scores(found: Iterable[Found]) -> str:
    by_oracle: dict[str, list[str]] = {}
    for one in found:
        by_oracle.setdefault(one["beside"], []).append("void" if one["void"] else number(one["score"], 3, "void"))
    return "; ".join(", ".join(scores) for scores in by_oracle.values())


def _layers(found: Iterable[Found]) -> str:
    """The mean share of each layer over seeds and oracles, without those beside which nothing can be said."""
    columns = zip(*(one["by_layer"] for one in found if not one["void"]), strict=True)
    shares = ([share for share in column if share is not None] for column in columns)
    return " ".join(f"{fmean(told):.2f}" if told else "-" for told in shares) or "void"


def _guidance(pair: Found) -> list[str]:
    """Guided beside random masks: both figures, their difference, and who does better by its interval."""
    lines = (
        (one["figure"], number(one["guided"], 3), number(one["random"], 3), _apart(one), one["better"])
        for one in pair["figures"]
    )
    title = f"**{pair['guided']} beside {pair['random']}**: guided minus random, with 95% over trainings (Welch)"
    return [title, markdown(("figure", "guided", "random", "difference", "does better"), lines)]


def _apart(one: Found) -> str:
    ends = {"mean": one["difference"], "low": one["low"], "high": one["high"]}
    return _signed(ends)


def targets(one: Found) -> str:
    """Every goal of every method; empty where no method was measured."""
    rows = [row for row in one["rows"] if row["goals"] and row["method"] not in FORKS]
    if not rows:
        return ""
    names = dict.fromkeys((goal["name"], goal["limit"]) for row in rows for goal in row["goals"])
    headers = ("method", *(f"{name} ≤ {limit:g}" for name, limit in names))
    return markdown(headers, ((row["label"], *(_reached(row, name, limit) for name, limit in names)) for row in rows))


def _reached(row: Found, name: str, limit: float) -> str:
    goal = next((goal for goal in row["goals"] if (goal["name"], goal["limit"]) == (name, limit)), None)
    if goal is None:
        return ""
    return goal["state"] if goal["value"] is None else f"{goal['value']:.3f} **{goal['state']}**"


def _ranking(rows: Sequence[Found]) -> str:
    ranked = [row for row in rows if row["ranking"]]
    if not ranked:
        return ""
    names = list(ranked[0]["ranking"])
    lines = ((row["label"], *(_ranked(row["ranking"][name]) for name in names)) for row in ranked)
    return markdown(("method", *(f"{name}, of the base" for name in names)), lines)


def _ranked(found: Found) -> str:
    return f"{number(found['value'], 4)} ({number(_nan(found['ratio']), 3, 'void')})"


def _nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def answers(one: Found) -> str:
    """What was said before and after: the base, the oracle, and the first methods, to the same questions."""
    if not one["answers"]:
        return ""
    labels = list(one["answers"][0]["said"])[:_COLUMNS]
    lines = [
        (entry["question"], *(_quoted(entry["said"].get(label, "")) for label in labels)) for entry in one["answers"]
    ]
    return markdown(("asked", *labels), lines)


def _quoted(text: str) -> str:
    """On one line, cut where it is long."""
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONG else f"{plain[: _LONG - 1]}…"


_LONG = 90

_COLUMNS = 6
"""Base, oracle, and the first methods of the grid."""


def kinds() -> str:
    """What each kind of question asks, for the page's legend."""
    told = {
        ProbeKind.DIRECT: "a fact in a wording that the model, but no method, was trained on",
        ProbeKind.PARAPHRASE: "in a wording that nobody was trained on",
        ProbeKind.REVERSED: "the title by its facts",
        ProbeKind.INDIRECT: "the title in a sentence of its own, then the fact",
        ProbeKind.LIST: "the next title of a list",
        ProbeKind.FORCED_PREFIX: "the rest of an answer that has been begun",
        ProbeKind.NAMESAKE: "a fact of an item outside the concept that has the title of one of its own",
    }
    return "\n".join(f"- **{kind.value}**: {text}." for kind, text in told.items())
