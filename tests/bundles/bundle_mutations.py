"""Ways to break a bundle, each for the one check that must notice."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from custom.bundle.verification.bundle_folder import METADATA
from custom.bundle.verification.checks_network import WEIGHTS
from custom.data.atomic import sha256_of


@dataclass(frozen=True)
class Mutation:
    """How to break a bundle, and a part of what the check must then say."""

    check_id: str
    name: str
    apply: object
    says: str


MUTATIONS = []


def breaks(check_id, says):
    """Register a function that breaks the bundle in the folder it is given."""

    def register(function):
        MUTATIONS.append(Mutation(check_id, function.__name__, function, says))
        return function

    return register


def edit(root: Path, name: str):
    """Return a decorator that changes a parsed YAML or JSON file of a bundle in place."""

    def change(function):
        path = root / "configs" / name
        load, dump = (json.loads, json.dumps) if path.suffix == ".json" else (yaml.safe_load, _dump)
        content = load(path.read_text())
        function(content)
        path.write_text(dump(content))

    return change


def _dump(content):
    return yaml.safe_dump(content, sort_keys=False)


def metadata(root, **fields):
    edit(root, "metadata.json")(lambda content: content.update(fields))


def append(root, name, text):
    path = root / name
    path.write_text(path.read_text() + text)


def replace(root, name, old, new):
    path = root / name
    text = path.read_text()
    assert old in text, f"{name} no longer has {old!r}: adapt this mutation"
    path.write_text(text.replace(old, new))


def workflows(root):
    """Return the names of the configs that run by themselves."""
    paths = (root / "configs").glob("*.yaml")
    return [path.name for path in paths if "\nbundle_root:" in path.read_text()]


# ------------------------------------------------------------------ layout and card


@breaks("layout.required_files", "docs/README.md")
def no_model_card(root):
    (root / "docs/README.md").unlink()


@breaks("layout.required_files", "configs/evaluate.yaml")
def no_evaluation(root):
    (root / "configs/evaluate.yaml").unlink()


@breaks("layout.license", "END OF TERMS")
def half_a_licence(root):
    text = (root / "LICENSE").read_text()
    (root / "LICENSE").write_text(text[: len(text) // 2])


@breaks("layout.data_license", "empty")
def no_word_on_data(root):
    (root / "docs/data_license.txt").write_text("\n")


@breaks("layout.file_sizes", "big.bin has 26.0 MB")
def large_file(root):
    with (root / "docs/big.bin").open("wb") as file:
        file.truncate(26 * 2**20)  # sparse: no space is taken


@breaks("card.sections", "failure cases")
def no_failure_cases(root):
    replace(root, "docs/README.md", "## Failure cases", "## More")


@breaks("card.sections", "references is empty")
def empty_references(root):
    path = root / "docs/README.md"
    path.write_text(path.read_text().split("## References")[0] + "## References\n")


@breaks("card.sections", "research use only")
def no_research_line(root):
    path = root / "docs/README.md"
    path.write_text(path.read_text().replace("esearch use only", "elease"))


# ------------------------------------------------------------------ metadata


@breaks("meta.schema", "'task' is a required property")
def no_task(root):
    edit(root, "metadata.json")(lambda content: content.pop("task"))


@breaks("meta.schema", "names the schema 'unknown.json'")
def other_schema(root):
    metadata(root, schema="https://example.org/unknown.json")


@breaks("meta.schema", "cannot be read")
def torn_metadata(root):
    (root / METADATA).write_text('{"version": ')


@breaks("meta.zoo_fields", "intended_use")
def no_intended_use(root):
    edit(root, "metadata.json")(lambda content: content.pop("intended_use"))


@breaks("meta.zoo_fields", "channel_def names 2 channels")
def too_many_channels(root):
    def change(content):
        image = content["network_data_format"]["inputs"]["image"]
        image["channel_def"] = {"0": "a", "1": "b"}

    edit(root, "metadata.json")(change)


@breaks("meta.version_changelog", "changelog ends with")
def version_ahead_of_changelog(root):
    metadata(root, version="999.0.0")


@breaks("meta.version_changelog", "three numbers")
def version_in_words(root):
    metadata(root, version="newest")


@breaks("meta.packages", "declares numpy 0.0.1")
def other_numpy(root):
    metadata(root, numpy_version="0.0.1")


@breaks("meta.packages", "not installed")
def package_that_nobody_has(root):
    metadata(root, required_packages_version={"no-such-package-anywhere": "1.0"})


# ------------------------------------------------------------------ configs


@breaks("config.parse", "@nowhere")
def reference_to_nothing(root):
    append(root, "configs/inference.yaml", "\nextra: '@nowhere'\n")


@breaks("config.parse", "cannot be read")
def torn_config(root):
    append(root, "configs/evaluate.yaml", "\nextra: [1, 2\n")


@breaks("config.no_duplicate_keys", "'seed' is there twice")
def seed_twice(root):
    append(root, "configs/train.yaml", "\nseed: 1\n")


@breaks("config.numbers", "'1e-4'")
def exponent_without_dot(root):
    append(root, "configs/train.yaml", "\nextra: 1e-4\n")


@breaks("config.no_absolute_paths", "/data/mice")
def path_of_one_lab(root):
    append(root, "configs/train.yaml", "\nextra: /data/mice\n")


@breaks("config.no_absolute_paths", "/data/mice")
def path_in_expression(root):
    append(root, "configs/train.yaml", "\nextra: $'/data/mice' + str(@seed)\n")


@breaks("config.no_absolute_paths", "/home/somebody/scans")
def path_in_model_card(root):
    append(root, "docs/README.md", "\nLook in /home/somebody/scans for more.\n")


@breaks("config.targets", "NoSuchInferer")
def unknown_target(root):
    edit(root, "inference.yaml")(
        lambda config: config.update(extra={"_target_": "NoSuchInferer"}),
    )


@breaks("config.targets", "unexpected keyword argument 'kyes'")
def unknown_argument(root):
    extra = {"_target_": "Flipd", "kyes": "image"}
    edit(root, "inference.yaml")(lambda config: config.update(extra=extra))


@breaks("config.zoo_key_names", "initialize")
def no_initialize(root):
    edit(root, "evaluate.yaml")(lambda config: config.pop("initialize"))


@breaks("config.zoo_key_names", "'evaluating' is now 'run'")
def old_run_id(root):
    edit(root, "evaluate.yaml")(lambda config: config.update(evaluating=config["run"]))


@breaks("config.one_network", "network_def differs")
def networks_that_drifted(root):
    edit(root, "evaluate.yaml")(lambda config: config["network_def"].update(_desc_="another"))


@breaks("config.properties", "evaluator::val_handlers must be '@handlers'")
def property_in_an_expression(root):
    edit(root, "inference.yaml")(
        lambda config: config["evaluator"].update(val_handlers="$list(@handlers)")
    )


# ------------------------------------------------------------------ network and weights


@breaks("net.in_out", "declared is (1, 1, 90")
def other_output_size(root):
    def change(content):
        output = content["network_data_format"]["outputs"]["pred"]
        output["spatial_shape"] = [90 for _ in output["spatial_shape"]]

    edit(root, "metadata.json")(change)


@breaks("net.in_out", "torch.float64")
def other_output_type(root):
    def change(content):
        content["network_data_format"]["outputs"]["pred"]["dtype"] = "float64"

    edit(root, "metadata.json")(change)


def rewrite_weights(root, change):
    """Change the shipped weights and the recorded hash with them."""
    state = torch.load(root / WEIGHTS, weights_only=True)
    torch.save(change(state), root / WEIGHTS)
    record = json.loads((root / METADATA).read_text())["weights"]
    metadata(root, weights={**record, "sha256": sha256_of(root / WEIGHTS)})


@breaks("weights.load", "does not fit network_def")
def weights_of_another_network(root):
    rewrite_weights(root, lambda state: {f"module.{name}": value for name, value in state.items()})


@breaks("weights.load", "bare state dict")
def weights_with_more_in_them(root):
    rewrite_weights(root, lambda state: {"model": state, "epoch": 3})


@breaks("weights.load", "Weights only load failed")
def pickled_weights(root):
    rewrite_weights(root, lambda state: {"model": Path("not a tensor"), **state})


@breaks("weights.load", "not finite")
def weights_that_overflowed(root):
    rewrite_weights(root, lambda state: {name: value / 0 for name, value in state.items()})


@breaks("weights.hash", "weights.sha256 is '0'")
def other_hash(root):
    metadata(root, weights={"sha256": "0"})


@breaks("weights.torchscript", "not supported")
def network_that_cannot_be_exported(root):
    def change(config):
        target = {"_target_": "unscriptable_network.unscriptable"}
        config["network_def"] = {**target, "network": config["network_def"]}

    for name in workflows(root):
        if "\nnetwork_def:" in (root / "configs" / name).read_text():
            edit(root, name)(change)


# ------------------------------------------------------------------ runs


def entry(config, place, target):
    """Return a list in a config and where in it the part with this ``_target_`` stands."""
    for key in place.split("::"):
        config = config[key]
    names = [str(part["_target_"]).rsplit(".", 1)[-1] for part in config]
    assert target in names, f"{place} no longer has {target}: adapt this mutation"
    return config, names.index(target)


@breaks("config.properties", "train::handlers::0 must be written out")
def handler_by_reference(root):
    def change(config):
        config["first"] = config["train"]["handlers"][0]
        config["train"]["handlers"][0] = "@first"

    edit(root, "train.yaml")(change)


@breaks("run.train", "left the parameter")
def learning_rate_of_nothing(root):
    edit(root, "train.yaml")(lambda config: config["optimizer"].update(lr=0.0))


@breaks("run.train", "ended after 0 steps")
def training_that_does_not_run(root):
    edit(root, "train.yaml")(lambda config: config.update(run=[]))


@breaks("run.train", "wrote no model.pt")
def training_that_saves_nothing(root):
    def change(config):
        handlers, index = entry(config, "train::handlers", "CheckpointWriter")
        handlers[index]["_disabled_"] = True

    edit(root, "train.yaml")(change)


@breaks("run.evaluate", "wrote no metrics.csv")
def evaluation_that_does_not_run(root):
    edit(root, "evaluate.yaml")(lambda config: config.update(run=[]))


@breaks("run.evaluate", "not finite")
def evaluation_of_broken_weights(root):
    rewrite_weights(root, lambda state: {name: value * torch.nan for name, value in state.items()})


@breaks("run.infer_oblique", "off the input's frame")
def inference_that_flips(root):
    def change(config):
        transforms, index = entry(config, "preprocessing::transforms", "LoadImaged")
        transforms.insert(index + 1, {"_target_": "Flipd", "keys": "image", "spatial_axis": 0})

    edit(root, "inference.yaml")(change)


@breaks("run.infer_oblique", "intensity units are lost")
def inference_in_units_of_its_own(root):
    def change(config):
        transforms, index = entry(config, "postprocessing::transforms", "UnscaleByMeand")
        del transforms[index]

    edit(root, "inference.yaml")(change)


@breaks("run.deterministic", "different weights")
def training_without_a_seed(root):
    edit(root, "train.yaml")(lambda config: config.update(initialize=["$torch.seed()"]))


@breaks("run.deterministic", "different voxels")
def inference_with_noise(root):
    def change(config):
        noise = {"_target_": "RandGaussianNoised", "keys": "pred", "prob": 1.0, "std": 1.0}
        config["postprocessing"]["transforms"].insert(0, noise)
        config["initialize"] = []

    edit(root, "inference.yaml")(change)


@breaks("run.resume", "optimizer")
def optimiser_that_is_not_saved(root):
    edit(root, "train.yaml")(lambda config: config["training_state"].pop("optimizer"))


@breaks("run.resume", "best_metric is")
def best_metric_that_is_forgotten(root):
    edit(root, "train.yaml")(lambda config: config["training_state"].pop("best_metric"))


@breaks("run.resume", "epoch is 0, before 2")
def resume_that_starts_anew(root):
    def change(config):
        handlers, index = entry(config, "train::handlers", "CheckpointResumer")
        handlers[index]["_disabled_"] = True

    edit(root, "train.yaml")(change)


@breaks("run.bad_inputs", "not an InputError")
def checkpoint_errors_of_torch(root):
    def change(config):
        handlers, index = entry(config, "handlers", "CheckedCheckpointLoader")
        loaded = {"load_path": "@ckpt_path", "load_dict": {"model": "@network"}}
        handlers[index] = {"_target_": "CheckpointLoader", **loaded}

    edit(root, "inference.yaml")(change)


@breaks("run.bad_inputs", "is not refused")
def inputs_that_nobody_checks(root):
    edit(root, "inference.yaml")(
        lambda config: config["selection"].update(check="$lambda path: None")
    )


@breaks("run.bad_inputs", "train with dataset_dir missing_dataset")
def mistyped_path_that_trains_on_the_demonstration(root):
    datalist = "$load_datalist(@demo_dir, @demo)"
    edit(root, "train.yaml")(lambda config: config.update(datalist=datalist))
