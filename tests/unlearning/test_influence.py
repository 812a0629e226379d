from dataclasses import dataclass, replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from db.errors import LetheError
from db.log import InteractionLog
from recsys.recbole_models import BPR_SETTINGS, LIGHTGCN_SETTINGS
from recsys.vectors import ItemVectors, fold_vectors, found_map
from tests.recsys.toy import camps, log_of
from unlearning.data.conjugate import conjugate_gradient
from unlearning.data.ifru import ifru
from unlearning.data.influence import Case, Change, InfluenceSettings, newton_step, restore, serve
from unlearning.data.newton import Slice, minimise
from unlearning.data.pairwise import PairwiseLoss, Propagation, draw, same, stays
from unlearning.data.scif import scif

SMALL = {"dimension": 4, "batch": 64, "epochs": 20, "learning_rate": 0.05}
BPR = replace(BPR_SETTINGS, **SMALL)
LIGHTGCN = replace(LIGHTGCN_SETTINGS, **SMALL)
USERS, ITEMS, NODES, D = 12, 10, 22, 3
LOG = camps(USERS, ITEMS, 4)
SPREADS = {"bpr": same, "lightgcn": Propagation(LOG, 2)}


@pytest.fixture(params=SPREADS)
def spread(request):
    return SPREADS[request.param]


def toy_loss(spread, *, ridge=0.3, weighted=False, seed=4):
    rng = np.random.default_rng(seed)
    triples = draw(LOG, negatives=2, seed=seed)
    if weighted:
        n = len(triples.user)
        triples = triples.told(rng.uniform(0.2, 2, n), rng.uniform(0, 1, n))
    return PairwiseLoss(triples, USERS, spread, ridge), rng.normal(size=(NODES, D))


def dense(product, shape):
    size = int(np.prod(shape))
    return np.stack([product(unit.reshape(shape)).ravel() for unit in np.eye(size)])


def without(log, gone):
    return log.take(~np.isin(log.user, gone))


def case_of(log, after, *, spread=same, new=None, seed=3, ridge=0.5):
    triples = draw(log, negatives=2, seed=seed)
    return Case(log, after, triples, stays(triples, after), spread, new or spread, ridge)


def test_the_loss_is_the_sum_of_log_sigmoids_of_margins_by_hand(spread):
    loss, theta = toy_loss(spread)
    loss = replace(loss, centre=np.ones_like(theta))
    vectors = spread(theta)
    told = 0.15 * ((theta - 1) ** 2).sum()
    t = loss.triples
    for u, i, j in zip(t.user, t.item, t.other, strict=True):
        margin = vectors[u] @ (vectors[USERS + i] - vectors[USERS + j])
        told += np.log1p(np.exp(-margin)) / 2
    assert loss.at(theta).loss == pytest.approx(told, rel=1e-12)


def test_every_pair_is_drawn_once_for_each_negative_and_no_negative_was_met():
    triples = draw(LOG, negatives=3, seed=1)
    met = set(zip(LOG.user.tolist(), LOG.item.tolist(), strict=True))
    assert len(triples.user) == 3 * len(met)
    assert set(zip(triples.user.tolist(), triples.item.tolist(), strict=True)) == met
    assert met.isdisjoint(zip(triples.user.tolist(), triples.other.tolist(), strict=True))
    assert np.array_equal(draw(LOG, negatives=3, seed=1).other, triples.other)
    assert triples.weight.sum() == pytest.approx(len(met))
    assert (np.diff(triples.user) >= 0).all()


def test_the_gradient_equals_finite_differences_of_the_loss(spread):
    loss, theta = toy_loss(spread, weighted=True)
    loss = replace(loss, centre=np.full_like(theta, 0.2))
    step = 1e-5
    numeric = np.zeros(theta.size)
    for place, unit in enumerate(np.eye(theta.size)):
        way = step * unit.reshape(theta.shape)
        numeric[place] = (loss.at(theta + way).loss - loss.at(theta - way).loss) / (2 * step)
    assert loss.at(theta).gradient().ravel() == pytest.approx(numeric, abs=1e-7)


def test_products_with_the_hessian_equal_finite_differences_of_the_gradient(spread):
    loss, theta = toy_loss(spread, weighted=True)
    for seed in range(5):
        way = np.random.default_rng(seed).normal(size=theta.shape)
        step = 1e-5
        numeric = (loss.at(theta + step * way).gradient() - loss.at(theta - step * way).gradient()) / (2 * step)
        assert loss.at(theta).product(way, exact=True) == pytest.approx(numeric, abs=1e-7)


