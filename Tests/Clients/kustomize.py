"""The part of kustomize that deploy/kubernetes uses. Debian has no kubectl; where there is one, a test compares both.

Names of ConfigMaps stay without the hash that kustomize adds.
"""

import json

import yaml

KNOWN = {
    "apiVersion", "kind", "resources", "components", "images", "replicas", "configMapGenerator", "patches"}


class Loader(yaml.SafeLoader):
    """As YAML asks: no key twice in a mapping."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(map(str, keys))), f"a key is there twice: {node.start_mark}"
        return super().construct_mapping(node, deep)


def load_all(path):
    """The documents of a file, as the API takes them: an alias is a copy."""
    return copies(path.read_text())


def copies(text):
    return [json.loads(json.dumps(document)) for document in yaml.load_all(text, Loader)]


def build(directory, documents=None):
    """The documents that `kubectl kustomize DIRECTORY` prints; a component gets those that it adds to."""
    (settings,) = load_all(directory / "kustomization.yaml")
    assert set(settings) <= KNOWN, f"{directory}: this module does not know {set(settings) - KNOWN}"
    documents = [] if documents is None else documents
    for name in settings.get("resources", []):
        path = directory / name
        documents += build(path) if path.is_dir() else load_all(path)
    for generator in settings.get("configMapGenerator", []):
        _generate(documents, generator, directory)
    for name in settings.get("components", []):
        build(directory / name, documents)
    for patch in settings.get("patches", []):
        _patch(documents, patch, directory)
    for replicas in settings.get("replicas", []):
        _find(documents, "StatefulSet", replicas["name"])["spec"]["replicas"] = replicas["count"]
    for image in settings.get("images", []):
        _replace_image(documents, image)
    return documents


def _find(documents, kind, name):
    (found,) = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def _generate(documents, generator, directory):
    data = {name: (directory / name).read_text() for name in generator["files"]}
    if generator.get("behavior") == "replace":
        _find(documents, "ConfigMap", generator["name"])["data"] = data
        return
    metadata = {"name": generator["name"], "labels": generator["options"]["labels"]}
    documents.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(documents, patch, directory):
    target = _find(documents, patch["target"]["kind"], patch["target"]["name"])
    content = yaml.load(patch.get("patch") or (directory / patch["path"]).read_text(), Loader)
    if isinstance(content, dict):
        assert content["$patch"] == "delete", "this module knows no other merge"
        documents.remove(target)
        return
    for step in content:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        place = target
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if last == "-":
            assert step["op"] == "add"
            place.append(step["value"])
        else:
            assert step["op"] == "add" or step["op"] == "replace" and last in place, step
            place[last] = step["value"]


def _replace_image(documents, image):
    containers = [
        container for each in documents if each["kind"] == "StatefulSet"
        for container in each["spec"]["template"]["spec"]["containers"]]
    for container in containers:
        name, _, tag = container["image"].partition(":")
        if name == image["name"]:
            container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
