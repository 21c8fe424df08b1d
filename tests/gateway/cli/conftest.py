from __future__ import annotations

import warnings

# typer 0.20, which the federated extra pins, imports names that click 8.5 deprecates.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import typer.main  # noqa: F401
