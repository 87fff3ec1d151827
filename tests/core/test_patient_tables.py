import csv
import io
from pathlib import Path

import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.exploration import explore_cases
from napari_brainseg.core.exploration_reports import case_rows
from napari_brainseg.core.patient_tables import TABLE_NAME, find_patient_table
from napari_brainseg.core.phantom import PhantomCase, write_phantom_cases

ROWS = (("Patient", "gender", "case", "slices"), ("anna", "häufig", "other", "99"), ("", "nobody", "", ""))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_phantom_cases(tmp_path, [PhantomCase("anna", 1)], (3, 64, 64))
    return tmp_path


def table(delimiter: str) -> str:
    csv.writer(text := io.StringIO(), delimiter=delimiter).writerows(ROWS)
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_table_is_read_however_it_was_saved(folder: Path, delimiter: str, encoding: str) -> None:
    (folder / TABLE_NAME).write_bytes(table(delimiter).encode(encoding))
    found = find_patient_table(find_cases(folder))
    assert found.rows == {"anna": {"gender": "häufig", "case": "other", "slices": "99"}}
    assert (found.file, found.problem) == (folder / TABLE_NAME, None)


def test_columns_of_the_table_replace_none_of_ours(folder: Path) -> None:
    (folder / TABLE_NAME).write_text(table(","), "utf-8")
    (row,) = case_rows(explore_cases(find_cases(folder)))
    assert (row["case"], row["slices"]) == ("anna", 3)
    assert (row["case (data.csv)"], row["slices (data.csv)"], row["gender"]) == ("other", "99", "häufig")


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"\x81\x8d", b"\xff\xfea"],
    ids=["empty", "other columns", "no text", "half a letter"],
)
def test_file_of_that_name_that_is_no_table_is_a_finding(folder: Path, content: bytes) -> None:
    (folder / TABLE_NAME).write_bytes(content)
    found = explore_cases(find_cases(folder))
    sentences = [item.sentence for item in found.findings if not item.case]
    assert len(sentences) == 1
    assert sentences[0].startswith(f"{folder / TABLE_NAME} is not used: ")
    assert not found.table.rows