def test_gauss_newton_has_no_negative_eigenvalue_where_the_hessian_has(spread):
    loss, theta = toy_loss(spread, weighted=True)
    point = loss.at(theta)
    hessian = dense(lambda way: point.product(way, exact=True), theta.shape)
    gauss = dense(lambda way: point.product(way, exact=False), theta.shape)
    assert hessian == pytest.approx(hessian.T, abs=1e-12)
    assert gauss == pytest.approx(gauss.T, abs=1e-12)
    assert np.linalg.eigvalsh(hessian).min() < 0
    assert np.linalg.eigvalsh(gauss).min() > loss.ridge - 1e-9


def test_gauss_newton_is_the_hessian_where_every_triple_is_fitted(spread):
    loss, theta = toy_loss(spread)
    t = loss.triples
    vectors = spread(theta)
    margins = np.einsum("td,td->t", vectors[t.user], vectors[USERS + t.item] - vectors[USERS + t.other])
    fitted = replace(loss, triples=t.told(t.weight, 1 / (1 + np.exp(-margins)))).at(theta)
    way = np.random.default_rng(0).normal(size=theta.shape)
    assert fitted.product(way, exact=True) == pytest.approx(fitted.product(way, exact=False), abs=1e-10)


def test_conjugate_gradient_equals_a_dense_solve_with_the_hessian(spread):
    loss, theta = toy_loss(spread)
    point = loss.at(theta)
    right = np.random.default_rng(1).normal(size=theta.shape)
    for exact, damping in ((False, 0.5), (True, 20.0)):
        matrix = dense(lambda way, exact=exact: point.product(way, exact=exact), theta.shape)
        expected = np.linalg.solve(matrix + damping * np.eye(theta.size), right.ravel())
        found = conjugate_gradient(
            lambda way, exact=exact: point.product(way, exact=exact),
            right,
            damping=damping,
            tolerance=1e-11,
            iterations=300,
        )
        assert found.converged
        assert found.x.ravel() == pytest.approx(expected, abs=1e-8)


def test_conjugate_gradient_says_when_it_did_not_converge():
    matrix = np.diag([1.0, 10.0, 100.0])
    short = conjugate_gradient(lambda v: matrix @ v, np.ones(3), damping=0, tolerance=1e-9, iterations=2)
    assert (short.converged, short.iterations) == (False, 2)
    left = np.linalg.norm(np.ones(3) - matrix @ short.x) / np.sqrt(3)
    assert short.residual == pytest.approx(left)
    assert conjugate_gradient(lambda v: matrix @ v, np.ones(3), damping=0, tolerance=1e-9, iterations=3).converged


def test_no_progress_is_refused_and_nothing_to_solve_is_solved():
    downhill = conjugate_gradient(lambda v: -v, np.ones(3), damping=0.5, tolerance=1e-3, iterations=10)
    assert not downhill.converged
    with pytest.raises(LetheError, match="raise the damping"):
        downhill.demand_progress("raise the damping")
    nothing = conjugate_gradient(lambda v: v, np.zeros(3), damping=0, tolerance=1e-3, iterations=10)
    assert nothing.converged
    assert not nothing.x.any()
    nothing.demand_progress("never said")


class GlobalIds(Slice):
    """The bug of the public IFRU code: places in the slice are taken for nodes."""

    def widen(self, local):
        full = np.zeros((self.nodes, *local.shape[1:]))
        full[: len(self.rows)] = local
        return full

    def narrow(self, full):
        return full[: len(self.rows)]


def solve_on(slice_, point, right):
    def block(way):
        return point.product(way, exact=False)

    return conjugate_gradient(slice_.restrict(block), right, damping=0.1, tolerance=1e-11, iterations=300).x


def test_a_slice_of_scattered_rows_equals_the_dense_solve_on_those_rows_and_global_ids_do_not(spread):
    loss, theta = toy_loss(spread)
    point = loss.at(theta)
    rows = np.array([1, 4, 13, 20])
    right = np.random.default_rng(2).normal(size=(len(rows), D))
    places = (rows[:, None] * D + np.arange(D)).ravel()
    matrix = dense(lambda way: point.product(way, exact=False), theta.shape)[np.ix_(places, places)]
    expected = np.linalg.solve(matrix + 0.1 * np.eye(len(places)), right.ravel())
    assert solve_on(Slice(rows, NODES), point, right).ravel() == pytest.approx(expected, abs=1e-9)
    assert np.abs(solve_on(GlobalIds(rows, NODES), point, right).ravel() - expected).max() > 0.01


