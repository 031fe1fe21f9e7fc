"""A model that queries a language model, against a local server with Ollama's protocol."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivetrain.testing.data import mvtec

pytest.importorskip("anomalib")
pytest.importorskip("ollama")

SCRIPT = """
    import json, sys
    from drivetrain import Engine

    engine = Engine("VlmAd", sys.argv[1], work_dir=sys.argv[2], model_args={"k_shot": int(sys.argv[3])})
    result = engine.train()
    metrics = engine.test()
    answers = engine.predict()
    print(json.dumps({
        "auroc": metrics["image_auroc"],
        "answers": [[a.path, a.anomaly_score, a.explanation] for a in answers],
        "notes": result.notes,
    }))
"""


class _Handler(BaseHTTPRequestHandler):
    """Says YES about pictures with a very bright spot, as the toy defects are."""

    asked: list[int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(len(body["messages"]))
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["messages"][-1]["images"][-1]))))
        bright = bool((pixels.min(axis=2) > 240).any())
        text = "YES: there is a bright spot." if bright else "NO: nothing is wrong."
        answer = {"model": body["model"], "done": True, "message": {"role": "assistant", "content": text}}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Be silent."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[int]]]:
    asked: list[int] = []
    handler = type("Handler", (_Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
        running.shutdown()


@pytest.mark.parametrize("shots", [0, 2])
def test_answers_in_words_become_scores(server: tuple[str, list[int]], tmp_path: Path, shots: int) -> None:
    address, asked = server
    data = mvtec(tmp_path / "bottle", train=6, test=2)
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(data), str(tmp_path / "run"), str(shots)]
    environment = {**os.environ, "OLLAMA_HOST": address, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["auroc"] == 1.0
    for path, score, text in found["answers"]:
        assert score == (1.0 if "spot" in Path(path).parent.name else 0.0)
        assert text.startswith("YES" if score else "NO")
    assert any("does not learn from images" in note for note in found["notes"])
    assert set(asked) == {2 if shots else 1}  # examples are shown in a separate message
