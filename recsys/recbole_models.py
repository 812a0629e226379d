"""BPR and LightGCN, trained by RecBole in memory. The only file that knows RecBole.

RecBole gives the models with their losses and initialisation, the batches and the trainer's epoch. What of it writes
or reads files is left out: interactions come from a log as clean id columns, its `Config` (which reads `sys.argv`,
evaluates strings, adds names to numpy and sets CUDA_VISIBLE_DEVICES) is replaced by a dictionary in which an unknown
key is an error, and the best state is kept in memory. No checkpoint, cached dataset, pickle or log is ever made.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from logging import getLogger
from typing import Any

import numpy as np
import torch
from recbole.data.dataset.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.general_recommender import bpr, lightgcn
from recbole.trainer.trainer import Trainer
from recbole.utils.enum_type import FeatureSource, FeatureType, InputType, ModelType
from torch import Tensor

from db.errors import LetheError
from db.log import InteractionLog
from recsys.best_epoch import BestEpoch, Trained
from recsys.candidates import FloatArray
from recsys.graph import mean_propagation, normalised_adjacency
from recsys.heldout import HeldOut, served
from recsys.matrix import log_matrix
from recsys.negatives import NegativeSampler
from recsys.vectors import ItemVectors, fold_vectors

USER, ITEM, NEGATIVE = "user_id", "item_id", "neg_item_id"

Watch = Callable[[int, FloatArray, FloatArray], None]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a backbone is trained with. `LIGHTGCN_SETTINGS` and `BPR_SETTINGS` are the defaults."""

    model: str
    epochs: int
    """All of them are run without validation; with it, the most that are run."""
    learning_rate: float
    batch: int = 2048
    dimension: int = 64
    layers: int = 0
    """Steps along the graph; LightGCN only."""
    regularisation: float = 0.0
    """Weight of RecBole's embedding penalty; LightGCN only."""
    weight_decay: float = 0.0
    evaluate_every: int = 5
    patience: int = 3
    """Evaluations without a better NDCG@10 after which training stops."""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise LetheError(f"RecBole model {self.model!r} is unknown: choose one of {', '.join(MODELS)}")
        counts = (self.epochs, self.batch, self.dimension, self.evaluate_every, self.patience)
        if min(counts) < 1 or self.layers < 0 or not self.learning_rate > 0:
            raise LetheError(f"{self} is not trainable: counts must be at least 1, the learning rate above 0")


class RecBoleFitter:
    """Trains one model. Random states outside it are left as they were."""

    def __init__(self, settings: TrainSettings, *, device: str = "cpu") -> None:
        self._settings = settings
        self._device = torch.device(device)

    def settings(self) -> dict[str, object]:
        """What the manifest records beside seed and data epoch."""
        return asdict(self._settings)

    def fit(
        self,
        log: InteractionLog,
        *,
        seed: int,
        validation: HeldOut | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
        watch: Watch = lambda epoch, user_rows, item_vectors: None,
    ) -> Trained:
        """Train on the rows of `log`; equal arguments give equal tensors on one machine and thread count.

        With `validation` the epoch with the best NDCG@10 of the served path is kept, and training stops when it
        no longer rises; without, exactly `settings.epochs` epochs are run. `progress` hears (epochs done, most
        epochs). `watch` is for measurements: it is lent (epoch, user rows, item vectors), which are never kept.
        """
        if len(log) == 0:
            raise LetheError("there are no interactions to train on: ingest some first")
        best = BestEpoch(self._settings.patience)
        for epoch, model in _epochs(self._settings, log, seed, self._device):
            progress(epoch, self._settings.epochs)
            last = epoch == self._settings.epochs
            if not last and (validation is None or epoch % self._settings.evaluate_every):
                continue
            user_rows, item_vectors = model.rows()
            watch(epoch, user_rows, item_vectors)
            folds = fold_vectors(log, user_rows, item_vectors)
            backbone = ItemVectors(self._settings.model, log.items, item_vectors, folds, model.ego_items())
            if validation is None:
                return Trained(backbone, epoch)
            best.offer(epoch, float(served(backbone, validation, 10).ndcg.mean()), backbone)
            if best.stale:
                break
        return best.trained()


