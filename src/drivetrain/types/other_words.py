"""What other tools call the options."""

from __future__ import annotations

from collections.abc import Mapping

#: Another tool's name for an option -> our name.
OTHER_WORDS: Mapping[str, str] = {
    "epochs": "max_epochs",
    "lr": "learning_rate",
    "lr0": "learning_rate",
    "rate": "learning_rate",
    "batch": "batch_size",
    "bs": "batch_size",
    "train_batch_size": "batch_size",
    "eval_batch_size": "batch_size",
    "imgsz": "image_size",
    "img_size": "image_size",
    "input_size": "image_size",
    "workers": "num_workers",
    "gpus": "devices",
    "accelerator": "device",
    "early_stopping": "patience",
    "weights": "checkpoint",
    "ckpt_path": "checkpoint",
    "pretrained": "checkpoint",
    "amp": "precision",
    "half": "precision",
    "monitor": "metric",
    "conf": "confidence",
    "threshold": "confidence",
    "images": "source",
    "input": "source",
    "dataset": "data",
    "output": "work_dir",
    "output_dir": "work_dir",
    "save_dir": "work_dir",
    "project": "work_dir",
    "n_trials": "trials",
    "timeout": "time_budget",
    "exist_ok": "overwrite",
    "random_state": "seed",
}
