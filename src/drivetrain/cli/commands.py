"""The commands that are not verbs of an engine: each public function here is one, with its signature as the options.

A positional parameter is given on the command line without a name; the others are ``--name VALUE``.
The module is imported for every command, so functions import what they need when they run.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from drivetrain.cli.answer import Answer, Command

Shell = Literal["bash", "zsh"]
RuntimePrecision = Literal["auto", "f32", "f16", "bf16"]
Backend = Literal["auto", "openvino", "onnxruntime"]
DeployForm = Literal["docker", "model_server"]
Licence = Literal["permissive"]
DataOutputFormat = Literal[
    "coco", "yolo", "voc", "cvat", "dota", "mvtec", "label_studio", "labelme", "parquet", "datumaro", "image_folder"
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
        licence: permissive excludes models whose code or published weights have a different licence, or an unknown
            one.
        limit: rows to show per source; 40 for people, all for JSON.
        names: show only the full names, one per line.
    """
    from drivetrain.cli.find import find_models

    return find_models(text, engine=engine, task=task, licence=licence, limit=limit, names=names)


def info(path: Path | None = None) -> Answer:
    """Explain a work dir, checkpoint, artefact or data set, or this installation.

    Args:
        path: a work dir, checkpoint, artefact or data set; by default the installation.
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
    """Inspect a data set (counts, labels, sizes, problems) or convert it.

    Args:
        path: a folder, file or zip in any format.
        format: the format to read it as; detected by default.
        task: the task that the annotations are for.
        normal: labels that are not anomalies.
        labels: only these labels, and the images with one of them.
        subsets: only these subsets.
        remap: new names of labels, OLD=NEW; OLD= drops a label.
        sample: only this many images (100), or a fraction of them (0.1), chosen at random.
        splits: fractions of train, val and test, to split all images again.
        group: images that must stay together: a regular expression for the path, whose first group identifies them.
        seed: seed of the sample and the split.
        strict: raise for an image that cannot be used.
        allow_pickle: allow formats whose files may execute code when they are opened.
        html: a page to write, with pictures and their annotations.
        output: a new folder to write the data set to.
        output_format: the format to write it in.
        save_media: copy the images to the output instead of linking to them.
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
    """Check every picture of a data set: copies, leaks, odd pictures, outliers, probable label errors.

    Args:
        path: a folder, file or zip in any format; a folder named "check" is written ./check.
        model: a run, checkpoint or artefact, whose answers are compared with the annotations.
        checkpoint: checkpoint of the model: best, last or a path.
        batch_size: images per step of the model.
        html: a page to write, with the pictures.
        format: the format to read the data as; detected by default.
        task: the task that the annotations are for.
        normal: labels that are not anomalies.
        allow_pickle: allow formats whose files may execute code when they are opened.
        limit: findings of each kind to show; --json and the page have all.
    """
    from drivetrain.cli.data_check import check_pictures

    reading = {"format": format, "task": task, "normal": normal, "allow_pickle": allow_pickle}
    asking = {"model": model, "checkpoint": checkpoint, "batch_size": batch_size}
    return check_pictures(path, reading, asking, html=html, limit=limit)


def data_merge(
    paths: Sequence[Path],
    *,
    output: Path,
    output_format: DataOutputFormat,
    format: str | None = None,  # noqa: A002  (the field's word)
    task: str | None = None,
    save_media: bool = False,
) -> Answer:
    """Join data sets, such as the answers of several shards, into one; labels are matched by name.

    Args:
        paths: folders, files or archives in any format.
        output: a new folder to write the data set to.
        output_format: the format to write it in.
        format: the format to read them as; detected by default.
        task: the task that the annotations are for.
        save_media: copy the images to the output instead of linking to them.
    """
    from drivetrain.cli.data import merge

    return merge(paths, output, output_format, reading={"format": format, "task": task}, save_media=save_media)


def data_cache(*, clear: bool = False, max_size: float | None = None, max_age: float | None = None) -> Answer:
    """List what data sets have left in the cache, with sizes and ages; or remove it.

    Args:
        clear: remove all of it; do so when no run uses it.
        max_size: gigabytes to keep; the longest unused go first.
        max_age: days without use after which an entry goes.
    """
    from drivetrain.cli.data_cache import look_at_cache

    return look_at_cache(clear=clear, max_size=max_size, max_age=max_age)


