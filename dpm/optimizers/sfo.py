"""The Sum of Functions Optimizer."""

import logging

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from dpm.optimizers.base import Optimizer, check_state, finite, positive, rng_from_array, rng_to_array
from dpm.optimizers.nest import short
from dpm.optimizers.sfo_quadratics import ARRAYS, Quadratics
from dpm.optimizers.sfo_subspace import Subspace

log = logging.getLogger(__name__)

SELECTIONS = ("distance both", "distance single", "distance total", "random")
COUNTERS = ("active", "since", "pending", "retries", "rejected", "skipped_steps")
NUMBERS = ("shrink", "drop", "radius")
#: A quadratic holds where it misses by less than a tenth of the larger of the change it told and the true one; it
#: does not where it misses by more than half. Where gradients are noisy it never does: the radius falls no faster than
#: by a factor of eight while each active subfunction is evaluated once.
HOLDS, FAILS, SHRINK = 0.1, 0.5, 8.0
#: So many steps may be of any length, before their mean limits the next.
FIRST_STEPS = 4
VECTORS = ("order", "at", "proposal", "failed", "lengths", "origin")


def least_subspace(N, terms):
    """The fewest dimensions that hold N gradients and positions, or a whole history."""
    return max(2 * N + 2, 2 * terms + 2)


def default_subspace(N, terms=10):
    """How many dimensions SFO gives to the subspace of N subfunctions: each a vector of theta's size to remember."""
    return max(3 * N, least_subspace(N, terms))