@dataclass
class Quadratic:
    """Half of |A theta − b|² with a ridge, as a loss that has `at`."""

    a: np.ndarray
    b: np.ndarray

    def at(self, theta):
        self.theta = theta
        return self

    def gradient(self):
        return self.a.T @ (self.a @ self.theta - self.b) + self.theta

    def product(self, way, *, exact):
        return self.a.T @ (self.a @ way) + way

    def minimum(self):
        return np.linalg.solve(self.a.T @ self.a + np.eye(self.a.shape[1]), self.a.T @ self.b)


def test_on_a_quadratic_one_step_lands_on_the_retrained_minimum():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(30, 6)), rng.normal(size=(30, 2))
    was, now = Quadratic(a, b), Quadratic(a[4:], b[4:])
    settings = InfluenceSettings(damping=0.0, tolerance=1e-12)
    found = newton_step(Change(was, now, Slice(np.arange(6), 6), {}), was.minimum(), settings)
    assert was.minimum() + found.x == pytest.approx(now.minimum(), abs=1e-9)
    assert np.abs(was.minimum() - now.minimum()).max() > 0.05


def test_a_step_that_makes_no_progress_is_refused_with_a_remedy():
    hill = Quadratic(np.zeros((1, 3)), np.zeros((1, 1)))
    hill.product = lambda way, *, exact: -way
    was = Quadratic(np.eye(3), np.zeros((3, 1)))
    with pytest.raises(LetheError, match=r"raise the damping above 0\.5"):
        newton_step(Change(was, hill, Slice(np.arange(3), 3), {}), np.ones((3, 1)), InfluenceSettings(damping=0.5))


@pytest.mark.parametrize("curvature", ["gauss-newton", "hessian"])
def test_on_the_convex_loss_of_items_one_step_nearly_reaches_the_retrained_minimum(curvature):
    log = camps(40, ITEMS, 4)
    case = case_of(log, without(log, [7]))
    items = Slice(np.arange(40, 40 + ITEMS), 40 + ITEMS)
    start = np.random.default_rng(0).normal(size=(40 + ITEMS, D))
    was, now = case.loss(case.triples, same), case.loss(case.triples.take(case.kept), same)
    trained, left = minimise(was, start, items, tolerance=1e-10)
    oracle, _ = minimise(now, trained, items, tolerance=1e-10)
    assert left <= 1e-10
    settings = InfluenceSettings(damping=0.0, tolerance=1e-10, curvature=curvature)
    moved = trained + items.widen(newton_step(Change(was, now, items, {}), trained, settings).x)
    assert np.linalg.norm(moved - oracle) < 0.1 * np.linalg.norm(trained - oracle)


@pytest.mark.parametrize("training", [BPR, LIGHTGCN], ids=lambda t: t.model)
def test_user_rows_are_found_again_from_histories_alone(training):
    rows = []
    log = camps(40, 20, 6)
    model = scif(training).fit(log, seed=1)
    from recsys.recbole_models import RecBoleFitter

    RecBoleFitter(training).fit(log, seed=1, watch=lambda epoch, users, items: rows.append(users))
    spread = same if training is BPR else Propagation(log, training.layers)
    case = case_of(log, without(log, [0]), spread=spread)
    theta, left = restore(model, case)
    assert left <= 1e-2
    found, folded = spread(theta)[:40].ravel(), model.user_vectors(log.histories()).ravel()
    assert np.corrcoef(found, rows[-1].ravel())[0, 1] > 0.8
    assert np.corrcoef(found, folded)[0, 1] < 0.9999
    ego = model.item_vectors if training is BPR else model.ego_vectors
    assert np.array_equal(theta[40:], ego)


@pytest.mark.parametrize("training", [BPR, LIGHTGCN], ids=lambda t: t.model)
def test_where_no_row_moves_people_are_folded_in_by_the_models_own_map(training):
    log = camps(40, 20, 6)
    model = scif(training).fit(log, seed=1)
    spread = same if training is BPR else Propagation(log, training.layers)
    case = case_of(log, log, spread=spread)
    theta, _ = restore(model, case)
    still = serve(model, case, theta, np.zeros_like(theta))
    directions = still.item_vectors / np.linalg.norm(still.item_vectors, axis=1, keepdims=True)
    assert still.fold_vectors == pytest.approx(directions @ found_map(model), abs=1e-4)
    refitted = fold_vectors(log, *(part.astype(np.float32) for part in np.split(spread(theta), [40])))
    assert np.abs(refitted - still.fold_vectors).max() > 0.01
    if training is BPR:
        assert still.fold_vectors == pytest.approx(model.fold_vectors, abs=1e-4)


