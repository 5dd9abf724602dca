"""Which deployment each stage serves, kept in step with the control plane. Until phase 3.

A change is only marked; the API is read again at the next connect, or at once while it has open connections
(so that a stage with automatic deployment, changed stage settings or a deleted API take effect on them). A
deployment is different: its snapshot is taken before the caller of CreateDeployment has its answer.
"""

import asyncio
import logging
from collections.abc import Callable

from migrate.local.gateway.control_plane import ApiView, ControlPlaneReader
from migrate.local.gateway.snapshots import ApiSnapshots, SnapshotStore, StagePointer
from migrate.local.gateway.stage import Stage
from sse_service.connections.definition import ApiDefinition
from sse_service.connections.limits import ConnectionLimits

log = logging.getLogger(__name__)


class DefinitionStore:
    """Serves `Stage` objects. `on_gone(stage)` is called when a served stage or its API was deleted."""

    def __init__(
        self,
        reader: ControlPlaneReader,
        snapshots: SnapshotStore,
        limits: ConnectionLimits,
        *,
        clock: Callable[[], float],
        in_use: Callable[[str], bool],
        on_gone: Callable[[Stage], None],
    ) -> None:
        self._reader = reader
        self._snapshots = snapshots
        self._limits = limits
        self._clock = clock
        self._in_use = in_use
        self._on_gone = on_gone
        self._stages: dict[str, dict[str, Stage]] = {}
        self._stale: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    async def start(self) -> None:
        """Load the stored deployments and forget those of APIs that no longer exist."""
        await asyncio.to_thread(self._snapshots.load)
        if self._snapshots.apis:
            views = {api_id: await asyncio.to_thread(self._reader.read, api_id) for api_id in self._snapshots.apis}
            for api_id, view in views.items():
                if view is None:
                    del self._snapshots.apis[api_id]
            await asyncio.to_thread(self._snapshots.save)

    async def stage(self, api_id: str, name: str) -> Stage | None:
        """The stage, current; None when the API or the stage does not exist.

        Raises ControlPlaneUnavailableError.
        """
        stages = self._stages.get(api_id)
        if stages is None or api_id in self._stale:
            await self._refresh(api_id)
            stages = self._stages.get(api_id, {})
        return stages.get(name)

    def knows_stage(self, name: str, api_id: str | None = None) -> bool:
        """Whether a stage of that name is served, of one API or of any."""
        if api_id is not None:
            return name in self._stages.get(api_id, {})
        return any(name in stages for stages in self._stages.values())

    def resolve_host(self, host: str) -> str | None:
        """The API id in a Host header `{api id}.execute-api.{anything}`."""
        label, separator, _ = host.partition(".execute-api.")
        return label if separator else None

    async def changed(self, api_id: str | None) -> None:
        """See ControlPlaneListener.control_plane_changed."""
        affected = list(self._stages) if api_id is None else [api_id]
        self._stale.update(affected)
        for item in affected:
            if item in self._stages and self._in_use(item):
                await self._refresh(item)

    async def deployed(self, api_id: str, stage: str | None, deployment_id: str) -> None:
        """See ControlPlaneListener.deployed."""
        snapshots = self._snapshots.apis.setdefault(api_id, ApiSnapshots())
        if stage is not None:
            snapshots.stages.setdefault(stage, StagePointer()).deployment_id = deployment_id
        await self._refresh(api_id)

    async def _refresh(self, api_id: str) -> None:
        lock = self._locks.setdefault(api_id, asyncio.Lock())
        async with lock:
            self._stale.discard(api_id)
            try:
                view = await asyncio.to_thread(self._reader.read, api_id)
            except BaseException:
                self._stale.add(api_id)
                raise
            if view is None:
                self._forget(api_id)
            else:
                self._serve(view)
            await asyncio.to_thread(self._snapshots.save)
        if view is None:
            self._locks.pop(api_id, None)

    def _forget(self, api_id: str) -> None:
        self._snapshots.apis.pop(api_id, None)
        for stage in self._stages.pop(api_id, {}).values():
            self._on_gone(stage)

    def _serve(self, view: ApiView) -> None:
        api_id = view.api.api_id
        first_sight = api_id not in self._snapshots.apis
        snapshots = self._snapshots.apis.setdefault(api_id, ApiSnapshots())
        for deployment_id in view.deployment_ids:
            # One that we were not told of is taken as it is now.
            snapshots.deployments.setdefault(deployment_id, view.api)
        for deployment_id in set(snapshots.deployments) - set(view.deployment_ids):
            del snapshots.deployments[deployment_id]
        served = self._stages.setdefault(api_id, {})
        now = self._clock()
        for row in view.stages:
            name = row.settings.name
            pointer = snapshots.stages.setdefault(name, StagePointer())
            if row.deployment_id is not None and row.deployment_id != pointer.seen:
                pointer.deployment_id = pointer.seen = row.deployment_id
            if first_sight and pointer.deployment_id is None and view.deployment_ids:
                # The control plane does not tell which; the latest is the likeliest.
                pointer.deployment_id = view.deployment_ids[-1]
            stage = served.setdefault(name, Stage(api_id, name, view.region))
            api = view.api if row.auto_deploy else self._deployment(snapshots, pointer)
            stage.serve(api, row.settings, self._limits, now)
        names = {row.settings.name for row in view.stages}
        for name in set(served) - names:
            snapshots.stages.pop(name, None)
            self._on_gone(served.pop(name))

    @staticmethod
    def _deployment(snapshots: ApiSnapshots, pointer: StagePointer) -> ApiDefinition | None:
        return None if pointer.deployment_id is None else snapshots.deployments.get(pointer.deployment_id)
