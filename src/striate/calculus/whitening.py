"""Decorrelation and whitening: data turned to its principal axes, and stretched to variance 1 along each.

    covariance = V^T diag(v) V,  the rows of V the principal axes, v their variances, largest first

    decorrelate     y = V (x - m)                                   covariance diag(v)
    PCA whitening   y = diag(v + e)^(-1/2) V (x - m)                covariance I (if e = 0)
    ZCA whitening   y = V^T diag(v + e)^(-1/2) V (x - m)            covariance I, and y as near to x as can be

Each is y = M (x - m), so x = M^-1 y + m and dL/dx = M^T dL/dy.  e keeps axes of almost no variance, which are noise,
from being blown up; it is in squared units of the data.  With fewer components than features the inverse gives the
nearest point of their plane.  Fitted on `moments` (n - 1), so on data of any size.

Shapes: samples x (N, F); m (F,), M (K, F).  The sign of an axis is free: we make its largest entry positive.

    AlexNet's colour noise: to every pixel of a picture is added sum_i p_i a_i v_i, with p_i and v_i the axes and
    variances of the pixels' colours over the training set and a_i ~ N(0, 0.1^2), drawn once a picture and time.

Sources: Bell and Sejnowski 1997 (ZCA); Krizhevsky and Hinton 2009, appendix A; colour noise: Krizhevsky, Sutskever and
Hinton 2012, section 4.1.

`python -m striate.calculus.whitening` shows an example to check with a pencil.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from striate.base.errors import ConfigError, DataError
from striate.calculus.moments import Moments, covariance, moments

Samples = Float[Tensor, "N F"]
Components = Float[Tensor, "N K"]


@dataclass(frozen=True, slots=True)
class Axes:
    """Principal axes: `directions` (F, F), one a row, and the `variances` (F,) along them, largest first."""

    variances: Float64[Tensor, " F"]
    directions: Float64[Tensor, "F F"]


@dataclass(frozen=True, slots=True)
class Whitening:
    """A fitted transform y = matrix (x - mean) and the way back, x = inverse y + mean."""

    mean: Float[Tensor, " F"]
    matrix: Float[Tensor, "K F"]
    inverse: Float[Tensor, "F K"]


def principal_axes(m: Moments) -> Axes:
    """The eigenvectors and eigenvalues of the covariance.

    Raises:
        ConfigError: marginal moments, which know no covariance.
        DataError: fewer than two samples.
    """
    if m.scatter.ndim != 2:
        raise ConfigError("principal_axes", "the moments", "full", got="marginal ones", fix="use moments(x)")
    variances, columns = torch.linalg.eigh(covariance(m))
    directions = columns.flip(1).T  # eigh: smallest first
    size = directions.abs()
    peak = (size > 0.999 * size.amax(1, keepdim=True)).int().argmax(1, keepdim=True)  # rounding must not break ties
    return Axes(variances.flip(0).clamp(min=0), directions * directions.gather(1, peak).sign())


def decorrelation(m: Moments, *, components: int | None = None) -> Whitening:
    """Turn to the first `components` principal axes (all, if None)."""
    directions = principal_axes(m).directions[: _count(m, components)]
    return Whitening(m.mean, directions, directions.T)


def pca_whitening(m: Moments, *, epsilon: float = 0.0, components: int | None = None) -> Whitening:
    """Turn to the first principal axes and stretch each to variance 1.

    Args:
        m: moments of the training data.
        epsilon: added to every variance, >= 0.
        components: how many axes are kept; all, if None.

    Raises:
        ConfigError: components or epsilon out of range, or marginal moments.
        DataError: an axis without variance, and no epsilon.
    """
    return _pca(m, principal_axes(m), epsilon, _count(m, components))


def _pca(m: Moments, axes: Axes, epsilon: float, k: int) -> Whitening:
    scale = _deviations(axes.variances[:k], epsilon)
    directions = axes.directions[:k]
    return Whitening(m.mean, directions / scale[:, None], directions.T * scale)


def zca_whitening(m: Moments, *, epsilon: float = 0.0) -> Whitening:
    """PCA whitening turned back: whitened pictures still look like pictures.  Arguments as in `pca_whitening`."""
    axes = principal_axes(m)
    pca, back = _pca(m, axes, epsilon, len(m.mean)), axes.directions.T
    return Whitening(m.mean, back @ pca.matrix, pca.inverse @ back.T)


def _count(m: Moments, components: int | None) -> int:
    features = len(m.mean)
    if components is not None and not 1 <= components <= features:
        raise ConfigError("whitening", "components", f"in [1, {features}]", got=components, fix="None keeps all")
    return components or features


def _deviations(variances: Tensor, epsilon: float) -> Tensor:
    """sqrt(v + e), refused where rounding is all that v is."""
    if epsilon < 0:
        raise ConfigError("whitening", "epsilon", ">= 0", got=epsilon, fix="1e-5 times the largest variance is mild")
    floor = variances[0] * len(variances) * torch.finfo(variances.dtype).eps
    flat = int((variances + epsilon <= floor).sum())
    if flat:
        fix = "pass epsilon > 0 or fewer components"
        got = f"none along {flat} axes with epsilon {epsilon}"
        raise DataError("whitening", "the variance", "above 0 along every axis", got=got, fix=fix)
    return (variances + epsilon).sqrt()


def whiten(x: Samples, mean: Float[Tensor, " F"], matrix: Float[Tensor, "K F"]) -> Components:
    """The samples transformed, y = M (x - m); for decorrelation as well."""
    return (x - mean) @ matrix.T


def whiten_pullback(dy: Components, matrix: Float[Tensor, "K F"]) -> Samples:
    """dL/dx = M^T dL/dy."""
    return dy @ matrix


def unwhiten(y: Components, fitted: Whitening) -> Samples:
    """The way back to the data's own units."""
    return y @ fitted.inverse.T + fitted.mean


