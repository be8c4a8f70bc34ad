"""Chains of many data sets: where they stand, in what coordinates they move, and the compiled program that moves them side by side.

A data set says what its chains are to do next (a `Stretch`), and is told what came of it; `Lanes` is the compiled program, which works at a
few data sets at a time. Whoever is done makes room for the next: nobody waits for the one with the longest trajectories, and nothing that a
data set draws depends on who its neighbours are. A single fit is a batch of one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine import nuts, programs
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.groups import Recentring

CHUNK = 200  # iterations of a stretch at most: the grain of a progress bar
_WINDOW = 100  # iterations of the first and the last window of a warm-up
_SHORT = 7  # doublings a trajectory at most in the first window, where values are pooled
_SHARE = 4  # lanes are filled anew when one in so many is done


class Stretch(NamedTuple):
    """What the chains of a data set are to do next.

    ``data`` columns and weight, (runs,); ``centre`` and ``whitening``, (size,) and (size, size): chains move in w, with z = centre +
    whitening @ w; ``position`` w of each chain, (chain, size); ``steps`` their step sizes; ``random`` numbers for `CHUNK` iterations;
    ``how`` target acceptance, whether steps adapt, iterations and depth.
    """

    data: Any
    centre: np.ndarray
    whitening: np.ndarray
    position: np.ndarray
    steps: nuts.Steps
    random: nuts.Randomness
    how: nuts.Settings


#: A data set's work: yields what to do next, is sent the rows (chain, iteration, size + statistics) and the steps, returns its result.
type Work[T] = Generator[Stretch, tuple[np.ndarray, nuts.Steps], T]


def windows(warmup: int) -> list[int]:
    """Return the lengths of a warm-up's windows: after each but the last, coordinates are whitened anew; the last sets the step size."""
    left, size, found = warmup, _WINDOW, []
    while left >= size + _WINDOW:
        found.append(size if left >= 3 * size + _WINDOW else left - _WINDOW)
        left -= found[-1]
        size = sum(found)
    return [*found, left] if left else found


