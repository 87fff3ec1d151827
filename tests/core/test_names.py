import pytest

from napari_brainseg.core.config import CHANNELS
from napari_brainseg.core.names import patient_of, read_sequence, site_of

PRE, FLAIR, POST = CHANNELS


@pytest.mark.parametrize(
    ("name", "stem", "kind"),
    [
        ("p", "p", ""),
        ("flair", "", FLAIR),
        ("p_T1", "p", PRE),
        ("p_pre", "p", PRE),
        ("p_t1_post", "p", POST),
        ("p_t1_gd", "p", POST),
        ("p_t2", "p", "other"),
        ("p_t2_post", "p", "other"),
        ("p_t2_flair", "p", FLAIR),
        ("p_flair_post", "p", FLAIR),
        ("p_flair_seg", "p", "mask"),
        ("FLAIR p", "p", FLAIR),
        ("p_flair_2", "p_2", FLAIR),
        ("p (2)_flair", "p (2)", FLAIR),
        ("p (flair)", "p", FLAIR),
        ("sub-01_ses-2_FLAIR", "sub-01_ses-2", FLAIR),
        ("sub-01_ses-post_FLAIR", "sub-01_ses-post", FLAIR),
        ("sub-01_ses-post_T1w", "sub-01_ses-post", PRE),
        ("sub-01_ses-post_ce-gadolinium_T1w", "sub-01_ses-post", POST),
        ("sub-01_ses-post", "sub-01_ses-post", ""),
        ("BraTS-GLI-00005-001-t2f", "BraTS-GLI-00005-001", FLAIR),
        ("BraTS-GLI-00005-001-t1n", "BraTS-GLI-00005-001", PRE),
        ("BraTS-GLI-00005-001-t1c", "BraTS-GLI-00005-001", POST),
        ("BraTS-GLI-00005-001-t2w", "BraTS-GLI-00005-001", "other"),
        ("UCSF-PDGM-0004_T1gad", "UCSF-PDGM-0004", POST),
        ("UCSF-PDGM-0004_tumor_segmentation", "UCSF-PDGM-0004", "mask"),
        ("p_tumour", "p", "mask"),
        ("tumor_01", "tumor_01", ""),
        ("tumor_01_flair", "tumor_01", FLAIR),
    ],
)
def test_name_of_a_nifti_file_says_the_case_and_what_it_holds(name: str, stem: str, kind: str) -> None:
    assert read_sequence(name) == (stem, kind)


@pytest.mark.parametrize(
    ("name", "patient", "site"),
    [
        pytest.param("TCGA_CS_4941_19960909", "TCGA_CS_4941", "CS", id="TCGA with date"),
        pytest.param("TCGA-CS-4941_1996.09.09", "TCGA_CS_4941", "CS", id="TCGA with hyphens"),
        pytest.param("TCGA_HT_A616_19991226", "TCGA_HT_A616", "HT", id="letter in number"),
        pytest.param("TCGA_HT_A616", "TCGA_HT_A616", "HT", id="TCGA without date"),
        pytest.param("sub-01_ses-2", "sub-01", "", id="BIDS"),
        pytest.param("sub-01", "sub-01", "", id="BIDS without session"),
        pytest.param("sub_01_ses_2", "sub-01", "", id="BIDS in an older model"),
        pytest.param("sub_01", "sub-01", "", id="BIDS without session in an older model"),
        pytest.param("sub_glioma_01", "sub_glioma_01", "", id="not BIDS"),
        pytest.param("BraTS-GLI-00005-001", "BraTS-GLI-00005", "", id="BraTS with time point"),
        pytest.param("patient_1_visit_2", "patient_1_visit_2", "", id="elsewhere"),
        pytest.param("p (2) (2)", "p", "", id="namesake"),
    ],
)
def test_patient_and_site_of_a_name(name: str, patient: str, site: str) -> None:
    assert (patient_of(name), site_of(name)) == (patient, site)
