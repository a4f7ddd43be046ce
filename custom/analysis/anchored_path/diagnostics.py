"""Diagnostics of an anchored path model: its path, its noise, its samplers."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.utils import eval_mode
from torch import Generator, nn
from tqdm import tqdm

from custom.analysis.anchored_path.figures import (
    draw_edges,
    draw_endpoint,
    draw_path,
    draw_spread,
    draw_steps,
    draw_variance,
)
from custom.analysis.anchored_path.noise import (
    EndpointErrors,
    PathVariance,
    accumulated_noise,
    endpoint_errors,
    path_variance,
)
from custom.analysis.anchored_path.quality import (
    Restore,
    deviations,
    input_quality,
    rank_correlations,
    reliability,
    step_quality,
)
from custom.analysis.anchored_path.slices import PairedSlice, choose_slices, path_strip
from custom.errors import InputError
from custom.evaluation.diagnostics_folder import Diagnostic, write_diagnostics
from custom.inferers.anchored_path_inferer import AnchoredPathInferer
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import MomentsForm
from custom.setting_checks import check_whole

__all__ = ["AnchoredPathDiagnostics"]

logger = logging.getLogger(__name__)

_FIGURES = 6
_ENDPOINT_DRAWS = 8  # of each slice and beta


class AnchoredPathDiagnostics:
    """Draw and measure the figures of the paper, and those that it leaves open.

    Writes into ``<output_dir>/diagnostics``: ``path.png`` (the source's Fig. 7), ``variance.png``,
    ``endpoint.png`` (Fig. 20), ``edges.png`` (Fig. 19), ``steps.png``, ``spread.png``,
    ``diagnostics.json`` with the numbers, and ``captions.csv``. To be called after the evaluator,
    whose network then holds the weights.

    Args:
        dataset: Whole labelled scans after preprocessing, as the evaluator reads them.
        network: The evaluator's network.
        scheduler: The path.
        noise: The noise; its bank is read when :meth:`write` is called. Without a bank nothing is
            written but a warning: a deterministic evaluation needs none.
        output_dir: Output folder of the evaluation.
        form: Standardisation of the slices.
        steps_compared: Numbers of reverse steps; those above ``T`` are left out, ``T`` is added.
        num_inference_steps: Reverse steps of the deviation maps, clipped to 2..``T``. ``None`` for
            ``T``.
        num_samples: Noisy passes of the deviation maps, at least 2.
        slices: Slices examined, spread over the scans, at least 1.
        draws: Chains simulated for the noise, at least 2.
        seed: Seed of all random draws.

    Raises:
        ValueError: If a number is too small.
        InputError: While writing, if no slice is left.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        section 4.3 and appendix C.
    """

    def __init__(
        self,
        dataset: Sequence[Mapping[str, Any]],
        network: nn.Module,
        scheduler: AnchoredPathScheduler,
        noise: ResidualNoise,
        output_dir: str | Path,
        form: MomentsForm = "tissue",
        steps_compared: Sequence[int] = (1, 2, 5, 10, 20, 50, 100),
        num_inference_steps: int | None = None,
        num_samples: int = 8,
        slices: int = 4,
        draws: int = 64,
        seed: int = 0,
    ) -> None:
        check_whole("steps_compared", min(steps_compared, default=0), 1)
        check_whole("slices", slices, 1)
        check_whole("num_samples", num_samples, 2)
        check_whole("draws", draws, 2)
        self.dataset = dataset
        self.network = network
        self.scheduler = scheduler
        self.noise = noise
        self.output_dir = Path(output_dir)
        self.form: MomentsForm = form
        total = scheduler.num_steps
        self.steps = sorted({total, *(steps for steps in steps_compared if steps < total)})
        self.num_inference_steps, self.num_samples = num_inference_steps, num_samples
        self.slices, self.draws, self.seed = slices, draws, seed

    def write(self) -> Path | None:
        """Measure, draw, write, and return the folder, or ``None`` without a residual bank."""
        try:
            self.noise.bank.residuals  # noqa: B018 (reads the file)
        except InputError as error:
            logger.warning("no diagnostics of the path: %s", error)
            return None
        with eval_mode(self.network):
            found = tqdm(self._diagnostics(), "Diagnostics", total=_FIGURES)
            folder = write_diagnostics(self.output_dir, found)
        logger.info("diagnostics: %s", folder)
        return folder

    def _diagnostics(self) -> Iterator[Diagnostic]:
        """Yield the figures, each measured when it is requested."""
        path = copy.deepcopy(self.scheduler).cpu()  # the original may lie on another device
        pairs = choose_slices(self.dataset, self.slices)
        yield self._path(path, pairs[0])
        yield self._variance(path)
        yield self._endpoint(path, pairs)
        yield self._edges(path)
        yield self._steps(pairs)
        yield self._spread(pairs)

    def _path(self, path: AnchoredPathScheduler, pair: PairedSlice) -> Diagnostic:
        """Show one slice along the path."""
        standardised = pair.standardised(self.form)
        strip = path_strip(path, self.noise, self.network, standardised, self._generator())
        return Diagnostic(
            "path",
            "The path between reference and scan",
            f"{pair.scan}, slice {pair.index}, cut to its tissue, at steps t of {path.num_steps}. "
            "Above: from the reference (t = 0) towards the scan, one chain; middle: its noise, on "
            "a scale of its own. "
            "Below: back from the scan, deterministic, all steps; at t = 0 the restored slice.",
            draw_path(strip, pair.pixel_mm),
            {"scan": pair.scan, "slice": pair.index, "steps": strip.steps},
        )

    def _variance(self, path: AnchoredPathScheduler) -> Diagnostic:
        """Show the variance along the path."""
        curve = path_variance(path, self.noise, self.draws, self._generator())
        return Diagnostic(
            "variance",
            "Variance along the path",
            f"{self.draws} simulated chains and as many single draws at each step, with noise "
            "from the residual bank; bars are one standard error. With sigma as printed (beta "
            f"under the root) the end would have the variance beta = {path.end_std:g} instead of "
            f"beta^2 = {path.end_std**2:.3g}.",
            draw_variance(curve, path.end_std),
            {"draws": self.draws, **_numbers(curve)},
        )

    def _endpoint(self, path: AnchoredPathScheduler, pairs: list[PairedSlice]) -> Diagnostic:
        """Show the error of the end point against beta."""
        standardised = [pair.standardised(self.form) for pair in pairs]
        generator = self._generator()
        curve = endpoint_errors(path, self.noise, standardised, _ENDPOINT_DRAWS, generator)
        share = (curve.critical_end_std / curve.residual_rms) ** 2
        return Diagnostic(
            "endpoint",
            "Distance of the end of the path from the scan",
            f"MSE(x_T, x_T*) over {_ENDPOINT_DRAWS} draws of {len(pairs)} slices; its expectation "
            "is beta^2 whatever the slice. beta_crit is where the noise of the strongest link is "
            f"as large as its way to the scan; the end is then still near the scan, at {share:.2g} "
            "of the mean square of the residuals.",
            draw_endpoint(curve),
            _numbers(curve),
        )

    def _edges(self, path: AnchoredPathScheduler) -> Diagnostic:
        """Show the accumulated noise with and without rotation."""
        kinds = ((False, False), (True, False), (True, True))
        found = [
            accumulated_noise(
                path, ResidualNoise(self.noise.bank, *kind), self.draws, self._generator()
            )
            for kind in kinds
        ]
        columns = ("rotated", "centred", "direction", "fixed_share")
        return Diagnostic(
            "edges",
            "What adds up along a chain",
            "Noise of whole chains. A finite bank has a mean image, which every link adds again: "
            "rotation (the source's remedy) takes the edges out of it, centring each pixel (ours) "
            "takes it away. The preferred direction is 0 for edges of all directions and 1 for "
            "parallel ones. "
            f"This model's noise is {'rotated' if self.noise.rotate else 'not rotated'}, "
            f"{'centred' if self.noise.centre else 'not centred'}.",
            draw_edges(found),
            {"draws": self.draws, "kinds": [{c: getattr(f, c) for c in columns} for f in found]},
        )

    def _steps(self, pairs: list[PairedSlice]) -> Diagnostic:
        """Show quality and time against the number of steps."""
        untouched = input_quality(pairs)
        rows = step_quality(
            lambda count, noisy: self._sampler(count, 1, noisy), self.network, pairs, self.steps
        )
        return Diagnostic(
            "steps",
            "Quality against the number of reverse steps",
            f"Means over {len(pairs)} slices; one step is the network's estimate from the scan "
            "itself. Measures as in the tables above, time the median of whole slices.",
            draw_steps(rows, untouched),
            {"slices": len(pairs), "input": untouched, "rows": rows},
        )

    def _spread(self, pairs: list[PairedSlice]) -> Diagnostic:
        """Compare the deviation of noisy passes with the error."""
        total = self.scheduler.num_steps
        # The last step adds no noise, so with one step all passes are the same.
        steps = min(max(2, self.num_inference_steps or total), total)
        sampler = self._sampler(steps, self.num_samples, True)
        found = deviations(sampler, self.network, pairs)
        correlations, (told, true) = rank_correlations(found), reliability(found)
        ratio = float(np.sqrt((true**2).mean() / (told**2).mean())) if told.any() else math.inf
        return Diagnostic(
            "spread",
            "Mean and deviation of several noisy passes",
            f"{self.num_samples} passes of {steps} steps. In tissue (brighter than the mean of the "
            f"fast slice) the error's rank correlation is {correlations['deviation']:.2f} with the "
            f"deviation and {correlations['brightness']:.2f} with the image's brightness; the RMS "
            f"error is {ratio:.3g} times the RMS deviation: the deviation tells how the sampler "
            "scatters, not how wrong it is.",
            draw_spread(found[0], (told, true), correlations),
            {
                "samples": self.num_samples,
                "steps": steps,
                "rank_correlation": {k: _finite(v) for k, v in correlations.items()},
                "rms_error_over_rms_deviation": _finite(ratio),
                "rms_deviation": [_finite(value) for value in told.tolist()],
                "rms_error": [_finite(value) for value in true.tolist()],
            },
        )

    def _sampler(self, steps: int | None, samples: int, stochastic: bool) -> Restore:
        """Return the sampler with so many reverse steps."""
        return AnchoredPathInferer(
            self.scheduler,
            num_inference_steps=steps,
            noise_scale=float(stochastic),
            num_samples=samples,
            noise=self.noise,
            form=self.form,
            seed=self.seed,
        )

    def _generator(self) -> Generator:
        """Return a new random generator, so that no figure depends on those before it."""
        return torch.Generator().manual_seed(self.seed)


def _numbers(curve: PathVariance | EndpointErrors) -> dict[str, Any]:
    """Return a curve for JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return {"mean": plain(value[0]), "standard_error": plain(value[1])}
        return value.tolist() if isinstance(value, np.ndarray) else value

    return {name: plain(value) for name, value in vars(curve).items()}


def _finite(value: float) -> float | None:
    """Return a finite number, or None, which JSON can hold."""
    return value if math.isfinite(value) else None
