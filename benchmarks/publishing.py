"""What every results page is made with: tables, small pictures, weights and their record."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from custom.evaluation.diagnostics_folder import read_diagnostics
from custom.files.atomic import sha256_of
from custom.files.csv_table import read_table
from custom.networks.checkpoint_file import record_of

MOST_BYTES = 150_000  # of a picture in the repository


def markdown(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def aim(what: str, found: Mapping[str, float], limit: float, *, least: bool = False) -> str:
    """Return whether an aim is met, and under which conditions it is not.

    Args:
        what: What is measured.
        found: Its value under each condition.
        limit: What no value may exceed.
        least: No value may be below the limit instead.
    """
    missed = [
        f"{title} ({value:.3g})"
        for title, value in found.items()
        if (value < limit if least else value > limit)
    ]
    low, high = min(found.values()), max(found.values())
    span = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    where = f"**not met** under {len(missed)} of {len(found)}: {'; '.join(missed)}"
    wanted = f"aim at {'least' if least else 'most'} {limit:g}"
    return f"{what}: {span}, {wanted}: {where if missed else '**met** under all'}."


def number(value: Any, digits: int = 4) -> str:
    """Return a number with a few significant digits; words and empty cells as they are."""
    try:
        return f"{float(value):.{digits}g}"
    except (TypeError, ValueError):
        return str(value or "")


def pivot(rows: Iterable[Mapping[str, Any]], lines: Sequence[str], column: str, cell: str) -> str:
    """Return long rows as a table: a column for each value of ``column``.

    Args:
        rows: One for each number.
        lines: Columns that tell the lines of the table apart.
        column: The column whose values are the head, written as ``<column> <value>``.
        cell: The column with the numbers; rows without one are left out.
    """
    rows = list(rows)
    heads = list(dict.fromkeys(row[column] for row in rows))
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        if row.get(cell):
            place = found.setdefault(tuple(row[line] for line in lines), {})
            place[row[column]] = number(row[cell])
    head = [*lines, *(f"{column} {float(value):g}" for value in heads)]
    return markdown(head, ([*key, *(of.get(v, "") for v in heads)] for key, of in found.items()))


def save_small(source: Path, target: Path, most: int = MOST_BYTES) -> None:
    """Write a picture as JPEG of at most so many bytes, in the best quality that fits."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as picture:
        colours = picture.convert("RGB")
    for share in (1.0, 0.85, 0.7, 0.55):
        size = (round(colours.width * share), round(colours.height * share))
        for quality in (90, 80, 70):
            memory = io.BytesIO()
            colours.resize(size, Image.Resampling.LANCZOS).save(memory, "JPEG", quality=quality)
            if memory.tell() <= most:
                target.write_bytes(memory.getvalue())
                return
    raise SystemExit(f"{source} does not fit into {most} bytes")


def publish_figures(
    evaluation: Path, target: Path, prefix: str, most: int = MOST_BYTES, first_of: str = ""
) -> list[tuple[str, str]]:
    """Copy the figures of an evaluation as small pictures.

    Args:
        evaluation: Its output folder.
        target: Folder of the pictures.
        prefix: What their names begin with.
        most: Bytes of a picture.
        first_of: A column of ``figures.csv``: only the first figure of each of its values is
            taken, and named after it; figures without a value are left out.

    Returns:
        File and caption of each picture.
    """
    found: dict[str, str] = {}
    # A picture is looked at without the page around it.
    said = "Simulated. " if read_summary(evaluation)["dataset"].get("demonstration") else ""
    for row in read_table(evaluation / "figures" / "figures.csv"):
        file = f"{prefix}_{row[first_of] if first_of else Path(row['file']).stem}.jpg"
        if file not in found and (not first_of or row[first_of]):
            save_small(evaluation / "figures" / row["file"], target / file, most)
            found[file] = said + row["caption"]
    return list(found.items())


def publish_diagnostics(
    evaluation: Path, target: Path, prefix: str, most: int = MOST_BYTES
) -> list[tuple[str, str]]:
    """Copy the diagnostic figures of an evaluation; return file and caption of each."""
    found = []
    for row in read_diagnostics(evaluation):
        file = f"{prefix}_{row['path'].stem}.jpg"
        save_small(row["path"], target / file, most)
        found.append((file, f"**{row['title']}.** {row['caption']}"))
    return found


