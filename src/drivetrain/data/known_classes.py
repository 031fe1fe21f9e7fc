"""The classes of well-known data sets with class maps, which come without a file that names them."""

from __future__ import annotations

from collections.abc import Iterable

from drivetrain.data.class_table import ClassTable

_CITYSCAPES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus",
    "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
_CITYSCAPES_TRAINED = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
_CAMVID = {
    "Void": (0, 0, 0), "Animal": (64, 128, 64), "Archway": (192, 0, 128), "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64), "Building": (128, 0, 0), "Car": (64, 0, 128), "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64), "Column_Pole": (192, 192, 128), "Fence": (64, 64, 128), "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64), "Misc_Text": (128, 128, 64), "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64), "ParkingBlock": (64, 192, 128), "Pedestrian": (64, 64, 0), "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192), "Sidewalk": (0, 0, 192), "SignSymbol": (192, 128, 128), "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192), "TrafficCone": (0, 0, 64), "TrafficLight": (0, 64, 64), "Train": (192, 64, 128),
    "Tree": (128, 128, 0), "Truck_Bus": (192, 128, 192), "Tunnel": (64, 0, 64), "VegetationMisc": (192, 192, 0),
    "Wall": (64, 192, 0),
}  # fmt: skip
_SYNTHIA = {
    "void": (0, 0, 0), "sky": (128, 128, 128), "building": (128, 0, 0), "road": (128, 64, 128), "sidewalk": (0, 0, 192),
    "fence": (64, 64, 128), "vegetation": (128, 128, 0), "pole": (192, 192, 128), "car": (64, 0, 128),
    "traffic sign": (192, 128, 128), "pedestrian": (64, 64, 0), "bicycle": (0, 128, 192), "lanemarking": (0, 172, 0),
    "traffic light": (0, 128, 128),
}  # fmt: skip


def known_table(masks: Iterable[str]) -> ClassTable | None:
    """The classes of a known data set, recognised by the names of its maps.

    Args:
        masks: the names of the maps, relative to the root.
    """
    names = list(masks)
    for fits, table in _SETS:
        if all(fits(name) for name in names):
            return table
    return None


def _is_in(name: str, *folders: str) -> bool:
    return bool(set(folders) & set(name.split("/")[:-1]))


def _coloured(colours: dict[str, tuple[int, int, int]]) -> ClassTable:
    return ClassTable(tuple(colours), colours=tuple(colours.values()))


_SETS = (
    (lambda name: name.endswith("_labelTrainIds.png"), ClassTable(_CITYSCAPES_TRAINED)),
    (lambda name: name.endswith("_labelIds.png"), ClassTable(_CITYSCAPES)),
    (lambda name: _is_in(name, "training") and _is_in(name, "semantic"), ClassTable(_CITYSCAPES)),
    (lambda name: _is_in(name, "LabeledApproved_full", "701_Labels_full"), _coloured(_CAMVID)),
    (lambda name: _is_in(name, "GT") and _is_in(name, "COLOR"), _coloured(_SYNTHIA)),
)
