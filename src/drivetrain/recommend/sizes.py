"""Image size, batch size and epochs, from the sizes of images and objects and the available time."""

from __future__ import annotations

from drivetrain.models.candidate import Candidate
from drivetrain.recommend.data_facts import DataFacts
from drivetrain.recommend.plan import Decision

#: The longest a training run on the CPU should take, in seconds.
BUDGET = 600.0
_SEEN = 10  # input pixels that an object's side needs for it to be detected
_COMFORTABLE = 24  # more pixels than this gain nothing
_SMALLEST_OF_OBJECTS = 160
_SMALLEST, _LARGEST_CPU, _LARGEST = 64, 640, 1280
_BATCH, _STEPS = 32, 8
_LEAST_BATCH = 8  # batch normalisation needs the statistics of at least this many images
_LEARNING_STEPS = 300  # with fewer steps in total a network hardly learns anything
_MOST_ROUNDS = 4  # at most this many times the usual epochs, to reach enough steps
_MEMORY_SHARE = 0.5


def image_size(facts: DataFacts, item: Candidate, *, on_cpu: bool) -> tuple[Decision, str | None]:
    """The side of the model input, and advice if small objects would need a larger one."""
    largest = _LARGEST_CPU if on_cpu else _LARGEST
    usual, step = item.cpu_image_size or item.image_size if on_cpu else item.image_size, item.size_step
    if facts.small_object is not None:
        if on_cpu:
            usual = min(usual, max(_SMALLEST_OF_OBJECTS, up(round(_COMFORTABLE / max(facts.small_object, 1e-3)), step)))
        return _for_objects(facts, facts.small_object, usual, step, largest)
    if facts.side < usual:
        size = max(_SMALLEST, up(facts.side, step))
        reason = f"half of the images are at most {facts.side} px long, so a larger size adds no detail"
        return Decision("image_size", min(size, usual), reason), None
    return Decision("image_size", usual, f"the model's default size; the images are about {facts.side} px"), None


def _for_objects(facts: DataFacts, share: float, usual: int, step: int, largest: int) -> tuple[Decision, str | None]:
    needed = up(round(_SEEN / max(share, 1e-3)), step)
    detail = max(_SMALLEST, up(facts.side, step))
    side = round(share * facts.side)
    small = f"a tenth of the objects are smaller than {side} px in images of {facts.side} px"
    size = min(max(needed, min(usual, detail)), largest)
    if needed > largest:
        advice = (
            f"{small}: they need an image size of {needed} px to be seen at {_SEEN} px, and {largest} px is the "
            "largest chosen automatically. Training in tiles would help: tile='auto' with models of torchvision and "
            f"transformers. Or give image_size={needed}."
        )
        return Decision("image_size", size, f"{small}; {largest} px is the largest chosen automatically"), advice
    if needed > min(usual, detail):
        return Decision("image_size", size, f"{small}, so this size shows them with at least {_SEEN} px"), None
    if detail < usual:
        return Decision("image_size", size, f"images of {facts.side} px have no more detail"), None
    return Decision("image_size", size, f"{small}, which is large enough for the model to see at this size"), None


def up(value: int, step: int) -> int:
    """The smallest multiple of ``step`` that is at least ``value``."""
    return -(-value // step) * step


def growth(item: Candidate, size: int) -> float:
    """The factor by which the work per image exceeds that of the measurement."""
    return (size / item.measured_size) ** 2


def batch_size(facts: DataFacts, item: Candidate, size: int, memory: int) -> Decision:
    """Images per step: 8 to 32 with enough steps per epoch, using at most half of the free memory.

    Args:
        facts: the facts about the data.
        item: the model.
        size: side of the model input.
        memory: free memory in bytes.
    """
    images = facts.training_images
    fits = max(1, int(memory * _MEMORY_SHARE / (item.memory_mb * 1e6 * growth(item, size))))
    wanted = min(_BATCH, max(_LEAST_BATCH, images // _STEPS), images)
    chosen = 1 << (min(wanted, fits).bit_length() - 1)  # the next lower power of two
    limit = f"{images} training images give {-(-images // chosen)} steps in an epoch"
    if fits < wanted:
        limit = f"more images of {size} px would need more than half of the free memory ({memory / 1e9:.1f} GB)"
    return Decision("batch_size", chosen, limit)


def epochs(facts: DataFacts, item: Candidate, seconds: float, *, steps: int, on_cpu: bool) -> Decision:
    """The number of epochs that fits into the available time.

    Args:
        facts: the facts about the data.
        item: the model.
        seconds: the time of one epoch here.
        steps: steps per epoch.
        on_cpu: whether the training time matters.
    """
    if item.is_one_pass:
        took = f", in about {_time(seconds)}" if on_cpu else ""
        return Decision("max_epochs", 1, f"the model sees each image once{took}")
    few = -(-_LEARNING_STEPS // steps)
    wanted = max(item.epochs, min(few, item.epochs * _MOST_ROUNDS))
    why = "what the model needs to learn"
    if wanted > item.epochs:
        why = f"more than the usual {item.epochs}, since an epoch of so few images has only {steps} steps"
    if not on_cpu:
        return Decision("max_epochs", wanted, why)
    affordable = int(BUDGET / max(seconds, 1e-9))
    chosen = max(item.least_epochs, min(wanted, affordable))
    took = f"about {_time(chosen * seconds)} here for {facts.training_images} images"
    if affordable < item.least_epochs:
        return Decision("max_epochs", chosen, f"with fewer it learns nothing useful; {took}")
    if chosen < wanted:
        return Decision("max_epochs", chosen, f"{took}; {why} would be {wanted}, {_time(wanted * seconds)}")
    return Decision("max_epochs", chosen, f"{why}; {took}")


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
