"""Reading a pipeline spec: every mistake is told with the file, the path of the key, and the nearest right one."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from toolkit.errors import SpecError
from toolkit.spec.network import ModelSpec, SourceSpec
from toolkit.spec.pipeline import PipelineSpec
from toolkit.spec.section import AGREEMENT

SPEC_FILE = "pipeline.yml"
Location = Sequence[Union[str, int]]


def available(pipelines: Path) -> list[str]:
    """The names of the pipelines in the folder `pipelines`."""
    return sorted(path.parent.name for path in pipelines.glob(f"*/{SPEC_FILE}"))


def load(pipelines: Path, name: str) -> PipelineSpec:
    """The spec of the pipeline `name` in the folder `pipelines`.

    Raises:
        SpecError: there is no such pipeline, or its spec is wrong.
    """
    names = available(pipelines)
    if name not in names:
        raise SpecError(
            f"there is no pipeline {name!r}",
            where=str(pipelines),
            remedy=f"MODEL= takes one of: {', '.join(names) or 'none yet'}" + _did_you_mean(name, names),
        )
    return read(pipelines / name / SPEC_FILE)


def read(path: Path) -> PipelineSpec:
    """The spec in the file `path`, with everything that it refers to checked to be there."""
    data = _parse(path)
    try:
        # By way of JSON, since the strict model takes a list for a tuple only from there.
        spec = PipelineSpec.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise _spec_error(path, error) from error
    spec = spec.placed_in(path.parent)
    _check_references(path, spec)
    return spec


class _Loader(yaml.SafeLoader):
    """YAML's safe types; refuses a key that is given twice, of which YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        given = set()
        for key, _ in node.value:
            if key.value in given:
                problem = f"the key `{key.value}` is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                given.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _parse(path: Path) -> Any:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as error:
        raise SpecError("the pipeline spec is missing", where=str(path)) from error
    except OSError as error:
        raise SpecError(f"the pipeline spec cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise SpecError("the pipeline spec is not UTF-8", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(f"not valid YAML: {problem}", where=f"{path}{line}") from error
    if not isinstance(data, dict):
        raise SpecError("the spec must be a mapping of keys to values", where=str(path))
    return _with_text_keys(data)


def _with_text_keys(value: Any) -> Any:
    """YAML also takes numbers and dates for keys; JSON, by way of which the spec is read, does not."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


def _spec_error(path: Path, error: ValidationError) -> SpecError:
    """All mistakes of the file at once, the first as the message."""
    told = [_describe(detail["loc"], detail) for detail in error.errors()]
    return SpecError(
        "; ".join(told) if len(told) == 1 else "several keys are wrong:\n  - " + "\n  - ".join(told),
        where=str(path),
        remedy="see the comments in pipelines/ocr/pipeline.yml, or `toolkit schema`",
    )


def _describe(location: Location, detail: Any) -> str:
    keys = ".".join(str(part) for part in location)
    kind = detail["type"]
    if kind == "extra_forbidden":
        allowed = _fields_at(PipelineSpec, location[:-1])
        return f"unknown key `{keys}`" + _did_you_mean(str(location[-1]), allowed)
    if kind == "missing":
        return f"the key `{keys}` is missing"
    if kind == "literal_error":
        return f"`{keys}` is {detail['input']!r}, must be {detail['ctx']['expected']}"
    message = str(detail["msg"]).replace("Value error, ", "")
    if not keys:
        return message
    return f"`{keys}` is {_short(detail['input'])}: {message[:1].lower()}{message[1:]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean `{near[0]}`?)" if near else ""


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that the spec may have at `location`."""
    current: Any = model
    for part in location:
        current = _annotation_below(current, part)
        if current is None:
            return []
    section = _section(current)
    return list(section.model_fields) if section else []


def _annotation_below(annotation: Any, part: Union[str, int]) -> Any:
    section = _section(annotation)
    if section is not None:
        field = section.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(annotation)
    return arguments[-1] if get_origin(annotation) in (dict, list) and arguments else None


def _section(annotation: Any) -> Optional[type[BaseModel]]:
    if get_origin(annotation) in (dict, list, tuple):
        return None
    candidates = (annotation, *get_args(annotation))
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _check_references(path: Path, spec: PipelineSpec) -> None:
    if spec.name != spec.directory.name:
        raise SpecError(
            f"`name` is {spec.name!r}, but the folder is {spec.directory.name!r}",
            where=str(path),
            remedy="give both the same name: MODEL= takes it, and results are kept under it",
        )
    for keys, reference in _references(spec):
        _check_reference(path, keys, reference, spec.directory)
    for name, model in spec.models.items():
        _check_source(path, f"models.{name}.source", model.source, spec.directory)


def _references(spec: PipelineSpec) -> list[tuple[str, str]]:
    top = [("request", spec.request), ("response", spec.response), ("judge", spec.judge)]
    top.append(("data.generator", spec.data.generator))
    own = top + [pair for name, model in spec.models.items() for pair in _model_references(name, model)]
    return [(keys, reference) for keys, reference in own if reference != AGREEMENT]


def _model_references(name: str, model: ModelSpec) -> list[tuple[str, str]]:
    return [(f"models.{name}.step", model.step), (f"models.{name}.judge", model.judge)]


def _check_reference(path: Path, keys: str, reference: str, directory: Path) -> None:
    """The module is in the pipeline's folder and defines the name; nothing is imported for that."""
    module, _, attribute = reference.partition(":")
    stem = directory.joinpath(*module.split("."))
    file = next((item for item in (stem.with_suffix(".py"), stem / "__init__.py") if item.is_file()), None)
    if file is None:
        raise SpecError(f"`{keys}` names the module {module!r}, which is not in {directory}", where=str(path))
    names = _defined(file)
    if attribute not in names:
        raise SpecError(
            f"`{keys}` names {attribute!r}, which {file.name} does not define"
            + _did_you_mean(attribute, names),
            where=str(path),
        )


def _defined(file: Path) -> list[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise SpecError(f"not valid Python: {error.msg}", where=f"{file}:{error.lineno}") from error
    return [name for node in tree.body for name in _names_of(node)]


def _names_of(node: ast.AST) -> list[str]:
    """The names that a statement at the top of a module defines, also below an `if`, `try` or `with`."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    if isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
        return [name for child in ast.iter_child_nodes(node) for name in _names_of(child)]
    return []


def _check_source(path: Path, keys: str, source: SourceSpec, directory: Path) -> None:
    if source.package is not None:
        try:
            _package_directory(source.package)
        except SpecError as error:
            raise SpecError(
                f"`{keys}.package`: {error.message}", where=str(path), remedy=error.remedy
            ) from None
    if source.directory is not None and not source_directory(source, directory).is_dir():
        raise SpecError(
            f"`{keys}.directory` does not exist: {source_directory(source, directory)}", where=str(path)
        )
    if source.weights is not None and not (directory / source.weights).is_file():
        raise SpecError(f"`{keys}.weights` does not exist: {directory / source.weights}", where=str(path))


def source_directory(source: SourceSpec, directory: Path) -> Path:
    """The folder that `source.directory` means: within the package, or relative to the spec's folder."""
    if source.package is None:
        return directory / str(source.directory)
    return _package_directory(source.package) / str(source.directory)


def _package_directory(package: str) -> Path:
    remedy = "install the package that ships the model, or give a `directory` alone"
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise SpecError(f"the package {package!r} is not installed", remedy=remedy)
    if not found.submodule_search_locations:
        raise SpecError(f"{package!r} is a module, not a package with a folder", remedy=remedy)
    return Path(next(iter(found.submodule_search_locations)))
