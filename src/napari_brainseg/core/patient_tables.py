"""What Kaggle's ``data.csv`` says of the patients: grade, histology, age and so on, as it stands there."""

import csv
import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .cases import Case
from .words import first_line

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
    problem : str or None
        A sentence that names a file of that name which is no such table.
    """

    file: Path | None = None
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problem: str | None = None

    def row(self, case: Case) -> Mapping[str, str]:
        """What is said of the patient of a case; nothing where it is not listed."""
        return self.rows.get(case.patient, {})


def find_patient_table(cases: Iterable[Case]) -> PatientTable:
    """Table in the folder of cases, beside it, or in a case's own; an empty one where there is none.

    Its columns may be parted by commas, semicolons or tabs, in UTF-8, UTF-16 or what Excel writes in Western Europe.
    """
    folders = dict.fromkeys(
        folder for case in cases for folder in (case.folder.parent, case.folder.parent.parent, case.folder)
    )
    problem = None
    for folder in folders:
        if os.path.isfile(file := folder / TABLE_NAME):  # False where nobody may look
            try:
                if rows := _read(file):
                    return PatientTable(file, rows)
                reason = f"it has no column {_KEY}, or no rows"
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                reason = first_line(error)
            problem = problem or f"{file} is not used: {reason}."
    return PatientTable(problem=problem)


def _read(file: Path) -> dict[str, dict[str, str]]:
    """Rows by patient, none if it is another table."""
    lines = _decoded(file.read_bytes()).splitlines(keepends=True)
    for delimiter in ",;\t":
        rows = [row for row in csv.DictReader(lines, delimiter=delimiter) if row.get(_KEY)]
        if rows:
            return {row[_KEY]: _filled(row) for row in rows}
    return {}


def _decoded(data: bytes) -> str:
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _filled(row: Mapping[str, str]) -> dict[str, str]:
    return {column: value for column, value in row.items() if value and column not in (None, _KEY)}
