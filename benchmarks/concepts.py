"""Ways to forget a concept inside the model, beside oracles that never met it, and the page of it.

    python -m benchmarks.concepts --work DIR [--minutes N] [--threads N] [--page FILE] [--concept NAME ...]
      [-- OPTIONS]

Trains the forks (`benchmarks.concept_forks`, two to three hours of a core), makes a root of their catalogue, and runs
`lethe evaluate concepts` in it with two oracles for each concept and two replicates of the base; OPTIONS go to that
command (--method, --seeds, --people, ...), whose status it ends with: 75 says that cells are left. What has ended is
not done again; --page is written when nothing is left. --concept leaves out the others and their oracles.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import concept_forks
from llm.tiny.concepts import EVALUATED

LETHE = (sys.executable, "-m", "pipelines.cli.app")


def main() -> None:
    """Forks, root, grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=55.0, help="of the grid: no cell is begun that ends later")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--concept", choices=EVALUATED, action="append", help="can be repeated; all where not given")
    parser.add_argument("options", nargs="*", help="after --, for lethe evaluate concepts")
    asked = parser.parse_args()
    concepts = asked.concept or EVALUATED
    wanted = [word for name in concepts for word in ("--concept", name)]
    concept_forks.main(["--work", str(asked.work), "--threads", str(asked.threads), *wanted])
    root, ready = asked.work / "root", asked.work / "root.ready"
    if not ready.is_file():
        ingest = ("ingest", "recbole", str(asked.work / "catalogue"))
        for step in (ingest, ("train", "--backbone", "ease", "--scorer", "off")):
            subprocess.run([*LETHE, *step, "--root", str(root)], check=True)
        ready.touch()
    command = [*LETHE, "evaluate", "concepts", "--root", str(root), "--model", str(asked.work / "base")]
    for name in concepts:
        folders = [asked.work / concept_forks.oracle_of(name, place) for place in range(concept_forks.ORACLES)]
        command += ["--concept", name, *(word for folder in folders for word in ("--oracle", f"{name}={folder}"))]
    for place in range(concept_forks.REPLICATES):
        command += ["--replicate", str(asked.work / concept_forks.replicate_of(place))]
    command += ["--minutes", str(asked.minutes), *asked.options]
    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.threads)}
    status = subprocess.run(command, env=environment, check=False).returncode
    if asked.page and not status:
        status = subprocess.run([*command, "--page", str(asked.page)], env=environment, check=False).returncode
    sys.exit(status)


if __name__ == "__main__":
    main()