METHODS = [(make, training) for make in (scif, ifru) for training in (BPR, LIGHTGCN)]


@pytest.mark.parametrize(("make", "training"), METHODS, ids=lambda m: getattr(m, "__name__", None) or m.model)
def test_forgetting_nothing_changes_nothing_bit_for_bit(make, training):
    pairs = [(u, i) for u in range(8) for i in range(u, u + 4)]
    log = log_of([*pairs, (0, 0)], 8, 12)
    method = make(training)
    model = method.fit(log, seed=1)
    kept = {name: t.copy() for name, t in vars(model).items() if isinstance(t, np.ndarray)}
    for mask in (np.full(33, True), np.arange(33) < 32):
        outcome = method.forget(model, log, log.take(mask), seed=2)
        assert outcome.facts["rows"] == 33 - mask.sum()
        assert outcome.exact is bool(mask.all())
        assert all(np.array_equal(getattr(outcome.model, name), t) for name, t in kept.items())


@pytest.mark.parametrize(("make", "training"), METHODS, ids=lambda m: getattr(m, "__name__", None) or m.model)
def test_a_forgotten_person_costs_one_step_that_the_facts_describe(make, training):
    log = camps(40, 20, 6)
    method = make(training)
    model = method.fit(log, seed=1)
    kept, heard = model.item_vectors.copy(), []
    after = without(log, [7])
    outcome = method.forget(model, log, after, seed=2, progress=lambda done, total: heard.append((done, total)))
    again = method.forget(model, log, after, seed=2)
    assert np.array_equal(again.model.item_vectors, outcome.model.item_vectors)
    assert np.array_equal(again.model.fold_vectors, outcome.model.fold_vectors)
    assert outcome.facts == again.facts
    assert np.array_equal(model.item_vectors, kept)
    assert not np.array_equal(outcome.model.item_vectors, kept)
    assert not outcome.exact
    facts = outcome.facts
    assert facts["forgotten_pairs"] == len(np.unique(log.item[log.user == 7]))
    assert (facts["cg_converged"], facts["damping"]) == ("yes", 1.0)
    assert facts["cg_residual"] <= 1e-2
    assert facts["step_norm"] > 0
    assert facts["touched_parameters"] == 4 * facts["touched_rows"]
    assert facts["user_rows_gradient"] <= 1e-2
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_a_solve_that_ran_out_of_iterations_says_so():
    log = camps(40, 20, 6)
    method = ifru(BPR, InfluenceSettings(iterations=1))
    outcome = method.forget(method.fit(log, seed=1), log, without(log, [7]), seed=2)
    assert (outcome.facts["cg_converged"], outcome.facts["cg_iterations"]) == ("no", 1)


def test_rows_of_layer_0_are_kept_for_a_graph_model_and_survive_saving(tmp_path):
    log = camps(20, 10, 4)
    model = scif(LIGHTGCN).fit(log, seed=1)
    assert not np.allclose(model.ego_vectors, model.item_vectors)
    flat = scif(replace(LIGHTGCN, layers=0)).fit(log, seed=1)
    assert np.array_equal(flat.ego_vectors, flat.item_vectors)
    assert scif(BPR).fit(log, seed=1).ego_vectors is None
    model.save(tmp_path)
    assert np.array_equal(ItemVectors.load(tmp_path).ego_vectors, model.ego_vectors)


def test_a_model_saved_without_its_rows_of_layer_0_still_serves_but_is_not_forgotten_from(tmp_path):
    log = camps(20, 10, 4)
    method = scif(LIGHTGCN)
    model = method.fit(log, seed=1)
    model.save(tmp_path)
    tensors = load_file(tmp_path / "item.safetensors")
    del tensors["ego_vectors"]
    save_file(tensors, tmp_path / "item.safetensors", {"name": "lightgcn"})
    old = ItemVectors.load(tmp_path)
    assert np.array_equal(old.scores(log.histories()), model.scores(log.histories()))
    with pytest.raises(LetheError, match="train it again"):
        method.forget(old, log, without(log, [3]), seed=2)


