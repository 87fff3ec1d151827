"""What Kaggle's ``data.csv`` says of the patients: grade, histology, age and so on, as it stands there."""

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .cases import Case

TABLE_NAME = "data.csv"
_KEY = "Patient"
SHOWN = {
    "neoplasm_histologic_grade": "Grade",
    "histological_type": "Histology",
    "laterality": "Laterality",
    "tumor_location": "Location",
    "gender": "Gender",
}
"""Columns of codes that are shown; what the codes mean the data set does not say."""
AGE = "age_at_initial_pathologic"


@dataclass(frozen=True, slots=True)
class PatientTable:
    """Rows by patient.

    Attributes
    ----------
    file : Path or None
        Where it was found.
    rows : Mapping
        Column to text, by patient.
    """

    file: Path | None = None
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def row(self, case: Case) -> Mapping[str, str]:
        """What is said of the patient of a case; nothing where it is not listed."""
        return self.rows.get(case.patient, {})


def find_patient_table(cases: Iterable[Case]) -> PatientTable:
    """Table in the folder of cases, beside it, or in a case's own; an empty one where there is none."""
    folders = dict.fromkeys(
        folder for case in cases for folder in (case.folder.parent, case.folder.parent.parent, case.folder)
    )
    for folder in folders:
        if os.path.isfile(file := folder / TABLE_NAME):  # False where nobody may look
            try:
                with file.open(encoding="utf-8-sig", newline="") as opened:
                    rows = list(csv.DictReader(opened))
            except (OSError, UnicodeDecodeError, csv.Error):  # a table of that name that is none
                continue
            if rows and _KEY in rows[0]:
                return PatientTable(file, {row[_KEY]: _filled(row) for row in rows})
    return PatientTable()


def _filled(row: Mapping[str, str]) -> dict[str, str]:
    return {column: value for column, value in row.items() if value and column not in (None, _KEY)}
