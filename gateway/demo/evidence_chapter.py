"""Chapter of the tour about evidence: an erasure, a crash, a log that is checked offline."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from audit import verify
from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.demo.cast import Cast
from gateway.demo.federation_chapter import MODEL
from gateway.demo.narrator import hold
from gateway.demo.running import Running, start_gateway
from gateway.demo.serving_chapter import MODEL as DIGITS
from gateway.demo.serving_chapter import request

PERSON: Final = "Ada Example, 1815-12-10"
CALLS: Final = 40
OFFICER: Final = "clinic-officer"


class EvidenceChapter:
    """Erases a person, kills the gateway, verifies the log."""

    def __init__(self, cast: Cast, features: Any, image: Any) -> None:
        self._cast = cast
        self._say = cast.narrator
        self._features = features
        self._image = image

    def erase(self) -> None:
        """Erase what is personal about a data subject."""
        self._say.chapter("A person is forgotten, and the log still holds")
        token = self._cast.token("clinic-app")
        body = request("features", self._features, subject=PERSON)
        hold(self._cast.infer(token, MODEL, body).status_code == 200, "no answer to begin with")
        with self._cast.connection(OFFICER) as officer:
            ref = officer.post("/v1/subjects/lookup", {"identifier": PERSON})["ref"]
            with self._say.check("the officer sees every use of this person's data") as e:
                dossier = officer.get(f"/v1/subjects/{ref}")
                hold(dossier["items"], "the dossier is empty")
                e.text = f"{len(dossier['items'])} event, {ref[:12]}…"
            with self._say.check("erased: key, mapping and sealed data are gone from the disk"):
                officer.post(f"/v1/subjects/{ref}/erase", {"confirm": ref})
                hold(_unknown(officer, PERSON), "the person is still found")
                self._hold_gone()

    def _hold_gone(self) -> None:
        for path in self._cast.place.data.rglob("*"):
            if path.is_file():
                hold(PERSON.encode() not in path.read_bytes(), f"the name is in {path.name}")

    def survive(self, gateway: Running) -> Running:
        """Kill the gateway in the middle of its work, start it anew and look for every answer."""
        self._say.chapter("A crash loses no evidence")
        token = self._cast.token("clinic-app")
        body = request("image", self._image)
        answered = [
            answer.headers["sealgate-audit"]
            for answer in (self._cast.infer(token, DIGITS, body) for _ in range(CALLS))
            if answer.status_code == 200
        ]
        gateway.kill()
        again = start_gateway(self._cast.place)
        with (
            self._say.check("killed without warning: every answered request is in the log") as e,
            self._cast.connection(OFFICER) as officer,
        ):
            for receipt in answered:
                index = receipt.rpartition("/")[2]
                event = officer.get(f"/v1/audit/events/{index}")["event"]
                hold(event["outcome"] == "allow", f"entry {index} says {event['outcome']}")
            e.text = f"{len(answered)} answers"
        return again

    def verify(self) -> None:
        """Export the log and check it with the independent verifier."""
        self._say.chapter("The log is verified offline, by a program that shares no code with it")
        export = self._cast.place.folder / "clinic-audit.zip"
        self._cast.run(OFFICER, "audit", "export", "--out", str(export))
        with self._cast.connection(OFFICER) as officer:
            key = officer.get("/v1/audit/key")["key"]
        with self._say.check("the export verifies with the log's key") as e:
            hold(self._verifies(export, key), "it does not verify")
            e.text = "python audit/verify.py clinic-audit.zip --key …"
        with self._say.check("with one word of one event changed it does not"):
            forged = export.with_name("forged-audit.zip")
            _forge(export, forged)
            hold(not self._verifies(forged, key), "a forged export verifies")

    def _verifies(self, export: Path, key: str) -> bool:
        done = subprocess.run(
            [sys.executable, "-I", str(verify.__file__), str(export), "--key", key],
            capture_output=True,
            timeout=120,
            check=False,
        )
        return done.returncode == 0


def _forge(export: Path, forged: Path) -> None:
    """Turn the first refusal of the log into an answer, as somebody with something to hide would.

    Both words have the same length, and the archive around them is made anew and whole.
    """
    with zipfile.ZipFile(export) as source, zipfile.ZipFile(forged, "w") as target:
        done = False
        for name in source.namelist():
            data = source.read(name)
            if not done and b'"outcome":"deny"' in data:
                data = data.replace(b'"outcome":"deny"', b'"outcome":"done"', 1)
                done = True
            target.writestr(name, data)
    hold(done, "no event to forge")


def _unknown(officer: Connection, person: str) -> bool:
    try:
        officer.post("/v1/subjects/lookup", {"identifier": person})
    except CommandFailed as failure:
        return failure.code is ExitCode.NOT_FOUND
    return False
