"""``tile="auto"``: the tiles that suit a model and the objects that it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivetrain.errors import OptionError
from drivetrain.images.auto_tiling import ObjectSizes, TileChoice, choose_tile
from drivetrain.images.tiling import Tiling
from drivetrain.types.options import Tile

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState


def used_tile(engine: EngineState, tile: Tile | None) -> Tile | None:
    """The tile that a verb was given; for ``"auto"`` the one that suits, which is said with the reason.

    Raises:
        OptionError: nothing tells how large the objects are, or the model input.
    """
    if tile != "auto":
        return tile
    choice = tile_choice(engine)
    if choice is None:
        raise OptionError(
            "tile='auto' is chosen by the sizes of the objects that the model was trained on, and neither its run nor "
            "the data of this engine tell them. Give the side of a tile, such as 640."
        )
    engine.progress.note(f"tile='auto': {choice.reason}.")
    return choice.tile


def tile_choice(engine: EngineState) -> TileChoice | None:
    """The tiles that suit; ``None`` where nothing tells how large the objects are, or the model input."""
    known = engine.framework.usual_tile()
    if known is not None:
        return known
    record = engine.weights.run.content or engine.framework.record.content
    trained = Tiling.of((record.get("effective_options") or {}).get("tile"))
    if trained is not None:
        reason = f"tiles of {trained.size} px that overlap by {trained.overlap:.0%}, which it was trained on"
        return TileChoice(trained.size, trained.overlap, reason)
    sizes, side = _sizes(engine), engine.framework.input_side()
    return choose_tile(sizes, side) if sizes is not None and side is not None else None


def _sizes(engine: EngineState) -> ObjectSizes | None:
    """Of the objects of the run that the model comes from, else of the data of the engine."""
    record = engine.weights.run.content or engine.framework.record.content
    described = record.get("data")
    if isinstance(described, dict) and described.get("object_sizes"):
        return ObjectSizes.from_dict(described["object_sizes"])
    if engine.data.source is None or engine.has_native_data:
        return None
    from drivetrain.data.object_sizes import object_sizes

    return object_sizes(engine.dataset)