class Chains:
    """Chains of one data set. Its methods are `Work`: they move when a `Lanes` carries them out.

    Parameters
    ----------
    data : columns and weight, each (runs,)
    position : flat coordinates, (chain, size)
    centre, whitening : (size,) and (size, size)
    generator : source of random numbers, so that draws do not depend on other data sets
    depth : doublings a trajectory at most
    report : called with the number of iterations after every stretch
    recentre : chooses coordinates of pooled values anew after a window of the warm-up, where there are any
    """

    def __init__(
        self,
        data: Any,
        position: np.ndarray,
        centre: np.ndarray,
        whitening: np.ndarray,
        generator: np.random.Generator,
        depth: int = nuts.MAX_DEPTH,
        report: Callable[[int], None] | None = None,
        recentre: Recentring | None = None,
    ) -> None:
        self.recentre = recentre
        self.data, self.generator, self.depth, self.report = data, generator, depth, report
        # In 64 bits here, whatever the device computes in: covariances of 32 bits need not be positive.
        self.position, self.centre, self.whitening = (np.array(part, float) for part in (position, centre, whitening))
        self.steps = nuts.Steps.first(position.shape[:1])

    def warm_up(self, warmup: int, target: float) -> Work[None]:
        """Let the chains find where they belong, and adapt coordinates and steps."""
        plan, depth = windows(warmup), self.depth
        for number, length in enumerate(plan):
            self.steps = nuts.Steps.fresh(self.steps.log_mean)
            # Before pooled values have their coordinates, trajectories are as long as they may be, and lead nowhere.
            self.depth = min(depth, _SHORT) if self.recentre is not None and number == 0 else depth
            seen, _ = yield from self.draw(length, target, adapting=True)
            if number < len(plan) - 1:
                self._whiten(seen[:, length // 4 :])
        self.depth = depth

    def _whiten(self, draws: np.ndarray) -> None:
        """Whiten by the covariance of draws, (chain, iteration, size), shrunk a little towards what was."""
        if self.recentre is not None:
            self.data, draws, self.whitening = self.recentre(self.data, draws)
            self.position = draws[:, -1]
        size = draws.shape[-1]
        pooled = draws.reshape(-1, size)
        w = np.linalg.solve(self.whitening, (pooled - pooled.mean(axis=0)).T)
        covariance = (w @ w.T + (size + 5) * np.eye(size)) / (w.shape[1] + size + 5)
        if np.all(np.isfinite(covariance)):
            self.centre = pooled.mean(axis=0)
            self.whitening = self.whitening @ np.linalg.cholesky(covariance)

    def draw(self, iterations: int, target: float = 0.0, *, adapting: bool = False) -> Work[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Move all chains so many iterations; return coordinates, (chain, iteration, size), and statistics, (chain, iteration)."""
        shape, dtype = (len(self.position), CHUNK), self.data[1].dtype
        size, found = self.position.shape[1], []
        for done in range(0, iterations, CHUNK):
            length = min(CHUNK, iterations - done)
            w = np.linalg.solve(self.whitening, (self.position - self.centre).T).T
            random = nuts.Randomness.draw(self.generator, shape, size, dtype)
            how = nuts.Settings(target, adapting, length, self.depth)
            rows, self.steps = yield Stretch(self.data, self.centre, self.whitening, w, self.steps, random, how)
            z = self.centre + rows[:, :length, :size].astype(float) @ self.whitening.T
            self.position = z[:, -1]
            found.append((z, rows[:, :length, size:]))
            if self.report is not None:
                self.report(length)
        z, told = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        return z, dict(zip(nuts.STATISTICS, np.moveaxis(told, -1, 0), strict=True))


@cache
def _carried(leaves: tuple, form: Any) -> tuple[list, Any]:
    """Return what chains carry from one call of their program to the next, blank, and its form; traced once for all data of a shape.

    Parameters
    ----------
    leaves, form : shapes of positions, steps and random numbers
    """

    def begun(position: Any, steps: tuple, random: tuple) -> tuple:
        return nuts.begin(position, nuts.Steps(*steps)), nuts.blank(nuts.Randomness(*random), position.dtype)

    found, told = jax.tree.flatten(jax.eval_shape(begun, *jax.tree.unflatten(form, leaves)))
    return [np.zeros(leaf.shape, leaf.dtype) for leaf in found], told


class Lanes:
    """The program that moves chains of several data sets side by side; from here on another thread compiles it.

    Parameters
    ----------
    density : the posterior of a data set
    data : columns and weight, each (runs,), of any of the data sets: all have the same shapes
    chains : of a data set
    lanes : data sets side by side
    device : the jax device
    """

    def __init__(self, density: Density, data: Any, chains: int, lanes: int, device: Any) -> None:
        self.lanes, self.device, self.size = lanes, device, density.size
        self.dtype = data[1].dtype
        of_chains = nuts.Steps(*[np.zeros(chains, self.dtype)] * len(nuts.Steps._fields))
        random = nuts.Randomness(np.zeros((chains, CHUNK, self.size)), np.zeros((chains, CHUNK, nuts.MAX_DEPTH, 3)))
        at = np.zeros((chains, self.size))
        given = self._seats(Stretch(data, at[0], np.eye(self.size), at, of_chains, random, nuts.Settings(0.0, False, 0, 0)))
        *_, position, steps, random, _ = given
        shapes = jax.tree.map(lambda part: jax.ShapeDtypeStruct(part.shape, part.dtype), (position, steps, random))
        leaves, form = jax.tree.flatten(shapes)
        self._blank, self._form = _carried(tuple(leaves), form)

        def advance(given: tuple, carried: list, new: Any, enough: Any) -> tuple:
            state, rows = jax.tree.unflatten(self._form, carried)
            state, rows, finished = move(density, given, state, rows, new, enough)
            return jax.tree.leaves((state, rows)), finished, tuple(state.steps)

        arguments = (given, self._blank, np.ones(lanes, bool), np.asarray(0))
        self._program = programs.prepare("advance", advance, arguments, (density.fingerprint,), device)

    def ready(self) -> None:
        """Wait for the program."""
        self._program.result()

    def run[T](self, works: Iterable[Work[T]]) -> Iterator[tuple[int, T]]:
        """Carry out the work of each data set; yield (its place, its result) as they are done. ``works`` is read as there is room."""
        waiting = enumerate(works)
        held: dict[int, tuple[int, Work[T]]] = {}  # by lane
        given: Any = None
        carried: Any = self._blank
        finished, rows, steps = np.zeros(self.lanes, bool), np.zeros(self.lanes), [np.zeros(self.lanes)]
        while True:
            new = np.zeros(self.lanes, bool)
            for lane in range(self.lanes):
                if lane in held and not finished[lane]:
                    continue
                following, answer = held.pop(lane, None), None
                if following is not None:
                    answer = np.array(rows[lane]), nuts.Steps(*(np.array(part[lane], float) for part in steps))
                while following is not None or (following := next(waiting, None)) is not None:
                    place, work = following
                    stretch, result = _next(work, answer)
                    if stretch is not None:
                        held[lane] = following
                        given = self._seats(stretch) if given is None else given
                        for seats, value in zip(jax.tree.leaves(given), jax.tree.leaves(stretch), strict=True):
                            seats[lane] = value
                        new[lane] = True
                        break
                    yield place, result
                    following, answer = None, None
            if not held:
                return
            for lane in set(range(self.lanes)) - set(held):
                given[-1][2][lane] = 0  # an empty lane computes what it did before, but nobody waits for it
            enough = np.asarray(self.lanes - len(held) + max(1, len(held) // _SHARE))
            arguments = jax.device_put((given, carried, new, enough), self.device)
            carried, done, after = self._program.result()(*arguments)
            finished, rows, steps = np.asarray(done), np.asarray(carried[-1]), [np.asarray(part) for part in after]

    def _seats(self, stretch: Stretch) -> tuple:
        """Return arrays with an axis of lanes, each as in a stretch; numbers of 64 bits as the program computes."""

        def of_all(value: Any) -> np.ndarray:
            value = np.asarray(value)
            return np.repeat(value[None].astype(self.dtype if value.dtype.kind == "f" else value.dtype), self.lanes, axis=0)

        *parts, steps, random, how = jax.tree.map(of_all, stretch)
        return *parts, tuple(steps), tuple(random), tuple(how)


def _next[T](work: Work[T], answer: Any) -> tuple[Stretch | None, Any]:
    """Return the next stretch of a data set's work, or its result."""
    try:
        return work.send(answer), None
    except StopIteration as end:
        return None, end.value


def move(density: Density, given: tuple, state: Any, rows: Any, new: Any, enough: Any) -> tuple[Any, Any, Any]:
    """Move chains until ``enough`` lanes are done with their stretch; return state, rows and which are. Traceable.

    ``given`` are stretches with an axis of lanes; lanes that are ``new`` begin with what is given there, others go on.
    """

    # Products are written out as sums: a product of such small matrices calls a library, which costs a CPU more than a gradient does,
    # and a GPU's default for 32-bit products keeps ten bits.
    def slope(frame: tuple, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        data, centre, whitening = frame
        value, gradient = density.slope(centre + jnp.sum(whitening * w, axis=1), *data)
        return value, jnp.sum(gradient[:, None] * whitening, axis=0)

    data, centre, whitening, position, steps, random, how = given
    how = nuts.Settings(*how)

    def of_new(fresh: Any, old: Any) -> Any:
        return jnp.where(new.reshape(-1, *[1] * (old.ndim - 1)), fresh, old)

    state = jax.tree.map(of_new, nuts.begin(position, nuts.Steps(*steps)), state)
    state, rows = nuts.advance(slope, (data, centre, whitening), state, rows, nuts.Randomness(*random), how, enough)
    return state, rows, nuts.done(state, how)


class Sites:
    """The program from flat coordinates to values of all sites, being compiled in another thread from here on.

    Parameters
    ----------
    density : the posterior
    data : columns and weight, each (runs,)
    chains : of a data set
    device : the jax device
    """

    def __init__(self, density: Density, data: Any, chains: int, device: Any) -> None:
        self.density, self.device, self.shape, self.dtype = density, device, (chains, CHUNK, density.size), data[1].dtype

        def constrain(z: jax.Array, data: Any) -> dict[str, jax.Array]:
            return jax.vmap(jax.vmap(lambda z: density.constrain(z, *data)))(z)

        arguments = (np.zeros(self.shape, self.dtype), data)
        self._program = programs.prepare("constrain", constrain, arguments, (density.fingerprint,), device)

    def __call__(self, z: np.ndarray, data: Any) -> dict[str, np.ndarray]:
        """Return site name -> values, (chain, draw, ...), at coordinates (chain, draw, size)."""
        draws, pieces = z.shape[1], []
        for start in range(0, draws, CHUNK):
            piece = np.zeros(self.shape, self.dtype)
            part = z[:, start : start + CHUNK]
            piece[:, : part.shape[1]] = part
            piece[:, part.shape[1] :] = part[:, -1:]
            pieces.append(jax.tree.map(np.asarray, self._program.result()(*jax.device_put((piece, data), self.device))))
        return {name: np.concatenate([piece[name] for piece in pieces], axis=1)[:, :draws] for name in pieces[0]}