def compare(
    *,
    models: str,
    data: Path,
    budget: str | None = None,
    max_epochs: int | None = None,
    image_size: int | None = None,
    seed: int | None = None,
    metric: str | None = None,
    optimize: bool = False,
    task: str | None = None,
    device: str | None = None,
    work_dir: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    timing_seconds: float = 3.0,
    quiet: bool = False,
) -> Answer:
    """Train, test, export and time models of any framework on the same data, and write one page about them.

    Args:
        models: names, recipes, runs and artefacts, with commas between; runs and artefacts are not trained.
        data: a folder, file or zip in any format.
        budget: time for all trainings together, such as 30m or 2h; each model gets the same share.
        max_epochs: epochs of each model, or the most of them within a budget.
        image_size: of the input of all models that are trained.
        seed: of everything random.
        metric: to rank by; that of the task if not given.
        optimize: add a row for each model in INT8.
        task: what to train for; found out from the data if not given.
        device: to train on: auto, cpu, cuda, cuda:1, ...
        work_dir: for the runs and the page; a new folder below "runs" if not given.
        resume: go on with the comparison in the work dir.
        overwrite: replace the comparison in the work dir.
        timing_seconds: for each stage of the benchmark of each model.
        quiet: show no progress.
    """
    from drivetrain.cli.comparing import compare_models

    options: dict[str, Any] = {
        "budget": budget,
        "max_epochs": max_epochs,
        "image_size": image_size,
        "seed": seed,
        "metric": metric,
    }
    options |= {"optimize": optimize, "task": task, "device": device, "work_dir": work_dir}
    return compare_models(
        models,
        data,
        {**options, "resume": resume, "overwrite": overwrite, "timing_seconds": timing_seconds},
        quiet=quiet,
    )


def verify(
    artifact: Path, *, device: str = "CPU", precision: RuntimePrecision = "f32", backend: Backend = "auto"
) -> Answer:
    """Check an artefact on this machine: its files, and its answers about the pictures it contains.

    Args:
        artifact: its folder, or its .xml or .onnx file.
        device: an OpenVINO device: CPU, GPU, NPU, ...
        precision: precision of the arithmetic: f32, f16, bf16, or auto for the device's default.
        backend: openvino or onnxruntime; auto runs .onnx with ONNX Runtime if it is installed.
    """
    from drivetrain.cli.verify import verify_artifact

    return verify_artifact(artifact, device=device, precision=precision, backend=backend)


def deploy(
    artifact: Path,
    folder: Path,
    *,
    form: DeployForm = "docker",
    name: str | None = None,
    wheel: Path | None = None,
    overwrite: bool = False,
) -> Answer:
    """Write a folder ready for deployment: a container without PyTorch, or a repository of OpenVINO Model Server.

    Args:
        artifact: the folder of an artefact.
        folder: the folder to write.
        form: docker writes a Dockerfile and a predictor, model_server a repository with its config.
        name: the name of the model there; taken from the model by default.
        wheel: the wheel of drivetrain to install in the container; by default this version is asked for by name.
        overwrite: replace an existing folder.
    """
    from drivetrain.cli.deploy_folder import write_folder

    return write_folder(artifact, folder, form=form, name=name, wheel=wheel, overwrite=overwrite)


def doctor(*, quick: bool = False) -> Answer:
    """Check this installation, and say what to run if something is wrong.

    Args:
        quick: only check versions and settings, without importing any framework.
    """
    from drivetrain.cli.doctor import examine

    return examine(quick=quick)


def repeat(
    run: Path, *, work_dir: Path | None = None, tolerance: float = 0.0, overwrite: bool = False, quiet: bool = False
) -> Answer:
    """Repeat a finished run from its saved config, and report whether the result is the same.

    Args:
        run: the work dir of a finished run.
        work_dir: work dir of the new run; by default a new folder below "runs".
        tolerance: how much numbers may differ and still count as the same.
        overwrite: replace the run in the new work dir.
        quiet: show no progress.
    """
    from drivetrain.cli.repeat import repeat_run

    return repeat_run(run, work_dir=work_dir, tolerance=tolerance, overwrite=overwrite, quiet=quiet)


def completion(shell: Shell) -> Answer:
    """Print the completion script of a shell, for its start-up file.

    Args:
        shell: "bash" or "zsh".
    """
    from drivetrain.cli.completion import completion_script

    return completion_script(shell, commands())
