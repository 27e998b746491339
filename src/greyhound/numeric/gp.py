"""Gaussian-process regression on the unit cube: numbers, categories, and coordinates that may be absent.

Every coordinate is embedded so that squared distances add up: a number as it is, a category as its one-hot
vector over √2 (two different categories are at distance 1), and a coordinate that may be absent with an
activity flag of weight ½ besides. Over the embedding lies a Matérn 5/2 kernel with one length scale ℓ for each
coordinate (automatic relevance determination). The signal's variance is integrated out under an inverse-gamma
prior of `_PRIOR_DEGREES` degrees of freedom, the mean is the generalised-least-squares constant.

Length scales and the noise ratio maximise the posterior. Priors: ℓ ~ LogNormal(0.7 + ½ ln d, 1.2), its density
taken in ℓ: it grows with the dimension as in Hvarfner et al. 2024, "Vanilla Bayesian optimization performs
great in high dimensions", eq. 5, whose own √2 and √3 were worse here; noise ratio ~ LogNormal(ln 10⁻⁴, 2).
Kernel: Rasmussen & Williams 2006, eq. 4.17; evidence: eq. 5.8 and 5.9; with the variance integrated out:
Student-t, Shah et al. 2014, eq. 6.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, get_lapack_funcs, solve_triangular
from scipy.optimize import minimize

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

_ROOT5 = math.sqrt(5.0)
_FLAG = 0.5
_PRIOR_DEGREES = 2.0
_LOG_LENGTH = (math.log(0.02), math.log(200.0))
_LOG_NOISE = (math.log(1e-6), math.log(1.0))
_LENGTH_PRIOR = (0.7, 1.2)
_NOISE_PRIOR = (math.log(1e-4), 2.0)
_NEVER = 1e10


@dataclass(frozen=True)
class Layout:
    """What the coordinates are. categories: how many each has, 0 for a number. optional: which may be absent."""

    categories: tuple[int, ...]
    optional: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.categories)

    @functools.cached_property
    def owners(self) -> NDArray[np.intp]:
        """Which coordinate each column of the embedding belongs to, (p,)."""
        widths = np.maximum(1, np.asarray(self.categories, np.intp)) + np.asarray(self.optional, np.intp)
        return np.repeat(np.arange(len(self)), widths)

    def embed(self, X: Floats, active: Bools) -> Floats:
        """The embedding of rows of the unit cube, (n, p)."""
        columns: list[Any] = []
        for at, (count, optional) in enumerate(zip(self.categories, self.optional, strict=True)):
            there = active[:, at]
            if count:
                index = np.minimum((X[:, at] * count).astype(np.intp), count - 1)
                columns.extend(((index == category) & there) / math.sqrt(2.0) for category in range(count))
            else:
                columns.append(np.where(there, X[:, at], 0.5))
            if optional:
                columns.append(_FLAG * there)
        return np.stack(columns, axis=1) if columns else np.zeros((len(X), 0))


@dataclass(frozen=True)
class Hyperparameters:
    """log_lengths: (d,), of the coordinates. log_noise: of the noise's variance over the signal's."""

    log_lengths: Floats
    log_noise: float


def prior_mode(dimension: int) -> Hyperparameters:
    """Where a fit begins: the mode of the priors."""
    centre = _LENGTH_PRIOR[0] + 0.5 * math.log(max(1, dimension))
    return Hyperparameters(np.full(dimension, centre - _LENGTH_PRIOR[1] ** 2), _NOISE_PRIOR[0])


def fit(
    Z: Floats,
    layout: Layout,
    targets: Floats,
    start: Hyperparameters,
    *,
    evaluations: int = 30,
    prior: tuple[float, float] | None = None,
    doubts: Floats | None = None,
) -> Hyperparameters:
    """Hyperparameters of the highest posterior density, shared by all targets.

    Z: (n, p), of the layout's `embed`. targets: (n, m), each standardised. start: where the search begins.
    evaluations: at most so many of the density. doubts: (n,), variances of noise that each datum has besides, over the
    signal's.
    """
    d = len(start.log_lengths)
    parts = np.zeros((d, len(Z), len(Z)))
    for column, owner in enumerate(layout.owners):
        difference = Z[:, column, None] - Z[None, :, column]
        parts[owner] += difference * difference
    flat = parts.reshape(d, -1)
    centre = _LENGTH_PRIOR[0] + 0.5 * math.log(max(1, d))
    narrow = _LENGTH_PRIOR[1] ** 2

    def density(theta: Floats) -> tuple[float, Floats]:
        log_lengths, log_noise = theta[:d], theta[d]
        value, slope = _evidence(flat, targets, log_lengths, log_noise, doubts)
        away = log_lengths - centre
        value += float(np.sum(log_lengths + away * away / (2.0 * narrow)))
        slope[:d] += 1.0 + away / narrow
        loud = (log_noise - _NOISE_PRIOR[0]) / _NOISE_PRIOR[1]
        return value + 0.5 * loud * loud, np.append(slope[:d], slope[d] + loud / _NOISE_PRIOR[1])

    bounds = [_LOG_LENGTH] * d + [_LOG_NOISE]
    first = np.clip(np.append(start.log_lengths, start.log_noise), *np.transpose(bounds))
    found = minimize(density, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxfun": evaluations})
    best = found.x if np.all(np.isfinite(found.x)) else first
    return Hyperparameters(best[:d], float(best[d]))


def _evidence(
    flat: Floats, targets: Floats, log_lengths: Floats, log_noise: float, doubts: Floats | None = None
) -> tuple[float, Floats]:
    """Negative log evidence, averaged over the targets, and its slope in (log lengths, log noise)."""
    n, m = targets.shape
    weights = np.exp(-2.0 * log_lengths)
    squared = weights @ flat
    distance = np.sqrt(squared)
    decay = np.exp(-_ROOT5 * distance)
    kernel = ((1.0 + _ROOT5 * distance + (5.0 / 3.0) * squared) * decay).reshape(n, n)
    noise = math.exp(log_noise)
    kernel[np.diag_indices(n)] += noise + 1e-8 + (0.0 if doubts is None else doubts)
    try:
        factor = cholesky(kernel, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return _NEVER, np.zeros(len(log_lengths) + 1)
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
    inner = pull.ravel() * ((-5.0 / 6.0) * (1.0 + _ROOT5 * distance) * decay)
    slope = -2.0 * weights * (flat @ inner)
    return value, np.append(slope, noise * float(np.trace(pull)))


@dataclass(frozen=True)
class Posterior:
    """What a process believes after its data: one factor for all targets, which share the kernel.

    scale: (p,) what columns of the embedding are multiplied with. Z: (n, p), scaled. whitening: (n, n), the inverse
    of the covariance's lower factor. means, alphas, variances: by target.
    """

    scale: Floats
    Z: Floats
    whitening: Floats
    means: Floats
    alphas: Floats
    variances: Floats
    noise: float

    def kernel(self, Z: Floats) -> Floats:
        """Prior correlations between rows of an embedding and the data, (q, n)."""
        return matern52(Z * self.scale, self.Z)

    def predict(self, Z: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noiseless targets at rows of an embedding, both (q, m)."""
        cross = self.kernel(Z)
        means = self.means + cross @ self.alphas
        half = cross @ self.whitening.T
        left = np.maximum(1.0 - np.einsum("ij,ij->i", half, half), 1e-10)
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
        return self.means + matern52(self.Z, self.Z) @ self.alphas


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
    scale = np.exp(-theta.log_lengths)[layout.owners]
    scaled = Z * scale
    kernel = matern52(scaled, scaled)
    noise = math.exp(theta.log_noise)
    kernel[np.diag_indices(len(Z))] += noise * (1.0 if loudness is None else loudness) + 1e-8
    kernel[np.diag_indices(len(Z))] += 0.0 if doubts is None else doubts
    factor = _factor(kernel)
    ones = cho_solve((factor, True), np.ones(len(Z)), check_finite=False)
    means = (ones @ targets) / ones.sum()
    alphas = cho_solve((factor, True), targets - means, check_finite=False)
    squares = np.einsum("ij,ij->j", targets - means, alphas) + _PRIOR_DEGREES
    whitening = solve_triangular(factor, np.eye(len(Z)), lower=True, check_finite=False, overwrite_b=True)
    return Posterior(scale, scaled, whitening, means, alphas, squares / (len(Z) + _PRIOR_DEGREES), noise)


