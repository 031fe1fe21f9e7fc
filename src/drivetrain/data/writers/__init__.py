"""The formats that a data set can be written in; a writer is imported when it is needed."""

from __future__ import annotations

WRITERS = {
    "coco": "drivetrain.data.writers.coco:write",
    "yolo": "drivetrain.data.writers.yolo:write",
    "image_folder": "drivetrain.data.writers.image_folder:write",
    "voc": "drivetrain.data.writers.datumaro:write_voc",
    "cvat": "drivetrain.data.writers.datumaro:write_cvat",
    "dota": "drivetrain.data.writers.dota:write",
    "mvtec": "drivetrain.data.writers.mvtec:write",
    "label_studio": "drivetrain.data.writers.label_studio:write",
    "labelme": "drivetrain.data.writers.labelme:write",
    "parquet": "drivetrain.data.writers.parquet:write",
    "datumaro": "drivetrain.data.writers.datumaro:write_datumaro",
}