def _epochs(
    settings: TrainSettings, log: InteractionLog, seed: int, device: torch.device
) -> Iterator[tuple[int, "BPR | LightGCN"]]:
    config = _config(settings, seed, device)
    dataset = _LogDataset(config, log)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[settings.model](config, dataset).to(device)
    trainer = _Trainer(config, model)
    batches = _Batches(dataset.inter_feat, NegativeSampler(log, seed), settings.batch, seed)
    for epoch in range(1, settings.epochs + 1):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, message=".*GradScaler")
            trainer._train_epoch(batches, epoch)
        yield epoch, model


def _config(settings: TrainSettings, seed: int, device: torch.device) -> dict[str, Any]:
    return {
        "USER_ID_FIELD": USER,
        "ITEM_ID_FIELD": ITEM,
        "NEG_PREFIX": "neg_",
        "MODEL_TYPE": ModelType.GENERAL,
        "MODEL_INPUT_TYPE": InputType.PAIRWISE,
        "device": device,
        "single_spec": True,
        "seed": seed,
        "embedding_size": settings.dimension,
        "n_layers": settings.layers,
        "reg_weight": settings.regularisation,
        "require_pow": False,
        "learner": "adam",
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "clip_grad_norm": None,
    }


class BPR(bpr.BPR):  # type: ignore[misc]
    """RecBole's BPR (Rendle et al. 2009); its vectors can be read."""

    def rows(self) -> tuple[FloatArray, FloatArray]:
        """Copies of the user rows and item vectors."""
        return _array(self.user_embedding.weight), _array(self.item_embedding.weight)

    def ego_items(self) -> None:
        """None: the item vectors are the rows of layer 0 themselves."""


class LightGCN(lightgcn.LightGCN):  # type: ignore[misc]
    """RecBole's LightGCN (He et al. 2020) with a CSR adjacency; initialisation and the value of the loss are RecBole's.

    Upstream fills a dictionary of keys to build the same matrix, by way of `dok_matrix._update`, which scipy
    dropped; and it multiplies in COO form, whose backward pass sorts the matrix anew at every step. Its penalty gathers
    every row of a batch and scatters the gradient back: here rows are counted instead. Rows that must be gathered are
    by `index_select`: the gradient of bracket indexing takes twice as long on a CPU.
    """

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """BPR of the propagated vectors, and the norms of the batch's rows of layer 0 over the batch's size."""
        user, positive, negative = (interaction[name] for name in (USER, ITEM, NEGATIVE))
        users, items = self.forward()
        preferred = items.index_select(0, positive) - items.index_select(0, negative)
        margins = torch.mul(users.index_select(0, user), preferred).sum(dim=1)
        loss: Tensor = self.mf_loss(margins, torch.zeros_like(margins))
        of_users, of_items = (table.weight.square().sum(dim=1) for table in (self.user_embedding, self.item_embedding))
        rows = ((of_users, user), (of_items, positive), (of_items, negative))
        penalty = torch.stack([_norm_of_rows(squares, taken) for squares, taken in rows]).sum()
        return loss.add(penalty, alpha=self.reg_weight / len(user))

    def get_norm_adj_mat(self) -> Tensor:
        """The normalised adjacency; equal to upstream's within float32 rounding."""
        return normalised_adjacency(self.interaction_matrix.tocsr())

    def forward(self) -> tuple[Tensor, Tensor]:
        """User and item vectors: the mean over layers 0 to n_layers."""
        mean = mean_propagation(self.norm_adj_matrix, self.get_ego_embeddings(), self.n_layers)
        users, items = torch.split(mean, [self.n_users, self.n_items])
        return users, items

    def rows(self) -> tuple[FloatArray, FloatArray]:
        """Copies of the user rows and item vectors."""
        with torch.no_grad():
            users, items = self.forward()
        return _array(users), _array(items)

    def ego_items(self) -> FloatArray:
        """A copy of the item rows of layer 0, which the vectors are propagated from."""
        return _array(self.item_embedding.weight)


