"""``drivetrain info``: explain a work dir, a checkpoint, an artefact or a data set, or this installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.cli.answer import Answer
from drivetrain.cli.render import Page, artifact_json, artifact_text, licences_text
from drivetrain.cli.wording import command, reworded, reworded_note
from drivetrain.errors import DataNotFoundError

_MOST_NAMES = 12


def explain(path: Path | None) -> Answer:
    """Explain what is at a path, or this installation.

    Raises:
        DrivetrainError: there is nothing, or it cannot be read.
    """
    from drivetrain.models.checkpoint import SUFFIXES

    if path is None:
        return _installation()
    if not path.exists():
        raise DataNotFoundError(f"{str(path)!r} does not exist. Looked in: {Path.cwd()}")
    if path.is_dir() and (path / "run.json").is_file():
        return _work_dir(path)
    if path.suffix in SUFFIXES:
        return _checkpoint(path)
    if path.suffix in (".xml", ".onnx") or (path / "manifest.json").is_file() or path.name == "manifest.json":
        return _artifact(path)
    from drivetrain.cli.data import look_at

    return look_at(path, {}, {})


def _work_dir(path: Path) -> Answer:
    from drivetrain.runs.record import RunRecord, read_record

    record = read_record(path)
    model, data = record.get("model") or {}, record.get("data")
    checkpoints = sorted(str(file.relative_to(path)) for file in (path / "checkpoints").glob("*"))
    artifacts = sorted(str(item.relative_to(path)) for item in (path / "artifacts").glob("*") if item.is_dir())
    facts = {"kind": "work_dir", "path": path, **record, "files": checkpoints + artifacts}

    def tell(page: Page) -> None:
        state = RunRecord.at(path).state()
        page.line(f"work dir of a run, {state}")
        if state != "finished" and not state.startswith("running"):
            page.line(f"Continue it with: {reworded(RunRecord.at(path).how_to_go_on)}")
        page.line(f"model        {model.get('name')} (engine {record.get('engine')}), {record.get('task')}")
        page.line(f"data         {data.get('source') if isinstance(data, dict) else data}")
        page.line(f"drivetrain   {record.get('drivetrain')}")
        if record.get("licences"):
            page.line(f"licences     {licences_text(record['licences'])}")
        for part in record.get("parts", []):
            held = state.startswith("running") and part is record["parts"][-1]
            open_end = "now: running" if held else "an end that was not recorded"
            end = f"{part['ended']}: {part.get('status')}" if "ended" in part else open_end
            page.line(f"ran          {part.get('started')} to {end}")
        if record.get("error"):
            page.line(f"error        {record['error']}")
        for name in checkpoints + artifacts:
            page.line(f"contains     {name}")
        given = {name: value for name, value in (record.get("options") or {}).items() if value not in (None, False)}
        page.table(("option", "value"), given.items())
        if record.get("metrics"):
            page.table(("metric", "value"), record["metrics"].items())
        for note in record.get("notes", []):
            page.line(f"note: {reworded_note(note)}")
        if (path / "config.yaml").is_file():
            page.line(f"Repeat it with: {command('drivetrain', 'repeat', path)}")

    return Answer(facts, tell)


def _checkpoint(path: Path) -> Answer:
    from drivetrain.models.checkpoint import read_facts
    from drivetrain.models.registry import engine_specs

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
        page.line(f"engine      {', '.join(engines) or 'not of any known engine; perhaps only weights'}")
        page.line(f"would import when opened with pickle: {_some(sorted(found.names))}")

    return Answer(facts, tell)


def _artifact(path: Path) -> Answer:
    from drivetrain.runtime.artifact import Artifact

    artifact = Artifact.open(path)
    return Answer({"kind": "artifact", **artifact_json(artifact)}, lambda page: artifact_text(artifact, page))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "nothing") + more


def _said(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["summary"], row["licence"]


def _engines() -> dict[str, dict[str, Any]]:
    """The facts about each engine, installed or not."""
    from drivetrain.models.registry import engine_specs

    return {
        name: {
            "installed": not spec.missing,
            "missing": spec.missing,
            "install": spec.install,
            "holds_for": dict(spec.upstream),
            "summary": spec.summary,
            "licence": spec.licence,
        }
        for name, spec in sorted(engine_specs().items())
    }


def _installation() -> Answer:
    from drivetrain._version import __version__
    from drivetrain.cli.doctor import opencv_wheels
    from drivetrain.machine.files import cache_dir
    from drivetrain.machine.versions import environment

    engines, clash = _engines(), opencv_wheels()
    facts = {
        "drivetrain": __version__,
        **environment(),
        "engines": engines,
        "opencv_wheels": clash,
        "cache_dir": cache_dir(),
    }

    def tell(page: Page) -> None:
        page.line(f"drivetrain {facts['drivetrain']}, Python {facts['python']}, {facts['platform']}")
        page.table(("package", "version"), facts["versions"].items())
        page.table(
            ("engine", "state", "what it does", "licence of its upstream"),
            (
                (
                    name,
                    "installed" if row["installed"] else f"install with: {row['install']}",
                    row["summary"],
                    row["licence"],
                )
                for name, row in engines.items()
            ),
        )
        if len(clash) > 1:
            page.line(
                f"warning: {len(clash)} wheels of OpenCV overwrite each other's files ({', '.join(clash)}). Keep one: "
                f"pip uninstall -y {' '.join(clash)} && pip install opencv-python-headless"
            )
        page.line(f"cache: {facts['cache_dir']}")
        page.line("Check it with: drivetrain doctor")

    return Answer(facts, tell)
