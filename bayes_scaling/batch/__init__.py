"""Batch jobs: many fits, in a store that survives interruption, on one machine or a Dask cluster."""

from bayes_scaling.batch.job import Job, LawOptions, read_job
from bayes_scaling.batch.run import Batch, Forecast, forecast, run_job
from bayes_scaling.batch.store import Store
from bayes_scaling.errors import BatchError

__all__ = ["Batch", "BatchError", "Forecast", "Job", "LawOptions", "Store", "forecast", "read_job", "run_job"]
