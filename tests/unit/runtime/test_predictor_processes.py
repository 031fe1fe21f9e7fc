# ruff: noqa: TID253 - tests use the frameworks outright
"""A predictor in other processes: forked, spawned, pickled, and as workers of a DataLoader."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from drivetrain.export import export_artifact
from drivetrain.export.source import ExportSource
from drivetrain.runtime import load
from drivetrain.types import ImageSpec, Task

PICTURE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
PROGRAM = """
import json, multiprocessing, sys
import numpy as np
from drivetrain.runtime import load

PICTURE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)

def ask(predictor):
    return [[float(value) for value in answer.probabilities] for answer in predictor.predict([PICTURE] * 4)]

def send(predictor, queue):
    queue.put(ask(predictor))

class Pictures:
    def __init__(self, predictor):
        self.predictor = predictor
    def __len__(self):
        return 4
    def __getitem__(self, number):
        return ask(self.predictor)[number]

if __name__ == "__main__":
    way, path = sys.argv[1:]
    predictor = load(path, precision="f32")
    right = ask(predictor)
    if way.startswith("loader"):
        from torch.utils.data import DataLoader
        context = way.partition("-")[2]
        loader = DataLoader(Pictures(predictor), batch_size=None, num_workers=2, multiprocessing_context=context)
        found = [[float(value) for value in row] for row in loader]
    else:
        context = multiprocessing.get_context(way)
        queue = context.Queue()
        context.Process(target=send, args=(predictor, queue), daemon=True).start()
        found = queue.get(timeout=60)
    print(json.dumps([found, right]))
"""


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    source = ExportSource(
        image_spec=ImageSpec(8, 8),
        task=Task.CLASSIFICATION,
        label_names=("red", "green", "blue"),
        decoder="classification",
        module=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)).eval(),
        output_names=("logits",),
        dynamic_batch=True,
    )
    folder = tmp_path_factory.mktemp("artifacts") / "model"
    return export_artifact(
        source, folder, format=request.param, reference=None, images=[], engine="", model_name=""
    ).path


@pytest.mark.parametrize("way", ["fork", "spawn", "loader-fork"])
def test_another_process_answers_the_same(way: str, artifact: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    words = [sys.executable, str(program), way, str(artifact)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found, right = json.loads(done.stdout.splitlines()[-1])
    assert found == right


def test_a_pickled_predictor_keeps_its_options(artifact: Path) -> None:
    predictor = load(artifact, precision="f32", num_requests=1)
    again = pickle.loads(pickle.dumps(predictor))
    assert np.array_equal(again.predict(PICTURE)[0].probabilities, predictor.predict(PICTURE)[0].probabilities)
    assert pickle.dumps(again) == pickle.dumps(predictor)
