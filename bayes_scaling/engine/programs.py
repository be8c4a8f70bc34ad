"""Compiled programs, kept: in memory for this process, and on disk as exported programs and XLA's compile cache for the next one.

Tracing NUTS and compiling it costs ten times more than running it. An exported program skips the tracing, XLA's cache the compiling.
The key holds everything that can change a program: the traced density with its constants, shapes, settings, the engine's own source
and the versions of jax, numpyro and Python. A file that is missing, foreign or damaged only costs the time to make it again.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bayes_scaling.cache import load, private_folder, store

_memory: dict[str, Future[Callable[..., Any]]] = {}
_MOST = 128  # programs in memory; a long batch over many shapes must not fill it
_compilers = ThreadPoolExecutor(2, "compiler")
_PREPARING = threading.RLock()  # a program that several devices need is traced once


@cache
def _environment() -> str:
    """Everything outside a program that can change it."""
    import jaxlib.version
    import numpyro

    source = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source.update(path.read_bytes())
    parts = [jax.__version__, jaxlib.version.__version__, numpyro.__version__, sys.version, platform.machine(), source.hexdigest()]
    return "|".join(parts)


@cache
def use_compile_cache() -> None:
    """Turn on XLA's compile cache in our folder, unless the user has set one of their own."""
    if jax.config.jax_compilation_cache_dir:
        return
    folder = private_folder("compiled")  # jax runs what it finds there
    if folder is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # a fit makes many small programs besides the large one
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # A full disk costs time then, and is no matter for a warning at each of dozens of programs.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()  # jax decides once whether it has a cache; a process that compiled before us decided no


def program(name: str, function: Callable[..., Any], arguments: tuple, identity: tuple, device: Any) -> Callable[..., Any]:
    """Return a compiled ``function`` for arguments of the given shapes; see `prepare`."""
    return prepare(name, function, arguments, identity, device).result()


def prepare(name: str, function: Callable[..., Any], arguments: tuple, identity: tuple, device: Any) -> Future[Callable[..., Any]]:
    """Trace ``function`` for arguments of the given shapes, and let another thread compile it.

    Parameters
    ----------
    name : what the program does, for the file's name
    function : traceable; everything that it closes over must be told in ``identity``
    arguments : example arguments (arrays or shape structs)
    identity : what the function closes over, as text and numbers
    device : the jax device that it is to run on
    """
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.canonicalize_dtype(jax.numpy.result_type(leaf))), arguments
    )
    text = repr((name, identity, device.platform, jax.config.jax_enable_x64, shapes, _environment()))
    key = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
    with _PREPARING:
        return _prepared(key, function, shapes, device)


def _prepared(key: str, function: Callable[..., Any], shapes: Any, device: Any) -> Future[Callable[..., Any]]:
    in_memory = f"{key}-{device.id}"
    known = _memory.get(in_memory)
    if known is not None and not (known.done() and known.exception()):  # a failure (for lack of memory, say) may pass
        return known
    use_compile_cache()
    exported = _load(key)
    if exported is None:
        exported = jax.export.export(jax.jit(function), platforms=[device.platform])(*shapes)
        store(key, bytes(exported.serialize()))
    # A sum over a few hundred runs is one loop to a CPU; XLA would make two kernels of it.
    # The further passes of its code generator take a third of the compiling, and what they make runs no faster.
    options: dict[str, Any] = {"xla_disable_hlo_passes": "tree_reduction_rewriter", "xla_backend_optimization_level": 1}
    options = options if device.platform == "cpu" else {}
    while len(_memory) >= _MOST:
        del _memory[next(iter(_memory))]  # the oldest
    _memory[in_memory] = _compilers.submit(jax.jit(exported.call).lower(*shapes).compile, options)
    return _memory[in_memory]


def _load(key: str) -> Any:
    content = load(key)
    if content is None:
        return None
    try:
        return jax.export.deserialize(bytearray(content))
    except Exception:  # written by something else under our name: any failure to read it means that it must be made again
        return None
