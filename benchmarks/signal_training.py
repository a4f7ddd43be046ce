"""A training step of the paper's autoencoder through the bundle's trainer against a bare loop.

Both take their batches from the same data set, and update the same kind of network; the trainer
besides keeps metrics, watches for NaN and shows its progress, as the bundle's config says. The two
take turns, so that a busy machine slows both alike. From the trainer's step follows the time of the
whole published training, 40 epochs of 10.5 million signals.

Run: ``OMP_NUM_THREADS=1 python -m benchmarks.signal_training``
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

from ignite.engine import Events
from monai.bundle import ConfigParser

from benchmarks.measure import REPOSITORY, Timing, save

CONFIGS = REPOSITORY / "bundles" / "dwi_vae" / "configs"
EPOCHS = 40  # of the paper
ROUNDS, STEPS, WARM_UP = 5, 200, 20


def run(
    rounds: int = ROUNDS, steps: int = STEPS, overlay: str = "vae", **ids: Any
) -> dict[str, Any]:
    """Time the two in turn and compare.

    Args:
        rounds: Turns of each.
        steps: Steps a turn.
        overlay: Config after train.yaml.
        ids: Config ids and their values.
    """
    seconds: dict[str, list[float]] = {"trainer": [], "bare_loop": []}
    batches = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            config = settings(overlay, folder, **ids)
            batches = len(config.get_parsed_content("training_signals"))
            seconds["trainer"].append(by_trainer(config, steps))
            seconds["bare_loop"].append(by_bare_loop(settings(overlay, folder, **ids), steps))
    ratios = [a / b for a, b in zip(seconds["trainer"], seconds["bare_loop"], strict=True)]
    timings = {name: Timing.of(values) for name, values in seconds.items()}
    figures = {
        "batches_an_epoch": batches,
        "steps": steps,
        **timings,
        "trainer_over_bare_loop": statistics.median(ratios),
        **{f"{name}_ms": in_ms(timing) for name, timing in timings.items()},
        "minutes_of_training": timings["trainer"].median * batches * EPOCHS / 60,
    }
    save("signal_training", figures)
    return figures


def in_ms(timing: Timing) -> str:
    """Return a timing in milliseconds as text."""
    return f"{1e3 * timing.median:.2f} ({1e3 * timing.lowest:.2f} to {1e3 * timing.highest:.2f})"


def settings(overlay: str, folder: str, **ids: Any) -> ConfigParser:
    """Read the training config, to write into a folder."""
    config = ConfigParser()
    config.read_config([str(CONFIGS / name) for name in ("train.yaml", f"{overlay}.yaml")])
    protocol = CONFIGS / "protocols" / "paper"
    own = {"bval": f"{protocol}.bval", "bvec": f"{protocol}.bvec", "datalist": {}}
    config.update({"output_dir": folder, "use_mlflow": False, "max_epochs": 1, **own, **ids})
    return config


def by_trainer(config: ConfigParser, steps: int) -> float:
    """Return the seconds of a step of the bundle's trainer."""
    trainer = config.get_parsed_content("train::trainer")
    marks: list[float] = []

    def mark() -> None:
        marks.append(time.process_time())
        if len(marks) > WARM_UP + steps:
            trainer.terminate()

    trainer.add_event_handler(Events.ITERATION_STARTED, mark)
    trainer.run()
    return (marks[WARM_UP + steps] - marks[WARM_UP]) / steps


def by_bare_loop(config: ConfigParser, steps: int) -> float:
    """Return the seconds of a step that does nothing but learn."""
    network = config.get_parsed_content("network").train()
    loss, optimizer = (config.get_parsed_content(name) for name in ("loss", "optimizer"))
    prepare = config.get_parsed_content("prepare_batch")
    begin = 0.0
    for number, batch in enumerate(config.get_parsed_content("training_signals")):
        if number == WARM_UP:
            begin = time.process_time()
        if number == WARM_UP + steps:
            break
        inputs, target, given, asked = prepare(batch)
        optimizer.zero_grad()
        loss(network(inputs, *given, **asked), target).backward()
        optimizer.step()
    return (time.process_time() - begin) / steps


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:26s} {value}")