class SFO(Optimizer):
    """Minimize a sum of functions with one quadratic for each (Sohl-Dickstein, Poole, Ganguli, ICML 2014).

    What a step does, and what the paper's section about it is called: it evaluates one subfunction at the present
    proposal and moves its quadratic there ("Approximating functions"); updates the quadratic's Hessian from its own
    history ("Online Hessian approximation") in the subspace that all share ("A shared, adaptive, low-dimensional
    representation"); proposes the minimum of the sum of all quadratics ("Update steps"). The next subfunction is the
    one whose quadratic was made farthest away ("Choosing a target subfunction"); the set of active ones starts small
    and grows ("Growing the number of active subfunctions"); a proposal at which a subfunction rose more than the
    model allows is taken back ("Detecting bad updates").
    One thing is not in the paper: a radius, which grows to twice the distance at which a quadratic was seen to hold,
    and falls to half of one at which it did not. A step ends where the root mean square distance from the positions
    of all quadratics reaches it. Without that limit the sum of quadratics sends networks with saturating units to
    where no gradient leads back.
    It needs subfunctions that always give the same value for the same theta: freeze their noise.

    f_df(theta, reference, *args): (f, gradient) of one subfunction, gradient in theta's form.
    theta: the start, an array or number or a nest of them; subfunction_references: one object a subfunction, N >= 1.
    rng: numpy Generator, the only source of chance; display: 1 logs a line a pass.
    max_history_terms: pairs kept for each Hessian. hess_max_dev: largest ratio of eigenvalues within one.
    hessian_init: the curvature assumed before any was seen, which makes the first step short.
    init_subf: active subfunctions at the start. max_gradient_noise: one more becomes active when the mean gradient,
    squared, falls below so many times its squared standard error; it does so in any case after a pass over all active.
    subfunction_selection: 'distance single' measures with the subfunction's Hessian, 'distance total' with the sum's,
    'distance both' takes either by chance, 'random' does not measure.
    max_step_length_ratio: longest step, in units of the mean of the last N (or 10) steps taken.
    minimum_step_length: steps as short as this tell nothing about curvature; shorter ones are not made.
    max_subspace: most dimensions of the subspace, by default 3 N and at least 2 max_history_terms + 2; memory is about
    (max_subspace + N) * size numbers.

    float32 theta is worked on, and handed to f_df, in float32; coordinates and Hessians are float64 always.
    Raises ValueError for arguments that are not usable, and where f or its gradient is not finite at the start;
    later such a step is logged, counted in `skipped_steps` and taken back half way.
    """

    def __init__(
        self,
        f_df,
        theta,
        subfunction_references,
        args=(),
        *,
        rng=None,
        display=0,
        max_history_terms=10,
        hess_max_dev=1e8,
        hessian_init=1e5,
        init_subf=2,
        max_gradient_noise=1.0,
        subfunction_selection="distance both",
        max_step_length_ratio=10.0,
        minimum_step_length=1e-8,
        max_subspace=None,
    ):
        super().__init__(f_df, theta, subfunction_references, args, rng, display)
        N, terms = len(self.sum), positive("max_history_terms", max_history_terms, whole=True)
        if subfunction_selection not in SELECTIONS:
            raise ValueError(f"subfunction_selection={subfunction_selection!r}; accepted: {', '.join(SELECTIONS)}")
        capacity = default_subspace(N, terms) if max_subspace is None else max_subspace
        positive("max_subspace", capacity, whole=True, least=least_subspace(N, terms))
        self.max_gradient_noise = positive("max_gradient_noise", max_gradient_noise)
        self.max_step_length_ratio = positive("max_step_length_ratio", max_step_length_ratio)
        self.minimum_step_length = positive("minimum_step_length", minimum_step_length)
        self.selection, self.eps = subfunction_selection, float(np.finfo(self.sum.nest.dtype).eps)
        self.origin, self.origin_length = self.sum.start, float(np.linalg.norm(self.sum.start))
        self.subspace = Subspace(self.sum.nest.size, capacity, self.sum.nest.dtype, N)
        self.quadratics = Quadratics(
            N,
            self.subspace.capacity,
            terms,
            positive("hess_max_dev", hess_max_dev, least=1),
            positive("hessian_init", hessian_init),
        )
        # Subfunction k of the quadratics is references[order[k]]: the first `active` are always the active ones.
        self.order = self.rng.permutation(N)
        self.active = min(N, positive("init_subf", init_subf, whole=True))
        self.since = self.rejected = self.skipped_steps = self.retries = 0
        self.pending = -1
        self.at = np.zeros(self.subspace.capacity)
        self.proposal = self.at
        self.shrink, self.drop, self.radius = 1.0, 0.0, np.inf
        self.failed = np.zeros(N, bool)
        self.lengths = np.zeros(0)

    def vector(self):
        """The last point that was evaluated and not taken back, flat."""
        return self._theta(self.at)

    def _theta(self, coordinates):
        theta = self.subspace.combine(coordinates)
        theta += self.origin
        return theta

    def report(self):
        """One line for the log."""
        known = self.quadratics.counts > 0
        return (
            f"{super().report()}, f {self.quadratics.values[known].mean():.6g} a subfunction as last evaluated, "
            f"{self.active} of {len(self.sum)} active, {self.subspace.dim} dimensions, {self.rejected} steps taken back"
        )

    def step(self):
        """Evaluate one subfunction at the proposal; take it over or back; make the next proposal."""
        i = self._choose()
        value, gradient = self.sum(self._theta(self.proposal), int(self.order[i]))
        if not finite(value, gradient):
            self._not_finite(i)
            return
        if not self.subspace.room():
            self._collapse()
        gradient = self.subspace.gradient(i, gradient, self.quadratics.gradients[i])
        told = self.quadratics.value(i, self.proposal) if self.quadratics.counts[i] else np.inf
        rose = self._rose(i, value, told)
        if self.pending < 0 and self.quadratics.counts[i]:
            self._trust(i, value, told)
        self.quadratics.record(i, self.proposal, value, gradient, self._least_step())
        if self.sum.evaluations % len(self.sum) == 0:
            self.quadratics.refresh()
            self.failed[:] = False
        if rose:
            # The subfunction is evaluated again where it came from: with both ends known its quadratic is good there.
            self.rejected += 1
            self.pending, self.retries, self.proposal, self.drop = i, 0, self.at, 0.0
            return
        if self.pending < 0 and self.quadratics.own.any():
            self._remember_length()
        self.at, self.pending, self.retries = self.proposal, -1, 0
        self.shrink = min(1.0, 2 * self.shrink)
        self._propose(grow=True)

    def _choose(self):
        """Which subfunction to evaluate next ("Choosing a target subfunction")."""
        quadratics = self.quadratics
        if self.pending >= 0:
            return self.pending
        if quadratics.counts.sum() == 1:
            return int(quadratics.counts.argmax())  # a second look, for a first curvature
        choice = np.flatnonzero(~self.failed[: self.active])
        new = choice[quadratics.counts[choice] == 0]
        if len(new):
            return int(new[0])
        kind = self.selection
        if kind == "distance both":
            kind = "distance single" if self.rng.random() < 0.5 else "distance total"
        if kind == "random" or len(choice) == 1:
            return int(self.rng.choice(choice))
        if kind == "distance total":
            D = self.proposal - quadratics.positions[choice]
            distances = np.einsum("nk,nk->n", D, D @ quadratics.total)
        else:
            distances = quadratics.distances(self.proposal)[choice]
        return int(self.rng.choice(choice[distances >= distances.max() * (1 - 1e-12)]))

    def _rose(self, i, value, told):
        """Whether the subfunction rose by more than the sum was to fall ("Detecting bad updates")."""
        quadratics = self.quadratics
        if (self.pending >= 0 and not self.retries) or not quadratics.counts[i] or value <= quadratics.values[i]:
            return False
        return value - told > self.drop

    def _trust(self, i, value, told):
        """Set the radius by how far from where it was made the quadratic of f_i still holds."""
        quadratics = self.quadratics
        before = quadratics.values[i]
        distance = float(np.linalg.norm(self.proposal - quadratics.positions[i]))
        change = max(abs(told - before), abs(value - before))
        rounding = 100 * self.eps * max(abs(value), abs(before))
        if abs(value - told) > max(FAILS * change, rounding):
            slowest = self.radius * SHRINK ** (-1 / self.active) if np.isfinite(self.radius) else 0.0
            self.radius = max(min(self.radius, distance / 2), slowest)
        elif abs(value - told) < max(HOLDS * change, rounding):
            self.radius = max(self.radius, 2 * distance)

    def _not_finite(self, i):
        """Come back half way and try again; at the very start there is no way back."""
        reference = short(self.sum.references[self.order[i]])
        if not self.quadratics.counts.any():
            message = f"f or its gradient is not finite at theta, subfunction {reference}"
            raise ValueError(f"{message}; accepted: finite numbers")
        log.warning("f or its gradient is not finite, subfunction %s, evaluation %d", reference, self.sum.evaluations)
        self.skipped_steps += 1
        self.shrink = max(self.shrink / 2, 1e-30)
        # Others may have led to where this one is not finite: begin where it was, and try again with itself.
        self.at = self.quadratics.positions[i].copy() if self.quadratics.counts[i] else 0.5 * self.at
        self.retries, self.pending = self.retries + 1, i
        if self.retries >= 20:
            # It is not the length of the step: the others go on without it.
            self.failed[i] = True
            if self.failed[: self.active].all():
                self.failed[:] = False
            self.retries, self.pending, self.shrink = 0, -1, 1.0
        self._propose(grow=False)

    def _collapse(self):
        """Make room: keep the latest gradients and positions, and of the histories what fits."""
        space = self.subspace
        most = max(2 * len(self.sum), 2 * space.capacity // 3)
        kept = self.quadratics.span(space.dim, most, np.stack([self.at, self.proposal]))
        kept = space.collapse(kept)
        self.quadratics.collapse(kept)
        dim, k = kept.shape
        moved = []
        for z in (self.at, self.proposal):
            new = np.zeros_like(z)
            new[:k] = z[:dim] @ kept
            moved.append(new)
        self.at, self.proposal = moved

    def _remember_length(self):
        """The step just taken counts in the mean that limits the next ones; one taken back does not."""
        length = float(np.linalg.norm(self.proposal - self.at))
        if length > 0:
            self.lengths = np.append(self.lengths, length)[-max(10, len(self.sum)) :]

    def _least_step(self):
        """Steps shorter than this are rounding: they tell nothing about curvature."""
        return max(self.minimum_step_length, 100 * self.eps * self._scale())

    def _scale(self):
        """About the length of theta."""
        return self.origin_length + float(np.linalg.norm(self.at))

    def _propose(self, grow):
        """Go to the minimum of the sum of quadratics, as far as the limits allow."""
        gradient, H = self.quadratics.summed(self.at)
        solve = solver(H)
        if grow:
            self._grow(solve)
        step = -solve(gradient)
        length = float(np.linalg.norm(step))
        if not self.quadratics.own.any():
            # Nothing is known of the curvature: a step that is sure to be short, and to be more than rounding.
            scale = max(1.0, self._scale())
            shortest = max(2 * self.minimum_step_length, self.eps**0.5 * scale)
            limit = min(max(length, shortest), 0.01 * scale)
        elif len(self.lengths) >= FIRST_STEPS:
            limit = min(length, self.max_step_length_ratio * float(self.lengths.mean()))
        else:
            limit = length
        if length > 0 and np.isfinite(self.radius):
            limit = min(limit, self._within_radius(step / length))
        # A step too short to tell anything would be made again and again where the quadratics are wrong.
        limit = max(limit * self.shrink, 2 * self._least_step())
        if length > 0:
            step *= limit / length
        self.drop = -float(gradient @ step + 0.5 * step @ (H @ step))
        self.proposal = self.at + step

    def _within_radius(self, direction):
        """How far to go in a direction until the mean square distance from the quadratics' positions is radius^2."""
        away = self.at - self.quadratics.positions[self.quadratics.counts > 0]
        ahead = float((away @ direction).mean())
        room = self.radius**2 - float(np.einsum("nk,nk->", away, away)) / len(away)
        return float(np.sqrt(ahead**2 + room)) - ahead if room > 0 else 0.0

    def _grow(self, solve):
        """One more active subfunction when noise hides the mean gradient, or after a pass over the active."""
        self.since += 1
        counts, n = self.quadratics.counts[: self.active], self.active
        if n == len(self.sum) or not counts.all():
            return
        gradients = self.quadratics.gradients[:n]
        mean = gradients.mean(0)
        noise = gradients - mean
        signal = mean @ solve(mean)
        error = np.einsum("nk,kn->", noise, solve(noise.T)) / (n * max(n - 1, 1))
        if signal < self.max_gradient_noise * error or self.since >= n:
            self.active, self.since = n + 1, 0

    def state(self):
        """What a checkpoint keeps: dict of arrays, all copies; see Optimizer.state."""
        space = self.subspace
        state = {name: np.array(getattr(self, name)) for name in COUNTERS + NUMBERS}
        state |= {name: getattr(self, name).copy() for name in VECTORS}
        state |= {"evaluations": np.array(self.sum.evaluations), "rng": rng_to_array(self.rng)}
        rows = 0 if space.full else space.dim
        state |= {"basis": space.rows[:rows].copy(), "basis_factor": space.factor.copy()}
        # Rows of subfunctions that were never seen hold whatever was in memory.
        state |= {"seen": space.seen.copy(), "last": np.where(space.seen[: len(space.last), None], space.last, 0)}
        return state | self.quadratics.state()

    def load_state(self, state):
        """Go on bit-exactly from `state`, as state() of an SFO with the same arguments gave it."""
        own = self.state()
        free = ("basis", "lengths", "rng")
        expected = {name: (None if name in free else array.shape, array.dtype.kind) for name, array in own.items()}
        check_state(state, expected)
        space, basis = self.subspace, np.asarray(state["basis"])
        if basis.ndim != 2 or len(basis) > len(space.rows) or basis.shape[1] != space.size:
            accepted = f"at most {len(space.rows)} x {space.size}"
            raise ValueError(f"state['basis'] has shape {basis.shape}; accepted: {accepted}")
        rng_state = rng_from_array(state["rng"], self.rng)
        self.rng.bit_generator.state = rng_state
        for name in COUNTERS + NUMBERS:
            setattr(self, name, np.asarray(state[name]).item())
        for name in VECTORS:
            setattr(self, name, np.array(state[name], dtype=own[name].dtype))
        self.origin_length = float(np.linalg.norm(self.origin))
        self.sum.evaluations = int(state["evaluations"])
        if not space.full:
            space.dim = len(basis)
            space.rows[: len(basis)] = basis
            space.factor = np.array(state["basis_factor"])
            space.seen, space.last = np.array(state["seen"]), np.array(state["last"], space.dtype)
        self.quadratics.load_state({name: state[name] for name in ARRAYS})


def solver(H):
    """A function that solves H x = b for a symmetric H; directions without curvature get no step."""
    factor, failed = dpotrf(H.T, lower=True, clean=False)
    if not failed:
        return lambda b: dpotrs(factor, b, lower=True)[0]
    values, vectors = np.linalg.eigh(H)
    good = values > 1e-14 * abs(values).max()
    inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
    return lambda b: inverse @ b
