"""What can go wrong in a federation. Codes are stable; texts never repeat what a caller sent.

FederatedError
├── PlanInvalid            a run that cannot be carried out as asked
├── SiteConfigInvalid      a site's configuration that must be corrected
├── DataRefused            a site's data file that cannot be used
├── ContributionRefused    a site's part that must not enter the mean
│   ├── WrongShape
│   ├── NotFinite
│   └── TooFewRows
├── AppRefused             code that the site did not install itself
├── WireInvalid            a message that is not of our protocol
├── QuorumLost             too few sites took part in a round
├── NotAuthenticated       a call without the secret
├── UnknownTenant, UnknownNode, UnknownRun, RunExists
├── NodeKeyInvalid         a node key that is not EC P-384
├── IllegalMove            a move that the table of run states does not have
├── ResultGone             a result that is not there (yet, or any more)
├── TooBusy                a bound on runs or nodes is reached
├── ControlFailed          the SuperLink refused or did not answer
└── ChildFailed            a supervised process did not become ready
"""

from __future__ import annotations

from typing import ClassVar


class FederatedError(Exception):
    """Base of every error of this package.

    Attributes:
        public: What is told: lowercase, no full stop.
        advice: One step that helps, or empty.
    """

    code: ClassVar[str] = "federated_error"
    text: ClassVar[str] = "the federation failed"

    def __init__(self, message: str | None = None, advice: str = "") -> None:
        self.public = message or self.text
        self.advice = advice
        super().__init__(self.public)


class PlanInvalid(FederatedError):
    """A run that cannot be carried out as asked."""

    code = "plan_invalid"
    text = "the run is not valid"


class SiteConfigInvalid(FederatedError):
    """A site's configuration that must be corrected."""

    code = "site_config_invalid"
    text = "the site configuration is not valid"


class DataRefused(FederatedError):
    """A site's data file that cannot be used."""

    code = "data_refused"
    text = "the data file cannot be used"


class ContributionRefused(FederatedError):
    """A site's part that must not enter the mean."""

    code = "contribution_refused"
    text = "the contribution is refused"


class WrongShape(ContributionRefused):
    """The number of parameters or features is not the agreed one."""

    code = "wrong_shape"
    text = "the number of values is not the agreed one"


class NotFinite(ContributionRefused):
    """A value is not a finite number."""

    code = "not_finite"
    text = "a value is not a finite number"


class TooFewRows(ContributionRefused):
    """The site has fewer rows than it is willing to train on."""

    code = "too_few_rows"
    text = "the site has fewer rows than its minimum"


class AppRefused(FederatedError):
    """Code that the site did not install itself."""

    code = "app_refused"
    text = "the app is not the one that this site installed"


class WireInvalid(FederatedError):
    """A message that is not of our protocol."""

    code = "wire_invalid"
    text = "the message is not one of this protocol"


class QuorumLost(FederatedError):
    """Too few sites took part in a round."""

    code = "quorum_lost"
    text = "fewer sites took part than the quorum asks for"


class NotAuthenticated(FederatedError):
    """A call without the secret."""

    code = "not_authenticated"
    text = "the secret is missing or wrong"


class UnknownTenant(FederatedError):
    """No SuperLink runs for this tenant."""

    code = "unknown_tenant"
    text = "no superlink runs for this tenant"


class UnknownNode(FederatedError):
    """The node is not registered."""

    code = "unknown_node"
    text = "the node is not registered"


class UnknownRun(FederatedError):
    """The run is not known here, or not any more."""

    code = "unknown_run"
    text = "the run is not known"


class RunExists(FederatedError):
    """The run id is taken."""

    code = "run_exists"
    text = "the run id is taken"


class NodeKeyInvalid(FederatedError):
    """A node key that is not an EC P-384 public key in OpenSSH form."""

    code = "node_key_invalid"
    text = "the node key is not an EC P-384 public key in OpenSSH form"


class IllegalMove(FederatedError):
    """The table of run states has no such move."""

    code = "illegal_move"
    text = "the run cannot move to this state"


class ResultGone(FederatedError):
    """The result is not there: not yet, fetched already, or dropped after its time."""

    code = "result_gone"
    text = "the run holds no result"


class TooBusy(FederatedError):
    """A bound on runs or nodes is reached."""

    code = "too_busy"
    text = "too many runs or nodes"


class ControlFailed(FederatedError):
    """The SuperLink refused a call or did not answer it."""

    code = "control_failed"
    text = "the superlink did not carry out the call"


class ChildFailed(FederatedError):
    """A supervised process did not become ready in time."""

    code = "child_failed"
    text = "a supervised process did not become ready"
