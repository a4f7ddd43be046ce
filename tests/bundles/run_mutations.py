"""Ways to break what a bundle's network, weights and workflows do."""

from pathlib import Path

import torch
import yaml
from bundle_mutations import as_yaml, edit, entry, metadata, registry, rewrite_weights, workflows

MUTATIONS, breaks = registry()

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


@breaks("weights.load", "does not fit network_def")
def weights_of_another_network(root):
    rewrite_weights(root, lambda state: {f"module.{name}": value for name, value in state.items()})


@breaks("weights.load", "bare state dict")
def weights_with_more_in_them(root):
    rewrite_weights(root, lambda state: {"model": state, "epoch": 3})


@breaks("weights.load", "is damaged or not a file of weights")
def pickled_weights(root):
    rewrite_weights(root, lambda state: {"model": Path("not a tensor"), **state})


@breaks("weights.load", "not finite")
def weights_that_overflowed(root):
    rewrite_weights(root, lambda state: {name: value / 0 for name, value in state.items()})


@breaks("weights.hash", "the sha256 of models/model.pt is '0'")
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


@breaks("config.properties", "train::handlers::0 must be written out")
def handler_by_reference(root):
    def change(config):
        config["first"] = config["train"]["handlers"][0]
        config["train"]["handlers"][0] = "@first"

    edit(root, "train.yaml")(change)


def add_overlay(root, **ids):
    network = yaml.safe_load((root / "configs/train.yaml").read_text())["network_def"]
    (root / "configs/variant.yaml").write_text(as_yaml({"network_def": network, **ids}))


@breaks("config.overlays", "'train::dataloader::batch_size' is no top-level id")
def overlay_of_a_nested_id(root):
    add_overlay(root, **{"train::dataloader::batch_size": 2})


@breaks("config.overlays", "Invalid learning rate")
def overlay_that_cannot_be_trained(root):
    adam = {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": -1.0}
    add_overlay(root, optimizer=adam)


@breaks("run.train", "left the parameter")
def learning_rate_of_nothing(root):
    edit(root, "train.yaml")(lambda config: config["optimizer"].update(lr=0.0))


@breaks("run.train", "ended after 0 steps")
def training_that_does_not_run(root):
    edit(root, "train.yaml")(lambda config: config.update(run=[]))


@breaks("run.train", "wrote no model.pt")
def training_that_saves_nothing(root):
    def change(config):
        handlers, index = entry(config, "train::handlers", "StandardTraining")
        handlers[index]["is_rank0"] = False

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
        transforms, index = entry(config, "postprocessing::transforms", "UnscaleByReferenced")
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


@breaks("run.resume", "epoch is 0, before 2")
def resume_that_starts_anew(root):
    def change(config):
        handlers, index = entry(config, "train::handlers", "StandardTraining")
        handlers[index]["resume"] = False

    edit(root, "train.yaml")(change)


@breaks("run.bad_inputs", "not an InputError")
def checkpoint_errors_of_torch(root):
    def change(config):
        handlers, index = entry(config, "handlers", "CheckedCheckpointLoader")
        loaded = {"load_path": "@ckpt_path", "load_dict": {"model": "@network"}}
        handlers[index] = {"_target_": "CheckpointLoader", **loaded}

    edit(root, "inference.yaml")(change)


@breaks("run.bad_inputs", "the message must be one line naming the path")
def inputs_that_nobody_checks(root):
    edit(root, "inference.yaml")(
        lambda config: config["selection"].update(check="$lambda path: None")
    )


@breaks("run.bad_inputs", "train with dataset_dir missing_dataset")
def mistyped_path_that_trains_on_the_demonstration(root):
    datalist = "$load_datalist(@demo_dir, @demo)"
    edit(root, "train.yaml")(lambda config: config.update(datalist=datalist))