def show(pictures: Iterable[tuple[str, str]]) -> str:
    """Return pictures with their captions."""
    return "\n\n".join(f"{caption}\n\n![{file}](../images/{file})" for file, caption in pictures)


def put_between(name: str, text: str, *files: Path) -> None:
    """Replace what stands between ``<!-- NAME ... -->`` and ``<!-- end of NAME -->`` in files."""
    marked = re.compile(rf"(<!-- {name}[^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    for file in files:
        content = marked.sub(lambda found: found[1] + text + found[2], file.read_text("utf-8"))
        file.write_text(content, encoding="utf-8")


def peers(networks: Mapping[str, tuple[str, Path, Any]]) -> list[dict[str, Any]]:
    """Return the ``peers`` of an evaluation: networks that restore beside the model.

    Args:
        networks: Name of each to the network and the inferer as in a config, and its weights.
    """
    found = [
        {
            "_target_": "custom.evaluation.restore_with.RestoreWithd",
            "keys": "image",
            "output_key": name,
            "network": network,
            "ckpt_path": str(weights.resolve()),
            "inferer": inferer,
            "device": "@device",
        }
        for name, (network, weights, inferer) in networks.items()
    ]
    # As the model's own result: a magnitude is never negative.
    return [*found, {"_target_": "Activationsd", "keys": list(networks), "other": "$torch.relu"}]


def resolved(value: Any, config: Mapping[str, Any]) -> Any:
    """Return a value of a training's ``config.yaml``, its references followed."""
    while isinstance(value, str) and value.startswith("@"):
        value = config[value[1:]]
    return {k: resolved(v, config) for k, v in value.items()} if isinstance(value, dict) else value


def read_summary(evaluation: Path) -> dict[str, Any]:
    """Read the summary of an evaluation."""
    summary: dict[str, Any] = json.loads((evaluation / "summary.json").read_text("utf-8"))
    return summary


def check_evaluated(weights: Path, summary: Mapping[str, Any]) -> None:
    """Stop where an evaluation was made with other weights than those to publish."""
    if sha256_of(weights) != summary["checkpoint"]["sha256"]:
        raise SystemExit(f"the evaluation was not made with {weights}: evaluate again")


def copy_weights(bundle: Path, files: Mapping[str, Path]) -> None:
    """Copy weights and their records into a bundle, and their hashes into its metadata.

    Args:
        bundle: Folder of the bundle.
        files: Path in the bundle, as ``models/model.pt``, to the file that is copied there. The
            metadata say where its hash stands: under ``weights`` of the bundle or of a variant, as
            ``file`` or ``beside`` it.
    """
    for path, source in files.items():
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, bundle / path)
        if source.suffix == ".pt":  # its hash, and what it was trained for
            shutil.copyfile(record_of(source), record_of(bundle / path))
    metadata = read_metadata(bundle)
    for holder in (metadata, *metadata.get("variants", {}).values()):
        about = holder.get("weights", {})
        if about.get("file") in files:
            about["sha256"] = sha256_of(bundle / about["file"])
        beside = about.get("beside", {})
        beside |= {path: sha256_of(bundle / path) for path in beside if path in files}
    write_metadata(bundle, metadata)


def record_measures(
    bundle: Path, measures: Mapping[str, float], variant: str | None = None
) -> None:
    """Write a model's measures into the metadata of its bundle."""
    metadata = read_metadata(bundle)
    holder = metadata if variant is None else metadata["variants"][variant]
    holder["eval_metrics"] = dict(measures)
    write_metadata(bundle, metadata)


def measures_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the model's mean of every measure that it has, with four digits."""
    means = {name: value["mean"] for name, value in summary["overall"]["model"].items()}
    return {name: float(f"{mean:.4g}") for name, mean in means.items() if mean is not None}


def read_metadata(bundle: Path) -> dict[str, Any]:
    """Read the metadata of a bundle."""
    text = (bundle / "configs" / "metadata.json").read_text(encoding="utf-8")
    metadata: dict[str, Any] = json.loads(text)
    return metadata


def write_metadata(bundle: Path, metadata: Mapping[str, Any]) -> None:
    """Write the metadata of a bundle."""
    text = json.dumps(metadata, indent=4, ensure_ascii=False)
    (bundle / "configs" / "metadata.json").write_text(text + "\n", encoding="utf-8")
