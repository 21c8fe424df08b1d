"""Flower's own strategy and its own loop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]  # flwr ships no types
def main(grid: Any, context: Any) -> None:
    wish = context.run_config
    strategy = FedAvg(
        fraction_evaluate=0.0,
        min_train_nodes=int(wish["sites"]),
        min_available_nodes=int(wish["sites"]),
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(int(wish["features"]) + 1)]),
        num_rounds=int(wish["rounds"]),
    )
    told = {number: dict(found) for number, found in result.train_metrics_clientapp.items()}
    Path(str(wish["out"])).write_text(json.dumps(told))
