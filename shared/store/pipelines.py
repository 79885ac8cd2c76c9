"""The pipelines, in `pipelines`."""

from __future__ import annotations

from collections.abc import Iterable

from shared.domain.pipelines import Pipeline, check_no_overlap, fill_ranges, keep_edited_ranges
from shared.store.mongo import Database, Document, DuplicateKeyError


class PipelineStore:
    """Stores pipelines with missing ranges filled in. ValueError when there are more stages than scores."""

    def __init__(self, database: Database) -> None:
        self._pipelines = database.pipelines
        self._accounts = database.accounts

    async def all(self) -> list[Pipeline]:
        """Return all pipelines by name."""
        return [Pipeline.model_validate(stored) async for stored in self._pipelines.find().sort("_id", 1)]

    async def get(self, name: str | None) -> Pipeline | None:
        stored = await self._pipelines.find_one({"_id": name}) if name else None
        return Pipeline.model_validate(stored) if stored else None

    async def by_names(self, names: Iterable[str]) -> dict[str, Pipeline]:
        """Return those of `names` that exist."""
        found = self._pipelines.find({"_id": {"$in": list(names)}})
        return {stored["_id"]: Pipeline.model_validate(stored) async for stored in found}

    async def of_account(self, account: str) -> Pipeline | None:
        """Return the pipeline of the account with that key; None when it has none or was never added."""
        stored = await self._accounts.find_one({"_id": account}, {"pipeline": True})
        return await self.get(stored.get("pipeline") if stored else None)

    async def put(self, pipeline: Pipeline) -> Pipeline:
        """Add or replace the pipeline and return it as stored. Ranges that a person has set are kept."""
        stages = keep_edited_ranges(pipeline.stages, await self.get(pipeline.name))
        made = _ranged(pipeline.model_copy(update={"stages": stages}))
        await self._pipelines.replace_one({"_id": made.name}, _document(made), upsert=True)
        return made

    async def add_missing(self, pipelines: Iterable[Pipeline]) -> None:
        """Add those of `pipelines` whose names are free, as they are."""
        for pipeline in pipelines:
            stored = {"$setOnInsert": pipeline.model_dump(mode="json")}
            await self._pipelines.update_one({"_id": pipeline.name}, stored, upsert=True)

    async def add(self, pipeline: Pipeline) -> Pipeline:
        """Add a pipeline and return it as stored. DuplicatePipelineError; ValueError also when stages share scores."""
        made = _ranged(pipeline)
        check_no_overlap(made.stages)
        try:
            await self._pipelines.insert_one(_document(made))
        except DuplicateKeyError:
            raise DuplicatePipelineError(f"pipeline {made.name!r} exists already") from None
        return made

    async def replace(self, pipeline: Pipeline, edition: str | None) -> Pipeline:
        """Replace the pipeline of that name and return it as stored.

        OutdatedPipelineError when it is not in `edition`, the one its editor has seen; None skips that check. KeyError
        when there is none; ValueError as in `add`.
        """
        stored, made = await self._pipelines.find_one({"_id": pipeline.name}), _ranged(pipeline)
        if stored is None:
            raise KeyError(pipeline.name)
        if edition not in {None, Pipeline.model_validate(stored).edition}:
            raise OutdatedPipelineError(made.name)
        check_no_overlap(made.stages)
        as_seen = {"_id": made.name, "stages": stored["stages"]}
        if not (await self._pipelines.replace_one(as_seen, _document(made))).matched_count:
            raise OutdatedPipelineError(made.name)
        return made


class DuplicatePipelineError(Exception):
    """A pipeline of that name exists."""


class OutdatedPipelineError(Exception):
    """Someone else has changed the pipeline since its editor loaded it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"someone else has changed {name} meanwhile")


def _ranged(pipeline: Pipeline) -> Pipeline:
    return pipeline.model_copy(update={"stages": fill_ranges(pipeline.stages)})


def _document(pipeline: Pipeline) -> Document:
    return {"_id": pipeline.name, **pipeline.model_dump(mode="json")}