MODELS: dict[str, type[BPR] | type[LightGCN]] = {"bpr": BPR, "lightgcn": LightGCN}
"""What `TrainSettings.model` may name."""

LIGHTGCN_SETTINGS = TrainSettings("lightgcn", epochs=80, learning_rate=5e-3, layers=2, regularisation=1e-5)

BPR_SETTINGS = TrainSettings("bpr", epochs=60, learning_rate=2e-3)


def _norm_of_rows(squares: Tensor, taken: Tensor) -> Tensor:
    """The Frobenius norm of rows taken from a table, once or more, from the squared norms of all its rows."""
    often = torch.bincount(taken, minlength=len(squares)).to(squares.dtype)
    norm: Tensor = torch.dot(often, squares).sqrt()
    return norm


def _array(tensor: Tensor) -> FloatArray:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)


class _LogDataset(Dataset):  # type: ignore[misc]
    """RecBole's dataset over the distinct (user, item) pairs of a log; its ids are the log's rows.

    The constructor of RecBole's class, which reads files, is not called.
    """

    def __init__(self, config: dict[str, Any], log: InteractionLog) -> None:
        self.config = config
        self.logger = getLogger(__name__)
        self.uid_field, self.iid_field = USER, ITEM
        self.user_feat = self.item_feat = None
        self.field2type: dict[str, FeatureType] = {}
        self.field2source: dict[str, FeatureSource] = {}
        self.field2seqlen: dict[str, int] = {}
        self._rows = {USER: len(log.users), ITEM: len(log.items)}
        for name in self._rows:
            self.set_field_property(name, FeatureType.TOKEN, FeatureSource.INTERACTION, 1)
        pairs = log_matrix(log).tocoo()
        self.inter_feat = Interaction(
            {USER: torch.from_numpy(pairs.row).long(), ITEM: torch.from_numpy(pairs.col).long()}
        )

    def num(self, field: str) -> int:
        """Rows of users or items; none is kept for padding."""
        return self._rows[field]


class _Batches:
    """Pairs in a new order each epoch, with one negative each, from a seed of its own.

    It stands for RecBole's `TrainDataLoader`, which turns every index into a Python integer and back.
    """

    def __init__(self, pairs: Interaction, negatives: NegativeSampler, size: int, seed: int) -> None:
        self._users, self._items = pairs[USER], pairs[ITEM]
        self._negatives = negatives
        self._size = size
        self._generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[Interaction]:
        order = torch.randperm(len(self._users), generator=self._generator)
        for places in torch.split(order, self._size):
            users, items = self._users[places], self._items[places]
            drawn = torch.from_numpy(self._negatives.sample(users.numpy()))
            yield Interaction({USER: users, ITEM: items, NEGATIVE: drawn})


class _Trainer(Trainer):  # type: ignore[misc]
    """RecBole's optimiser and training epoch, without the parts of its constructor that make folders and loggers."""

    def __init__(self, config: dict[str, Any], model: "BPR | LightGCN") -> None:
        self.config = config
        self.model = model
        self.logger = getLogger(__name__)
        self.device = config["device"]
        self.learner = config["learner"]
        self.learning_rate = config["learning_rate"]
        self.weight_decay = config["weight_decay"]
        self.clip_grad_norm = config["clip_grad_norm"]
        self.enable_amp = self.enable_scaler = self.gpu_available = False
        self.optimizer = self._build_optimizer()

    def _build_optimizer(self, **kwargs: Any) -> torch.optim.Adam:
        """RecBole's Adam, in one pass over each table instead of a dozen."""
        return torch.optim.Adam(
            self.model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
