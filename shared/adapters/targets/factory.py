"""Builds targets by the names that they have in reactions.yaml, when they are first used."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aml.jobs import Jobs
from shared.base.lazy import Lazy
from shared.base.settings import Settings
from shared.retraining.targets import Target

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.adapters.aml.addresses import Aml


class Targets:
    """The targets, safe to share between threads; what only one of them needs is imported by it."""

    def __init__(
        self,
        *,
        aml: "Callable[[], Aml]",
        credential: "Callable[[], TokenCredential]",
        environ: Mapping[str, str],
        settings: Settings,
        root: Path,
    ) -> None:
        """`environ` has the secrets of targets, `root` the app's jobs/ folder."""
        self._credential: Final = credential
        self._environ: Final = environ
        self._settings: Final = settings
        self._root: Final = root
        self._http: Final = Lazy(lambda: aml().http)
        self._jobs: Final = Lazy(lambda: Jobs(aml(), studio=settings.studio_endpoint))
        self._made: Final[dict[str, Lazy[Target[Any]]]] = {
            "job": Lazy(self._job),
            "component": Lazy(self._component),
            "batch_endpoint": Lazy(self._batch_endpoint),
            "copy_of": Lazy(self._copy_of),
            "data_factory": Lazy(self._data_factory),
            "azure_devops": Lazy(self._azure_devops),
            "github": Lazy(self._github),
            "webhook": Lazy(self._webhook),
        }

    def get(self, name: str) -> Target[Any]:
        """Return the target of this name, which is a key of TargetParams."""
        return self._made[name]()

    def _job(self) -> Target[Any]:
        from shared.adapters.targets.job import Job

        return Job(self._jobs(), root=self._root)

    def _component(self) -> Target[Any]:
        from shared.adapters.targets.component import Component

        return Component(self._jobs())

    def _batch_endpoint(self) -> Target[Any]:
        from shared.adapters.targets.batch_endpoint import BatchEndpoint

        return BatchEndpoint(self._jobs())

    def _copy_of(self) -> Target[Any]:
        from shared.adapters.targets.copy_of import CopyOf

        return CopyOf(self._jobs())

    def _data_factory(self) -> Target[Any]:
        from shared.adapters.targets.data_factory import DataFactory

        endpoint = self._settings.arm_endpoint
        return DataFactory(self._credential, endpoint=endpoint, http=self._http())

    def _azure_devops(self) -> Target[Any]:
        from shared.adapters.targets.azure_devops import AzureDevOps

        endpoint = self._settings.devops_endpoint
        return AzureDevOps(self._credential, endpoint=endpoint, http=self._http())

    def _github(self) -> Target[Any]:
        from shared.adapters.targets.github import GitHub

        endpoint = self._settings.github_endpoint
        return GitHub(self._environ, endpoint=endpoint, http=self._http())

    def _webhook(self) -> Target[Any]:
        from shared.adapters.targets.webhook import Webhook

        return Webhook(self._environ, http=self._http())
