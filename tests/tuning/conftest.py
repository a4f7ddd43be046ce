from functools import partial
from types import SimpleNamespace

import optuna
import pytest
from scripted_workers import make_worker

from custom.tuning.space_file import load_space

SPACE = """
metric: val_mse
direction: {direction}
fixed:
  network_def::features: ['${{width}}', 8, 8]
  optimizer::_target_: torch.optim.${{optimizer}}
  max_epochs: 40
during_search:
  val_slice_step: 7
parameters:
  width: {{type: categorical, choices: [4, 8]}}
  optimizer: {{type: categorical, choices: [Adam, SGD]}}
  learning_rate: {{type: float, low: 1.0e-5, high: 1.0e-1, log: true, id: learning_rate}}
  loss:
    type: categorical
    choices: [mse, hybrid]
    set:
      mse: {{loss: {{_target_: torch.nn.MSELoss}}}}
      hybrid: {{loss: {{_target_: custom.losses.mse_ssim.MseSsimLoss, alpha: '${{alpha}}'}}}}
  alpha: {{type: float, low: 0.0, high: 1.0, when: {{loss: hybrid}}}}
"""
DRAWN = {"width": 4, "optimizer": "Adam", "learning_rate": 1e-3, "loss": "mse"}


@pytest.fixture
def small_search(tmp_path):
    """Make a search of scripted trials: ``small_search(direction)``, then ``trial(...)`` each."""

    def make(direction="minimize"):
        file = tmp_path / "space.yaml"
        file.write_text(SPACE.format(direction=direction))
        space = load_space(file)
        study = optuna.create_study(study_name="toy", direction=direction)

        def trial(values=(), state="COMPLETE", failure=None, **drawn):
            """Run a trial that reports these values and ends so; its value is the last one."""
            study.enqueue_trial({**DRAWN, **drawn})
            asked = study.ask()
            space.draw(asked)
            for epoch, value in enumerate(values, start=1):
                asked.report(value, step=epoch)
            if failure is not None:
                asked.set_user_attr("failure", failure)
            if state != "RUNNING":
                value = values[-1] if state == "COMPLETE" else None
                study.tell(asked, value, state=optuna.trial.TrialState[state])
            return study.get_trials(deepcopy=False)[-1]

        return SimpleNamespace(study=study, space=space, trial=trial)

    return make


@pytest.fixture
def open_worker(tmp_path):
    """Make a worker: ``open_worker(run, total, heartbeat_seconds)``."""
    return partial(make_worker, tmp_path)
