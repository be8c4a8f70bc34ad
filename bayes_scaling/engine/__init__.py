"""From a numpyro model to draws that can be trusted. Knows nothing of laws, runs or files."""

from bayes_scaling.engine.density import Density, Shear, Sum, bucket, pad
from bayes_scaling.engine.devices import alike, choose_device, gpu_present
from bayes_scaling.engine.many import ManyDraws, sample_many
from bayes_scaling.engine.modes import NEARBY, Modes
from bayes_scaling.engine.programs import use_compile_cache
from bayes_scaling.engine.sampler import METHODS, STARTS, Draws, Sampler, Task, sample_each
from bayes_scaling.engine.streams import at_once

__all__ = [
    "METHODS",
    "NEARBY",
    "STARTS",
    "Density",
    "Draws",
    "ManyDraws",
    "Modes",
    "Sampler",
    "Shear",
    "Sum",
    "Task",
    "alike",
    "at_once",
    "bucket",
    "choose_device",
    "gpu_present",
    "pad",
    "sample_each",
    "sample_many",
    "use_compile_cache",
]
