"""The Sum of Functions Optimizer."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dpm.base.blas import one_blas_thread
from dpm.optimizers.base import (
    Array,
    Optimizer,
    check_positive,
    check_state,
    is_finite,
    rng_from_array,
    rng_to_array,
)
from dpm.optimizers.nest import short_repr
from dpm.optimizers.sfo_quadratics import ARRAYS, Quadratics, make_solver
from dpm.optimizers.sfo_subspace import Subspace, default_subspace, minimum_subspace

log = logging.getLogger(__name__)

SELECTIONS = ("distance both", "distance single", "distance total", "random")
COUNTERS = ("active", "since", "pending", "retries", "rejected", "skipped_steps")
NUMBERS = ("shrink", "drop", "radius")
VECTORS = ("order", "at", "proposal", "failed", "lengths", "origin")
#: A quadratic holds if its error is below a tenth of the larger of the predicted and the true change, and fails if the
#: error is above half of it. With noisy gradients it never holds: the radius falls at most by a factor of eight while
#: each active subfunction is evaluated once.
HOLDS, FAILS, SHRINK = 0.1, 0.5, 8.0
#: Number of steps of any length before the mean length limits the next ones.
FIRST_STEPS = 4


class SFO(Optimizer):
    """Minimize a sum with one quadratic per subfunction: SFO (Sohl-Dickstein, Poole, Ganguli, ICML 2014).

    A step consists of these parts; the quoted names are sections of the paper.

    - Choose the subfunction whose quadratic was made farthest away ("Choosing a target subfunction"), among the active
      ones, which are few at the start ("Growing the number of active subfunctions").
    - Evaluate it at the current proposal, and move its quadratic there ("Approximating functions").
    - Go back if the subfunction rose more than the model allows ("Detecting bad updates").
    - Update the quadratic's Hessian from its history ("Online Hessian approximation"), in the subspace that all share
      ("A shared, adaptive, low-dimensional representation").
    - Propose the minimum of the sum of all quadratics ("Update steps").

    One part is not in the paper: a radius, which grows to twice the distance at which a quadratic held, and falls to
    half of a distance at which it failed. A step ends where the root mean square distance from the positions of all
    quadratics reaches the radius. Without this limit the sum of quadratics moves networks with saturating units to
    where no gradient leads back.

    A subfunction must always give the same value for the same theta: freeze its noise.

    theta is stored, and passed to f_df, in its float type; coordinates and Hessians are always float64. Memory is about
    (max_subspace + N) * size numbers.

    Args:
        f_df: function f_df(theta, reference, *args) that returns (f_i, gradient), the gradient in theta's structure.
        theta: start, an array or number or a nest of them.
        subfunction_references: one object per subfunction, N >= 1.
        args: further arguments of f_df.
        rng: the only source of randomness; None makes a new one.
        display: 1 logs one line per pass.
        max_history_terms: largest number of pairs for each Hessian.
        hess_max_dev: largest ratio of two eigenvalues of a Hessian.
        hessian_init: curvature assumed before any is measured; a large one makes the first step short.
        init_subf: number of active subfunctions at the start.
        max_gradient_noise: one more becomes active when the squared mean gradient is below this many times its squared
            standard error, and in any case after a pass over all active ones.
        subfunction_selection: "distance single" measures with the Hessian of the subfunction, "distance total" with
            that of the sum, "distance both" with either at random; "random" does not measure.
        max_step_length_ratio: longest step, in units of the mean of the last max(N, 10) steps.
        minimum_step_length: shortest step; steps up to this length say nothing about curvature.
        max_subspace: largest number of dimensions of the subspace, by default 3 N and at least
            2 max_history_terms + 2.
        n_ahead: number of subfunctions that a step evaluates, all at the same proposal, where as many are active. The
            paper has 1. With more the sum is known better at each step, and there are fewer steps in a pass.
        f_dfs: function f_dfs(theta, references, *args) that yields what f_df returns for each reference, and may
            compute them at the same time; None calls f_df for one after the other.

    Raises:
        ValueError: if an argument is not usable, or if f or its gradient is not finite at the start. Later such a step
            is logged, counted in `skipped_steps` and halved.
    """

    def __init__(
        self,
        f_df: Callable[..., tuple[Any, Any]],
        theta: Any,
        subfunction_references: Iterable[Any],
        args: Iterable[Any] = (),
        *,
        rng: np.random.Generator | None = None,
        display: int = 0,
        max_history_terms: int = 10,
        hess_max_dev: float = 1e8,
        hessian_init: float = 1e5,
        init_subf: int = 2,
        max_gradient_noise: float = 1.0,
        subfunction_selection: str = "distance both",
        max_step_length_ratio: float = 10.0,
        minimum_step_length: float = 1e-8,
        max_subspace: int | None = None,
        n_ahead: int = 1,
        f_dfs: Callable[..., Iterable[tuple[Any, Any]]] | None = None,
    ) -> None:
        super().__init__(f_df, theta, subfunction_references, args, rng, display, f_dfs)
        N, terms = len(self.sum), check_positive("max_history_terms", max_history_terms, whole=True)
        if subfunction_selection not in SELECTIONS:
            expected = f"one of {', '.join(SELECTIONS)}"
            raise ValueError(f"subfunction_selection: got {subfunction_selection!r}; expected {expected}")
        capacity = default_subspace(N, terms) if max_subspace is None else max_subspace
        check_positive("max_subspace", capacity, whole=True, least=minimum_subspace(N, terms))
        self.max_gradient_noise = check_positive("max_gradient_noise", max_gradient_noise)
        self.max_step_length_ratio = check_positive("max_step_length_ratio", max_step_length_ratio)
        self.minimum_step_length = check_positive("minimum_step_length", minimum_step_length)
        self.n_ahead = check_positive("n_ahead", n_ahead, whole=True)
        self.selection, self.eps = subfunction_selection, float(np.finfo(self.sum.nest.dtype).eps)
        self.origin, self.origin_length = self.sum.start, float(np.linalg.norm(self.sum.start))
        self.subspace = Subspace(self.sum.nest.size, capacity, self.sum.nest.dtype, N)
        self.quadratics = Quadratics(
            N,
            self.subspace.capacity,
            terms,
            check_positive("hess_max_dev", hess_max_dev, least=1),
            check_positive("hessian_init", hessian_init),
        )
        # Subfunction k of the quadratics is references[order[k]]: the first `active` are always the active ones.
        self.order = self.rng.permutation(N)
        self.active = min(N, check_positive("init_subf", init_subf, whole=True))
        self.since = self.rejected = self.skipped_steps = self.retries = 0
        self.pending = -1
        self.at = np.zeros(self.subspace.capacity)
        self.proposal = self.at
        self.shrink, self.drop, self.radius = 1.0, 0.0, np.inf
        self.failed = np.zeros(N, bool)
        self.lengths = np.zeros(0)

    def vector(self) -> Array:
        """Return the last point that was evaluated and not rejected, as a vector (size,)."""
        return self._theta(self.at)

    def _theta(self, coordinates: Array) -> Array:
        """Return the point (size,) with these coordinates."""
        theta = self.subspace.combine(coordinates)
        theta += self.origin
        return theta

    def report(self) -> str:
        """Return one line for the log."""
        known = self.quadratics.counts > 0
        return (
            f"{super().report()}, mean f {self.quadratics.values[known].mean():.6g} as last evaluated, "
            f"{self.active} of {len(self.sum)} active, {self.subspace.dim} dimensions, {self.rejected} steps rejected"
        )

    def step(self) -> None:
        """Evaluate subfunctions at the proposal, accept or reject it, and make the next proposal.

        An evaluation that raises leaves everything as it was.
        """
        rng_state, evaluations = self.rng.bit_generator.state, self.sum.evaluations
        with one_blas_thread():
            chosen = self._choose_subfunctions()
            theta = self._theta(self.proposal)
        try:
            found = [(f, gradient.copy()) for f, gradient in self.sum.evaluate(theta, self.order[chosen].tolist())]
        except BaseException:
            self.rng.bit_generator.state, self.sum.evaluations = rng_state, evaluations
            raise
        with one_blas_thread():
            self._move(chosen, found)

    def _move(self, chosen: list[int], found: list[tuple[float, Array]]) -> None:
        """Accept or reject the proposal, after the evaluation of the chosen f_i there, and make the next one."""
        bad = []
        for i, (value, gradient) in zip(chosen, found, strict=True):
            if not is_finite(value, gradient):
                self._step_back(i)
                return
            if self._learn(i, value, gradient):
                bad.append(i)
        if self.sum.evaluations % len(self.sum) < len(chosen):
            self.quadratics.recompute_total()
            self.failed[:] = False
        if bad:
            # Evaluate the subfunction again where it came from: with both ends known its quadratic is good there.
            self.rejected += 1
            self.pending, self.retries, self.proposal, self.drop = bad[0], 0, self.at, 0.0
            return
        if self.pending < 0 and self.quadratics.own.any():
            self._record_length()
        self.at, self.pending, self.retries = self.proposal, -1, 0
        self.shrink = min(1.0, 2 * self.shrink)
        self._propose(evaluated=len(chosen))

    def _learn(self, i: int, value: float, gradient: Array) -> bool:
        """Move the quadratic of f_i to the proposal; return True if the update is bad."""
        if not self.subspace.has_room():
            self._collapse_subspace()
        gradient = self.subspace.project_gradient(i, gradient, self.quadratics.gradients[i])
        predicted = self.quadratics.value(i, self.proposal) if self.quadratics.counts[i] else np.inf
        bad = self._is_bad_update(i, value, predicted)
        if self.pending < 0 and self.quadratics.counts[i]:
            self._set_radius(i, value, predicted)
        self.quadratics.record(i, self.proposal, value, gradient, self._shortest_step())
        return bad

    def _choose_subfunctions(self) -> list[int]:
        """Return the subfunctions to evaluate next ("Choosing a target subfunction")."""
        counts = self.quadratics.counts
        if self.pending >= 0:
            return [self.pending]
        if counts.sum() == 1:
            return [int(counts.argmax())]  # a second evaluation, for a first curvature
        choice = np.flatnonzero(~self.failed[: self.active])
        chosen: list[int] = []
        while len(choice) and len(chosen) < (self.n_ahead if counts.any() else 1):
            chosen.append(self._choose_subfunction(choice))
            choice = choice[choice != chosen[-1]]
        return chosen

    def _choose_subfunction(self, choice: Array) -> int:
        """Return a subfunction among `choice`, their numbers: a new one, or the farthest from the proposal."""
        quadratics, kind = self.quadratics, self.selection
        new = choice[quadratics.counts[choice] == 0]
        if len(new):
            return int(new[0])
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

    def _is_bad_update(self, i: int, value: float, predicted: float) -> bool:
        """Return True if f_i rose by more than the sum was predicted to fall ("Detecting bad updates")."""
        quadratics = self.quadratics
        if (self.pending >= 0 and not self.retries) or not quadratics.counts[i] or value <= quadratics.values[i]:
            return False
        return value - predicted > self.drop

    def _set_radius(self, i: int, value: float, predicted: float) -> None:
        """Set the radius from the distance at which the quadratic of f_i holds or fails."""
        quadratics = self.quadratics
        before = quadratics.values[i]
        distance = float(np.linalg.norm(self.proposal - quadratics.positions[i]))
        change = max(abs(predicted - before), abs(value - before))
        rounding = 100 * self.eps * max(abs(value), abs(before))
        if abs(value - predicted) > max(FAILS * change, rounding):
            slowest = self.radius * SHRINK ** (-1 / self.active) if np.isfinite(self.radius) else 0.0
            self.radius = max(min(self.radius, distance / 2), slowest)
        elif abs(value - predicted) < max(HOLDS * change, rounding):
            self.radius = max(self.radius, 2 * distance)

    def _step_back(self, i: int) -> None:
        """Go back halfway after a value that is not finite; at the start this is an error."""
        reference = short_repr(self.sum.references[self.order[i]])
        if not self.quadratics.counts.any():
            got = f"got a value or gradient that is not finite at theta, subfunction {reference}"
            raise ValueError(f"f_df: {got}; expected finite numbers")
        log.warning("f or its gradient is not finite, subfunction %s, evaluation %d", reference, self.sum.evaluations)
        self.skipped_steps += 1
        self.shrink = max(self.shrink / 2, 1e-30)
        # The others may have led to where this one is not finite: start where it was, and try it again.
        self.at = self.quadratics.positions[i].copy() if self.quadratics.counts[i] else 0.5 * self.at
        self.retries, self.pending = self.retries + 1, i
        if self.retries >= 20:
            # The length of the step is not the reason: continue with the others.
            self.failed[i] = True
            if self.failed[: self.active].all():
                self.failed[:] = False
            self.retries, self.pending, self.shrink = 0, -1, 1.0
        self._propose(evaluated=0)

    def _collapse_subspace(self) -> None:
        """Make room in the basis: keep the latest gradients and positions, and as much of the histories as fits."""
        space = self.subspace
        most = max(2 * len(self.sum), 2 * space.capacity // 3)
        kept = self.quadratics.select_basis(space.dim, most, np.stack([self.at, self.proposal]))
        kept = space.collapse(kept)
        self.quadratics.collapse(kept)
        dim, k = kept.shape
        moved = []
        for z in (self.at, self.proposal):
            new = np.zeros_like(z)
            new[:k] = z[:dim] @ kept
            moved.append(new)
        self.at, self.proposal = moved

    def _record_length(self) -> None:
        """Add the accepted step to the lengths whose mean limits the next ones."""
        length = float(np.linalg.norm(self.proposal - self.at))
        if length > 0:
            self.lengths = np.append(self.lengths, length)[-max(10, len(self.sum)) :]

    def _shortest_step(self) -> float:
        """Return the length below which a step is rounding and says nothing about curvature."""
        return max(self.minimum_step_length, 100 * self.eps * self._scale())

    def _scale(self) -> float:
        """Return an estimate of the length of theta."""
        return self.origin_length + float(np.linalg.norm(self.at))

    def _propose(self, evaluated: int) -> None:
        """Move the proposal to the minimum of the sum of quadratics, within the limits on a step's length.

        Args:
            evaluated: number of evaluations at an accepted proposal, or 0.
        """
        gradient, H = self.quadratics.sum_at(self.at)
        solve = make_solver(H)
        if evaluated:
            self._grow_active_set(solve, evaluated)
        step = -solve(gradient)
        length = float(np.linalg.norm(step))
        if not self.quadratics.own.any():
            # No curvature is known yet: make a step that is short, but longer than rounding.
            scale = max(1.0, self._scale())
            shortest = max(2 * self.minimum_step_length, self.eps**0.5 * scale)
            limit = min(max(length, shortest), 0.01 * scale)
        elif len(self.lengths) >= FIRST_STEPS:
            limit = min(length, self.max_step_length_ratio * float(self.lengths.mean()))
        else:
            limit = length
        if length > 0 and np.isfinite(self.radius):
            limit = min(limit, self._length_within_radius(step / length))
        # A step too short to measure anything would be repeated forever where the quadratics are wrong.
        limit = max(limit * self.shrink, 2 * self._shortest_step())
        if length > 0:
            step *= limit / length
        self.drop = -float(gradient @ step + 0.5 * step @ (H @ step))
        self.proposal = self.at + step

    def _length_within_radius(self, direction: Array) -> float:
        """Return how far to go until the mean square distance from the quadratics' positions is radius^2."""
        away = self.at - self.quadratics.positions[self.quadratics.counts > 0]
        ahead = float((away @ direction).mean())
        room = self.radius**2 - float(np.einsum("nk,nk->", away, away)) / len(away)
        return float(np.sqrt(ahead**2 + room)) - ahead if room > 0 else 0.0

    def _grow_active_set(self, solve: Callable[[Array], Array], evaluated: int) -> None:
        """Activate one more subfunction if noise hides the mean gradient, or after a pass over the active ones."""
        self.since += evaluated
        counts, n = self.quadratics.counts[: self.active], self.active
        if n == len(self.sum) or not counts.all():
            return
        gradients = self.quadratics.gradients[:n]
        mean = gradients.mean(0)
        noise = gradients - mean
        signal = mean @ solve(mean)
        error = np.einsum("nk,kn->", noise, solve(noise.T)) / (n * max(n - 1, 1))
        if signal < self.max_gradient_noise * error or self.since >= n:
            self.active, self.since = min(n + evaluated, len(self.sum)), 0

    def state(self) -> dict[str, Array]:
        """Return copies of all arrays that are needed to continue; see Optimizer.state."""
        space = self.subspace
        state = {name: np.array(getattr(self, name)) for name in COUNTERS + NUMBERS}
        state |= {name: getattr(self, name).copy() for name in VECTORS}
        state |= {"evaluations": np.array(self.sum.evaluations), "rng": rng_to_array(self.rng)}
        rows = 0 if space.full else space.dim
        state |= {"basis": space.rows[:rows].copy(), "basis_factor": space.factor.copy()}
        # Rows of subfunctions that were never evaluated are uninitialized.
        state |= {"seen": space.seen.copy(), "last": np.where(space.seen[: len(space.last), None], space.last, 0)}
        return state | self.quadratics.state()

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue bit-exactly from the state of an SFO with the same arguments; see Optimizer.load_state."""
        own = self.state()
        free = ("basis", "lengths", "rng")
        expected = {name: (None if name in free else array.shape, array.dtype.kind) for name, array in own.items()}
        check_state(state, expected)
        space, basis = self.subspace, np.asarray(state["basis"])
        if basis.ndim != 2 or len(basis) > len(space.rows) or basis.shape[1] != space.size:
            expected_shape = f"at most ({len(space.rows)}, {space.size})"
            raise ValueError(f"state['basis']: got shape {basis.shape}; expected {expected_shape}")
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
