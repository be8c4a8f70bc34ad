"""A numpyro model as a density over one flat, unconstrained vector, with the data as arguments."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers
from numpyro.distributions import (
    ExpandedDistribution,
    Gamma,
    Independent,
    MaskedDistribution,
    Normal,
    TransformedDistribution,
    biject_to,
)
from numpyro.distributions.transforms import ExpTransform
from numpyro.infer.util import constrain_fn, potential_energy
from numpyro.primitives import Messenger

#: numpyro's stack of handlers is the process's, not a thread's: models are traced one at a time, where several devices are at work.
_HANDLERS = threading.RLock()

#: Padded lengths of small data. A gradient of 256 rows costs little more than one of 20; a program for another length costs many seconds.
SMALL_BUCKETS = (64, 128, 256)


def bucket(n: int) -> int:
    """Return the padded length for n rows, so that one compiled program serves many sizes.

    Few lengths for small data, then powers of two and one and a half times these.
    """
    for size in SMALL_BUCKETS:
        if n <= size:
            return size
    size = SMALL_BUCKETS[-1]
    while size < n:
        if size + size // 2 >= n:
            return size + size // 2
        size *= 2
    return size


def pad(columns: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Pad columns of shape (runs,) to their bucket; return them and the weights (1 a run, 0 padding).

    The padding repeats the first row, so that the formula stays finite there.
    """
    n = len(next(iter(columns.values())))
    extra = bucket(n) - n
    padded = {name: np.concatenate([values, np.full(extra, values[0])]) for name, values in columns.items()}
    return padded, np.concatenate([np.ones(n), np.zeros(extra)])


@dataclass(frozen=True)
class Shear:
    """Sample a coefficient at the middle of the data instead of at its declared reference.

    The coordinate of ``coefficient`` becomes ln(coefficient * (geometric mean of column / reference)^-exponent). For a given exponent that
    is a shift, so volumes, and the posterior, stay as they are. Coefficients of groups (column ``group``) have a middle each.
    """

    coefficient: str
    exponent: str
    column: str
    reference: float


@dataclass(frozen=True)
class Sum:
    """Sample the sum of positive terms, and their ratios, instead of each term.

    Runs know what a floor and a term add up to, and hardly which share is whose.

    The coordinates become ln(first + second + ...), ln(second / first), and so on. Their determinant is the sum of the terms' shares, 1:
    volumes, and the posterior, stay as they are. Terms that are sheared are summed at the middle of the data.
    """

    terms: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """How the values of a site are pooled: normal about a common centre in the unconstrained coordinate.

    A model says it of the site of the values: ``infer={"pool": (centre, spread, prior)}``.

    ``centre`` and ``spread`` are sites of one number; the spread is log-normal, and ``prior`` holds location and scale of its logarithm.
    """

    centre: str
    spread: str
    prior: tuple[float, float]


#: In which coordinate the pooled value of each group is sampled: flat vectors (fraction f, ln r), in which the entries of pooled values
#: count. With centre m and spread s, value = m + (s / r)^(1 - f) (coordinate - f m). f = 1 is the value itself (centred), right where a
#: group's runs say what it is; f = 0 its distance from the centre in spreads (non-centred), right where they do not and the value follows
#: the spread: a funnel otherwise. The best is between (Papaspiliopoulos et al. 2007, Statistical Science 22:59; Gorinova et al. 2020,
#: arXiv 1906.03028).
type Centring = tuple[Any, Any]

#: Fraction and stretch, (s / r)^(1 - f), of each pooled site.
type Frame = dict[str, tuple[jax.Array, jax.Array]]


