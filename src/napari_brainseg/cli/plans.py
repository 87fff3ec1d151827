"""What a training would be, in lines."""

from typing import TYPE_CHECKING

from ..core.config import ModelConfig, TrainConfig
from ..core.durations import in_words
from ..core.splits import Sides
from ..core.words import counted, grouped
from .console import say

if TYPE_CHECKING:  # it loads torch
    from ..core.training_plans import Side, TrainingPlan


def say_plan(plan: "TrainingPlan", sides: Sides, model: ModelConfig, config: TrainConfig) -> None:
    """Print a plan, with the names of the cases to validate on."""
    say(f"to train on: {_side(plan.training)}")
    say(f"to validate on: {_side(plan.validation)}")
    for case in sides[1]:
        say(f"  {case.name}")
    frozen = plan.weights - plan.trained_weights
    say(
        f"network: {model.network}, {grouped(plan.weights, ' ')} weights"
        + (f", {grouped(frozen, ' ')} frozen" if frozen else "")
    )
    say(f"device: {plan.device}")
    where = "on the disk" if plan.on_disk else "in memory"
    say(f"images: {_gigabytes(plan.image_bytes)} {where}; {_gigabytes(plan.free_bytes)} of memory are free")
    say(f"memory: up to about {_gigabytes(plan.most_bytes)}" + (" of the GPU" if plan.on_gpu else ""))
    say(f"one step of {config.step_slices} slices: {plan.step_seconds:.2f} s; {plan.steps} steps an epoch")
    say(f"one validation: {plan.validation_seconds:.0f} s")
    say(f"{config.epochs} epochs: about {in_words(plan.seconds(config))}")
    say("nothing was written")


def _side(side: "Side") -> str:
    counts = (side.patients, "patient"), (side.cases, "case"), (side.slices, "slice")
    return (
        f"{', '.join(counted(*count, ' ') for count in counts)}, {grouped(side.tumour_slices, ' ')} of them with tumour"
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
