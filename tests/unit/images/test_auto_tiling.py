"""Tiles chosen by the sizes of objects."""

from __future__ import annotations

import pytest

from drivetrain.errors import UnsupportedOptionError
from drivetrain.images.auto_tiling import ObjectSizes, TileChoice, choose_tile
from drivetrain.images.tiling import check_tile
from drivetrain.types import Task


def test_small_objects_of_large_images_get_tiles_that_show_them() -> None:
    choice = choose_tile(ObjectSizes(small=20, large=24, image=4000), 320)
    assert choice.tile == (267, 0.2)
    assert choice.reason == (
        "tiles of 267 px that overlap by 20%: a tenth of the objects is smaller than 20 px, which a tile shows with "
        "24 px, and the whole image of 4000 px with 2 px"
    )


def test_large_objects_lie_whole_in_a_tile() -> None:
    assert choose_tile(ObjectSizes(small=20, large=100, image=4000), 320).overlap == pytest.approx(0.4)


def test_tiny_objects_are_not_enlarged_without_end() -> None:
    assert choose_tile(ObjectSizes(small=3, large=4, image=2000), 320).size == 160


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        (ObjectSizes(small=100, large=300, image=640), 1333),
        (ObjectSizes(small=20, large=30, image=330), 330),
    ],
)
def test_images_of_the_size_of_the_training_are_looked_at_as_a_whole(sizes: ObjectSizes, size: int) -> None:
    choice = choose_tile(sizes, 320)
    assert choice.size == size
    assert f"images of {sizes.image:.0f} px, as in training, are processed as a whole" in choice.reason


def test_a_choice_comes_back_from_a_manifest() -> None:
    choice = choose_tile(ObjectSizes(small=20, large=24, image=4000), 320)
    assert TileChoice.from_dict(choice.to_dict()) == choice


def test_without_objects_there_is_nothing_to_choose_by() -> None:
    check_tile("auto", Task.DETECTION)
    with pytest.raises(
        UnsupportedOptionError, match="depends on the sizes of objects, and a model for anomaly finds none"
    ):
        check_tile("auto", Task.ANOMALY)
