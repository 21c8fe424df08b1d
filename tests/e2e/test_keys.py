"""Every key is replaced under load: nobody is refused, and what was before stays good."""

from __future__ import annotations

import subprocess
import threading
from functools import partial
from pathlib import Path

from audit import verify
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, keystore, until
from tests.tools import require_tool

KEYS = (("token", None), ("log", "clinic"), ("tenant", "clinic"), ("log", "platform"))


def delivered(house: House, folder: Path, name: str) -> Path:
    """The model as an age file for a fresh key, which is beside it."""
    key, path = folder / f"{name}.key", folder / f"{name}.age"
    made = house.command("artifact", "keygen", "-o", str(key))
    assert made.returncode == 0, made.stderr
    house.meet_partner("digits")
    done = house.command(
        *("model", "download", "digits", "1.0"),
        *("--recipient", made.stdout.strip(), "--out", str(path)),
    )
    assert done.returncode == 0, done.stderr
    return path


def opened(path: Path) -> bytes:
    """What the stock tool makes of it."""
    out = path.with_suffix(".onnx")
    identity = path.with_suffix(".key")
    age = [require_tool("age"), "--decrypt", "-i", str(identity), "-o", str(out), str(path)]
    subprocess.run(age, check=True, timeout=60)
    return out.read_bytes()


def _reached(asked: list[int], count: int) -> bool:
    return len(asked) >= count


def test_every_key_is_replaced_while_a_model_is_asked_and_delivered(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh()
    before = delivered(house, tmp_path, "before")
    anchor = house.get("/v1/audit/key", "clinic-officer")["key"]
    old = house.token()  # goes on to its end, five minutes from now
    asked, refused, stop = list[int](), list[object](), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = house.infer()
            asked.append(answer.status_code)
            if answer.status_code != 200:
                refused.append(answer.content)

    callers = [threading.Thread(target=ask) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        with house.admin() as admin:
            for kind, tenant in KEYS:
                until(partial(_reached, asked, len(asked) + 5))
                admin.post("/v1/keys/rotate", {"kind": kind, "tenant": tenant})
        until(partial(_reached, asked, len(asked) + 5))
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert refused == []
    headers = {"authorization": f"Bearer {old}"}
    assert house.cast.http.get(f"{house.url}/v1/whoami", headers=headers).status_code == 200
    after = delivered(house, tmp_path, "after")
    assert opened(before) == opened(after) == house.owned["digits"].onnx
    export = house.export(tmp_path / "audit.zip")
    for key in (anchor, house.get("/v1/audit/key", "clinic-officer")["key"]):
        assert verify.verify_export(export, key).status == "VERIFIED"
    house.kill()
    house.start()
    assert house.infer().status_code == 200
    assert house.verify().returncode == 0
    assert opened(delivered(house, tmp_path, "restarted")) == house.owned["digits"].onnx
    assert keystore(house).tenant_key("clinic").version == 2
