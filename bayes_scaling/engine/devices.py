"""Which device a fit runs on."""

from __future__ import annotations

from typing import Any

from bayes_scaling.errors import DeviceError, InputError, nearest

DEVICES = ("auto", "cpu", "gpu")


def require_device(name: str) -> None:
    """Raise InputError unless it is the name of a kind of device, whether there is one or not."""
    if name not in DEVICES:
        raise InputError(f"unknown device '{name}'{nearest(name, DEVICES)}")


def choose_device(name: str = "auto") -> Any:
    """Return a jax device: the GPU where there is one (``auto``), or the one asked for.

    Raises
    ------
    DeviceError
        If a GPU is asked for and jax sees none, or what jax is told to use (``JAX_PLATFORMS``) cannot be started.
    """
    import jax

    require_device(name)
    try:
        return jax.devices()[0] if name == "auto" else jax.devices(name)[0]
    except (RuntimeError, AssertionError) as error:  # the latter where jax has no plugin for the platform that it is told to use
        why = str(error).splitlines()[0] if str(error) else f"JAX_PLATFORMS is '{jax.config.jax_platforms}'"
        if name == "gpu":
            raise DeviceError(
                f"jax sees no GPU here ({why}); install one with pip install 'bayes-scaling[cuda13]', or use --device cpu"
            ) from None
        raise DeviceError(f"jax could start no device ({why}); look at the driver, or set JAX_PLATFORMS=cpu") from None
