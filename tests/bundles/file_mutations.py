"""Ways to break what a bundle's files say."""

from bundle_mutations import METADATA, append, edit, metadata, registry, replace

MUTATIONS, breaks = registry()

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
    path.write_text(path.read_text().replace("esearch use only", "esearch"))


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


@breaks("meta.training_range", "lacks 'training_range'")
def no_training_range(root):
    edit(root, "metadata.json")(lambda content: content.pop("training_range"))


@breaks("meta.training_range", "training_range.matrix.slices must be [lowest, highest]")
def training_range_backwards(root):
    def change(content):
        content["training_range"]["matrix"] = {"slices": [64, 32]}

    edit(root, "metadata.json")(change)


@breaks("config.maps", "maps.uncertainty.series_number_offset must be")
def map_without_a_number(root):
    def change(content):
        content["maps"] = {"uncertainty": {"description": "A map."}}

    edit(root, "metadata.json")(change)


@breaks("config.maps", "lacks 'maps.spread', which inference writes")
def no_maps(root):
    edit(root, "metadata.json")(lambda content: content.pop("maps"))


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


@breaks("config.parse", "tiny.yaml: no other config has the id 'max_epoch'")
def misspelt_id_of_tests(root):
    append(root, "configs/tiny.yaml", "\nmax_epoch: 1\n")


@breaks("config.parse", "cannot be read")
def torn_config(root):
    append(root, "configs/evaluate.yaml", "\nextra: [1, 2\n")


@breaks("config.no_duplicate_keys", "train.yaml: Duplicate key: `seed`")
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
