"""Which device a fit runs on."""

from __future__ import annotations

import os
from typing import Any

from bayes_scaling.errors import DeviceError, InputError, nearest, option_text

DEVICES = ("auto", "cpu", "gpu")

#: Rows that a gradient sums over, times chains and data sets side by side, from which a GPU is taken to be faster than a CPU. A leapfrog is
#: about a hundred small kernels, at some 5 us each to launch however little they do; a CPU takes some 30 ns a row (one gradient of 240
#: runs, 64 bits: 7 us). An estimate: `bayes_scaling.bench` measures where the two cross on a machine that has both.
WORTH_A_GPU = 16_000


def require_device(name: str) -> None:
    """Raise InputError unless it is the name of a kind of device, whether there is one or not."""
    if name not in DEVICES:
        raise InputError(f"unknown device '{name}'{nearest(name, DEVICES)}")


def choose_device(name: str = "auto", work: int | None = None) -> Any:
    """Return a jax device: the one asked for, or (``auto``) the faster one.

    Parameters
    ----------
    name : ``auto``, ``cpu`` or ``gpu``
    work : rows times chains times data sets side by side. By ``auto``, a GPU does what is `WORTH_A_GPU`, and everything where this is None

    Raises
    ------
    DeviceError
        If a GPU is asked for and jax sees none, or what jax is told to use (``JAX_PLATFORMS``) cannot be started.
    """
    import jax

    require_device(name)
    try:
        first = jax.devices()[0] if name == "auto" else jax.devices(name)[0]
    except (RuntimeError, AssertionError) as error:  # the latter where jax has no plugin for the platform that it is told to use
        why = str(error).splitlines()[0] if str(error) else f"JAX_PLATFORMS is '{jax.config.jax_platforms}'"
        if name == "gpu":
            raise DeviceError(
                f"jax sees no GPU here ({why}); install one with pip install 'bayes-scaling[cuda13]', or use {option_text(device='cpu')}"
            ) from None
        raise DeviceError(f"jax could start no device ({why}); look at the driver, or set JAX_PLATFORMS=cpu") from None
    if name == "auto" and first.platform == "gpu" and work is not None and work < WORTH_A_GPU:
        try:
            return jax.devices("cpu")[0]
        except RuntimeError:  # JAX_PLATFORMS names the GPU alone
            return first
    return first


def alike(device: Any) -> list[Any]:
    """Return all devices of this process that are of a device's kind, itself first."""
    import jax

    others = [other for other in jax.local_devices(backend=device.platform) if other != device]
    return [device, *others]


def gpu_present() -> bool:
    """Return whether jax sees a GPU; nothing that it cannot start is an error."""
    try:
        choose_device("gpu")
    except DeviceError:
        return False
    return True


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
