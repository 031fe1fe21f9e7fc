"""Generate the support matrix from specs and expected failures: ``python -m drivetrain.testing.matrix``."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.engine import Engine
from drivetrain.engine.verbs import has_hooks, verbs_of
from drivetrain.models.registry import list_engines
from drivetrain.models.spec import EngineSpec
from drivetrain.testing.contract import EngineContract
from drivetrain.testing.expectations import Expectation

#: The steps that each model of :func:`matrix` goes through, in order; "load" runs the artefact in our runtime.
STEPS = ("train", "test", "predict", "export", "load")
_SIGNS = {"Never": "no", "NotImpl": "not yet", "NotYet": "waits for the upstream"}
_HEAD = """# What each engine supports

Made by `python -m drivetrain.testing.matrix` from the engines' specs and `tests/contract/expected_failures.py`; a test
fails when it is stale. Every "yes" is a check of the contract that runs in `make test-all`.
"""
_TRACED = """## Exported by PyTorch's trace only

PyTorch has deprecated TorchScript, and the trace with it. Every model of the engines' own tests converts to OpenVINO by
`torch.export` alone too, except for these.
"""


def matrix(
    cases: Mapping[str, tuple[str, str]],
    expected: Mapping[tuple[str, str], Expectation],
    models: Mapping[str, Sequence[str]] | None = None,
    expected_steps: Mapping[tuple[str, str, str], Expectation] | None = None,
    trace_only: Mapping[tuple[str, str], Expectation] | None = None,
) -> str:
    """The page as Markdown.

    Args:
        cases: name -> (engine, model) of each model that is tested with the contract.
        expected: (case, check) -> why it fails.
        models: engine -> the models that go through :data:`STEPS`, each separately.
        expected_steps: (engine, model, step) -> why it fails; later steps are skipped.
        trace_only: (engine, model) -> why it can be exported only by PyTorch's trace, not by ``torch.export``.
    """
    specs = dict(list_engines())
    parts = [_HEAD, _engines([specs[name] for name in sorted(specs) if name != "toy"])]
    parts.append(_checks(cases, expected, specs))
    reasons = [
        f"- **{case}**, {_words(check)}: {_SIGNS[type(why).__name__]}. {why.reason}"
        for (case, check), why in sorted(expected.items())
    ]
    if reasons:
        parts.append("\n".join(["## Why not", "", *reasons, ""]))
    parts.extend(_models(engine, names, expected_steps or {}) for engine, names in (models or {}).items())
    if trace_only:
        parts.append(_traced(trace_only))
    return "\n".join(parts)


def _verbs(spec: EngineSpec) -> list[str]:
    return [name for name, needs in verbs_of(Engine).items() if has_hooks(needs, spec)]


def _engines(specs: Sequence[EngineSpec]) -> str:
    rows = ["## Engines", "", "| engine | verbs | tasks | upstream | |", "|---|---|---|---|---|"]
    for spec in specs:
        tasks = "all" if len(spec.tasks) > 8 else ", ".join(task.value.replace("_", " ") for task in spec.tasks)
        upstream = ", ".join(f"{name} {versions}" for name, versions in spec.upstream.items())
        rows.append(f"| {spec.name} | {', '.join(_verbs(spec))} | {tasks} | {upstream} | {spec.summary} |")
    return "\n".join([*rows, ""])


def _checks(
    cases: Mapping[str, tuple[str, str]],
    expected: Mapping[tuple[str, str], Expectation],
    specs: Mapping[str, EngineSpec],
) -> str:
    rows = ["## Checks", "", f"| | {' | '.join(cases)} |", "|---|" + "---|" * len(cases)]
    rows.append("| model | " + " | ".join(f"`{model}`" for _, model in cases.values()) + " |")
    for check in _check_names():
        signs = []
        for case, (engine, _) in cases.items():
            found = {name: why for (key, name), why in expected.items() if key == case and _base(name) == check}
            exports = check in ("export", "an_artefact_is_not_replaced_by_accident", "optimize")
            if exports and engine in specs and "export" not in _verbs(specs[engine]):
                signs.append("-")
            elif check in found:
                signs.append(_SIGNS[type(found[check]).__name__])
            else:
                without = ", ".join(name.partition("[")[2].rstrip("]") for name in found)
                signs.append(f"yes, without {without}" if without else "yes")
        rows.append(f"| {_words(check)} | {' | '.join(signs)} |")
    return "\n".join([*rows, ""])


def _models(engine: str, names: Sequence[str], expected: Mapping[tuple[str, str, str], Expectation]) -> str:
    """One row per model: how far it gets, and why no further."""
    rows = [f"## Models of {engine}", "", f"| model | {' | '.join(STEPS)} | |", "|---|" + "---|" * (len(STEPS) + 1)]
    for name in names:
        failing = next((step for step in STEPS if (engine, name, step) in expected), None)
        why = expected[engine, name, failing] if failing is not None else None
        signs = ["yes" if failing is None or number < STEPS.index(failing) else "-" for number in range(len(STEPS))]
        if failing is not None and why is not None:
            signs[STEPS.index(failing)] = _SIGNS[type(why).__name__]
        rows.append(f"| `{name}` | {' | '.join(signs)} | {why.reason if why else ''} |")
    return "\n".join([*rows, ""])


def _traced(trace_only: Mapping[tuple[str, str], Expectation]) -> str:
    rows = [f"| {engine} | `{model}` | {why.reason} |" for (engine, model), why in sorted(trace_only.items())]
    return "\n".join([_TRACED, "| engine | model | why |", "|---|---|---|", *rows, ""])


def _check_names() -> list[str]:
    names = [name for cls in reversed(EngineContract.__mro__) for name in vars(cls) if name.startswith("test_")]
    return [name.removeprefix("test_") for name in names]


def _base(check: str) -> str:
    return check.partition("[")[0]


def _words(check: str) -> str:
    return check.replace("_", " ")


def from_file(path: Path) -> str:
    """The page for a file that defines ``CASES`` and ``EXPECTED``, and optionally the other three tables."""
    found: dict[str, Any] = runpy.run_path(str(path))
    return matrix(
        found["CASES"], found["EXPECTED"], found.get("MODELS"), found.get("EXPECTED_STEPS"), found.get("TRACE_ONLY")
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=Path("tests/contract/expected_failures.py"))
    parser.add_argument("target", nargs="?", type=Path, default=Path("docs/support-matrix.md"))
    arguments = parser.parse_args()
    arguments.target.write_text(from_file(arguments.source), encoding="utf-8")


if __name__ == "__main__":
    _main()
