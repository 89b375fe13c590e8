"""What a run folder says of its run before the first step: what it is, of what, made with what."""

from striate.data.manifest import manifest
from striate.data.source import whole_location
from striate.experiment.run_folder import RunFolder, environment
from striate.experiment.wiring import Wired
from striate.training.joining import launch


def write_notes(folder: RunFolder, wired: Wired) -> None:
    """Write all of it.

    Raises:
        ResourceError: it could not be written.
    """
    recipe, material = wired.recipe, wired.material
    folder.write("recipe.toml", recipe.as_toml())  # first: it marks the folder as a run
    made_with = {"launch": launch().name, "processes": wired.processes.world, "plan": wired.plan.as_dict()}
    folder.write_json("environment.json", {**environment(), **made_with})
    folder.write_json("data.json", {"location": whole_location(recipe.data), **material.describe()})
    folder.write("manifest.csv", manifest(material.listing()))
    if wired.built.card.digest is not None:
        folder.write_json("network.json", {"file": recipe.model, "sha256": wired.built.card.digest})