def colour_noise(
    pictures: Float[Tensor, "B C H W"], draws: Float[Tensor, "B C"], axes: Axes, *, std: float = 0.1
) -> Float[Tensor, "B C H W"]:
    """Pictures in another light: each shifted as a whole along the principal axes of colour.

    Args:
        pictures: in the units that the axes were fitted in.  The paper multiplies by the variance, in squared units,
            not by its root: the effect depends on the units, and pixels in [0, 1] are what is in common use.
        draws: standard normal, one for each picture and axis.
        axes: `principal_axes(streamed(pixel_rows(batch) for batch in ...))`.
        std: of a_i.
    """
    shift = (draws * std * axes.variances) @ axes.directions
    return pictures + shift.to(pictures.dtype)[:, :, None, None]


def demonstrate() -> str:
    """Four points on a slanted cross: mean, covariance, axes, and the points whitened both ways."""
    x = torch.tensor([[5.0, 4.0], [1.0, 0.0], [2.0, 3.0], [4.0, 1.0]], dtype=torch.float64)
    m = moments(x)
    axes, pca, zca = principal_axes(m), pca_whitening(m), zca_whitening(m)
    (a, b), (_, d) = covariance(m).tolist()
    lines = [
        f"mean ({m.mean[0]:.0f}, {m.mean[1]:.0f})",
        f"covariance, sums of products over 3:  [{a:.4f} {b:.4f}; {b:.4f} {d:.4f}]",
        f"axes: (1, 1) / sqrt 2 with variance {a:.4f} + {b:.4f} = {axes.variances[0]:.4f}",
        f"      (1,-1) / sqrt 2 with variance {a:.4f} - {b:.4f} = {axes.variances[1]:.4f}   (up to sign)",
        "     x       x - m      decorrelated          PCA white          ZCA white",
    ]
    turned = whiten(x, m.mean, decorrelation(m).matrix)
    for row in zip(x, x - m.mean, turned, whiten(x, m.mean, pca.matrix), whiten(x, m.mean, zca.matrix), strict=True):
        p, c, t, w, z = (values.tolist() for values in row)
        whole = f"({p[0]:.0f}, {p[1]:.0f})    ({c[0]:>2.0f}, {c[1]:>2.0f})"
        lines.append(f"{whole}" + "".join(f"  ({u + 0:>7.4f},{v + 0:>8.4f})" for u, v in (t, w, z)))
    long, short = axes.variances.sqrt().tolist()
    lines.append(f"PCA white is the decorrelated number over its axis's deviation, {long:.4f} or {short:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(demonstrate())