class Density:
    """The posterior of a model ``model(columns, weight)`` over a flat vector of unconstrained coordinates.

    Where it is given a `Centring`, pooled values have other coordinates, and the posterior is the same; without one they are centred.

    Parameters
    ----------
    model : numpyro model; its latent sites must be continuous
    columns, weight : padded data; only their shapes are used
    shears, sums : changes of coordinates of unit volume; what does not fit the model's sites is left out
    """

    def __init__(
        self,
        model: Callable[..., None],
        columns: Mapping[str, np.ndarray],
        weight: np.ndarray,
        shears: tuple[Shear, ...] = (),
        sums: tuple[Sum, ...] = (),
    ) -> None:
        self.model = model
        self._float = jnp.result_type(float)  # 64 or 32 bits, as the caller has chosen
        self.columns = {name: jax.ShapeDtypeStruct(values.shape, self._float) for name, values in columns.items()}
        self.weight = jax.ShapeDtypeStruct(weight.shape, self._float)
        sites = _latent_sites(model, self.columns, self.weight)
        self._transforms = {name: biject_to(site["fn"].support) for name, site in sites.items()}
        self._shapes = {name: self._transforms[name].inverse_shape(np.shape(site["value"])) for name, site in sites.items()}
        self.sites = tuple(sites)
        self.shears = tuple(shear for shear in shears if self._fits(shear))
        self.size = sum(int(np.prod(shape)) for shape in self._shapes.values())
        self.pools: dict[str, Pool] = {name: Pool(*site["infer"]["pool"]) for name, site in sites.items() if "pool" in site["infer"]}
        self.sums = tuple(fitting for total in sums if len((fitting := self._summed(total)).terms) > 1)
        self.places: dict[str, np.ndarray] = self._split(np.arange(self.size))  # of each site in a flat vector
        self.tilt = np.zeros(self.size)
        for name, pool in self.pools.items():
            self.tilt[self.places[pool.spread]] += self.places[name].size

    def _fits(self, shear: Shear) -> bool:
        """Whether both sites are sampled, each coefficient has one exponent, and the coefficient's coordinate is its logarithm."""
        if shear.coefficient not in self._shapes or shear.exponent not in self._shapes or not self._in_logs(shear.coefficient):
            return False
        return self._shapes[shear.exponent] in ((), self._shapes[shear.coefficient])

    def _in_logs(self, name: str) -> bool:
        return isinstance(self._transforms[name], ExpTransform)

    def _summed(self, total: Sum) -> Sum:
        """Return the sum of those terms that are sampled by their logarithms, alike in shape, and not about a common centre."""
        terms = [name for name in total.terms if name in self._shapes and self._in_logs(name) and name not in self.pools]
        return Sum(tuple(name for name in terms if self._shapes[name] == self._shapes[terms[0]]))

    def _slide(self, shear: Shear, parts: Mapping[str, jax.Array], columns: Mapping[str, Any], weight: Any, frame: Frame) -> jax.Array:
        """Return ln(coefficient at the reference) - ln(coefficient at the middle of the data)."""
        logs = jnp.where(weight > 0, jnp.log(columns[shear.column]), 0.0)
        shape = self._shapes[shear.coefficient]
        share = weight * (columns["group"] == jnp.arange(shape[0])[:, None]) if shape and "group" in columns else weight
        middle = jnp.sum(share * logs, -1) / jnp.maximum(jnp.sum(share, -1), 1e-9)
        slide = self._transforms[shear.exponent](parts[shear.exponent]) * (middle - np.log(shear.reference))
        # A group's runs know the coefficient at their scale, the other groups know it at the reference.
        return frame[shear.coefficient][0] * slide if shear.coefficient in frame else slide

    def arguments(self, columns: Mapping[str, Any], weight: Any) -> tuple:
        """Return data as the sampler's programs take them: with a centring (for now, centred) where there are pooled values."""
        centred = np.ones(self.size, weight.dtype), np.zeros(self.size, weight.dtype)
        return (columns, weight, centred) if self.pools else (columns, weight)

    def unflatten(self, z: jax.Array, columns: Mapping[str, Any], weight: Any, centring: Centring | None = None) -> dict[str, jax.Array]:
        """Return the unconstrained value of each site at a flat vector."""
        parts = self._split(z)
        for first, *others in (total.terms for total in self.sums):
            parts[first] = parts[first] - jnp.log1p(sum(jnp.exp(parts[name]) for name in others))
            for name in others:
                parts[name] = parts[name] + parts[first]
        frame = self._frame(parts, centring)
        sheared = [shear.coefficient for shear in self.shears]

        def place(name: str) -> None:
            fraction, stretch = frame[name]
            centre = parts[self.pools[name].centre]
            parts[name] = centre + stretch * (parts[name] - fraction * centre)

        for name in frame:
            if name not in sheared:  # exponents before their coefficients
                place(name)
        for shear in self.shears:  # a coefficient may have an exponent in each of several inputs
            parts[shear.coefficient] = parts[shear.coefficient] + self._slide(shear, parts, columns, weight, frame)
        for name in frame:
            if name in sheared:
                place(name)
        return parts

    def flatten(
        self, parts: Mapping[str, jax.Array], columns: Mapping[str, Any], weight: Any, centring: Centring | None = None
    ) -> jax.Array:
        """Return the flat vector of unconstrained values: the inverse of `unflatten`."""
        found, frame = dict(parts), self._frame(parts, centring)
        for name, (fraction, stretch) in frame.items():
            centre = parts[self.pools[name].centre]
            found[name] = (parts[name] - centre) / stretch + fraction * centre
        for shear in self.shears:
            found[shear.coefficient] = found[shear.coefficient] - self._slide(shear, parts, columns, weight, frame)
        for first, *others in (total.terms for total in self.sums):
            for name in others:
                found[name] = found[name] - found[first]
            found[first] = found[first] + jnp.log1p(sum(jnp.exp(found[name]) for name in others))
        return jnp.concatenate([jnp.ravel(found[name]) for name in self.sites])

    def _frame(self, parts: Mapping[str, jax.Array], centring: Centring | None) -> Frame:
        """Return how pooled values stand about their centres: nothing without a centring."""
        if centring is None:
            return {}
        fraction, log_spread = (self._split(part) for part in centring)
        return {
            name: (fraction[name], jnp.exp((1 - fraction[name]) * (parts[pool.spread] - log_spread[name])))
            for name, pool in self.pools.items()
        }

    def _split(self, z: Any) -> dict[str, Any]:
        parts, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + int(np.prod(shape))
            parts[name] = z[start:stop].reshape(shape)
            start = stop
        return parts

    def potential(self, z: jax.Array, columns: Mapping[str, Any], weight: Any, centring: Centring | None = None) -> jax.Array:
        """Negative log posterior density in the unconstrained coordinates, up to a constant; z has shape (size,)."""
        parts = self.unflatten(z, columns, weight, centring)
        with _HANDLERS:
            value = jnp.asarray(potential_energy(self.model, (columns, weight), {}, parts))
        for _, stretch in self._frame(parts, centring).values():
            value = value - jnp.sum(jnp.log(stretch))  # the volume of the change of coordinates
        return value

    def slope(self, z: jax.Array, columns: Mapping[str, Any], weight: Any, centring: Centring | None = None) -> tuple[jax.Array, jax.Array]:
        """Return the potential and its gradient."""
        return jax.value_and_grad(self.potential)(z, columns, weight, centring)

    def tilted_slope(self, z: jax.Array, columns: Mapping[str, Any], weight: Any) -> tuple[jax.Array, jax.Array]:
        """Return what a search for the mode goes down: the potential, and its gradient, with the volume of pooled values taken out.

        A joint density of values and their spread s holds s^-values: its mode is where the values are one, far from its mass. Times
        s^values it is the density of the standardised values, whose mode lies within it. In ln s that is a tilt, so the curvature stays.
        """
        value, gradient = self.slope(z, columns, weight)
        return value - jnp.sum(self.tilt * z), gradient - self.tilt

    def constrain(self, z: jax.Array, columns: Mapping[str, Any], weight: Any, centring: Centring | None = None) -> dict[str, jax.Array]:
        """Return the values of all latent and deterministic sites at z."""
        parts = self.unflatten(z, columns, weight, centring)
        with _HANDLERS:
            return constrain_fn(self.model, (columns, weight), {}, parts, return_deterministic=True)

    def unconstrain(self, values: Mapping[str, Any], columns: Mapping[str, Any], weight: Any) -> jax.Array:
        """Return the flat vector of site values."""
        parts = {name: self._transforms[name].inv(jnp.asarray(values[name], dtype=float)) for name in self.sites}
        return self.flatten(parts, columns, weight)

    def scatter(self, normals: jax.Array, columns: Mapping[str, Any], weight: Any) -> jax.Array:
        """Return a point scattered about as the prior is: standard normal numbers, shape (size,), turned into a flat vector. Traceable."""
        with _HANDLERS:
            trace = handlers.trace(_Scattered(self.model, self._split(normals))).get_trace(columns, weight)
        return self.unconstrain({name: trace[name]["value"] for name in self.sites}, columns, weight)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the traced computation with all its constants: whatever a law's code closes over is in it."""
        z = jax.ShapeDtypeStruct((self.size,), self._float)
        digest = hashlib.sha256()
        # The gradient, not only the value: a custom derivative rule prints as a name, but not what it computes.
        for function in (jax.value_and_grad(self.potential), self.constrain):
            traced = jax.make_jaxpr(function)(z, self.columns, self.weight)
            digest.update(str(traced).encode())
            for constant in _constants(traced):
                array = np.asarray(constant)
                digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()


