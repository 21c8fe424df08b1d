"""Peers that serve the same models over the same protocol without any security.

Each is installed by its own package manager's ordinary way into an environment of its own below
one folder, once. One that cannot be installed is left out, and the report says why.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import onnxruntime as ort

from gateway.demo.place import free_port

START_SECONDS = 60.0
HERE = Path(__file__).parent / "peer_models"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_KINDS = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}


class PeerMissing(Exception):
    """A peer could not be installed or started; the text says why."""


class Serving(NamedTuple):
    """A server that answers: its process and port."""

    pid: int
    port: int


class Peer(NamedTuple):
    """A peer: its name, what is installed for it, and what starts it with models by name."""

    name: str
    requirements: tuple[str, ...]
    command: Callable[[Path, Path, Mapping[str, bytes], int], tuple[list[str], dict[str, str]]]


@contextmanager
def serving(
    peer: Peer, cache: Path, folder: Path, models: Mapping[str, bytes], core: int
) -> Iterator[Serving]:
    """Install a peer if it is missing and lend it running, on one core.

    Raises:
        PeerMissing: It cannot be installed, or does not start.
    """
    home = _installed(peer, cache)
    folder.mkdir(parents=True)
    port = free_port()
    arguments, environment = peer.command(home, folder, models, port)
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            arguments,
            cwd=folder,
            env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"} | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    try:
        for model in models:
            _wait_until_ready(child, f"http://127.0.0.1:{port}/v2/models/{model}/ready", folder)
        yield Serving(child.pid, port)
    finally:
        _end(child)


def _installed(peer: Peer, cache: Path) -> Path:
    home = cache / f"{peer.requirements[0]}-python{PYTHON}"
    wanted = "\n".join(peer.requirements)
    mark = home / "installed.txt"
    if mark.exists() and mark.read_text() == wanted:
        return home
    shutil.rmtree(home, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    uv = str(Path(sys.executable).with_name("uv"))
    print(f"installing {' '.join(peer.requirements)} into {home} (once)", file=sys.stderr)
    for step in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(home / "bin/python"), *peer.requirements],
    ):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerMissing(done.stderr.strip()[-300:])
    mark.write_text(wanted)
    return home


def _wait_until_ready(child: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if child.poll() is not None or time.monotonic() > deadline:
            said = (folder / "log").read_text(errors="replace").strip()[-300:]
            raise PeerMissing(f"it did not start: {said}")
        time.sleep(0.1)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the session of a server, by its id."""
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _tensors(model: bytes) -> dict[str, list[Any]]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return {"input": session.get_inputs(), "output": session.get_outputs()}


def _triton(
    home: Path, folder: Path, models: Mapping[str, bytes], port: int
) -> tuple[list[str], dict[str, str]]:
    packages = home / f"lib/python{PYTHON}/site-packages"
    server = packages / "pytriton/tritonserver"
    stub = server / f"python_backend_stubs/{PYTHON}/triton_python_backend_stub"
    if not stub.exists():
        raise PeerMissing(f"it has no backend for Python {PYTHON}")
    backend = folder / "backends/python"
    shutil.copytree(server / "backends/python", backend)
    shutil.copy2(stub, backend)
    for name, model in models.items():
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(model)
        shutil.copy(HERE / "triton_model.py", version / "model.py")
        (version.parent / "config.pbtxt").write_text(_triton_config(name, model))
    libraries = [str(packages / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
    arguments = [str(server / "bin/tritonserver")]
    arguments += ["--model-repository=models", "--backend-directory=backends"]
    arguments += [f"--http-port={port}", "--http-address=127.0.0.1", "--http-thread-count=2"]
    arguments += ["--allow-grpc=false", "--allow-metrics=false", "--log-info=false"]
    return arguments, {
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PYTHONPATH": str(packages),
        "PATH": f"{home / 'bin'}:{os.environ.get('PATH', '')}",
    }


def _triton_config(name: str, model: bytes) -> str:
    lines = [f'name: "{name}"', 'backend: "python"', "max_batch_size: 0"]
    for kind, tensors in _tensors(model).items():
        for one in tensors:
            dims = [d if isinstance(d, int) else -1 for d in one.shape]
            datatype = f"TYPE_{_KINDS[one.type]}"
            lines.append(f'{kind} {{ name: "{one.name}" data_type: {datatype} dims: {dims} }}')
    return "\n".join([*lines, "instance_group { count: 1 kind: KIND_CPU }", ""])


def _mlserver(
    home: Path, folder: Path, models: Mapping[str, bytes], port: int
) -> tuple[list[str], dict[str, str]]:
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, model in models.items():
        place = folder / name
        place.mkdir()
        (place / "model.onnx").write_bytes(model)
        module = f"{name}_model"
        shutil.copy(HERE / "mlserver_model.py", place / f"{module}.py")
        described = {"name": name, "implementation": f"{module}.OnnxModel"}
        (place / "model-settings.json").write_text(json.dumps(described))
    return [str(home / "bin/mlserver"), "start", str(folder)], {}


ONNXRUNTIME = f"onnxruntime=={ort.__version__}"

PEERS = (
    Peer("Triton (Python backend)", ("nvidia-pytriton==0.7.0", ONNXRUNTIME), _triton),
    Peer("MLServer", ("mlserver==1.6.1", ONNXRUNTIME), _mlserver),
)
