"""Loads an owner's model. Unpickling happens here, and nowhere else in this distribution.

1. A file whose loading may run what is in it is loaded only where its owner said so
   (`Request.trusted`), as the owner and unconfined. No gateway and no site ever does it.
2. Formats that hold weights alone (XGBoost's, LightGBM's) and ONNX need no such word.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Final

from gateway.conversion.kinds import PICKLED, Kind
from gateway.conversion.request import Stuck

_PACKAGES: Final = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow"}
"""Names of packages that are not those of their modules."""


def load(path: Path, kind: Kind, *, trusted: bool) -> Any:
    """Load a model.

    Raises:
        Stuck: `untrusted`, `missing` (a library), `unreadable`.
    """
    if kind in PICKLED and not trusted:
        raise Stuck(
            "untrusted",
            f"loading {path.name} runs whatever its maker put in, as you",
            "if you made it or trust who did: --trust-pickle",
        )
    # Classes of the owner's own modules: found beside the file and where the command was started,
    # after everything that is installed.
    sys.path += [os.getcwd(), str(path.resolve().parent)]
    try:
        return _LOADERS[kind](path)
    except ModuleNotFoundError as fault:
        module = (fault.name or "").partition(".")[0]
        raise Stuck(
            "missing",
            f"it needs `{fault.name}`, which is not installed here",
            f"pip install {_PACKAGES.get(module, module)}, in the version that it was made with",
        ) from None
    except AttributeError as fault:
        raise Stuck(
            "unreadable",
            f"it refers to something that is not there: {fault}",
            "define it in a module that can be imported here rather than in a script; or install "
            "the version of the library that it was made with",
        ) from None
    except Stuck:
        raise
    except Exception as fault:  # loaders raise what they like, and so does what is in a pickle
        said = " ".join(str(fault).split())[:300]
        raise Stuck(
            "unreadable",
            f"{path.name} cannot be loaded: {type(fault).__name__}: {said}",
            "save it again with the versions that are installed here",
        ) from None


def _pickle(path: Path) -> Any:
    import joblib

    return joblib.load(path)


def _xgboost(path: Path) -> Any:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(path)
    return booster


def _lightgbm(path: Path) -> Any:
    import lightgbm

    with contextlib.redirect_stdout(sys.stderr):
        return lightgbm.Booster(model_file=str(path))


def _network(path: Path) -> Any:
    from gateway.conversion.networks import load_network

    return load_network(path)


_LOADERS: Final = {
    "pickle": _pickle,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "torch_pickle": _network,
    "torch_script": _network,
    "torch_program": _network,
}