def _latent_sites(model: Callable[..., None], columns: Mapping[str, Any], weight: Any) -> dict[str, Any]:
    """Return the sampled sites of a model by name. It is traced, not run: running it once costs seconds of small compilations."""
    found: dict[str, Any] = {}

    def look(columns: Mapping[str, Any], weight: Any) -> None:
        with _HANDLERS, numpyro.validation_enabled(False), handlers.seed(rng_seed=0):
            trace = handlers.trace(model).get_trace(columns, weight)
        found.update({name: site for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]})

    jax.eval_shape(look, columns, weight)
    return found


class _Scattered(Messenger):
    """Gives every latent site a value made of standard normal numbers.

    Starts of a search need not follow the prior exactly, and samplers take seconds to compile (the gamma's by rejection most of all).
    """

    def __init__(self, model: Callable[..., None], normals: Mapping[str, jax.Array]) -> None:
        super().__init__(model)
        self.normals = normals

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg["is_observed"]:
            msg["value"] = _from_normals(msg["fn"], self.normals[msg["name"]])


def _from_normals(fn: Any, normals: jax.Array) -> Any:
    """Return a draw where it is a function of normal numbers; a gamma as the log-normal of its moments; else, the mean scattered by 1."""
    base, transforms = fn, []
    # Not every distribution with a base is a map of it: a truncated one is not.
    while isinstance(base, (ExpandedDistribution, Independent, MaskedDistribution, TransformedDistribution)):
        transforms = [*getattr(base, "transforms", ()), *transforms]
        base = base.base_dist
    if isinstance(base, Gamma) and not transforms:
        spread = jnp.log1p(base.variance / base.mean**2)
        base, transforms = Normal(jnp.log(base.mean) - spread / 2, jnp.sqrt(spread)), [ExpTransform()]
    if isinstance(base, Normal):
        value = jnp.asarray(base.loc) + jnp.asarray(base.scale) * normals
        for transform in transforms:
            value = transform(value)
        return value
    to_support = biject_to(fn.support)
    try:
        centre = to_support.inv(jnp.broadcast_to(fn.mean, normals.shape))
    except NotImplementedError:  # numpyro knows no mean (an improper prior): about the middle of the unconstrained line
        centre = jnp.zeros(())
    return to_support(jnp.where(jnp.isfinite(centre), centre, 0.0) + normals)


def _constants(traced: Any) -> Iterator[Any]:
    """Yield the arrays that a traced function holds, at every depth: an inner jit keeps its own, and they do not print."""
    if isinstance(traced, (tuple, list)):
        for part in traced:
            yield from _constants(part)
        return
    yield from getattr(traced, "consts", ())
    inner = getattr(traced, "jaxpr", traced)
    for equation in getattr(inner, "eqns", ()):
        for value in equation.params.values():
            yield from _constants(value)
