"""The page of what was found: Markdown with tables, and pictures in a folder beside it that bears the page's name."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.evaluate.page import BEGIN, EMPTY, END, About, put, reading, standing, title
from pipelines.evaluate.page_tables import markdown
from pipelines.evaluate.pictures import Dot, Picture, svg
from pipelines.evaluate.words import interval, number
from pipelines.localise.answers import answers

Found = Mapping[str, Any]

_LEGEND = """\
- Neurons are the inputs of each layer's `down_proj`, read where a yes or no about one candidate is given. Requests are
  those of `lethe drift`: the same history and candidates in the served wording and in ten others. Intervals are 95%
  over users.
- **overlap**: cosine of a candidate's neurons in another wording with those as served, the mean over all candidates
  taken off first (raw cosine saturates near 1). **CKA**: linear centred kernel alignment of the two. **wording share**:
  the part of the neurons' variance that the wording alone makes.
- **classes apart**: overlap of candidates of one class (first genre) less that of different classes, between users.
- **drift and overlap**: Spearman's correlation of 1 - Kendall's τ with overlap, over users and wordings: negative where
  lists drift when neurons do.
- **saliency** E|a·g|, **Fisher** E[g²] and **gradient norm** of what decides for yes; **sensitivity**: the deviation of
  saliency over wordings. Each is a layer's share of the whole. **agreement**: Spearman's of saliency and Fisher.
- **Angles** between gradients of a concept's and of its controls' answers: near 90° they are unrelated, near 0° one
  cannot be forgotten without touching the other. **halves** is the angle between two halves of the concept's own."""


def write(path: Path, about: About, found: Found) -> None:
    """Write the page and its pictures; the reading of an earlier page of this name is kept."""
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    text, pictures = made(about, found, folder=path.stem, written=reading(earlier))
    put(path, text, {name: svg(picture) for name, picture in pictures.items()})


def made(about: About, found: Found, *, folder: str, written: str = "") -> tuple[str, dict[str, Picture]]:
    """The Markdown and the pictures by name; links lead into `folder`."""
    blocks = [_head(about, found), f"## Reading\n\n{BEGIN}\n{written or EMPTY}\n{END}"]
    blocks.append(f"## How to read it\n\n{_LEGEND}")
    for one in found["models"]:
        blocks += [f"## {one['model']}", *_model(one)]
    drawn = pictures(found)
    blocks += [f"![{picture.title}]({folder}/{name}.svg)" for name, picture in drawn.items()]
    return "\n\n".join(blocks) + "\n", drawn


def _head(about: About, found: Found) -> str:
    data = found["data"]
    lines = [
        *title(about),
        f"Model `{found['model']['name']}` (`{found['model']['fingerprint'][:12]}`); {data['people']} users with "
        f"{data['requests']} requests of {data['candidates']} candidates, from training rows of split "
        f"`{data['split']}`, in {len(found['wordings'])} wordings; seed {found['seed']}.",
    ]
    lines += standing(about, found, quick="few users", unit="parts")
    return "\n\n".join(lines)


def _model(one: Found) -> Iterator[str]:
    yield "**The five questions of the proposal, from these figures**"
    yield "\n".join(f"{place}. *{question}* {answer}" for place, (question, answer) in enumerate(answers(one), 1))
    if one["overlap"]:
        yield "**Between wordings and classes**"
        headers = ("layer", "overlap", "CKA", "wording share", "classes apart", "drift and overlap")
        yield markdown(headers, [_overlap(row) for row in one["overlap"]])
    if one["maps"]:
        yield "**Where what decides lies**, shares of all layers"
        headers = ("layer", "saliency", "Fisher", "gradient norm", "sensitivity", "agreement")
        yield markdown(headers, [_map(row) for row in one["maps"]])
        yield "**Heads whose saliency changes most with the wording**"
        yield markdown(("layer", "head", "saliency", "sensitivity"), [_head_row(row) for row in one["heads"]])
    yield from (_shared(name, cluster) for name, cluster in one["shared"].items())
    for about in one["directions"]:
        yield f"**{about['concept']}**: angles between forgetting it and keeping its controls, in degrees"
        yield markdown(("layer", "angle", "halves"), [_angle(row) for row in about["layers"]])


def _overlap(row: Found) -> tuple[str, ...]:
    apart = row["classes"]["apart"] if row["classes"] else None
    shown = (interval(row["overlap"]), number(row["cka"], 3), number(row["wording_share"], 3))
    return (str(row["layer"]), *shown, interval(apart), interval(row["correlation"]))


def _map(row: Found) -> tuple[str, ...]:
    names = ("saliency", "fisher", "gradient", "sensitivity")
    shares = (number(row[f"{name}_share"], 3) for name in names)
    return (str(row["layer"]), *shares, interval(row["rank_agreement"]))


def _head_row(row: Found) -> tuple[str, ...]:
    return str(row["layer"]), str(row["place"]), f"{row['saliency']:.2e}", f"{row['sensitivity']:.2e}"


def _angle(row: Found) -> tuple[str, ...]:
    return (
        str(row["layer"]),
        f"{number(row['forget_retain'], 1)} ± {number(row['deviation'], 1)}",
        number(row["same"], 1),
    )


def _shared(name: str, found: Found) -> str:
    """Clusters of neurons in words."""
    counts, core = found["shared"], ", ".join(map(str, found["core"]))
    return (
        f"**Neurons shared by {name}**: of the {found['count']} most salient ones, two of the {len(found['maps'])} "
        f"{name} share {number(found['jaccard'], 3)} (Jaccard; chance {number(found['chance'], 3)}). {counts[-1]} are "
        f"among them for all {name} (by layer: {core}), {counts[0]} for one alone."
    )


def pictures(found: Found) -> dict[str, Picture]:
    """Overlap, and the correlation of drift with it, by layer, models beside each other."""
    titles = {
        "overlap": "Overlap of neurons between wordings, by layer",
        "correlation": "Drift and overlap: Spearman's correlation, by layer",
    }
    drawn = {name: Picture(title, _lines(found["models"], name)) for name, title in titles.items()}
    return {name: picture for name, picture in drawn.items() if any(dots for _, dots in picture.lines)}


def _lines(models: Sequence[Found], name: str) -> list[tuple[str, list[Dot]]]:
    layers: dict[str, list[Dot]] = {}
    for one in models:
        for row in one["overlap"]:
            dots = layers.setdefault(f"layer {row['layer']}", [])
            if row[name] is not None:
                dots.append(Dot(one["model"], row[name]["mean"], row[name]["low"], row[name]["high"]))
    return list(layers.items())
