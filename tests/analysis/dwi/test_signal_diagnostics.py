import json
import logging

import pytest
import torch

from custom.analysis.dwi.by_noise import LIMIT_KNOWN, LIMIT_UNKNOWN, errors_by_scale
from custom.analysis.dwi.compared_networks import ComparedNetwork
from custom.analysis.dwi.samples import SignalSamples
from custom.analysis.dwi.signal_diagnostics import SignalDiagnostics
from custom.errors import InputError
from custom.evaluation.diagnostics_folder import read_diagnostics
from custom.files.csv_table import read_table
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise, RicianNoise
from custom.physics.diffusion.priors import (
    BallAndSticksPrior,
    BoxPrior,
    EigenvaluePrior,
    TensorLattice,
)


@pytest.fixture(autouse=True, scope="module")
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


TABLE = published_scheme()
TINY = {"signals": 12, "lattice_points": 3, "draws": 4000}


def fitted(network):
    network.b_rows.copy_(TABLE.b_rows)
    return network


def study(output_dir, networks, prior=None, noise=None, **changed):
    settings = TINY | {"sigmas": (0.3, 0.1)} | changed
    return SignalDiagnostics(
        networks,
        TABLE,
        prior or BoxPrior(),
        noise or ClippedGaussianNoise(),
        output_dir,
        **settings,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    metrics = folder / "metrics.csv"
    metrics.write_text("epoch,train_loss,train_kld,val_mse\n1,3.0,20.0,0.02\n2,2.0,10.0,\n")
    vae = fitted(SignalAutoencoder())
    torch.save(vae.state_dict(), folder / "vae.pt")
    networks = [
        ComparedNetwork("ours", fitted(TensorInformedDenoiser())),
        ComparedNetwork("VAE", SignalAutoencoder(), folder / "vae.pt", metrics),
    ]
    return study(folder, networks).write()


@pytest.mark.slow
def test_every_figure_has_a_caption_and_every_table_its_rows(written):
    figures = [row["file"].removesuffix(".png") for row in read_diagnostics(written.parent)]
    assert figures == [
        "signal_by_noise",
        "tensor_by_noise",
        "mixture",
        "calibration",
        "scale",
        "reconstructions",
        "latents",
        "latent_contributions",
        "latent_changes",
        "loss_curves",
    ]
    rows = read_table(written / "by_noise.csv", ("sigma", "estimator"))
    assert sorted({row["sigma"] for row in rows}) == ["0.1", "0.3"]
    assert len(rows) == 2 * (5 + 2 + 2)  # classical, networks, limits
    numbers = json.loads((written / "diagnostics.json").read_text())
    assert len(numbers["signal_by_noise"]["rows"]) == len(rows)
    assert len(read_table(written / "mixture.csv")) == 5 + 2 + 3 + 4
    assert len(read_table(written / "latents.csv")) == 7


@pytest.mark.slow
def test_an_untrained_correction_is_the_regularised_fit(written):
    rows = read_table(written / "by_noise.csv")
    found = {(row["sigma"], row["estimator"]): row for row in rows}
    # It starts as the fit, whose error is near the limit where noise is weak.
    assert float(found["0.1", "ours"]["signal_times_limit"]) < 1.5
    assert float(found["0.1", "VAE"]["signal_times_limit"]) > 5


@pytest.mark.parametrize(
    ("prior", "noise", "head", "empty"),
    [
        (BallAndSticksPrior(), None, "signal", {"mixture", "latents"}),
        pytest.param(
            TensorLattice(3), RicianNoise(), "signal", {"latents"}, marks=pytest.mark.slow
        ),
        (None, None, "tensor", {"scale", "latents"}),
    ],
)
def test_other_priors_noise_and_heads(tmp_path, prior, noise, head, empty):
    networks = {"ours": ComparedNetwork("ours", fitted(TensorInformedDenoiser(head=head)))}
    found = study(tmp_path, [], prior, noise, sigmas=(0.9,)).measure(networks).tables
    assert {name for name, rows in found.items() if not rows} == empty
    for rows in found.values():
        assert all(list(row) == list(rows[0]) for row in rows)


def test_where_no_draw_is_near_no_limit_is_told(tmp_path, caplog):
    """At weak noise four thousand draws of a prior without draws of each signal's own are none."""
    networks = [ComparedNetwork("ours", fitted(TensorInformedDenoiser()))]
    with caplog.at_level(logging.WARNING):
        assert study(tmp_path, networks, EigenvaluePrior(), sigmas=(0.02,)).write() is None
    assert "no limit is known at sigma 0.02" in caplog.text


def test_networks_without_weights_are_left_out(tmp_path, caplog):
    missing = ComparedNetwork("VAE", SignalAutoencoder(), tmp_path / "vae.pt")
    with caplog.at_level(logging.WARNING):
        assert study(tmp_path, [missing]).write() is None
    assert "VAE is left out" in caplog.text
    with pytest.raises(InputError, match="twice"):
        study(tmp_path, [missing, missing]).write()


def test_names_and_numbers_are_checked(tmp_path):
    with pytest.raises(ValueError, match="signals"):
        study(tmp_path, [], signals=1)
    with pytest.raises(ValueError, match="sigmas"):
        study(tmp_path, [], sigmas=(0.0, 0.1))


class Itself(torch.nn.Module):
    """Gives the signals that it was given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("b_rows", TABLE.b_rows)
        self.register_buffer("scale_rule", torch.tensor(0))

    def forward(self, signals):
        return signals


def test_a_scale_changes_nothing_for_what_does_not_depend_on_it():
    samples = SignalSamples(BoxPrior(), ClippedGaussianNoise(), TABLE.b_rows, 30, draws=500)
    uncut = SignalSamples(
        BoxPrior(), ClippedGaussianNoise(False), TABLE.b_rows, 30, draws=500, scale_known=False
    )
    rows = errors_by_scale({"itself": Itself()}, TABLE, samples, [0.3], uncut)
    assert [row["scale"] for row in rows] == ["known", "mean b0", "fitted", "known", "unknown"]
    known, mean, fitted, limit, unknown = (row["signal_mse"] for row in rows)
    assert mean == pytest.approx(known, rel=1e-5)
    assert fitted == pytest.approx(known, rel=1e-5)
    assert (rows[3]["estimator"], rows[4]["estimator"]) == (LIMIT_KNOWN, LIMIT_UNKNOWN)
    assert rows[0]["signal_times_limit"] == pytest.approx(known / limit)
    assert unknown > limit
