"""A site as Flower's tutorials write one, with sealgate's trainer; evaluation is folded in."""

from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from federated.plan import LogisticRegression
from federated.site.data import load
from federated.task import evaluate, pooled, sums, train

app = ClientApp()


@app.train()  # type: ignore[untyped-decorator]  # flwr ships no types
def fit(message: Message, context: Any) -> Message:
    table = load(Path(str(context.node_config["data"])), "label")
    rows, width = table.features.shape
    features = pooled(sums(table.features), rows).apply(table.features)
    (parameters,) = message.content["arrays"].to_numpy_ndarrays()
    metrics = evaluate(parameters, features, table.labels)
    trained = train(parameters, features, table.labels, LogisticRegression(width).training)
    content = RecordDict(
        {
            "arrays": ArrayRecord([trained]),
            "metrics": MetricRecord({"num-examples": rows, **metrics}),
        }
    )
    return Message(content, reply_to=message)
