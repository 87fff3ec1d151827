"""What a report of scores says, as it stands in JSON."""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from .cases import RESULT_FILE, Case, patient_of
from .config import ScoreConfig
from .durations import now
from .evaluation import (
    CaseScores,
    Comparison,
    ScoreSummary,
    Summary,
    compare_scores,
    summarise_scores,
)
from .mask_pairs import MaskPair, Pairing
from .metrics import EMPTY_POLICIES, FIGURES
from .model_folders import ModelInfo, read_model_info, shipped_models
from .results import SegmentationResult
from .score_tables import Row, case_row, has_interval
from .settings import Settings, Shown


@dataclass(frozen=True, slots=True)
class ScoredPredictions:
    """Predictions as they were paired with references and scored.

    Attributes
    ----------
    source : str
        Where they come from: a folder or a model.
    pairing : Pairing
        From `pair_masks`.
    cases : tuple of CaseScores
        From `score_cases`.
    not_scored : Mapping[str, str]
        Cases that could not be scored, and why.
    models : tuple of ModelInfo
        Models that may have made them, besides the one that comes with the package.
    """

    source: str
    pairing: Pairing
    cases: tuple[CaseScores, ...]
    not_scored: Mapping[str, str]
    models: tuple[ModelInfo, ...] = ()

    @property
    def pairs(self) -> dict[str, MaskPair]:
        """The masks of each case."""
        return {pair.name: pair for pair in self.pairing.pairs}


class ModelUsed(Settings):
    """A model that made predictions, as their ``segmentation.json`` says."""

    name: str
    weights_sha256: str
    cases: tuple[str, ...] = Field(description="Cases that it segmented.")
    trained_on: tuple[str, ...] = Field(
        description="Those of them whose patients it was trained on, as far as its description is at hand."
    )


class Circumstances(Settings):
    """What has to be known to understand a report, and to make it again."""

    references: Shown
    config: ScoreConfig
    policy: str = Field(description="The policy for empty masks in words.")
    definitions: dict[str, str] = Field(description="How each figure is computed.")
    command: Shown
    created: str
    versions: dict[str, str]


class PredictionReport(Settings):
    """What is known of predictions, and which of them were not scored."""

    source: Shown
    models: tuple[ModelUsed, ...]
    not_scored: dict[str, Shown] = Field(description="Cases that could not be scored, and why.")
    only_predicted: tuple[str, ...] = Field(description="Predictions without a reference.")
    only_reference: tuple[str, ...] = Field(description="References without a prediction.")
    summary: ScoreSummary

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Cases whose patients the model that segmented them was trained on."""
        return tuple(name for model in self.models for name in model.trained_on)


class ScoreReport(Settings):
    """The content of ``summary.json``."""

    schema_version: int = 1
    about: Circumstances
    predictions: PredictionReport
    cases: tuple[Row, ...]


class ComparisonReport(Settings):
    """The content of ``comparison.json``."""

    schema_version: int = 1
    about: Circumstances
    predictions: dict[str, PredictionReport]
    comparison: Comparison

    @property
    def verdicts(self) -> dict[str, str]:
        """What the differences to the first prediction tell of each of the others, in words."""
        return {label: self._verdict(label, item) for label, item in self.comparison.differences.items()}

    def _verdict(self, label: str, difference: Summary) -> str:
        if difference.interval is None or not has_interval(difference):
            return "too few patients to tell"
        low, high = difference.interval
        figures = f"{difference.mean:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"
        trained = [name for name in (label, self.comparison.baseline) if self.predictions[name].trained_on]
        if trained:
            return f"{figures}; no verdict, as {' and '.join(trained)} learned from some of these patients"
        if low <= 0 <= high:
            return f"{figures}; these cases do not tell which is better"
        return f"{figures}; {'better' if low > 0 else 'worse'} on patients like these"


def report_scores(
    scored: ScoredPredictions, references: Path | str, config: ScoreConfig, command: str = ""
) -> ScoreReport:
    """All that there is to say of predictions.

    Raises
    ------
    ValueError
        If none of them could be scored.
    """
    report = _describe(scored)
    made_by = {name: model for model in report.models for name in model.cases}
    return ScoreReport(
        about=_circumstances(references, config, command),
        predictions=report,
        cases=tuple(case_row(case) | _columns(made_by.get(case.name)) for case in scored.cases),
    )


def report_comparison(
    scored: Mapping[str, ScoredPredictions], references: Path | str, config: ScoreConfig, command: str = ""
) -> ComparisonReport:
    """All that there is to say of several predictions of the same cases; the first is what the others are held against.

    Raises
    ------
    ValueError
        If there are fewer than two, or no case is scored in all of them.
    """
    comparison = compare_scores({label: item.cases for label, item in scored.items()})
    return ComparisonReport(
        about=_circumstances(references, config, command),
        predictions={label: _describe(item) for label, item in scored.items()},
        comparison=comparison,
    )


def _describe(scored: ScoredPredictions) -> PredictionReport:
    return PredictionReport(
        source=scored.source,
        models=_models_used(scored),
        not_scored=dict(scored.not_scored),
        only_predicted=scored.pairing.only_predicted,
        only_reference=scored.pairing.only_reference,
        summary=summarise_scores(scored.cases),
    )


def _circumstances(references: Path | str, config: ScoreConfig, command: str) -> Circumstances:
    packages = ("napari-brainseg", "numpy", "scipy")
    return Circumstances(
        references=str(references),
        config=config,
        policy=EMPTY_POLICIES[config.empty],
        definitions={figure.title: figure.definition for figure in FIGURES},
        command=command,
        created=now(),
        versions={"python": platform.python_version()} | {name: version(name) for name in packages},
    )


def _models_used(scored: ScoredPredictions) -> tuple[ModelUsed, ...]:
    infos = (*map(read_model_info, shipped_models()), *scored.models)
    known = {info.provenance.weights_sha256: info for info in infos}
    pairs = scored.pairs
    made: dict[tuple[str, str], list[str]] = {}
    for case in scored.cases:
        if origin := _origin(pairs[case.name].predicted):
            made.setdefault(origin, []).append(case.name)
    return tuple(
        ModelUsed(name=name, weights_sha256=digest, cases=tuple(cases), trained_on=_seen(cases, known.get(digest)))
        for (name, digest), cases in made.items()
    )


def _origin(predicted: Case) -> tuple[str, str] | None:
    """Name and weights' SHA-256 of the model that made a mask, where the record beside it names the file."""
    try:
        result = SegmentationResult.model_validate_json((predicted.folder / RESULT_FILE).read_text("utf-8"))
    except (OSError, ValueError):  # made elsewhere
        return None
    if not {mask.name for mask in predicted.masks if mask} & set(result.files):
        return None
    return result.provenance.model, result.provenance.weights_sha256


def _seen(names: Iterable[str], info: ModelInfo | None) -> tuple[str, ...]:
    patients = info.seen_patients if info else frozenset()
    return tuple(name for name in names if patient_of(name) in patients)


def _columns(model: ModelUsed | None) -> Row:
    return {"model": model.name if model else None, "weights_sha256": model.weights_sha256 if model else None}
