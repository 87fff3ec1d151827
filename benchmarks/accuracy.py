"""How well does a model do on the patients that it was validated on, with and without the flip test?

    python benchmarks/accuracy.py DATA_SET_FOLDER MODEL_FOLDER

Dice per volume, no case left out, threshold 0.5, no post-processing.
"""

import sys
from statistics import mean, median

from napari_brainseg import SegmentConfig, find_cases, load_model, read_mask, read_volume, score_mask, segment


def main() -> None:
    model = load_model(sys.argv[2])
    wanted = set(model.info.validation_cases)
    cases = [case for case in find_cases(sys.argv[1]) if case.name in wanted]
    if len(cases) < len(wanted):
        sys.exit(f"{len(wanted) - len(cases)} of {len(wanted)} validation cases are not in {sys.argv[1]}")
    for tta in (False, True):
        dice = {}
        for case in cases:
            volume = read_volume(case)
            manual = read_mask(case, volume)
            assert manual is not None
            dice[case.name] = score_mask(segment(volume, model, SegmentConfig(tta=tta)).mask, manual).dice
        values = list(dice.values())
        low = sum(value < 0.6 for value in values)
        print("with the flip test" if tta else "plain", end=": ")
        print(f"mean {mean(values):.3f}, median {median(values):.3f}, minimum {min(values):.3f}, {low} below 0.6")
        print("\n".join(f"  {name} {value:.3f}" for name, value in sorted(dice.items(), key=lambda item: item[1])))


if __name__ == "__main__":
    main()