def test_what_cannot_be_forgotten_from_is_refused():
    log = camps(20, 10, 4)
    model = scif(BPR).fit(log, seed=1)
    with pytest.raises(LetheError, match="lacks its rows of layer 0"):
        scif(LIGHTGCN).forget(model, log, without(log, [3]), seed=2)
    with pytest.raises(LetheError, match="no interaction stays"):
        scif(BPR).forget(model, log, log.take(np.zeros(len(log), bool)), seed=2)
    other = camps(20, 11, 4)
    with pytest.raises(ValueError, match="other items than the log"):
        scif(BPR).forget(model, other, without(other, [3]), seed=2)


@pytest.mark.parametrize(
    ("bad", "remedy"),
    [
        ({"ridge": 0.0}, "ridge above 0"),
        ({"damping": -1.0}, "damping from 0"),
        ({"tolerance": 1.0}, "tolerance between"),
        ({"negatives": 0}, "at least 1"),
        ({"iterations": 0}, "at least 1"),
        ({"curvature": "newton"}, "choose gauss-newton or hessian"),
    ],
)
def test_settings_that_cannot_be_solved_with_are_refused(bad, remedy):
    with pytest.raises(LetheError, match=remedy):
        InfluenceSettings(**bad)


@dataclass
class Toy:
    """A BPR model at a minimum of the very loss that `forget` will see, and where others' rows alone would put it."""

    log: InteractionLog
    model: ItemVectors
    theta: np.ndarray
    oracles: dict[int, np.ndarray]


TOY = InfluenceSettings(negatives=2, ridge=0.25, damping=0.05, tolerance=1e-4)
ALL = Slice(np.arange(45), 45)


@pytest.fixture(scope="module")
def toy():
    log = camps(30, 15, 6)
    case = case_of(log, log, ridge=TOY.ridge)
    start = np.random.default_rng(3).normal(size=(45, 3))
    theta, left = minimise(case.loss(case.triples, same), start, ALL, tolerance=1e-5, steps=200)
    assert left <= 1e-4
    users, items = np.split(theta, [30])
    vectors = items.astype(np.float32)
    model = ItemVectors("bpr", log.items, vectors, fold_vectors(log, users, vectors))
    oracles = {}
    for person in (2, 5, 7, 11, 16, 23):
        case = case_of(log, without(log, [person]), ridge=TOY.ridge)
        now = case.loss(case.triples.take(case.kept), same)
        oracles[person] = minimise(now, theta, ALL, tolerance=1e-4, steps=200)[0]
    return Toy(log, model, theta, oracles)


def nearer(toy, person, moved):
    """Distance of a person's items to the oracle's, in units of what it is when nothing is forgotten."""
    theirs = np.unique(toy.log.item[toy.log.user == person])
    wanted = toy.oracles[person][30:][theirs]
    return np.linalg.norm(moved[theirs] - wanted) / np.linalg.norm(toy.model.item_vectors[theirs] - wanted)


@pytest.mark.parametrize("method", [ifru(BPR, TOY), scif(BPR, TOY, collaboration=0.0)], ids=lambda m: m.name)
def test_forgetting_a_person_moves_their_items_towards_the_retrained_minimum(toy, method):
    left = [
        nearer(toy, person, method.forget(toy.model, toy.log, without(toy.log, [person]), seed=3).model.item_vectors)
        for person in toy.oracles
    ]
    assert max(left) < 0.97
    assert np.mean(left) < 0.75


def test_with_the_trained_user_rows_and_the_whole_hessian_the_step_goes_more_than_half_the_way(toy):
    left = []
    for person in toy.oracles:
        case = case_of(toy.log, without(toy.log, [person]), ridge=TOY.ridge)
        change = Change(case.loss(case.triples, same), case.loss(case.triples.take(case.kept), same), ALL, {})
        found = newton_step(change, toy.theta, replace(TOY, curvature="hessian"))
        left.append(nearer(toy, person, (toy.theta + found.x)[30:]))
    assert max(left) < 0.75
    assert np.mean(left) < 0.5


def test_the_crowds_label_of_the_paper_goes_past_the_retrained_minimum(toy):
    for person in toy.oracles:
        after = without(toy.log, [person])
        removed, told = (scif(BPR, TOY, collaboration=c).forget(toy.model, toy.log, after, seed=3) for c in (0.0, 1.0))
        assert told.facts["step_norm"] > 1.5 * removed.facts["step_norm"]
        assert nearer(toy, person, told.model.item_vectors) > nearer(toy, person, removed.model.item_vectors)
