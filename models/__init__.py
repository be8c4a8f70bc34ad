"""The laws, one a file. Installed as ``bayes_scaling.models``; discovered, so that adding a law is adding a file."""

if __name__ != "bayes_scaling.models":
    # From the repository root `import models` would load a second copy of every law, with its own Law objects.
    raise ImportError("import the laws as 'bayes_scaling.models' (pip install -e . sets this up), not as 'models'")
