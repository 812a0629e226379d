"""RecBole as it comes: its own settings, files, sampler, trainer and evaluation, on a split that Lethe made.

The yardstick of `benchmarks.backbones`, and nothing the product uses. RecBole 1.2.1 needs four names that numpy 2
and scipy 1.11 dropped, reads `sys.argv`, and writes to the working directory: all three are met here.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from db.log import SPLITS, InteractionLog

CHANGES = ("epochs", "stopping_step")


def supply_dropped_names() -> None:
    """Give back `np.float_`, `np.complex_`, `np.unicode_` and `dok_matrix._update`, where they are missing."""
    for name, kind in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
        if not hasattr(np, name):
            setattr(np, name, kind)
    if not hasattr(sp.dok_matrix, "_update"):
        setattr(sp.dok_matrix, "_update", lambda matrix, data: matrix._dict.update(data))  # noqa: B010


@contextmanager
def elsewhere() -> Iterator[Path]:
    """A scratch folder as working directory, destroyed afterwards, and a `sys.argv` that names no RecBole setting."""
    argv, home = sys.argv, Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            sys.argv = argv[:1]
            os.chdir(scratch)
            (Path(scratch) / "bench").mkdir()
            yield Path(scratch) / "bench"
        finally:
            os.chdir(home)
            sys.argv = argv


def train(model: str, log: InteractionLog, seed: int, *changes: int) -> dict[str, float]:
    """Train `model` with RecBole's defaults and evaluate on the log's test rows.

    `changes`, where given, are the most epochs and the evaluations without a better one after which it stops.
    """
    supply_dropped_names()
    with elsewhere() as folder:
        for code, split in enumerate(SPLITS):
            _write(folder / f"bench.{split}.inter", log.take(log.split == code))
        parts = [str(s) for s in SPLITS]
        changed = {"seed": seed, "benchmark_filename": parts, **dict(zip(CHANGES, changes, strict=False))}
        return _train(model, configured(model, changed), seed)


def _write(path: Path, rows: InteractionLog) -> None:
    lines = [f"{u}\t{i}" for u, i in zip(rows.user.tolist(), rows.item.tolist(), strict=True)]
    path.write_text("\n".join(["user_id:token\titem_id:token", *lines, ""]))


def configured(model: str, changed: dict[str, Any]) -> Any:
    """RecBole's settings for a model over files called `bench`, with changes over them."""
    from recbole.config import Config

    quiet = {"data_path": ".", "show_progress": False, "use_gpu": False}
    return Config(model=model, dataset="bench", config_dict=quiet | changed)


def _train(name: str, config: Any, seed: int) -> dict[str, float]:
    import torch
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer
    from recbole.utils import get_model, init_seed

    init_seed(seed, True)
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    start, cpu = time.perf_counter(), time.process_time()
    model = get_model(name)(config, train_data.dataset).to(config["device"])
    trainer = Trainer(config, model)
    best: dict[str, Any] = {"score": -1.0}

    def keep(epoch: int, score: float) -> None:
        if score > best["score"]:
            best.update(score=score, epoch=epoch, state={k: v.clone() for k, v in model.state_dict().items()})
        best["last"] = epoch

    trainer.fit(train_data, valid_data, verbose=False, saved=False, callback_fn=keep)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    model.load_state_dict(best["state"])
    model.eval()
    if hasattr(model, "restore_user_e"):
        model.restore_user_e = model.restore_item_e = None
    with torch.no_grad():
        result = trainer.evaluate(test_data, load_best_model=False)
    return {
        "ndcg@10": float(result["ndcg@10"]),
        "hit_rate@10": float(result["hit@10"]),
        "recall@10": float(result["recall@10"]),
        "epochs": best["last"] + 1,
        "best_epoch": best["epoch"] + 1,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def main() -> None:
    """Train one model on ml-100k: `python -m benchmarks.recbole_default MODEL SPLIT SEED OUT [EPOCHS [PATIENCE]]`."""
    from benchmarks.datasets import ml100k
    from recsys.splits import SplitRecipe

    model, split, seed, out, *changes = sys.argv[1:]
    result = train(model, ml100k(SplitRecipe(split)), int(seed), *map(int, changes))
    Path(out).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
