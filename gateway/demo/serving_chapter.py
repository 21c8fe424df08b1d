"""Chapters of the tour about serving: tokens, tenants, contracts, adversarial inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from numpy.typing import NDArray

from gateway.demo.attack import run_attack
from gateway.demo.cast import Cast
from gateway.demo.datasets import Digits, Hospitals, Split, digits, hospitals
from gateway.demo.models import breast_cancer_model, digits_model
from gateway.demo.narrator import hold

MODEL: Final = "digits"
TABULAR: Final = "risk"
VERSION: Final = "1.0"
ATTACKED_ROWS: Final = 12


def tensor(name: str, rows: NDArray[Any]) -> dict[str, Any]:
    """Write rows as an input of the Open Inference Protocol."""
    return {
        "name": name,
        "shape": list(rows.shape),
        "datatype": "FP32",
        "data": rows.ravel().tolist(),
    }


def request(name: str, rows: NDArray[Any], **parameters: str) -> dict[str, Any]:
    """Write a request with one input."""
    return {"inputs": [tensor(name, rows)], "parameters": parameters}


class ServingChapter:
    """Publishes a model and calls it, well and badly."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._say = cast.narrator
        self.data: Digits = digits()
        self.patients: Hospitals = _standardised(hospitals())
        self.model: bytes = b""

    def publish(self) -> None:
        """Train a small model at its owner's and publish it."""
        self._say.chapter("A model is signed by its owner, sealed, screened and released")
        owner = self._cast.place.folder / "owner"
        owner.mkdir(mode=0o700)
        self.model = digits_model(self.data.train)
        (owner / "digits.onnx").write_bytes(self.model)
        (owner / "calibration.npz").write_bytes(self.data.calibration.npz())
        with self._say.check(
            "published: admitted in a sandbox, calibrated, sealed, signed twice"
        ) as e:
            made = self._push(owner)
            hold(made["state"] == "candidate", "it is no candidate")
            e.text = f"{made['facts']['calibration_rows']} calibration rows"
        with self._say.check("released by a recorded promotion"):
            self._cast.run("clinic-owner", "model", "promote", MODEL, VERSION)
        with self._say.check("a second model, with too few calibration rows to block by") as e:
            made = self._publish_tabular(owner)
            hold(made["facts"]["enforce"] == "no", "it would block")
            e.text = f"{made['facts']['calibration_rows']} rows: odd inputs are flagged only"
        with self._say.check("no piece of its weights is on the gateway's disk in clear") as e:
            e.text = self._search_for_weights()

    def _push(self, owner: Path) -> Any:
        run, key = self._cast.run, str(owner / "owner.key")
        run("clinic-owner", "model", "keygen", "--out", key)
        run("clinic-owner", "model", "create", MODEL, "--no-personal")
        return run(
            *("clinic-owner", "model", "push", MODEL, VERSION, str(owner / "digits.onnx")),
            *("--key", key, "--calibration", str(owner / "calibration.npz")),
        )

    def _publish_tabular(self, owner: Path) -> Any:
        file, rows = owner / "risk.onnx", owner / "patients.npz"
        file.write_bytes(breast_cancer_model(self.patients.sites["north"]))
        rows.write_bytes(self.patients.calibration.npz())
        run = self._cast.run
        run("clinic-owner", "model", "create", TABULAR, "--no-personal")
        made = run(
            *("clinic-owner", "model", "push", TABULAR, VERSION, str(file)),
            *("--key", str(owner / "owner.key"), "--calibration", str(rows)),
        )
        run("clinic-owner", "model", "promote", TABULAR, VERSION)
        return made

    def _search_for_weights(self) -> str:
        """Look for the middle of the model, which is all weights, in every file of the gateway."""
        middle = len(self.model) // 2
        needle = self.model[middle : middle + 64]
        files = [path for path in self._cast.place.data.rglob("*") if path.is_file()]
        found = [path.name for path in files if needle in path.read_bytes()]
        hold(not found, f"found in {found}")
        return f"{len(files)} files searched"

    def call(self) -> None:
        """Call the model with and without the right to."""
        self._say.chapter("Callers get answers with a token, and nothing without")
        row = self.data.test.x[:1]
        body = request("image", row)
        token = self._cast.token("clinic-app")
        with self._say.check("a token, a prediction, and its place in the audit log") as e:
            answer = self._cast.infer(token, MODEL, body)
            hold(answer.status_code == 200, f"status {answer.status_code}")
            guess = int(np.argmax(answer.json()["outputs"][0]["data"]))
            hold(guess == self.data.test.y[0], f"it says {guess}")
            e.text = f"digit {guess}, {answer.headers['sealgate-audit']}"
        with self._say.check("without a token: 401 and how to get one"):
            answer = self._cast.infer(None, MODEL, body)
            hold(answer.status_code == 401, f"status {answer.status_code}")
            hold("www-authenticate" in answer.headers, "no challenge")
        with self._say.check("another tenant sees what it would see for no such model"):
            stranger = self._cast.token("bank-app")
            theirs = self._cast.infer(stranger, MODEL, body)
            absent = self._cast.infer(stranger, "no-such-model", body)
            hold(theirs.status_code == absent.status_code == 404, f"status {theirs.status_code}")
            hold(_nameless(theirs) == _nameless(absent), "the two answers differ")
        with self._say.check("a purpose that is not registered is refused"):
            answer = self._cast.infer(token, MODEL, request("image", row, purpose="marketing"))
            hold(answer.status_code == 404, f"status {answer.status_code}")
        with self._say.check("an input outside the signed contract never reaches the model"):
            answer = self._cast.infer(token, MODEL, request("image", row * 1000))
            hold(answer.status_code == 422, f"status {answer.status_code}")

    def attack(self) -> None:
        """Let an attacker look for inputs that fool the model."""
        self._say.chapter("An adversarial input is caught")
        self._say.say("HopSkipJump (Adversarial Robustness Toolbox) attacks the model in a process")
        self._say.say("of its own, as somebody would who has a copy; about fifteen seconds")
        test = self.data.test
        attacked = run_attack(self.model, test.x[:ATTACKED_ROWS], test.y[:ATTACKED_ROWS])
        token = self._cast.token("clinic-app")
        with self._say.check("attacked digits are kept back by the screen and the policy") as e:
            statuses = [
                self._cast.infer(token, MODEL, request("image", row[None])).status_code
                for row in attacked.x
            ]
            blocked = statuses.count(403)
            hold(blocked * 2 > len(statuses), f"{blocked} of {len(statuses)} kept back")
            e.text = f"{blocked} of {len(statuses)} that fool the model"
        with self._say.check("an odd input of the other model is answered, and flagged in the log"):
            signs = np.resize([1.0, -1.0], self.patients.test.x.shape[1])
            odd = (3 * signs)[None].astype(np.float32)
            answer = self._cast.infer(token, TABULAR, request("features", odd))
            hold(answer.status_code == 200, f"status {answer.status_code}")
            index = answer.headers["sealgate-audit"].rpartition("/")[2]
            with self._cast.connection("clinic-officer") as officer:
                event = officer.get(f"/v1/audit/events/{index}")["event"]
            hold(event["screening"].get("rules"), "no screen fired")
        with self._say.check("clean digits still get answers") as e:
            clean = [
                self._cast.infer(token, MODEL, request("image", row[None])).status_code
                for row in test.x[100:150]
            ]
            answered = clean.count(200)
            hold(answered >= 0.9 * len(clean), f"{answered} of {len(clean)} answered")
            e.text = f"{answered} of {len(clean)}"
        self._say.say("a screen raises an attacker's cost; it does not stop an informed one")

    def revoke(self) -> None:
        """Revoke a token and try it once more."""
        self._say.chapter("What is revoked is refused from then on")
        token, body = self._cast.token("clinic-app"), request("image", self.data.test.x[:1])
        with self._say.check("a revoked token is refused as soon as the revocation has returned"):
            url, secret = self._cast.place.url, self._cast.secrets["clinic-app"]
            hold(self._cast.infer(token, MODEL, body).status_code == 200, "it did not work before")
            answer = self._cast.http.post(
                f"{url}/oauth/revoke", data={"token": token}, auth=("clinic-app", secret)
            )
            hold(answer.status_code == 200, f"revocation: status {answer.status_code}")
            after = self._cast.infer(token, MODEL, body).status_code
            hold(after == 401, f"status {after}")


def _standardised(data: Hospitals) -> Hospitals:
    """Measure every feature from its mean, in its own spread: zeros are an average patient."""
    known = np.concatenate([site.x for site in data.sites.values()])
    mean, spread = known.mean(axis=0), known.std(axis=0)

    def scaled(split: Split) -> Split:
        return replace(split, x=((split.x - mean) / spread).astype(np.float32))

    return replace(
        data,
        sites={name: scaled(site) for name, site in data.sites.items()},
        calibration=scaled(data.calibration),
        test=scaled(data.test),
    )


def _nameless(answer: httpx.Response) -> bytes:
    """The body without the id of its request, which no two answers share."""
    return answer.content.replace(answer.headers["sealgate-request-id"].encode(), b"")
