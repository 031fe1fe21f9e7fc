"""The spec of the colour engine; importing this imports nothing heavy."""

from drivetrain import EngineSpec, Task
from drivetrain.models.catalog import ModelSource

SPEC = EngineSpec(
    name="colour",
    class_path="colour_engine.engine:ColourEngine",
    install="pip install colour-engine",
    packages=("colour_engine",),
    claims=("colour_engine:MeanColour",),
    sources=(ModelSource("colour", "colour_engine", "colour-engine", "colour_engine.engine:list_models"),),
    tasks=(Task.CLASSIFICATION,),
    hooks=("infer", "fit", "load_state", "warm_start"),
    checkpoint_suffixes=(".colours",),
    summary="Tells classes apart by their mean colour.",
)
