"""The pipelines that accounts can have, in `pipelines`."""

from __future__ import annotations

from shared.mongo import Database
from shared.pipelines import Pipeline, keep_edited, with_ranges


class PipelineStore:
    def __init__(self, database: Database) -> None:
        self._pipelines = database.pipelines

    async def all(self) -> list[Pipeline]:
        """In the order of their names."""
        return [Pipeline.model_validate(stored) async for stored in self._pipelines.find().sort("_id", 1)]

    async def get(self, name: str | None) -> Pipeline | None:
        stored = await self._pipelines.find_one({"_id": name}) if name else None
        return Pipeline.model_validate(stored) if stored else None

    async def put(self, pipeline: Pipeline, *, keeps_edited: bool = True) -> Pipeline:
        """As it is stored: with ranges made where none were set; those that a person had set before stay as well,
        unless they are said not to. ValueError when the stages do not fit into the scores."""
        before = await self.get(pipeline.name) if keeps_edited else None
        made = pipeline.model_copy(update={"stages": with_ranges(keep_edited(pipeline.stages, before))})
        stored = {"_id": made.name, **made.model_dump(mode="json")}
        await self._pipelines.replace_one({"_id": made.name}, stored, upsert=True)
        return made
