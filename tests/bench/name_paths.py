"""What clients and a proxy make of a model's name in a path: `python -m tests.bench.name_paths`.

Each client asks a listener that only notes the path. The proxy is nginx, with an upstream that has
no path (it passes on what it got) and with one that has (it decodes, and encodes anew).
Decision 0020 cites the table.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.ports import free_port
from tests.tools import require_tool

SEPARATORS = ("/", "%2F", ":", "@", "+", "~")
CLIENTS = {
    "tritonclient": (
        "import sys, tritonclient.http as t\n"
        "c = t.InferenceServerClient(sys.argv[1].removeprefix('http://'))\n"
        "c.is_model_ready(sys.argv[2])"
    ),
    "kserve": (
        "import asyncio, sys\n"
        "from kserve import InferenceRESTClient, RESTConfig\n"
        "c = InferenceRESTClient(RESTConfig(protocol='v2'))\n"
        "asyncio.run(c.is_model_ready(sys.argv[1], sys.argv[2]))"
    ),
    "httpx": "import sys, httpx\nhttpx.get(f'{sys.argv[1]}/v2/models/{sys.argv[2]}/ready')",
    "curl": (
        "import subprocess, sys\n"
        "subprocess.run(['curl', '-s', f'{sys.argv[1]}/v2/models/{sys.argv[2]}/ready'])"
    ),
}


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """Note the paths that are asked for."""
    paths: list[str] = []

    class Notes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Notes)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()


@contextmanager
def proxy(upstream: str) -> Iterator[str]:
    """Put nginx in front of an upstream."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder, "nginx.conf")
        conf.write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/e; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;"
            f" fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;"
            f" server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {upstream}; }} }} }}"
        )
        started = subprocess.Popen([require_tool("nginx"), "-c", str(conf), "-p", folder])
        time.sleep(1.0)
        yield f"http://127.0.0.1:{port}"
        started.terminate()
        started.wait()


def asked(client: str, url: str, name: str) -> str:
    """Let a client ask whether a model is ready; return its word for a fault, else nothing."""
    command = [sys.executable, "-W", "ignore", "-c", CLIENTS[client], url, name]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stderr.decode().strip().splitlines()[-1][:60]


def main() -> None:
    """Print the table."""
    with listener() as (url, paths), proxy(url) as plain, proxy(f"{url}/") as rewriting:
        for separator in SEPARATORS:
            name = f"clinic{separator}tumour"
            for client, to in (
                *((one, url) for one in CLIENTS),
                ("curl", plain),
                ("curl", rewriting),
            ):
                paths.clear()
                fault = asked(client, to, name)
                through = {url: "", plain: " → nginx", rewriting: " → nginx, path"}[to]
                print(f"{separator:4} {client + through:22} {(paths or [fault])[-1]}")


if __name__ == "__main__":
    main()
