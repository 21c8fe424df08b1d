"""Foreign issuers as metrics: why tokens are refused, how old keys are, what became of questions.

1. A scrape reads memory only.
2. Labels are names that the operator configured, and rules of ours: nothing that a caller invents.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.identity.foreign_refusals import ForeignRefusals
from gateway.identity.issuers import Issuers
from gateway.identity.opaque_tokens import Introspection


class IssuerMetrics(Collector):
    """Tells of foreign issuers.

    Args:
        issuers: Those that are trusted.
        refusals: Of their tokens.
    """

    def __init__(self, issuers: Issuers, refusals: ForeignRefusals) -> None:
        self._issuers, self._refusals = issuers, refusals

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        refused = CounterMetricFamily(
            "sealgate_issuer_tokens_refused",
            "Tokens of other issuers that were refused, by the rule they break",
            labels=("issuer", "rule"),
        )
        for key, count in self._refusals.counts.copy().items():
            refused.add_metric(key, count)
        yield refused
        yield from self._keys()
        yield _questions(self._issuers.opaque)

    def _keys(self) -> Iterable[Metric]:
        fetches = CounterMetricFamily(
            "sealgate_issuer_key_fetches",
            "Times that keys of an issuer were asked for",
            labels=("issuer", "outcome"),
        )
        age = GaugeMetricFamily(
            "sealgate_issuer_keys_age_seconds",
            "Since the keys of an issuer were fetched; absent before they were",
            labels=("issuer",),
        )
        for trust, keys in self._issuers.foreign:
            name = trust.name or trust.issuer
            fetches.add_metric((name, "ok"), keys.fetches - keys.failures)
            fetches.add_metric((name, "failed"), keys.failures)
            if keys.age is not None:
                age.add_metric((name,), keys.age)
        yield fetches
        yield age


def _questions(opaque: Introspection | None) -> Metric:
    made = CounterMetricFamily(
        "sealgate_introspections",
        "Opaque tokens by what became of the question about them",
        labels=("issuer", "outcome"),
    )
    if opaque is not None:
        for outcome in ("active", "inactive", "failed", "held_back", "remembered"):
            made.add_metric((opaque.trust.name, outcome), getattr(opaque.counters, outcome))
    return made