def _factor(kernel: Floats) -> Floats:
    for jitter in (0.0, 1e-6, 1e-4, 1e-2):
        try:
            return cholesky(kernel + jitter * np.eye(len(kernel)), lower=True, check_finite=False)  # type: ignore[no-any-return]
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("the kernel matrix is not positive definite")


def matern52(A: Floats, B: Floats) -> Floats:
    """Correlations of rows of scaled embeddings, (len(A), len(B)). Source: Rasmussen & Williams 2006, eq. 4.17."""
    squared = A @ (-10.0 * B.T)  # five times the squared distance: 5 a² + 5 b² − 10 ab
    squared += 5.0 * (A * A).sum(axis=1)[:, None]
    squared += 5.0 * (B * B).sum(axis=1)
    np.maximum(squared, 0.0, out=squared)
    distance = np.sqrt(squared)
    squared /= 3.0
    squared += distance
    squared += 1.0
    np.negative(distance, out=distance)
    squared *= np.exp(distance, out=distance)
    return squared


def standardise(values: Sequence[float] | Floats) -> Floats:
    """Mean 0 and standard deviation 1; all zeros where the values are one."""
    array = np.asarray(values, float)
    largest = float(np.abs(array).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(len(array))
    array = array / largest
    spread = array.std()
    return (array - array.mean()) / spread if spread > 1e-12 else np.zeros(len(array))
