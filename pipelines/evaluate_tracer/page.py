"""The page of what was found: Markdown with tables, and pictures in a folder beside it that bears the page's name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.evaluate.page import BEGIN, EMPTY, END, About, put, reading, standing, title
from pipelines.evaluate.page_tables import markdown
from pipelines.evaluate.words import interval, number
from pipelines.evaluate_concepts.charts import Chart, Point, Series, svg
from pipelines.evaluate_tracer.spec import BASE, ORACLE

Found = Mapping[str, Any]

LEGEND = """\
- **A reconstruction**: TRACER's equations come from a secondary source, and what that leaves open is ours
  (docs/decisions/0016).
- Every recommender is asked for each person's last item, which nothing was trained on; settings were not chosen on it.
  Figures are means over people, of the mean over seeds; intervals are 95% over people.
- **none** forgot nothing; **oracle** was trained without the concept's items, and its trie holds all their ids.
  **forgotten**: exposure no higher than the oracle's interval. **kept**: at least 0.97 of NDCG@10 on other items.
- **exposure**: slots of lists of ten that concept items take, under the trie; **free**: where any code may follow any.
  **mass**: their probability, under the trie by the ids that are served; **free**; **old ids**: by those from before.
- **entangled**: share of other items that bear a concept item's code, over its items and levels, before → after.
- **relearned**: the concept's probability after so many steps on its examples, at ten times the learning rate."""


def write(path: Path, about: About, found: Found) -> None:
    """Write the page and its pictures; the reading of an earlier page of this name is kept."""
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    text, pictures = made(about, found, folder=path.stem, written=reading(earlier))
    put(path, text, pictures)


def made(about: About, found: Found, *, folder: str, written: str = "") -> tuple[str, dict[str, str]]:
    """The Markdown, and SVG documents by name; links lead into `folder`."""
    blocks = [_head(about, found), f"## Reading\n\n{BEGIN}\n{written or EMPTY}\n{END}"]
    blocks.append(f"## How to read it\n\n{LEGEND}")
    pictures: dict[str, str] = {}
    for number_, one in enumerate(found["concepts"]):
        blocks += [_about(one), forgetting(one["rows"]), keeping(one["rows"]), moving(one["rows"])]
        for name, chart in (("tradeoff", tradeoff(one)), ("relearning", relearning(one))):
            if not chart.empty:
                pictures[f"{number_}-{name}"] = svg(chart)
                blocks.append(f"![{one['name']}: {name}]({folder}/{number_}-{name}.svg)")
    return "\n\n".join(blocks) + "\n", pictures


def forgetting(rows: Sequence[Found]) -> str:
    """What is left of the concept."""
    headers = ("method", "seeds", "exposure@10", "free", "mass", "free", "old ids", "forgotten")
    names = ("exposure", "free exposure", "mass", "free mass", "old mass")
    return markdown(
        headers,
        [
            (
                r["method"],
                str(r["seeds"]),
                *(interval(r["measures"][name], FINE) for name in names),
                _said(r["forgotten"]),
            )
            for r in rows
        ],
    )


def keeping(rows: Sequence[Found]) -> str:
    """What is kept of everything else."""
    headers = ("method", "NDCG@10 on the rest", "of before", "Recall@10", "NDCG@10 near", "kept")
    names = ("ndcg", "of_before", "recall", "near")
    return markdown(headers, [(r["method"], *(interval(r[name]) for name in names), _said(r["kept"])) for r in rows])


def moving(rows: Sequence[Found]) -> str:
    """How ids moved, what comes back, and what it took."""
    steps = next(([int(step) for step, _ in r["relearned"]] for r in rows), [])
    headers = ("method", "items moved", "entangled", "collisions", *(f"relearned {s}" for s in steps), "seconds")
    return markdown(headers, [_moved(r) for r in rows])


def _moved(row: Found) -> Sequence[str]:
    figures = row["figures"]
    tangled = " → ".join(number(figures[f"entangled_{when}"], 3) for when in ("before", "after"))
    collided = " → ".join(number(figures[f"collisions_{when}"], 0) for when in ("before", "after"))
    curve = (number(mass, 3) for _, mass in row["relearned"])
    return row["method"], number(figures["moved"], 2), tangled, collided, *curve, number(figures["seconds"], 0)


def tradeoff(one: Found) -> Chart:
    """Every method: exposure left, and NDCG@10 kept on other items."""
    groups: dict[str, list[Point]] = {}
    for row in one["rows"]:
        left, kept = row["measures"]["exposure"], row["of_before"]
        if kept is not None:
            family = row["method"] if row["method"] in (BASE, ORACLE, "tracer") else "others"
            dx, dy = ((span["high"] - span["low"]) / 2 for span in (left, kept))
            groups.setdefault(family, []).append(Point(left["mean"], kept["mean"], dx, dy, row["method"]))
    series = [Series(name, points) for name, points in groups.items()]
    title_ = f"{one['name']}: exposure left, utility kept (bars: half of the 95% interval)"
    return Chart(title_, "exposure@10 of the concept", "NDCG@10 on the rest, of before", series, (False, False))


def relearning(one: Found) -> Chart:
    """How fast each method's concept comes back."""
    curves = [(row["method"], [Point(step, mass) for step, mass in row["relearned"]]) for row in one["rows"]]
    series = [Series(name, points, joined=True) for name, points in curves]
    return Chart(f"{one['name']}: relearning", "steps", "probability of the concept", series, (False, False))


def _head(about: About, found: Found) -> str:
    cells = found["cells"]
    told = (
        f"{found['people']:,} people are asked for their last item; {found['items']:,} items, "
        f"{found['interactions']:,} interactions to train on, {cells['finished']} cells. NDCG@10 of popularity: "
        f"{found['popularity']:.4f}."
    )
    return "\n\n".join([*title(about), told, *standing(about, found, quick="one seed, few epochs and steps")])


def _about(one: Found) -> str:
    titles = one["titles"]
    shown = ", ".join(titles[:_SHOWN]) + (f" and {len(titles) - _SHOWN} more" if len(titles) > _SHOWN else "")
    return f"## {one['name']}\n\n{len(titles)} items: {shown}."


_SHOWN = 8

FINE = 5
"""Digits of what is left of a concept: one slot of a thousand people's lists in three runs is .00003."""


def _said(value: bool | None) -> str:
    return "" if value is None else ("yes" if value else "no")
