"""Small ParaVision studies, written as ParaVision 6 writes them."""

from pathlib import Path

import numpy as np

AXIAL = np.eye(3)
CORONAL = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
SAGITTAL = np.array([[0, 1.0, 0], [0, 0, -1.0], [-1.0, 0, 0]])
_HEAD = "##TITLE=Parameter List\n##JCAMPDX=4.24\n##DATATYPE=Parameter Values\n##OWNER=owner\n"


def write_parameters(path, parameters):
    """Write a JCAMP-DX file; a string starting with '(' stands as it is."""
    lines = []
    for name, value in parameters.items():
        if isinstance(value, str) and not value.startswith("<"):
            lines.append(f"##${name}={value}")
        elif isinstance(value, str):
            lines.append(f"##${name}=( 65 )\n{value}")
        elif isinstance(value, (int, float)):
            lines.append(f"##${name}={value}")
        else:
            array = np.asarray(value)
            shape = ", ".join(map(str, array.shape))
            lines.append(f"##${name}=( {shape} )\n{' '.join(f'{v:.12g}' for v in array.ravel())}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_HEAD + "\n".join(lines) + "\n##END=\n")


def write_scan(
    study,
    number,
    stack,
    *,
    orientation=AXIAL,
    first_voxel=None,
    fov_mm=(30.0, 30.0),
    distance_mm=0.6,
    averages=1,
    slope=1.0,
    method="RARE",
    protocol="T2_TurboRARE",
    position=None,
    groups=None,
    visu=None,
    time=0,
    reconstruction=1,
):
    """Write one scan of a stack (X, Y, S) of int16; returns the path of its 2dseq.

    By ParaVision's rule voxel N/2 lies in the middle, so the first one lies at minus half the field
    of view whatever the matrix.
    """
    folder = Path(study) / str(number)
    stack = np.asarray(stack)
    slices = stack.shape[2]
    frames = int(np.prod(stack.shape[2:]))
    if position is None:
        offset = np.arange(slices) - (slices - 1) / 2
        corner = -np.asarray(fov_mm) / 2 if first_voxel is None else np.asarray(first_voxel)
        position = corner @ orientation[:2] + distance_mm * offset[:, None] * orientation[2]
    slopes = np.broadcast_to(np.asarray(slope, float), frames)
    parameters = {
        "VisuVersion": 3,
        "VisuCreatorVersion": "<6.0.1>",
        "VisuCoreFrameCount": frames,
        "VisuCoreDim": 2,
        "VisuCoreSize": stack.shape[:2],
        "VisuCoreDimDesc": "( 2 )\nspatial spatial",
        "VisuCoreExtent": fov_mm,
        "VisuCoreFrameThickness": [distance_mm],
        "VisuCoreUnits": "( 2, 65 )\n<mm> <mm>",
        "VisuCoreOrientation": np.tile(orientation.ravel(), (len(position), 1)),
        "VisuCorePosition": position,
        "VisuCoreDataOffs": np.zeros(frames),
        "VisuCoreDataSlope": slopes,
        "VisuCoreFrameType": "MAGNITUDE_IMAGE",
        "VisuCoreWordType": "_16BIT_SGN_INT",
        "VisuCoreByteOrder": "littleEndian",
        "VisuFGOrderDescDim": 1,
        "VisuFGOrderDesc": groups or f"( 1 )\n({slices}, <FG_SLICE>, <>, 0, 2)",
        "VisuGroupDepVals": "( 2 )\n(<VisuCoreOrientation>, 0) (<VisuCorePosition>, 0)",
        "VisuSubjectName": "<Owner of the animal>",
        "VisuAcqNumberOfAverages": averages,
        "VisuAcqRepetitionTime": [4000.0],
        "VisuAcqEchoTime": [37.1],
        "VisuAcqImagePhaseEncDir": "( 1 )\ncol_dir",
        "VisuAcquisitionProtocol": f"<{protocol}>",
    }
    pdata = folder / "pdata" / str(reconstruction)
    write_parameters(pdata / "visu_pars", parameters | (visu or {}))
    write_parameters(pdata / "reco", {"RECO_wordtype": "_16BIT_SGN_INT"})
    write_parameters(folder / "method", {"Method": f"<Bruker:{method}>", "PVM_RareFactor": 8})
    write_parameters(
        folder / "acqp", {"ACQ_scan_name": f"<{number}_{protocol}>", "ACQ_abs_time": time}
    )
    (pdata / "2dseq").write_bytes(stack.astype("<i2").tobytes(order="F"))
    return pdata / "2dseq"


def write_subject(study, animal):
    """Write the subject file of a study."""
    owner = {"OWNER": "<J. Doe>", "SUBJECT_name_string": "<J. Doe>", "SUBJECT_id": f"<{animal}>"}
    write_parameters(Path(study) / "subject", owner)
