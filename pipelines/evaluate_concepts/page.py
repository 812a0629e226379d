"""The page of what was found: Markdown with tables, and pictures in a folder beside it that bears the page's name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.evaluate.page import BEGIN, EMPTY, END, About, put, reading, standing, title
from pipelines.evaluate_concepts import page_tables as tables
from pipelines.evaluate_concepts.goals import FAMILIES
from pipelines.evaluate_concepts.pictures import drawn

Found = Mapping[str, Any]

_LEGEND = """\
- Every model is asked the same held-out questions: no wording of them trained or selected anything. Figures are means
  over seeds, ± their deviation; intervals are 95% over items (over questions where items are few).
- **base** is the model that forgot nothing; **oracle** a checkpoint of the same lineage trained without the concept.
  Where base and oracle do not differ by an interval that excludes 0, a cell **cannot tell**, and says so.
- A **replicate** is trained as the base was, on everything, in another order: it shows how far training again moves a
  figure. Where these models differ from several oracles by no more than all of them do among themselves (Welch's 95%
  over trainings), a cell **cannot tell** either.
- Of several oracles (other orders of the same training) tables show the mean and its deviation; a target is the
  distance from their span, and its limit for depth what one has beside another, where that is less than 0.8.
- **Titles that do not exist**: the base is asked the forced choices with such a title in the concept's place, which is
  how it judges by all else that the prompt tells; a model trained apart may judge otherwise.
- A method `LOSS-MASK/N` is masked LoRA: the loss, how its N neurons were chosen. **ssd**, **ablation**, **steering**
  train nothing; **negated** trains on the concept and subtracts; **prompt** is told what not to know.
- A collapsed model has failed: read memory beside what must stay."""


def write(path: Path, about: About, found: Found) -> None:
    """Write the page and its pictures; the reading of an earlier page of this name is kept."""
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    written = reading(earlier)
    text, pictures = made(about, found, folder=path.stem, written=written)
    put(path, text, pictures)


def made(about: About, found: Found, *, folder: str, written: str = "") -> tuple[str, dict[str, str]]:
    """The Markdown, and SVG documents by name; links lead into `folder`."""
    blocks = [_head(about, found), f"## Reading\n\n{BEGIN}\n{written or EMPTY}\n{END}"]
    blocks.append(f"## How to read it\n\n{_LEGEND}\n{tables.kinds()}")
    pictures: dict[str, str] = {}
    for number, one in enumerate(found["concepts"]):
        own = {f"{number}-{name}": picture for name, picture in drawn(one).items()}
        pictures |= own
        blocks += [_concept(one), *tables.of(one)]
        blocks += [f"![{one['name']}: {name.partition('-')[2]}]({folder}/{name}.svg)" for name in own]
        blocks += ["**Answers, before and after**", told] if (told := tables.answers(one)) else []
    return "\n\n".join(blocks) + "\n", pictures


def _head(about: About, found: Found) -> str:
    cells = found["cells"]
    lines = [
        *title(about),
        f"Model `{found['model']['name']}` (`{found['model']['fingerprint'][:12]}`), {found['items']:,} items, "
        f"{cells['finished']} cells.",
    ]
    lines += standing(about, found, quick="few questions and short trainings")
    return "\n\n".join(lines)


def _concept(one: Found) -> str:
    titles = one["titles"]
    shown = ", ".join(titles[:_SHOWN]) + (f" and {len(titles) - _SHOWN} more" if len(titles) > _SHOWN else "")
    asked = ", ".join(f"{count} {kind}" for kind, count in one["asked"].items())
    lines = [
        f"## {one['name']}",
        f"A {one['kind']} of {len(titles)} item{'s'[: len(titles) > 1]}: {shown}.",
        f"Asked: {asked}.",
    ]
    if not one["oracles"]:
        lines.append("**No oracle was given**: nothing says what a model that never met the concept would answer.")
    else:
        told = ", ".join(one["telling"]) or "none"
        few = "" if len(one["telling"]) >= FAMILIES else f" **Fewer than {FAMILIES}: this concept cannot be judged.**"
        known = ", ".join(f"`{oracle[:12]}`" for oracle in one["oracles"])
        several = ("Oracle", "it") if len(one["oracles"]) == 1 else ("Oracles", "their mean")
        again = ", ".join(f"`{fork[:12]}`" for fork in one["replicates"])
        known += f"; replicate{'s'[: len(one['replicates']) > 1]} of the base {again}" if again else ""
        lines.append(f"{several[0]} {known}; families of measures that tell {several[1]} from the base: {told}.{few}")
    return "\n\n".join(lines)


_SHOWN = 8
