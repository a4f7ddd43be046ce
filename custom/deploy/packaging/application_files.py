"""The MONAI Deploy application of a packaged bundle: its code and the files that build an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from custom.deploy.packaging.distributions import declared_packages
from custom.deploy.packaging.vendored_code import own_tree
from custom.errors import InputError

__all__ = ["APPLICATION", "DEPLOY_PINS", "write_application"]

# The module with ``main()``, which takes the arguments of the process.
APPLICATION = "custom.deploy.application"
# The extra ``deploy`` of this package, version by version. The image is built by a command that
# holoscan-cli lost in 4.3, and the SDK needs pydicom and highdicom without declaring them.
DEPLOY_PINS = (
    "monai-deploy-app-sdk==4.0.0",
    "holoscan-cu13==4.2.0",
    "holoscan-cli==4.2.0",
    "pydicom==3.0.2",
    "highdicom==0.28.2",
    "python-gdcm==3.2.6",
)

_MAIN = '''"""DICOM MR series in, derived DICOM MR series out. Research use only."""

import sys

# Compiled code beside the listed code would be refused, since Python might run it instead.
sys.dont_write_bytecode = True

from {module} import main  # noqa: E402

if __name__ == "__main__":
    main()
'''

_README = """# {name}: MONAI Deploy application

Reads one DICOM MR series, restores it with the bundle and writes a derived DICOM MR series.
**Research use only.**

Unpack the archive into a folder with nothing else in it, and give these commands there.

## Run it with Python

```bash
python -m pip install -r {id}/app/requirements.txt       # Python 3.11 to 3.13
python {id}/app -i DICOM_DIR -o OUTPUT_DIR -m {id}
```

`-m` also takes the archive itself or `{id}/models/model.ts`. The SDK's environment variables
`HOLOSCAN_INPUT_PATH`, `HOLOSCAN_OUTPUT_PATH` and `HOLOSCAN_MODEL_PATH` stand for `-i`, `-o` and
`-m`.

## Build a container image (MAP)

```bash
monai-deploy package {id}/app --config {id}/app/app.yaml --models . \\
  --platform x86_64 --tag {id}:{version} --uid 1000 --gid 1000
```

The image needs a container engine (Docker with buildx) and access to its base image and the
package index. Without these, `--log-level DEBUG` shows all files up to the Dockerfile; `--source
FILE` takes the list of base images from a file instead of the internet. The command prints the name
of the image; run it by `monai-deploy run IMAGE -i DICOM_DIR -o OUTPUT_DIR`.
"""


def write_application(
    folder: str | Path,
    metadata: Mapping[str, Any],
    bundle_id: str,
    application: str = APPLICATION,
) -> str:
    """Write the application of a bundle: code, ``__main__.py``, ``app.yaml``, requirements, README.

    The folder, ``app`` in the archive, is new or empty; ``application`` is the module of this
    package that has ``main()``. The name of the package that its code is in is returned.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        modules = own_tree().reached([application])
    except ValueError as error:
        raise InputError(f"the deploy application cannot be packaged: {error}") from error
    package = own_tree().copy(modules, folder, f"{bundle_id}_app")
    main = package + application.removeprefix(own_tree().package)
    texts = {
        "__main__.py": _MAIN.format(module=main),
        "app.yaml": yaml.safe_dump(_app_config(metadata), sort_keys=False, allow_unicode=True),
        "requirements.txt": "\n".join(_requirements(metadata)) + "\n",
        "README.md": _README.format(
            name=metadata["name"], version=metadata["version"], id=bundle_id
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return package


def _app_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``app.yaml`` that the packager requires."""
    return {
        "apiVersion": "1.0.0",
        "application": {
            "title": f"{metadata['name']} (research use only)",
            "version": metadata["version"],
            "input-formats": ["DICOM MR series"],
            "output-formats": ["DICOM MR series"],
        },
        "resources": {"cpu": 2, "gpu": 1, "memory": "8Gi", "gpuMemory": "8Gi"},
    }


def _requirements(metadata: Mapping[str, Any]) -> list[str]:
    """Return the bundle's packages and those of the application, pinned."""
    declared = declared_packages(metadata)
    own = [pin for pin in DEPLOY_PINS if pin.split("==")[0] not in declared]
    return sorted([*(f"{name}=={version}" for name, version in declared.items()), *own])
