"""The commands that are not verbs of an engine: each public function here is one, its signature its options.

A parameter that may be given by position stands on the command line without a name; the others are ``--name VALUE``.
The module is read for every command, so what a function needs is imported inside it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from drivetrain.cli.answer import Answer, Command

Shell = Literal["bash", "zsh"]
RuntimePrecision = Literal["auto", "f32", "f16", "bf16"]
Backend = Literal["auto", "openvino", "onnxruntime"]
Licence = Literal["permissive"]
DataOutputFormat = Literal[
    "coco", "yolo", "voc", "cvat", "dota", "mvtec", "label_studio", "parquet", "datumaro", "image_folder"
]


@cache
def _commands() -> dict[str, Command]:
    module = sys.modules[__name__]
    found = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {
        name.replace("_", " "): value
        for name, value in found.items()
        if inspect.isfunction(value) and value.__module__ == __name__ and value.__annotations__["return"] == "Answer"
    }


def commands() -> dict[str, Command]:
    """Every command by name, in the order in which they are written; ``data_check`` is the command "data check"."""
    return _commands()


def find(
    text: str = "",
    *,
    engine: str | None = None,
    task: str | None = None,
    licence: Licence | None = None,
    limit: int | None = None,
    names: bool = False,
) -> Answer:
    """List the models of every installed framework.

    Args:
        text: only models whose full name contains it.
        engine: only models of this engine.
        task: only models for this task.
        licence: permissive leaves out models whose code or published weights are under another licence, or an unknown
            one.
        limit: rows to show of each source; 40 for people, all for JSON.
        names: show nothing but the full names, one in each line.
    """
    from drivetrain.cli.find import find_models

    return find_models(text, engine=engine, task=task, licence=licence, limit=limit, names=names)


def info(path: Path | None = None) -> Answer:
    """Explain a work dir, checkpoint, artefact or data set, or this installation.

    Args:
        path: of a work dir, checkpoint, artefact or data set; the installation if not given.
    """
    from drivetrain.cli.info import explain

    return explain(path)


def data(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002  (the field's word)
    task: str | None = None,
    normal: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    subsets: Sequence[str] | None = None,
    remap: Sequence[str] | None = None,
    sample: str | None = None,
    splits: Sequence[float] | None = None,
    group: str | None = None,
    seed: int = 0,
    strict: bool = False,
    allow_pickle: bool = False,
    html: Path | None = None,
    output: Path | None = None,
    output_format: DataOutputFormat | None = None,
    save_media: bool = False,
) -> Answer:
    """Look at a data set: counts, labels, sizes, problems; or convert it.

    Args:
        path: a folder, file or zip in any format.
        format: to read it as; found out if not given.
        task: what the annotations are to be used for.
        normal: labels that are no anomalies.
        labels: only these labels, and the images that have one of them.
        subsets: only these subsets.
        remap: new names of labels, OLD=NEW; OLD= drops a label.
        sample: only so many images (100), or a share of them (0.1), chosen at random.
        splits: shares of train, val and test, to divide all images again.
        group: what splits must not divide: a regular expression for the path, whose first bracket is the group.
        seed: of the sample and the division.
        strict: make an image that cannot be used an error.
        allow_pickle: allow formats whose files may execute code when they are opened.
        html: a page to write, with pictures and their annotations.
        output: a new folder to write the data set to.
        output_format: to write it in.
        save_media: copy the images to the output; otherwise links to them are made.
    """
    from drivetrain.cli.data import look_at

    reading = {"format": format, "task": task, "normal": normal, "strict": strict, "allow_pickle": allow_pickle}
    choice = {"labels": labels, "subsets": subsets, "remap": remap, "sample": sample, "splits": splits, "group": group}
    return look_at(
        path,
        reading,
        {**choice, "seed": seed},
        html=html,
        output=output,
        output_format=output_format,
        save_media=save_media,
    )


def data_check(
    path: Path,
    *,
    model: str | None = None,
    checkpoint: str | None = None,
    batch_size: int | None = None,
    html: Path | None = None,
    format: str | None = None,  # noqa: A002  (the field's word)
    task: str | None = None,
    normal: Sequence[str] | None = None,
    allow_pickle: bool = False,
    limit: int = 10,
) -> Answer:
    """Look at every picture of a data set: copies, leaks, odd pictures, outliers, probable label errors.

    Args:
        path: a folder, file or zip in any format; a folder named "check" is written ./check.
        model: a run, checkpoint or artefact, whose answers are compared with the annotations.
        checkpoint: of the model: best, last or a path.
        batch_size: images in a step of the model.
        html: a page to write, with the pictures.
        format: to read the data as; found out if not given.
        task: what the annotations are used for.
        normal: labels that are no anomalies.
        allow_pickle: allow formats whose files may execute code when they are opened.
        limit: findings of each kind to show; --json and the page have all.
    """
    from drivetrain.cli.data_check import check_pictures

    reading = {"format": format, "task": task, "normal": normal, "allow_pickle": allow_pickle}
    asking = {"model": model, "checkpoint": checkpoint, "batch_size": batch_size}
    return check_pictures(path, reading, asking, html=html, limit=limit)


def verify(
    artifact: Path, *, device: str = "CPU", precision: RuntimePrecision = "f32", backend: Backend = "auto"
) -> Answer:
    """Check an artefact on this machine: its files, and its answers about the pictures that it holds.

    Args:
        artifact: its folder, or its .xml or .onnx file.
        device: of OpenVINO: CPU, GPU, NPU, ...
        precision: of the arithmetic: f32, f16, bf16, or auto for what the device likes best.
        backend: openvino or onnxruntime; auto runs .onnx by ONNX Runtime if it is installed.
    """
    from drivetrain.cli.verify import verify_artifact

    return verify_artifact(artifact, device=device, precision=precision, backend=backend)


def doctor(*, quick: bool = False) -> Answer:
    """Check this installation, and say what to run where something is wrong.

    Args:
        quick: look at versions and settings only, and import no framework.
    """
    from drivetrain.cli.doctor import examine

    return examine(quick=quick)


def repeat(
    run: Path, *, work_dir: Path | None = None, tolerance: float = 0.0, overwrite: bool = False, quiet: bool = False
) -> Answer:
    """Run a finished run again from its saved config, and report whether the result is the same.

    Args:
        run: the work dir of a finished run.
        work_dir: of the new run; a new folder below "runs" if not given.
        tolerance: how far apart the numbers may be and still count as the same.
        overwrite: replace the run that the new work dir holds.
        quiet: show no progress.
    """
    from drivetrain.cli.repeat import repeat_run

    return repeat_run(run, work_dir=work_dir, tolerance=tolerance, overwrite=overwrite, quiet=quiet)


def completion(shell: Shell) -> Answer:
    """Print the completion of a shell, for its start-up file.

    Args:
        shell: "bash" or "zsh".
    """
    from drivetrain.cli.completion import completion_script

    return completion_script(shell, commands())
