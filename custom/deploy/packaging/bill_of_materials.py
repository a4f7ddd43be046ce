"""A software bill of materials of a packaged bundle, in the form of CycloneDX 1.6.

Source:
    ECMA-424, CycloneDX bill of materials, 1st edition (June 2024), which is version 1.6. Package
    URLs: https://github.com/package-url/purl-spec.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any
from urllib.parse import quote

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

from custom.deploy.packaging.distributions import Package

__all__ = ["bill_of_materials", "license_of"]

# Classifiers that name one licence and one only, as SPDX writes it; "BSD License" does not.
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zope Public License": "ZPL-2.1",
}


def bill_of_materials(
    bundle: Mapping[str, str],
    packages: Mapping[str, Package],
    declared: Iterable[str],
    files: Mapping[str, str],
    optional: Iterable[str] = (),
) -> dict[str, Any]:
    """Describe a bundle, its files of weights and all packages that it needs.

    The same content gives the same document: it holds no time, and its serial number is a hash of
    the content.

    Args:
        bundle: ``id``, ``name``, ``version``, ``description`` and ``license`` (SPDX) of the bundle.
        packages: All packages that it needs, by normalised name.
        declared: Normalised names of those that the bundle declares itself.
        files: SHA-256 of each file of weights or exported model, by its path.
        optional: Further packages of the application, ``name==version`` each; they need not be
            installed here, and their own requirements are not followed.
    """
    root = f"{bundle['id']}@{bundle['version']}"
    urls = {name: _url(name, package.found.version) for name, package in packages.items()}
    graph = [
        {"ref": root, "dependsOn": sorted([*files, *(urls[name] for name in declared)])},
        *({"ref": name, "dependsOn": []} for name in sorted(files)),
        *(
            {"ref": urls[name], "dependsOn": sorted(urls[need] for need in package.needs)}
            for name, package in packages.items()
        ),
    ]
    extras = [_optional(pin) for pin in sorted(optional)]
    graph += [{"ref": extra["bom-ref"], "dependsOn": []} for extra in extras]
    main = {
        "type": "application",
        "bom-ref": root,
        "name": bundle["id"],
        "version": bundle["version"],
        "description": f"{bundle['name']}. {bundle['description']}",
        "licenses": [{"license": {"id": bundle["license"]}}],
    }
    components = [_model(*file) for file in sorted(files.items())]
    components += [_library(one.name, one.found.version, one.found) for one in packages.values()]
    content = {
        "metadata": {"component": main},
        "components": [*components, *extras],
        "dependencies": graph,
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }


def license_of(found: Distribution) -> list[dict[str, Any]]:
    """Return the licence of an installed package in CycloneDX form; empty if it states none.

    An SPDX expression if the package gives one or a known equivalent; otherwise its own text.
    """
    about: Any = found.metadata
    words = " ".join(str(about.get("License-Expression") or about.get("License") or "").split())
    try:
        return [{"expression": canonicalize_license_expression(words)}]
    except InvalidLicenseExpression:
        pass  # a name, a whole text, or nothing
    classifiers = [
        text.rsplit(" :: ", 1)[-1]
        for text in about.get_all("Classifier") or ()
        # OSI Approved alone is a heading and names no licence.
        if text.startswith("License ::") and not text.endswith("OSI Approved")
    ]
    known = [_SPDX.get(text) for text in classifiers]
    # Several may mean all of them or a choice: then they are listed by name.
    if len(known) == 1 and known[0]:
        return [{"license": {"id": known[0]}}]
    # Longer ones are the whole text of a licence.
    if 0 < len(words) <= 80 and words.upper() != "UNKNOWN":
        return [{"license": {"name": words}}]
    return [{"license": {"name": text}} for text in sorted(set(classifiers))]


def _model(name: str, digest: str) -> dict[str, Any]:
    """Describe a file of weights."""
    return {
        "type": "machine-learning-model",
        "bom-ref": name,
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _library(
    name: str, version: str, found: Distribution | None, *, optional: bool = False
) -> dict[str, Any]:
    """Describe a package; its licence if it is installed here."""
    url = _url(name, version)
    about: dict[str, Any] = {"type": "library", "bom-ref": url, "name": name, "version": version}
    if optional:
        about["scope"] = "optional"
    about["purl"] = url
    if optional:
        about["properties"] = [{"name": "needed-by", "value": "app/"}]
    licenses = [] if found is None else license_of(found)
    return {**about, "licenses": licenses} if licenses else about


def _optional(pin: str) -> dict[str, Any]:
    """Describe a package that the application needs; its licence if that version is here."""
    name, _, version = pin.partition("==")
    try:
        found = distribution(name)
    except PackageNotFoundError:
        found = None
    same = found is not None and found.version == version
    return _library(name, version, found if same else None, optional=True)


def _url(name: str, version: str) -> str:
    """Return a package's URL: ``pkg:pypi/name@version``."""
    return f"pkg:pypi/{canonicalize_name(name)}@{quote(version, safe='')}"
