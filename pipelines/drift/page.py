"""The page of what was found: Markdown with tables, and pictures in a folder beside it that bears the page's name."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.drift.instances import PERTURBED, Kind
from pipelines.drift.spec import FREE
from pipelines.drift.words import RESIDUAL
from pipelines.evaluate.page import BEGIN, EMPTY, END, About, put, reading, standing, title
from pipelines.evaluate.page_tables import markdown
from pipelines.evaluate.pictures import Dot, Picture, svg
from pipelines.evaluate.words import interval

Found = Mapping[str, Any]

NAMES = {"tau": "Kendall's τ", "rbo": "RBO", "first": "same first item", "similarity": "similarity"}

_LEGEND = """\
- One request is put in other words, with the same history and the same candidates; nothing is hidden, so that models
  alone differ. Each list is compared with the one of the same request in the served wording, by the model's scores
  alone (λ = 1). Intervals are 95% over users, each of whom counts by the mean of their requests.
- **Kendall's τ** (tau-b) runs over all candidates of a list; **RBO** is rank-biased overlap, extrapolated (Webber,
  Moffat and Zobel 2010), which weighs the first places most; **same first item** is the share of lists with the same
  first.
- **similarity**: cosine of the answers' MiniLM embeddings, of answers in words to the same request.
- Equal scores keep the retrieval's order, in whatever order the candidates were shown.
- **unusable** answers (no order, an empty answer, scores that are all equal) are counted and left out of the means."""


_RESIDUAL = """\
An adapter is fine-tuned on training rows to judge as people did. The **gap** is by how many nats more the model would
say yes to what a person met than to an item of like popularity that they never met. Forgetting a person trains the
adapter anew without them: what is left beyond what another seed alone moves should be nothing, and an adapter trained
on these people alone, the control, should be found."""


def write(path: Path, about: About, found: Found) -> None:
    """Write the page and its pictures; the reading of an earlier page of this name is kept."""
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    text, pictures = made(about, found, folder=path.stem, written=reading(earlier))
    put(path, text, {name: svg(picture) for name, picture in pictures.items()})


def made(about: About, found: Found, *, folder: str, written: str = "") -> tuple[str, dict[str, Picture]]:
    """The Markdown and the pictures by name; links lead into `folder`."""
    pictures: dict[str, Picture] = {}
    blocks = [_head(about, found), f"## Reading\n\n{BEGIN}\n{written or EMPTY}\n{END}"]
    blocks.append(f"## How to read it\n\n{_LEGEND}\n{_kinds()}")
    for table in found["tables"]:
        blocks += [f"## {table['scorer']}", *_scorer(table)]
        if any(one["rows"] for one in table["models"]):
            pictures[table["scorer"]] = drawn = picture(table)
            blocks.append(f"![{drawn.title}]({folder}/{table['scorer']}.svg)")
    if found.get("residual"):
        blocks += ["## Residual preference", _RESIDUAL, *map(_residual, found["residual"])]
    return "\n\n".join(blocks) + "\n", pictures


def _residual(one: Found) -> str:
    names = list(one["models"])
    lines = [("gap", *(interval(one["models"][name]) for name in names))]
    told = [f"{RESIDUAL[name]} {interval(one[name])}" for name in RESIDUAL]
    if not one["tells"]:
        told.append("**the control was not found: the measure cannot tell memory here**")
    return (
        f"**{one['people']} users, asked with {one['asked']}**\n\n{markdown(('', *names), lines)}\n\n{'; '.join(told)}."
    )


def _head(about: About, found: Found) -> str:
    data, cells = found["data"], found["cells"]
    lines = [
        *title(about),
        f"Model `{found['model']['name']}` (`{found['model']['fingerprint'][:12]}`); {data['people']} users with "
        f"{data['requests']} requests of {data['candidates']} candidates each, from training rows of split "
        f"`{data['split']}`; seed {found['seed']}, {cells['finished']} cells. {_lists(found['weight'])}"
        + (" All titles are invented: a catalogue that the model never met." if data["unseen"] else ""),
    ]
    lines += standing(about, found, quick="few users")
    return "\n\n".join(lines)


def _lists(weight: float) -> str:
    """What the lists are ordered by."""
    if weight == 1:
        return "Lists are ordered by the model alone."
    return f"Lists are ordered by backbone and model together, the model at a weight of {weight:g}."


def _scorer(table: Found) -> Iterator[str]:
    measures = table["measures"]
    for one in table["models"]:
        yield f"**{one['model']}**, {'each answer' if table['scorer'] == FREE else 'each list'} beside that as served"
        yield _rows(one["rows"], measures, changed=any(row["change"] for row in one["rows"]))
        yield from _said(one, measures)
    names = {row["instance"]: row["kind"] for one in table["models"] for row in one["instances"]}
    if names:
        yield f"**Every wording and order**, {NAMES[measures[0]]}"
        yield _instances(table["models"], measures[0])


def _rows(rows: Sequence[Found], measures: Sequence[str], *, changed: bool) -> str:
    headers = ("perturbation", "instances", *(NAMES[name] for name in measures), "unusable")
    lines = [
        (
            row["kind"],
            str(row["instances"]),
            *(interval(row[name]) for name in measures),
            f"{row['unusable']} of {row['answers']}",
            *([signed(row["change"])] if changed else []),
        )
        for row in rows
    ]
    return markdown((*headers, "change from the base") if changed else headers, lines)


def _said(one: Found, measures: Sequence[str]) -> Iterator[str]:
    share, moved = one["order_share"], one["moved"]
    if share is not None:
        yield (
            f"The order of the candidates alone causes {interval(share)} of the drift (1 - {NAMES[measures[0]]}) that "
            "another wording and another order cause together."
        )
    if moved is not None:
        told = ", ".join(f"{NAMES[name]} {interval(moved[name])}" for name in measures)
        yield f"Against the base, both as served: {told}."


def _instances(models: Sequence[Found], measure: str) -> str:
    by_model = [{(row["kind"], row["instance"]): row for row in one["instances"]} for one in models]
    keys = dict.fromkeys(key for rows in by_model for key in rows)
    lines = [(*key, *(interval(rows[key][measure]) if key in rows else "" for rows in by_model)) for key in keys]
    return markdown(("perturbation", "instance", *(one["model"] for one in models)), lines)


def signed(found: Mapping[str, float] | None) -> str:
    """A difference with its interval."""
    return f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]" if found else ""


def picture(table: Found) -> Picture:
    """The chief measure by perturbation, models beside each other."""
    chief = table["measures"][0]
    lines: dict[str, list[Dot]] = {kind.value: [] for kind in PERTURBED}
    for one in table["models"]:
        for row in one["rows"]:
            if row[chief] is not None:
                lines[row["kind"]].append(Dot(one["model"], row[chief]["mean"], row[chief]["low"], row[chief]["high"]))
    drawn = [(kind, dots) for kind, dots in lines.items() if dots]
    return Picture(f"{table['scorer']}: {NAMES[chief]} to what is served", drawn)


def _kinds() -> str:
    told = {
        Kind.PARAPHRASE: "ten wordings that the model never met",
        Kind.PART: "a paraphrase's words in one part of the request, the rest as served: which part matters",
        Kind.ORDER: "the served wording, the candidates shown in another order",
        Kind.BOTH: "each of the ten wordings with an order of its own",
        Kind.TYPOS: "slips of the keys in a fifth of the longer words; titles and the form of the answer stay",
        Kind.SYNONYMS: "other words for half of those that have any",
        Kind.WORDS: "three words in ten changed places with the next",
        Kind.ASIDE: "a sentence before the question that has nothing to do with it",
        Kind.TURNS: "something was said before in the same conversation",
        Kind.REASON: "the model first thinks aloud about the request, and answers after its own thoughts; a model that "
        "cannot put any into words gives no usable answer, which is counted",
    }
    return "\n".join(f"- **{kind.value}**: {text}." for kind, text in told.items())
