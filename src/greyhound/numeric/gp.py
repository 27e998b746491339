"""Gaussian-process regression on the unit cube: numbers, categories, and coordinates that may be absent.

Every coordinate is embedded so that squared distances add up: a number as it is, a category as its one-hot
vector over √2 (two different categories are at distance 1), and a coordinate that may be absent with an
activity flag of weight ½ besides. Over the embedding lies a Matérn 5/2 kernel with one length scale ℓ for each
coordinate (automatic relevance determination). The signal's variance is integrated out under an inverse-gamma
prior of `_PRIOR_DEGREES` degrees of freedom, the mean is the generalised-least-squares constant. Numbers may be warped
first, each coordinate by a curve of its own that rises from 0 to 1, as one learning rate may be like any other below
some value and unlike its neighbours above. Categorical coordinates that are alike, such as the operations of several
layers, share a linear trend besides, in how many of them have each category, which may be good wherever it is.

Length scales, warps, the noise ratio and the trends' variance maximise the posterior. Priors:
ℓ ~ LogNormal(0.7 + ½ ln d, 1.2), its density taken in ℓ: it grows with the dimension as in Hvarfner et al. 2024,
"Vanilla Bayesian optimization performs great in high dimensions", eq. 5, whose own √2 and √3 were worse here; noise
ratio ~ LogNormal(ln 10⁻⁴, 2); both exponents of a warp ~ LogNormal(0, 1); variance of a trend's slopes over the
signal's ~ LogNormal(ln 0.05, 2).
Kernel: Rasmussen & Williams 2006, eq. 4.17; warp: Kumaraswamy 1980's distribution function, in the place of the Beta
distribution's of Snoek et al. 2014, "Input warping for Bayesian optimization of non-stationary functions"; evidence:
eq. 5.8 and 5.9; with the variance integrated out: Student-t, Shah et al. 2014, eq. 6; trend, its slopes with a Gaussian
prior: eq. 2.39 and 2.40.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, get_lapack_funcs, solve_triangular
from scipy.optimize import minimize

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

_ROOT5 = math.sqrt(5.0)
_FLAG = 0.5
_PRESENT = math.sqrt(0.5)
_PRIOR_DEGREES = 2.0
_LOG_LENGTH = (math.log(0.02), math.log(200.0))
_LOG_NOISE = (math.log(1e-6), math.log(1.0))
_LENGTH_PRIOR = (0.7, 1.2)
_NOISE_PRIOR = (math.log(1e-4), 2.0)
_LOG_WARP = (-2.5, 2.5)
_WARP_PRIOR = 1.0
_LOG_TREND = (math.log(1e-4), math.log(1e2))
_TREND_PRIOR = (math.log(0.05), 2.0)
_EDGE = 1e-9
_NEVER = 1e10


@dataclass(frozen=True)
class Layout:
    """What the coordinates are. categories: how many each has, 0 for a number. optional: which may be absent.

    warped: which may be warped; none where it is empty. alike: groups of categorical coordinates, with the same
    categories, that share a trend.
    """

    categories: tuple[int, ...]
    optional: tuple[bool, ...]
    warped: tuple[bool, ...] = ()
    alike: tuple[tuple[int, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.categories)

    @functools.cached_property
    def owners(self) -> NDArray[np.intp]:
        """Which coordinate each column of the embedding belongs to, (p,)."""
        widths = np.maximum(1, np.asarray(self.categories, np.intp)) + np.asarray(self.optional, np.intp)
        return np.repeat(np.arange(len(self)), widths)

    @functools.cached_property
    def to_warp(self) -> Bools:
        """Which columns may be warped, (p,): no flags."""
        if not self.warped:
            return np.zeros(len(self.owners), bool)
        return np.asarray((np.diff(self.owners, prepend=-1) > 0) & np.asarray(self.warped)[self.owners])

    def embed(self, X: Floats, active: Bools) -> Floats:
        """The embedding of rows of the unit cube, (n, p)."""
        blocks: list[Any] = []
        for at, (count, optional) in enumerate(zip(self.categories, self.optional, strict=True)):
            there = active[:, at, None]
            if count:
                index = np.minimum((X[:, at, None] * count).astype(np.intp), count - 1)
                blocks.append(((index == np.arange(count)) & there) * _PRESENT)
            else:
                blocks.append(np.where(there, X[:, at, None], 0.5))
            if optional:
                blocks.append(_FLAG * there)
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(X), 0))

    def trends(self, Z: Floats) -> Floats:
        """What shared trends see of rows of an embedding, (n, s).

        How many of each group of coordinates that are alike have each category, over the root of the group's size, less
        what that is where each category is as frequent; absent ones add nothing.
        """
        slopes, middle = self._shared
        return np.asarray(Z @ slopes - middle)

    @functools.cached_property
    def _shared(self) -> tuple[Floats, Floats]:
        """From the embedding to the trends: a matrix, (p, s), and what is taken off, (s,)."""
        first = np.flatnonzero(np.diff(self.owners, prepend=-1))
        slopes, middle = [np.zeros((len(self.owners), 0))], [np.zeros(0)]
        for group in self.alike:
            width = self.categories[group[0]]
            seen, least = np.zeros((len(self.owners), width)), 0.0
            for at in group:
                seen[first[at] + np.arange(width), np.arange(width)] = 1.0 / _PRESENT
                if self.optional[at]:
                    seen[first[at] + width] = -1.0 / (width * _FLAG)  # what is absent is of no category
                else:
                    least += 1.0 / width
            slopes.append(seen / math.sqrt(len(group)))
            middle.append(np.full(width, least / math.sqrt(len(group))))
        return np.concatenate(slopes, axis=1), np.concatenate(middle)


@dataclass(frozen=True)
class Hyperparameters:
    """log_lengths: (d,), of the coordinates. log_noise: of the noise's variance over the signal's.

    log_warps: (2, c), ln a and ln b of the warp 1 − (1 − xᵃ)ᵇ of each column that may be warped; None for no warps.
    log_trend: of the variance of the shared trends' slopes over the signal's.
    """

    log_lengths: Floats
    log_noise: float
    log_warps: Floats | None = None
    log_trend: float = _TREND_PRIOR[0]

    def place(self, Z: Floats, layout: Layout) -> Floats:
        """Where the kernel sees rows of an embedding, (n, p): warped, and in length scales."""
        if self.log_warps is not None:
            Z = Z.copy()
            Z[:, layout.to_warp] = warp(Z[:, layout.to_warp], *self.log_warps)
        return np.asarray(Z * np.exp(-self.log_lengths)[layout.owners])

    def trends(self, Z: Floats, layout: Layout) -> Floats:
        """What the kernel sees of shared trends besides, (n, s)."""
        return layout.trends(Z) * math.exp(0.5 * self.log_trend)


def prior_mode(dimension: int, warps: int = 0) -> Hyperparameters:
    """Where a fit begins: the mode of the priors. warps: of so many columns, to be fitted too."""
    centre = _LENGTH_PRIOR[0] + 0.5 * math.log(max(1, dimension))
    log_lengths = np.full(dimension, centre - _LENGTH_PRIOR[1] ** 2)
    return Hyperparameters(log_lengths, _NOISE_PRIOR[0], np.zeros((2, warps)) if warps else None)


def warp(X: Floats, log_a: Floats, log_b: Floats) -> Floats:
    """1 − (1 − xᵃ)ᵇ for each column of X, (n, c), in [0, 1]. log_a, log_b: (c,)."""
    log_rest = np.log(-np.expm1(np.exp(log_a) * _log(X)))  # of 1 − xᵃ
    return np.asarray(-np.expm1(np.exp(log_b) * log_rest))


def warp_slopes(X: Floats, log_a: Floats, log_b: Floats) -> Floats:
    """The slopes of `warp` in ln a and in ln b, (2, n, c)."""
    a, b = np.exp(log_a), np.exp(log_b)
    log_power = a * _log(X)
    log_rest = np.log(-np.expm1(log_power))
    in_a = b * np.exp((b - 1.0) * log_rest + log_power) * log_power
    return np.stack([in_a, -b * log_rest * np.exp(b * log_rest)])


def _log(X: Floats) -> Floats:
    return np.asarray(np.log(np.clip(X, _EDGE, 1.0 - _EDGE)))


def fit(
    Z: Floats,
    layout: Layout,
    targets: Floats,
    start: Hyperparameters,
    *,
    evaluations: int = 30,
    doubts: Floats | None = None,
) -> Hyperparameters:
    """Hyperparameters of the highest posterior density, shared by all targets.

    Z: (n, p), of the layout's `embed`. targets: (n, m), each standardised. start: where the search begins; with warps,
    if these are to be fitted too. evaluations: at most so many of the density. doubts: (n,), variances of noise that
    each datum has besides, over the signal's.
    """
    d = len(start.log_lengths)
    centre = _LENGTH_PRIOR[0] + 0.5 * math.log(max(1, d))
    narrow = _LENGTH_PRIOR[1] ** 2
    warps = np.empty(0) if start.log_warps is None else start.log_warps.ravel()
    trend = [start.log_trend] if layout.alike else []
    bounds = [_LOG_LENGTH] * d + [_LOG_NOISE] + [_LOG_WARP] * len(warps) + [_LOG_TREND] * len(trend)
    first = np.clip(np.concatenate([start.log_lengths, [start.log_noise], warps, trend]), *np.transpose(bounds))
    middles = np.array([_NOISE_PRIOR[0]] + [0.0] * len(warps) + [_TREND_PRIOR[0]] * len(trend))
    widths = np.array([_NOISE_PRIOR[1]] + [_WARP_PRIOR] * len(warps) + [_TREND_PRIOR[1]] * len(trend))

    def density(flat: Floats) -> tuple[float, Floats]:
        theta = _unflattened(flat, layout)
        value, slope = _evidence(Z, layout, targets, theta, doubts)
        away = theta.log_lengths - centre
        rest = (flat[d:] - middles) / widths
        value += float(np.sum(theta.log_lengths + away * away / (2.0 * narrow)) + 0.5 * rest @ rest)
        return value, slope + np.append(1.0 + away / narrow, rest / widths)

    found = minimize(density, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxfun": evaluations})
    return _unflattened(found.x if np.all(np.isfinite(found.x)) else first, layout)


def _unflattened(flat: Floats, layout: Layout) -> Hyperparameters:
    """From log lengths, log noise, log warps, where there are, and log trend, where the layout has any."""
    d = len(layout)
    theta = Hyperparameters(flat[:d], float(flat[d]))
    if layout.alike:
        flat, theta = flat[:-1], replace(theta, log_trend=float(flat[-1]))
    return replace(theta, log_warps=flat[d + 1 :].reshape(2, -1)) if len(flat) > d + 1 else theta


def _evidence(
    Z: Floats, layout: Layout, targets: Floats, theta: Hyperparameters, doubts: Floats | None = None
) -> tuple[float, Floats]:
    """Negative log evidence, averaged over the targets, and its slope in what `_unflattened` reads."""
    n, m = targets.shape
    d = len(theta.log_lengths)
    places = theta.place(Z, layout)
    squared = squared_distances(places, places)
    distance = np.sqrt(squared)
    decay = np.exp(-_ROOT5 * distance)
    kernel = (1.0 + _ROOT5 * distance + (5.0 / 3.0) * squared) * decay
    trends = theta.trends(Z, layout)
    _add_trends(kernel, trends, trends)
    noise = math.exp(theta.log_noise)
    kernel[np.diag_indices(n)] += noise + 1e-8 + (0.0 if doubts is None else doubts)
    try:
        factor = cholesky(kernel, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return _NEVER, np.zeros(d + 1 + (0 if theta.log_warps is None else theta.log_warps.size) + bool(layout.alike))
    (potri,) = get_lapack_funcs(("potri",), (factor,))
    inverse, _ = potri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    ones = inverse.sum(axis=1)
    means = (ones @ targets) / ones.sum()
    alphas = inverse @ (targets - means)
    squares = np.einsum("ij,ij->j", targets - means, alphas) + _PRIOR_DEGREES
    degrees = n + _PRIOR_DEGREES
    value = 0.5 * degrees * float(np.mean(np.log(squares))) + float(np.sum(np.log(np.diag(factor))))
    # dA enters as ½ tr(A⁻¹ dA) − ½ (n + ν) αᵀ dA α / (yᵀα + ν); the mean is at its optimum and adds nothing
    pull = 0.5 * inverse - (0.5 * degrees / m) * (alphas / squares) @ alphas.T
    # dk/d(r²) of the Matérn 5/2 is −(5/6)(1 + √5 r) e^(−√5 r)
    inner = pull * ((-5.0 / 6.0) * (1.0 + _ROOT5 * distance) * decay)
    moved = 4.0 * (places * inner.sum(axis=1)[:, None] - inner @ places)  # the slope in the places, (n, p)
    by_column = -np.einsum("ij,ij->j", places, moved)
    slope = np.append(np.bincount(layout.owners, by_column, minlength=d), noise * float(np.trace(pull)))
    if theta.log_warps is not None:
        chosen = layout.to_warp
        slopes = warp_slopes(Z[:, chosen], *theta.log_warps)
        in_places = moved[:, chosen] * np.exp(-theta.log_lengths)[layout.owners[chosen]]
        slope = np.append(slope, np.einsum("kij,ij->kj", slopes, in_places))
    if layout.alike:
        slope = np.append(slope, np.sum((pull @ trends) * trends))
    return value, slope


@dataclass(frozen=True)
class Posterior:
    """What a process believes after its data: one factor for all targets, which share the kernel.

    places: (n, p), of the data, where the kernel sees them; trends: (n, s), what it sees of theirs. whitening: (n, n),
    the inverse of the covariance's lower factor. means, alphas, variances: by target.
    """

    theta: Hyperparameters
    layout: Layout
    places: Floats
    trends: Floats
    whitening: Floats
    means: Floats
    alphas: Floats
    variances: Floats

    def kernel(self, Z: Floats) -> Floats:
        """Prior covariances of rows of an embedding with the data, over the signal's variance, (q, n)."""
        kernel = matern52(self.theta.place(Z, self.layout), self.places)
        return _add_trends(kernel, self.theta.trends(Z, self.layout), self.trends)

    def predict(self, Z: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noiseless targets at rows of an embedding, both (q, m)."""
        cross = self.kernel(Z)
        means = self.means + cross @ self.alphas
        half = cross @ self.whitening.T
        left = np.maximum(self._before(Z) - np.einsum("ij,ij->i", half, half), 1e-10)
        return means, np.sqrt(left[:, None] * self.variances)

    def without(self, targets: Floats) -> tuple[Floats, Floats]:
        """What the process would have predicted of each datum, noise included, had it not seen that one.

        targets: (n, m), those that it was conditioned on. Means and standard deviations, both (n, m). Source:
        Rasmussen & Williams 2006, eq. 5.12.
        """
        precision = np.einsum("ij,ij->j", self.whitening, self.whitening)[:, None]
        return targets - self.alphas / precision, np.sqrt(self.variances / precision)

    def at_data(self) -> Floats:
        """Means of the noiseless targets at the data, (n, m)."""
        return self.means + _add_trends(matern52(self.places, self.places), self.trends, self.trends) @ self.alphas

    def _before(self, Z: Floats) -> Floats:
        """Prior variances at rows of an embedding, over the signal's, (q,)."""
        trends = self.theta.trends(Z, self.layout)
        return np.asarray(1.0 + np.einsum("ij,ij->i", trends, trends))


def condition(
    Z: Floats,
    layout: Layout,
    targets: Floats,
    theta: Hyperparameters,
    doubts: Floats | None = None,
    loudness: Floats | None = None,
) -> Posterior:
    """The posterior given data. Z: (n, p), of the layout's `embed`; targets: (n, m); doubts: as for `fit`.

    loudness: (n,), how many times theta's noise variance each of the data has; None for once each.
    """
    places, trends = theta.place(Z, layout), theta.trends(Z, layout)
    kernel = _add_trends(matern52(places, places), trends, trends)
    noise = math.exp(theta.log_noise)
    kernel[np.diag_indices(len(Z))] += noise * (1.0 if loudness is None else loudness) + 1e-8
    kernel[np.diag_indices(len(Z))] += 0.0 if doubts is None else doubts
    factor = _factor(kernel)
    ones = cho_solve((factor, True), np.ones(len(Z)), check_finite=False)
    means = (ones @ targets) / ones.sum()
    alphas = cho_solve((factor, True), targets - means, check_finite=False)
    squares = np.einsum("ij,ij->j", targets - means, alphas) + _PRIOR_DEGREES
    whitening = solve_triangular(factor, np.eye(len(Z)), lower=True, check_finite=False, overwrite_b=True)
    return Posterior(theta, layout, places, trends, whitening, means, alphas, squares / (len(Z) + _PRIOR_DEGREES))


def _factor(kernel: Floats) -> Floats:
    for jitter in (0.0, 1e-6, 1e-4, 1e-2):
        try:
            return cholesky(kernel + jitter * np.eye(len(kernel)), lower=True, check_finite=False)  # type: ignore[no-any-return]
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("the kernel matrix is not positive definite")


def matern52(A: Floats, B: Floats) -> Floats:
    """Correlations of rows of scaled embeddings, (len(A), len(B)). Source: Rasmussen & Williams 2006, eq. 4.17."""
    squared = squared_distances(A, B)
    squared *= 5.0
    distance = np.sqrt(squared)
    squared /= 3.0
    squared += distance
    squared += 1.0
    np.negative(distance, out=distance)
    squared *= np.exp(distance, out=distance)
    return squared


def _add_trends(kernel: Floats, A: Floats, B: Floats) -> Floats:
    """The kernel, (len(A), len(B)), itself, with what shared trends add to it; see `Hyperparameters.trends`."""
    if A.shape[1]:
        kernel += A @ B.T
    return kernel


def squared_distances(A: Floats, B: Floats) -> Floats:
    """|a − b|² of rows, (len(A), len(B)), as a² + b² − 2 ab."""
    squared = A @ (-2.0 * B.T)
    squared += (A * A).sum(axis=1)[:, None]
    squared += (B * B).sum(axis=1)
    return np.maximum(squared, 0.0, out=squared)


def drawn_in(losses: Floats) -> Floats:
    """Losses, (n,), those far above the median drawn in to ten times its distance from the lowest, as one says little.

    As they are where the median is the lowest itself.
    """
    low, median = losses.min(), np.median(losses)
    return np.minimum(losses, low + 10.0 * (median - low)) if median > low else losses


def standardise(values: Sequence[float] | Floats) -> Floats:
    """Mean 0 and standard deviation 1; all zeros where the values are one."""
    array = np.asarray(values, float)
    largest = float(np.abs(array).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(len(array))
    array = array / largest
    spread = array.std()
    return (array - array.mean()) / spread if spread > 1e-12 else np.zeros(len(array))
