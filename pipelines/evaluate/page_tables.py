"""The tables and pictures of one backbone under one protocol, and those of the attacks, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from pipelines.evaluate.answers import CUTOFFS
from pipelines.evaluate.methods import NONE, ORACLE
from pipelines.evaluate.pictures import Dot, Picture
from pipelines.evaluate.words import VOID, attacked, beside, interval, judged, number

Found = Mapping[str, Any]

_NAMES = {NONE: "none (no forgetting)"}
_METRICS = tuple(f"{name}@{k}" for name in ("hit_rate", "ndcg") for k in CUTOFFS)
_HEADS = tuple(f"{name}@{k}" for name in ("HR", "NDCG") for k in CUTOFFS)
_AUDITS = ("oracle-rbo neighbours", "oracle-rbo random", "bias")


def markdown(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def of(one: Found, found: Found) -> list[str]:
    """The blocks of one backbone and protocol: quality, with the re-ranker, completeness, time, those who asked."""
    rows = one["rows"]
    missing = _missing(one, found)
    blocks = [
        _heading(one),
        "**Quality for the people who stay** (Table II)",
        markdown(("method", "seeds", *_HEADS, "of oracle"), [*(_quality(r, r["utility"]) for r in rows), *missing]),
    ]
    ranked = [row for row in rows if row["reranked"]]
    if ranked:
        headers = ("method", "people", *_HEADS, "of oracle", "fallbacks")
        people = [_reranked(row, row["reranked"]) for row in ranked]
        blocks += ["**The same with the re-ranker** (Table II)", markdown(headers, people)]
    blocks += [
        "**Completeness**: value / limit",
        markdown(
            ("method", "grade", "lists of neighbours", "lists of others", "bias", "max abs ΔS"), map(_audits, rows)
        ),
        "**Time**, in seconds of one process (Table III)",
        markdown(_TIME, map(_time, rows)),
        "**Those who asked**, NDCG@10, the oracle's in brackets (Fig. 3)",
        markdown(_ASKED, [_asked(row) for row in rows]),
    ]
    return blocks


def pictures(one: Found) -> dict[str, Picture]:
    """`ratio`: NDCG@10 over the oracle's, and the oracles' band; `asked`: forget against remain, before and after."""
    about = f"{one['backbone']}, {one['protocol']}"
    ratios = [(r["method"], r["utility"].get("ratio")) for r in one["rows"]]
    lines = [(name, [Dot("ratio", _nan(x["mean"]), x["low"], x["high"])]) for name, x in ratios if x]
    spread = one["oracle_spread"]
    band = (spread["low"], spread["high"]) if spread else None
    drawn = {"ratio": Picture(f"{about}: NDCG@10 of those who stay, over the oracle's (grey: oracles)", lines, band)}
    asked = [(row["method"], _course(row)) for row in one["rows"]]
    drawn["asked"] = Picture(f"{about}: NDCG@10 of those who asked, and of those who stay", asked, order=_ORDER)
    return {name: picture for name, picture in drawn.items() if any(dots for _, dots in picture.lines)}


def glance(found: Found, most: int = 2) -> list[str]:
    """Every method beside the oracle at once, under the first protocols: NDCG@10 of oracle, and lists of neighbours."""
    asked = list(dict.fromkeys(one["protocol"] for one in found["tables"]))[:most]
    shown = [one for one in found["tables"] if one["protocol"] in asked]
    if not shown:
        return []
    cells = [{row["method"]: _short(row, one) for row in one["rows"]} for one in shown]
    methods = dict.fromkeys(method for column in cells for method in column)
    headers = ("method", *(f"{one['backbone']}, {one['protocol']}" for one in shown))
    rows = [(_NAMES.get(name, name), *(column.get(name, "") for column in cells)) for name in methods]
    return ["**At a glance**: NDCG@10 of oracle, and the lists of neighbours", markdown(headers, rows)]


def _short(row: Found, one: Found) -> str:
    if row["method"] == ORACLE:
        spread = one["oracle_spread"]
        return f"{spread['low']:.3f} to {spread['high']:.3f}" if spread else ""
    ratio, lists = row["utility"].get("ratio"), row["completeness"].get(_AUDITS[0])
    return f"{number(ratio['mean'] if ratio else None, 3, VOID)}, {judged(lists) if lists else VOID}"


def attacks(found: Found) -> list[str]:
    """Membership inference and generations beside each other, where they were asked for."""
    blocks = []
    if found["membership"]:
        headers = ("backbone", "canaries", "method", "figure", "forgot nothing", "after", "oracle", "limit", "")
        rows = [_member(one, v) for one in found["membership"] for v in one["verdicts"]]
        blocks += ["### Membership inference", _MEMBERSHIP, markdown(headers, rows)]
    if found["versions"]:
        columns = ("backbone", "protocol", "method", "AUC", "limit", "control", "oracles", "")
        blocks += ["### Old and new generation side by side", markdown(columns, map(_version, found["versions"]))]
    return blocks


_MEMBERSHIP = (
    "Of each canary an attacker who has trained models with and without it tells whether a model saw it, with 99% "
    "intervals over canaries: real people by lot, or planted ones, who met unpopular items in groups. `forgot nothing` "
    "is the positive control, and `limit` what another oracle would reach. **too weak**: the model that forgot nothing "
    "stays under an AUC of .8, so that there is nothing to find."
)

_FIGURES = {"membership": ("AUC", "auc"), "membership-tpr": ("TPR at 1% FPR", "tpr")}


def _member(one: Found, verdict: Found) -> Sequence[str]:
    figure, key = _FIGURES[verdict["audit"]]
    spans = [interval(one["attacks"][state][key]) for state in ("before", "after", "oracle")]
    ended = "too weak" if one["too_weak"] else attacked(verdict)
    return (
        one["backbone"],
        one["canaries"],
        _NAMES.get(one["method"], one["method"]),
        figure,
        *spans,
        number(verdict["limit"], 3),
        f"**{ended}**",
    )


def _heading(one: Found) -> str:
    requests = f"{one['requests']} request{'s'[: one['requests'] > 1]}"
    head = (
        f"### {one['backbone']}, {one['protocol']}\n\n{one['forgotten_rows']:,} training rows forgotten in {requests}; "
    )
    head += f"{one['forgotten_people']} people gone whole, {one['touched_people']} lose some rows and stay."
    spread = one["oracle_spread"]
    told = " One more oracle would lie at {low:.3f} to {high:.3f} of their mean."
    return head + (told.format(**spread) if spread else "")


def _missing(one: Found, found: Found) -> list[Sequence[str]]:
    """Rows for the model that forgot nothing, the oracle, and methods that failed, where they have no figures."""
    there = {row["method"] for row in one["rows"]}
    names = [name for name in (ORACLE, NONE) if name not in there]
    begins = f"{one['backbone']}-"
    ended = [f["cell"].removeprefix(begins) for f in found["failed"] if f["cell"].startswith(begins)]
    names += [cell.split("-")[0] for cell in ended if f"-{one['protocol']}-" in cell]
    blank = [VOID] * (len(_HEADS) + 1)
    return [(_NAMES.get(name, name), "not measured", *blank) for name in dict.fromkeys(names) if name not in there]


def _quality(row: Found, use: Found) -> Sequence[str]:
    seeds = str(row["seeds"])
    return (_name(row), seeds, *_figures(use), _beside_oracle(row, use))


def _reranked(row: Found, use: Found) -> Sequence[str]:
    return (_name(row), str(use["people"]), *_figures(use), _beside_oracle(row, use), str(use["fallbacks"]))


def _figures(use: Found) -> list[str]:
    return [number(use["metrics"][metric]["mean"], absent=VOID) for metric in _METRICS]


def _beside_oracle(row: Found, use: Found) -> str:
    if row["method"] == ORACLE:
        return "1"
    found = use.get("ratio")
    return interval(found) if found and isfinite(_nan(found["mean"])) else VOID


def _audits(row: Found) -> Sequence[str]:
    if row["method"] == ORACLE:
        return (_name(row), row["grade"], *["sets the limit"] * len(_AUDITS), "")
    columns = [_column(row["completeness"].get(name)) for name in _AUDITS]
    return (_name(row), row["grade"], *columns, "" if row["score_gap"] is None else f"{row['score_gap']:.1e}")


def _column(found: Found | None) -> str:
    if found is None:
        return VOID
    return f"{number(found['value'], 3, VOID)} / {number(found['limit'], 3, VOID)} **{judged(found)}**"


_TIME = (
    "method",
    "fit",
    "shielded",
    "method's work",
    "for one request",
    "erased",
    "of a retraining",
    "in processor time",
    "peak MB",
    "scoring one person",
    "work and scoring",
)


def _time(row: Found) -> Sequence[str]:
    cost = row["times"]
    work = cost["work"] if cost["work"] is not None else cost["retrain"]
    scored = None if work is None or cost["rerank_a_person"] is None else work + cost["rerank_a_person"]
    ratio = number(cost["ratio"], 5) + ("" if cost["same_run"] or cost["ratio"] is None else " (other run)")
    return (
        _name(row),
        number(cost["fit"], 3),
        number(cost["shielded"]),
        number(work),
        number(cost["per_request"]),
        number(cost["erased"]),
        ratio,
        number(cost["cpu_ratio"], 5),
        number(cost["peak_mb"], 0),
        number(cost["rerank_a_person"], 3),
        number(scored),
    )


_ASKED = ("method", "those who stay", "before", "after, as served", "after, old history given back")


def _asked(row: Found) -> Sequence[str]:
    asked = row["asked"]
    served = beside(asked.get("after"), asked.get("oracle_after"))
    if asked.get("by_popularity"):
        served += f", {asked['by_popularity']} by popularity"
    returned = beside(asked.get("returned"), asked.get("oracle_returned"))
    stay = number(row["utility"]["metrics"]["ndcg@10"]["mean"], 3, VOID)
    before = number(asked.get("before"), 3, "" if row["method"] == ORACLE else VOID)
    return (_name(row), stay, before, served or VOID, returned or VOID)


_SERIES = {
    "before": "asked: before",
    "after": "after, as served",
    "returned": "after, history given back",
    "oracle_returned": "oracle, history given back",
}


_STAY = "those who stay"
_ORDER = (_STAY, *_SERIES.values())


def _course(row: Found) -> list[Dot]:
    known = {label: row["asked"].get(name) for name, label in _SERIES.items()}
    known[_STAY] = row["utility"]["metrics"]["ndcg@10"]["mean"]
    return [Dot(name, value) for name, value in known.items() if value is not None]


def _version(found: Found) -> Sequence[str]:
    figures = [number(found[name], 3) for name in ("value", "limit", "control", "oracle")]
    return (found["backbone"], found["protocol"], found["method"], *figures, f"**{attacked(found)}**")


def _name(row: Found) -> str:
    method: str = row["method"]
    return _NAMES.get(method, method)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
