"""``drivetrain info``: explain a work dir, a checkpoint, an artefact or a data set, or this installation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drivetrain.cli.render import Page, artifact_json, artifact_text, write_json
from drivetrain.cli.wording import command
from drivetrain.cli.words import WordParser
from drivetrain.errors import DataNotFoundError

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_MOST_CLASSES = 30
_MOST_NAMES = 12


def run(arguments: Sequence[str]) -> int:
    """Explain what lies at a path, or this installation.

    Raises:
        DrivetrainError: nothing is there, or it cannot be read.
    """
    parser = WordParser(
        prog="drivetrain info",
        description="Explain a work dir, checkpoint, artefact or data set; without a path this installation.",
    )
    parser.add_argument("path", nargs="?", help="a work dir, checkpoint, artefact or data set")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.read(arguments)
    facts, tell = _installation() if options.path is None else _explain(Path(options.path).expanduser())
    if options.json:
        write_json(facts, sys.stdout)
    else:
        tell(Page(sys.stdout))
    return 0


Answer = tuple[dict[str, Any], Callable[[Page], None]]


def _explain(path: Path) -> Answer:
    from drivetrain.checkpoint import SUFFIXES

    if not path.exists():
        raise DataNotFoundError(f"{str(path)!r} does not exist. Looked in: {Path.cwd()}")
    if path.is_dir() and (path / "run.json").is_file():
        return _work_dir(path)
    if path.suffix in SUFFIXES:
        return _checkpoint(path)
    if path.suffix in (".xml", ".onnx") or (path / "manifest.json").is_file() or path.name == "manifest.json":
        return _artifact(path)
    return _data(path)


def _work_dir(path: Path) -> Answer:
    from drivetrain.run import read_record

    record = read_record(path)
    model, data = record.get("model") or {}, record.get("data")
    checkpoints = sorted(str(file.relative_to(path)) for file in (path / "checkpoints").glob("*"))
    artifacts = sorted(str(item.relative_to(path)) for item in (path / "artifacts").glob("*") if item.is_dir())
    facts = {"kind": "work_dir", "path": path, **record, "files": checkpoints + artifacts}

    def tell(page: Page) -> None:
        page.line(f"work dir of a run that is {record.get('status')}")
        page.line(f"model        {model.get('name')} (engine {record.get('engine')}), {record.get('task')}")
        page.line(f"data         {data.get('source') if isinstance(data, dict) else data}")
        page.line(f"drivetrain   {record.get('drivetrain')}")
        for part in record.get("parts", []):
            page.line(
                f"ran          {part.get('started')} to {part.get('ended', 'now')}: {part.get('status', 'running')}"
            )
        if record.get("error"):
            page.line(f"error        {record['error']}")
        for name in checkpoints + artifacts:
            page.line(f"holds        {name}")
        given = {name: value for name, value in (record.get("options") or {}).items() if value not in (None, False)}
        page.table(("option", "value"), given.items())
        if record.get("metrics"):
            page.table(("metric", "value"), record["metrics"].items())
        for note in record.get("notes", []):
            page.line(f"note: {note}")
        if (path / "config.yaml").is_file():
            page.line(f"Repeat it with: {command('drivetrain', 'train', '--config', path / 'config.yaml')}")

    return facts, tell


def _checkpoint(path: Path) -> Answer:
    from drivetrain.checkpoint import read_facts
    from drivetrain.registry import engine_specs

    found = read_facts(path)
    engines = [
        name for name, spec in engine_specs().items() if any(found.mentions(mark) for mark in spec.checkpoint_marks)
    ]
    facts = {
        "kind": "checkpoint",
        "path": path,
        "size_bytes": path.stat().st_size,
        "engines": engines,
        "imports": sorted(found.names),
        "texts": sorted(found.texts),
    }

    def tell(page: Page) -> None:
        page.line(f"checkpoint  {path}, {path.stat().st_size / 1e6:.1f} MB; nothing in it was executed")
        page.line(f"engine      {', '.join(engines) or 'of no known engine; perhaps weights only'}")
        page.line(f"would import when opened with pickle: {_some(sorted(found.names))}")

    return facts, tell


def _artifact(path: Path) -> Answer:
    from drivetrain.artifact import Artifact

    artifact = Artifact.open(path)
    return {"kind": "artifact", **artifact_json(artifact)}, lambda page: artifact_text(artifact, page)


def _data(path: Path) -> Answer:
    from drivetrain.data import load_dataset

    data = load_dataset(path)
    subsets = dict(data.subsets)
    counts = {name: _class_counts(data.subset(name)) for name in subsets}
    facts = {
        "kind": "dataset",
        "path": path,
        "format": data.format,
        "task": data.task.value,
        "images": len(data),
        "subsets": subsets,
        "label_names": data.label_names,
        "images_per_class": counts,
        "fingerprint": data.fingerprint,
        "notes": data.notes,
        "skipped": [{"path": file, "reason": reason} for file, reason in data.skipped],
    }

    def tell(page: Page) -> None:
        page.line(f"data set  {path}, read as {data.format}, for {data.task.value}")
        page.line(f"images    {len(data)} ({', '.join(f'{name} {count}' for name, count in subsets.items())})")
        rows = [(label, *(counts[name][label] for name in subsets)) for label in data.label_names]
        page.table(("images with", *subsets), rows[:_MOST_CLASSES])
        if len(rows) > _MOST_CLASSES:
            page.line(f"... and {len(rows) - _MOST_CLASSES} more classes; --json shows all.")
        for note in data.notes:
            page.line(f"note: {note}")
        for file, reason in data.skipped[:_MOST_NAMES]:
            page.line(f"skipped {file}: {reason}")

    return facts, tell


def _class_counts(data: Any) -> dict[str, int]:
    counts = data.label_matrix.sum(axis=0).tolist()
    return dict(zip(data.label_names, counts, strict=True))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "nothing") + more


def _installation() -> Answer:
    import drivetrain
    from drivetrain.cache_dir import cache_dir
    from drivetrain.registry import engine_specs
    from drivetrain.run import environment

    engines = {
        name: {
            "installed": not spec.missing,
            "missing": spec.missing,
            "install": spec.install,
            "holds_for": dict(spec.upstream),
            "summary": spec.summary,
        }
        for name, spec in sorted(engine_specs().items())
    }
    clash = _opencv_wheels()
    facts = {
        "drivetrain": drivetrain.__version__,
        **environment(),
        "engines": engines,
        "opencv_wheels": clash,
        "cache_dir": cache_dir(),
    }

    def tell(page: Page) -> None:
        page.line(f"drivetrain {facts['drivetrain']}, Python {facts['python']}, {facts['platform']}")
        page.table(("package", "version"), facts["versions"].items())
        page.table(
            ("engine", "state", "what it does"),
            (
                (name, "installed" if row["installed"] else f"install with: {row['install']}", row["summary"])
                for name, row in engines.items()
            ),
        )
        if len(clash) > 1:
            page.line(
                f"warning: {len(clash)} wheels of OpenCV overwrite each other's files ({', '.join(clash)}). Keep one: "
                f"pip uninstall -y {' '.join(clash)} && pip install opencv-python-headless"
            )
        page.line(f"cache: {facts['cache_dir']}")

    return facts, tell


def _opencv_wheels() -> list[str]:
    """The installed wheels that bring the package cv2; more than one overwrite each other's files."""
    import importlib.metadata

    found = {str(item.metadata["Name"]).lower().replace("_", "-") for item in importlib.metadata.distributions()}
    return sorted(found & set(_OPENCV))
