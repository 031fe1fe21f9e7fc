"""The description of an engine that needs no import of it, and the result of a dispatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivetrain.errors import MissingDependencyError
from drivetrain.machine.packages import is_installed, version_of
from drivetrain.models.candidate import Candidate
from drivetrain.models.catalog import ModelSource
from drivetrain.models.licence import UNKNOWN
from drivetrain.types.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """The facts about an engine that are needed before it is imported.

    Attributes:
        name: the name of the engine, as in ``engine="anomalib"``.
        class_path: ``"package.module:Class"``.
        install: the command to show if a package is missing, such as ``pip install "drivetrain[anomalib]"``.
        packages: top-level packages that must be installed.
        claims: the classes it serves, as ``"top_package:ClassName"``, looked up along the MRO of the model.
        data_claims: classes of native data that are passed through unchanged, in the same form.
        sources: the sources of its model names.
        known_names: regular expressions of names it would offer, for the message when it is not installed.
        tasks: the tasks its models can be trained for.
        hooks: the optional framework hooks that it defines; a verb that needs another one is refused.
        verbs: deprecated predecessor of ``hooks``, kept for one release: without "train" there is no ``fit``, without
            "export" no ``export_source``.
        suffixes: suffixes of the model files it opens.
        folder_files: names of files that mark a folder which the engine opens as a model.
        checkpoint_suffixes: suffixes of this engine's checkpoints, in addition to those of torch.
        checkpoint_marks: strings or names that identify its checkpoints (see :mod:`drivetrain.models.checkpoint`).
        upstream: distribution -> range of supported versions.
        limits: ``"package.module:function"`` that refuses options which no model of the engine honours; called with
            :class:`~drivetrain.types.options.TrainOptions` and ``device`` before the framework is loaded, so it must
            not import it.
        artifact_names: format -> the default folder name of an artefact, if it is not
            ``"{format}-{precision}"``; some upstreams recognise theirs by it.
        candidates: models that auto-configuration may choose.
        summary: one line of description.
        licence: SPDX name of the upstream's code licence; "unknown" for models that users bring.
    """

    name: str
    class_path: str
    install: str
    packages: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    data_claims: tuple[str, ...] = ()
    sources: tuple[ModelSource, ...] = ()
    known_names: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    hooks: tuple[str, ...] = ("infer", "fit", "load_state", "export_source")
    verbs: tuple[str, ...] | None = None
    suffixes: tuple[str, ...] = ()
    folder_files: tuple[str, ...] = ()
    checkpoint_suffixes: tuple[str, ...] = ()
    checkpoint_marks: tuple[str, ...] = ()
    upstream: Mapping[str, str] = field(default_factory=dict)
    limits: str = ""
    artifact_names: Mapping[str, str] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    summary: str = ""
    licence: str = UNKNOWN

    def __post_init__(self) -> None:
        if self.verbs is not None:
            needs = (("train", "fit"), ("export", "export_source"), ("predict", "infer"))
            gone = {hook for verb, hook in needs if verb not in self.verbs}
            object.__setattr__(self, "hooks", tuple(hook for hook in self.hooks if hook not in gone))

    def artifact_name(self, format: str, precision: str) -> str:  # noqa: A002  (the field's word)
        """The default folder name of an artefact."""
        return self.artifact_names.get(format, "{format}-{precision}").format(format=format, precision=precision)

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        return tuple(package for package in self.packages if not is_installed(package))

    def require_installed(self) -> None:
        """Refuse an engine whose packages are not installed.

        Raises:
            MissingDependencyError: the message has the command that installs them.
        """
        if self.missing:
            raise MissingDependencyError(
                f"The engine {self.name!r} needs {', '.join(self.missing)}, which is not installed. "
                f"Install it with: {self.install}"
            )

    def require_release(self, distribution: str) -> None:
        """Refuse a release of the upstream that the engine does not support.

        Args:
            distribution: the upstream, one of ``upstream``.

        Raises:
            MissingDependencyError: the installed one is too old or too new.
        """
        from packaging.specifiers import SpecifierSet

        installed, wanted = version_of(distribution), self.upstream[distribution]
        if installed is not None and installed not in SpecifierSet(wanted, prereleases=True):
            raise MissingDependencyError(
                f"{distribution} {installed} is installed, but the engine {self.name!r} supports {wanted}. "
                f"Install one of these: pip install '{distribution}{wanted}'"
            )


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome of a dispatch.

    Attributes:
        spec: the engine.
        model: the model in the form the engine takes: an unwrapped object, a class, a :class:`ModelEntry`, or a path.
        reason: why this engine was chosen, in one sentence.
        rejected: engine name -> why it was not chosen.
    """

    spec: EngineSpec
    model: Any
    reason: str
    rejected: dict[str, str] = field(default_factory=dict)


def class_keys(cls: type) -> tuple[str, ...]:
    """``"top_package:ClassName"`` of a class and its bases, nearest first."""
    return tuple(f"{base.__module__.partition('.')[0]}:{base.__name__}" for base in cls.__mro__)


def claimed_by(cls: type, claims: tuple[str, ...]) -> str | None:
    """The nearest class in the MRO that is among the claims."""
    return next((key for key in class_keys(cls) if key in claims), None)


def unwrap(model: Any) -> Any:
    """Remove the wrappers that torch.compile, DataParallel, DDP or PEFT put around a model."""
    wrappers = {
        "torch:OptimizedModule": "_orig_mod",
        "torch:DistributedDataParallel": "module",
        "torch:DataParallel": "module",
        "peft:PeftModel": "base_model",
        "peft:BaseTuner": "model",
    }
    for _ in range(8):
        wrapper = claimed_by(type(model), tuple(wrappers))
        if wrapper is None:
            return model
        model = getattr(model, wrappers[wrapper])
    return model
