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
        If a GPU is asked for and jax sees none.
    """
    import jax

    require_device(name)
    if name == "auto":
        return jax.devices()[0]
    try:
        return jax.devices(name)[0]
    except RuntimeError as error:
        raise DeviceError(
            f"jax sees no {name.upper()} here ({str(error).splitlines()[0]}); install one with pip install 'bayes-scaling[cuda13]', "
            "or use --device cpu"
        ) from None
