"""Feature files as pytest items, and what is found wrong with them before the first one runs.

pytest-bdd has three silent greens: an ``async`` step passes without running, of two scenarios with one name in a
file one vanishes, and of two step definitions that fit one is picked without a word. An undefined step is found
only when it is reached, after earlier moves were made. All four are collection errors here, with file and line.
"""

from __future__ import annotations

import hashlib
import inspect
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gherkin.parser import Parser
from pytest_bdd import scenario
from pytest_bdd.feature import get_feature
from pytest_bdd.parser import Feature, Scenario, ScenarioTemplate
from pytest_bdd.scenario import find_fixturedefs_for_step
from pytest_bdd.steps import step_function_context_registry

PHASES = ("1_verify", "2_prepare", "3_cutover", "4_accept", "5_retire")


@dataclass(frozen=True)
class Place:
    """A scenario's place in the journey. ``id`` is ``phase/file.feature::name`` whatever directory pytest ran in."""

    id: str
    phase: str
    file: str
    line: int
    name: str
    tags: frozenset[str]
    words: str  # hash of the scenario's steps: a verdict about other words is no verdict about these

    @property
    def is_move(self) -> bool:
        return "move" in self.tags

    @property
    def is_undo(self) -> bool:
        return "undo" in self.tags

    @property
    def order(self) -> tuple[str, str, int]:
        return (self.phase, self.file, self.line)


class FeatureFile(pytest.Module):
    """A feature file, collected as if it were a test module."""

    feature: Feature

    def _getobj(self) -> types.ModuleType:
        duplicates = double_names(self.path)
        if duplicates:
            raise self.CollectError("\n".join(duplicates))
        self.feature = get_feature(str(self.path.parent), self.path.name)
        module = types.ModuleType(self.path.stem)
        for name in self.feature.scenarios:

            @scenario(str(self.path), name)
            def bound() -> None: ...

            setattr(module, name, bound)
        return module

    def istestfunction(self, obj: object, name: str) -> bool:
        return True

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        for item in super().collect():
            assert isinstance(item, pytest.Function)
            template = self.feature.scenarios[item.originalname]
            item.stash[TEMPLATE] = template
            item.stash[PLACE] = place(self.path, template, _example(item))
            where = (self.path, template.line_number - 1, item.name)
            item.reportinfo = partial(_same, where)  # type: ignore[method-assign]
            yield item


TEMPLATE = pytest.StashKey[ScenarioTemplate]()
PLACE = pytest.StashKey[Place]()


def place(path: Path, template: ScenarioTemplate, example: Mapping[str, str]) -> Place:
    """Where the scenario stands. The example of an outline is filled into its name."""
    words = "\n".join(f"{step.type} {step.name} {step.docstring} {step.datatable}" for step in template.steps)
    tags = template.tags | template.feature.tags | (template.rule.tags if template.rule else set())
    name = template.name
    for key, value in example.items():
        name = name.replace(f"<{key}>", value)
    return Place(
        f"{path.parent.name}/{path.name}::{name}",
        path.parent.name,
        path.name,
        template.line_number,
        name,
        frozenset(tags),
        hashlib.sha256(words.encode()).hexdigest()[:16],
    )


def double_names(path: Path) -> list[str]:
    """``file:line: …`` for each scenario whose name stands in this file before. pytest-bdd drops the first silently."""
    document = Parser().parse(path.read_text("utf-8"))
    feature = document["feature"]
    children: list[Any] = list(feature["children"]) if feature else []
    children += [inner for child in children if "rule" in child for inner in child["rule"]["children"]]
    found = [(c["scenario"]["name"], c["scenario"]["location"]["line"]) for c in children if "scenario" in c]
    counts = Counter(name for name, _ in found)
    return [
        f"{path}:{line}: the scenario name {name!r} stands {counts[name]} times in this file; give each its own"
        for name, line in found
        if counts[name] > 1
    ]


def step_errors(items: Iterable[pytest.Item]) -> list[str]:
    """``file:line: …`` for each step that has no definition, more than one, or an ``async`` one."""
    errors: dict[str, None] = {}
    for item in items:
        template = item.stash.get(TEMPLATE, None)
        if template is None:
            continue
        assert isinstance(item, pytest.Function)
        for step in render(item, template).steps:
            where = f"{item.path}:{step.line_number}: {step.keyword} {step.name}"
            found = list(find_fixturedefs_for_step(step, item.session._fixturemanager, item))
            if not found:
                errors[f"{where}: no step definition fits"] = None
            elif len(found) > 1:
                names = ", ".join(sorted({_function(d.func) for d in found}))
                errors[f"{where}: {len(found)} step definitions fit: {names}"] = None
            elif inspect.iscoroutinefunction(step_function_context_registry[found[0].func].step_func):
                errors[f"{where}: its definition is async and would pass without running"] = None
    return list(errors)


def _same(where: tuple[Path, int, str]) -> tuple[Path, int, str]:
    return where


def render(item: pytest.Item, template: ScenarioTemplate) -> Scenario:
    """The scenario as it runs: an outline's example is filled in."""
    return template.render(_example(item))


def _example(item: pytest.Item) -> Mapping[str, str]:
    callspec = getattr(item, "callspec", None)
    row: Mapping[str, str] = callspec.params.get("_pytest_bdd_example", {}) if callspec else {}
    return row


def _function(func: Callable[..., object]) -> str:
    step = step_function_context_registry[func].step_func
    return f"{step.__module__}.{step.__name__}"


def all_places(features: Path) -> list[Place]:
    """Every scenario of the journey in its order, whatever was selected. Outlines: one place per example row."""
    found = []
    for path in sorted(features.glob("*/*.feature")):
        feature = get_feature(str(path.parent), path.name)
        for template in feature.scenarios.values():
            rows = [row for examples in template.examples for row in examples.as_contexts()]
            found += [place(path, template, row) for row in rows or [{}]]
    return sorted(found, key=lambda p: p.order)
