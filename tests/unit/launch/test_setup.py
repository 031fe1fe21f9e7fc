from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from drivetrain.launch.setup import Setup


@pytest.mark.parametrize(
    ("data", "arguments", "written"),
    [
        ("shapes", {}, "shapes"),
        (Path("shapes"), {"splits": [0.8, 0.1, 0.1]}, "shapes"),
        (SimpleNamespace(source="shapes"), {"splits": [0.8, 0.1, 0.1]}, "shapes"),
        (None, {"class_path": "some.Data"}, None),
    ],
)
def test_data_are_written_by_their_path(data, arguments, written):
    setup = Setup(engine="a:B", model="m", model_name="m", takes_model_args=True, data=data, data_args=arguments)
    config = setup.as_config()
    assert config is not None
    assert config.get("data") == (None if written is None else str(Path(written).absolute()))


def test_data_that_only_exist_here_cannot_be_written():
    assert Setup(engine="a:B", model="m", model_name="m", takes_model_args=True, data=object()).as_config() is None
