"""The README of an archive, with the commands to run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["archive_readme"]

_PAGE = """# {name}, version {version}

{notice}

This folder is a MONAI Bundle with everything it needs but the packages in `requirements.txt`:

```bash
python -m pip install -r requirements.txt
```

## From the command line

```bash
python -m monai.bundle run --config_file configs/inference.json --input SCAN.nii.gz --output_dir DIR
```

From another folder, give the path of the config. `configs/*.yaml` say the same with comments.

## From Python

```python
import monai.bundle
workflow = monai.bundle.create_workflow(
    config_file="{id}/configs/inference.json", workflow_type="infer",
    input="SCAN.nii.gz", output_dir="DIR",
)
workflow.run()
```

The network alone, with its weights:
`monai.bundle.load("{id}", bundle_dir="FOLDER_ABOVE", workflow_type="inference")`.

{application}## What is here

`docs/README.md` is the model card, `sbom.cdx.json` the bill of materials (CycloneDX 1.6),
`manifest.json` the SHA-256 of every file, `{package}/` the code that the configs use. A folder
`data` or `output` is what runs write.

{exports}
"""
_APPLICATION = """## As a MONAI Deploy application (DICOM in, DICOM out)

See `app/README.md`.

"""


def archive_readme(manifest: Mapping[str, Any]) -> str:
    """Return the README of an archive.

    Args:
        manifest: Its manifest, without the files' hashes.
    """
    return _PAGE.format(
        **manifest["bundle"],
        notice=f"**{manifest['notice']}**",
        package=manifest["code"]["package"],
        application=_APPLICATION if "application" in manifest else "",
        exports="\n".join(_export_line(export) for export in manifest["exports"]),
    )


def _export_line(export: Mapping[str, Any]) -> str:
    """Return the line on one model in one exported form."""
    if not export["file"]:
        return f"- {export['model']} as {export['form']}: none, {export['note']}"
    note = f"; {export['note']}" if export["note"] else ""
    return f"- `{export['file']}`: {export['model']} as {export['form']}{note}"
