"""``tile="auto"``: choosing tiles that suit a model and the objects it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivetrain.errors import OptionError
from drivetrain.images.auto_tiling import ObjectSizes, TileChoice, choose_tile
from drivetrain.types.options import Tile

if TYPE_CHECKING:
    from drivetrain.engine.state import EngineState


def used_tile(engine: EngineState, tile: Tile | None) -> Tile | None:
    """The tile passed to a verb; for ``"auto"`` the one that suits, which is noted with the reason.

    Raises:
        OptionError: the sizes of the objects or of the model input are unknown.
    """
    if tile != "auto":
        return tile
    choice = tile_choice(engine)
    if choice is None:
        raise OptionError(
            "tile='auto' depends on the sizes of the objects that the model was trained on, but neither its run nor "
            "the data of this engine contain them. Give the side of a tile, such as 640."
        )
    engine.progress.note(f"tile='auto': {choice.reason}.")
    return choice.tile


def tile_choice(engine: EngineState) -> TileChoice | None:
    """The tiles that suit; ``None`` if the sizes of the objects or of the model input are unknown."""
    from drivetrain.images.tiling import Tiling

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
    """The object sizes of the run that the model comes from, else of the engine's data."""
    record = engine.weights.run.content or engine.framework.record.content
    described = record.get("data")
    if isinstance(described, dict) and described.get("object_sizes"):
        return ObjectSizes.from_dict(described["object_sizes"])
    if engine.data.source is None or engine.has_native_data:
        return None
    from drivetrain.data.object_sizes import object_sizes

    return object_sizes(engine.dataset)
