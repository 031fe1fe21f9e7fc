"""The examples for clusters, each run on this machine as two nodes, with the variables that the cluster would set."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from drivetrain.machine.resources import core_count
from drivetrain.testing.data import class_folders

EXAMPLES = Path(__file__).parents[2] / "examples" / "cluster"
SMALL = ["--max_epochs", "1", "--image_size", "64", "--device", "cpu"]
TORCHRUN = f'#!/bin/sh\nexec "{sys.executable}" -m torch.distributed.run "$@"\n'


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


def on_two_nodes(command: list[list[str]], variables: list[dict[str, str]], folder: Path) -> list[str]:
    """What each node prints."""
    (folder / "bin").mkdir()
    (folder / "bin" / "torchrun").write_text(TORCHRUN, encoding="utf-8")
    (folder / "bin" / "torchrun").chmod(0o755)
    path = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    nodes = [
        subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **path, **own},
        )
        for words, own in zip(command, variables, strict=True)
    ]
    try:
        said = [node.communicate(timeout=300) for node in nodes]
    finally:
        for node in nodes:  # with the ranks that it has started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
    assert [node.returncode for node in nodes] == [0, 0], said
    return [out for out, _ in said]


def check_run(work_dir: Path, said: list[str]) -> None:
    record = json.loads((work_dir / "run.json").read_text())
    assert (record["status"], record["effective_options"]["nodes"], len(record["parts"])) == ("finished", 2, 1)
    assert "best checkpoint" in said[0]
    assert said[1] == "", "only the first node speaks"


@pytest.mark.slow
@pytest.mark.skipif(core_count() < 2, reason="two processes need two cores")
def test_kubeflow_example(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    data = class_folders(tmp_path / "flowers", subsets={"train": 8, "val": 3, "test": 2})
    job = yaml.safe_load((EXAMPLES / "kubeflow.yaml").read_text())["spec"]["trainer"]
    words = [*job["command"], *job["args"], *SMALL]
    words = [word.replace("/shared/flowers", str(data)).replace("/shared", str(tmp_path)) for word in words]
    words = [word.replace("timm:resnet18", "timm:test_vit").replace("=64", "=4") for word in words]
    common = {"PET_NNODES": str(job["numNodes"]), "PET_NPROC_PER_NODE": str(job["numProcPerNode"])}
    common |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
    said = on_two_nodes([words, words], [{**common, "PET_NODE_RANK": str(node)} for node in range(2)], tmp_path)
    check_run(tmp_path / "runs" / "flowers", said)


@pytest.mark.slow
@pytest.mark.skipif(core_count() < 2, reason="two processes need two cores")
def test_skypilot_example(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    data = class_folders(tmp_path / "flowers", subsets={"train": 8, "val": 3, "test": 2})
    job = yaml.safe_load((EXAMPLES / "skypilot.yaml").read_text())
    script = job["run"].rstrip().replace("/shared/flowers", str(data)).replace("/shared", str(tmp_path))
    script = script.replace("29500", str(free_port())).replace("timm:resnet18", "timm:test_vit").replace(" 64", " 4")
    common = {"SKYPILOT_NUM_NODES": str(job["num_nodes"]), "SKYPILOT_NUM_GPUS_PER_NODE": "1"}
    common |= {"SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.1"}
    words = ["bash", "-c", " ".join([script, *SMALL])]
    said = on_two_nodes([words, words], [{**common, "SKYPILOT_NODE_RANK": str(node)} for node in range(2)], tmp_path)
    check_run(tmp_path / "runs" / "flowers", said)
