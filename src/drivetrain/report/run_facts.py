"""What a run was: its data, options, artefacts, machine and packages, as parts of its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from drivetrain.report._html import fact_list, part, table, text
from drivetrain.report.measured import PageExample, example_view
from drivetrain.report.tables import ABSENT, number

_SHORT = 120  # characters of a value that is shown uncollapsed
_OPTION_NAMES = {
    "max_epochs": "epochs",
    "learning_rate": "learning rate (highest)",
    "image_size": "image size (height x width)",
    "patience": "validations without improvement before it stops",
    "val_check_interval": "validation within an epoch",
    "check_val_every_n_epoch": "epochs between validations",
    "num_workers": "workers that load data",
    "devices": "devices of each machine",
    "nodes": "machines",
    "metric": "metric that selects the best state",
    "tile": "tiles of the images",
    "ema": "moving average of the weights",
    "freeze_backbone": "backbone frozen",
    "backbone_learning_rate": "learning rate of the backbone",
    "mosaic": "probability of mosaics",
    "run_hpo": "search for options before",
    "hpo_config": "how options were searched for",
    "adaptive_bs": "batch size adapted to memory",
    "engine_args": "arguments of the framework's own trainer",
    "checkpoint": "started from",
    "logger": "logged to",
}
#: Options about how the run is stored; they are in the record.
_NOT_SHOWN = ("resume", "overwrite")


def option_name(name: str) -> str:
    """An option in words."""
    return _OPTION_NAMES.get(name, name.replace("_", " "))


def options(run: Mapping[str, Any]) -> str:
    """The options that were given and those that were used, in words and by their names."""
    asked, used = _mapping(run.get("options")), _mapping(run.get("effective_options"))
    replaced = _mapping(run.get("overrides"))
    rows = []
    for name in dict.fromkeys([*asked, *used]):
        value, request = used.get(name, asked.get(name)), asked.get(name)
        if name in _NOT_SHOWN or _is_off(value):
            continue
        why = "replaced by the framework" if name in replaced else "" if request is not None else "the engine's default"
        rows.append([option_name(name), value_text(value), _asked(request, value), why, name])
    header = ["option", "used", "asked for", "remark", "name"]
    shown = [place for place in range(len(header)) if place in (0, 1, 4) or any(row[place] for row in rows)]
    return table([header[place] for place in shown], [[row[place] for place in shown] for row in rows]) if rows else ""


def _asked(request: Any, used: Any) -> str:
    return (
        "" if request is None or value_text(request) == value_text(used) or _is_usual(request) else value_text(request)
    )


def _is_off(value: Any) -> bool:
    return value is None or value is False or value in ("none", [], {})


def _is_usual(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def value_text(value: Any) -> str:
    """The value of an option in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple) and all(isinstance(item, int) for item in value):
        return " x ".join(str(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {value_text(item)}" for name, item in value.items())
    return plain(value)


def about_data(run: Mapping[str, Any], statistics: Mapping[str, Any], pictures: Sequence[PageExample]) -> str:
    """What the data are: where, how many, which classes, and some images with their annotations."""
    data = run.get("data")
    if not isinstance(data, Mapping):
        return f"<p>{text(data)}, data of the framework's own.</p>" if data else ""
    sizes = _mapping(data.get("object_sizes"))
    subsets = {f"{name} images": count for name, count in _mapping(data.get("subsets")).items()}
    facts = fact_list(
        {"source": data.get("source"), "format": data.get("format"), **subsets, "labels": data.get("labels")}
    )
    rows = [
        [f"{name} image", f"{size[1]} x {size[0]} px"] for name, size in _mapping(statistics.get("image_sizes")).items()
    ]
    rows += [[f"{name} objects", f"{sizes[name]:g} px"] for name in ("small", "medium", "large") if name in sizes]
    shown = part("pairs", [example_view(item) for item in pictures]) if pictures else ""
    parts = {
        "": facts,
        "Images and objects by class": class_table(statistics),
        "Sizes": table(["", "size"], rows) if rows else "",
        "Some of the images, with their annotations": shown,
    }
    return "".join(f"<h3>{title}</h3>{html}" if title else html for title, html in parts.items() if html)


def class_table(statistics: Mapping[str, Any]) -> str:
    """The images of each label in each subset, and its objects; ``""`` without labels."""
    by_subset, names = statistics.get("images_per_class") or {}, statistics.get("label_names") or ()
    if not names:
        return ""
    objects = statistics.get("objects_per_class") or {}
    header = ["label", *(f"{name} images" for name in by_subset), *(["objects"] if objects else [])]
    rows = [
        [
            str(name),
            *(str(counts.get(name, 0)) for counts in by_subset.values()),
            *([str(objects.get(name, 0))] if objects else []),
        ]
        for name in names
    ]
    return table(header, rows, sortable=len(rows) > 1, tall=True)


def artifacts(found: Sequence[Mapping[str, Any]]) -> str:
    """The exported models: size, verification, and the metric of model and artefact."""
    if not found:
        return ""
    header = ["artefact", "precision", "MB", "verified", "metric", "of the model", "of the artefact", "remark"]
    rows = [[str(item[name]) for name in ("name", "precision", "size", "verdict", "metric", "before", "after", "said")]
            for item in found]  # fmt: skip
    shown = [place for place in range(len(header)) if place < 4 or any(row[place] for row in rows)]
    body = table([header[place] for place in shown], [[row[place] for place in shown] for row in rows])
    for item in found:
        if differences := item.get("differences"):
            inner = table(["quantity", "largest difference", "allowed"], differences)
            body += (
                f"<details><summary>{text(item['name'])} against the model, image by image</summary>{inner}</details>"
            )
    return body


def machine(run: Mapping[str, Any]) -> str:
    """The machine and the versions of the packages."""
    environment = _mapping(run.get("environment"))
    memory = environment.get("memory_free_bytes")
    known = {
        "platform": environment.get("platform"),
        "cores": environment.get("cores"),
        "free memory": f"{memory / 1e9:.1f} GB" if isinstance(memory, int | float) else None,
        "accelerators": ", ".join(map(plain, environment.get("accelerators") or ())) or None,
        "git commit": str(_mapping(run.get("git")).get("commit") or "")[:12] or None,
    }
    versions = {
        "drivetrain": run.get("drivetrain"),
        "python": environment.get("python"),
        **_mapping(environment.get("versions")),
    }
    rows = [[name, str(version)] for name, version in versions.items() if version]
    facts = fact_list(known) if any(value is not None for value in known.values()) else ""
    return facts + (table(["package", "version"], rows, sortable=True, tall=True) if rows else "")


def record(run: Mapping[str, Any]) -> str:
    """Everything in the record, collapsed."""
    folded = [
        f"<details><summary>{text(name)}</summary><pre>{text(_long(value))}</pre></details>"
        for name, value in run.items()
        if isinstance(value, Mapping | list) and value
    ]
    rows = [
        [str(name), plain(value)]
        for name, value in run.items()
        if not isinstance(value, Mapping | list) and len(plain(value)) <= _SHORT
    ]
    folded += [
        f"<details><summary>{text(name)}</summary><pre>{text(plain(value))}</pre></details>"
        for name, value in run.items()
        if not isinstance(value, Mapping | list) and len(plain(value)) > _SHORT
    ]
    return (table(["name", "value"], rows) if rows else "") + "".join(folded)


def plan(run: Mapping[str, Any]) -> str:
    """What was chosen by the data, if no model was given."""
    chosen = run.get("plan")
    if not isinstance(chosen, Mapping):
        return ""
    rows = [
        [
            option_name(str(row["name"])),
            ABSENT if row["value"] is None else value_text(row["value"]),
            str(row["reason"]),
        ]
        for row in chosen["decisions"]
    ]
    warnings = "".join(f"<li>{text(warning)}</li>" for warning in chosen["warnings"])
    return table(["option", "value", "why"], rows) + (f"<ul>{warnings}</ul>" if warnings else "")


def once(values: Sequence[tuple[str, float]]) -> str:
    """What was measured in one epoch only."""
    return part("tiles", [(name, number(value)) for name, value in values]) if values else ""


def plain(value: object) -> str:
    """A value as text."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _long(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False, indent=2)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
