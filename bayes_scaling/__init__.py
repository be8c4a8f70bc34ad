"""Bayesian fits of neural scaling laws, and what they say about how to spend compute.

Everything is imported on first use (the list is in ``__init__.pyi``): importing the package starts neither JAX nor arviz, matplotlib
or pandas.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
